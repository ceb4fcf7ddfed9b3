SELECT m.metric AS metric_type, t.unit, count(*) AS samples, count(DISTINCT m.device_id) AS devices, min(m.value) AS minimum,
       avg(m.value) AS mean, max(m.value) AS maximum, min(m.time) AS first, max(m.time) AS last
FROM iot.device_metrics AS m JOIN iot.metric_types AS t ON t.metric = m.metric
WHERE m.time >= $1 AND m.time < $2 AND ($3::text IS NULL OR m.device_id = $3)
GROUP BY m.metric, t.unit
ORDER BY m.metric
