SELECT m.time AS "timestamp", m.metric AS metric_type, m.value, t.unit
FROM iot.device_metrics AS m JOIN iot.metric_types AS t ON t.metric = m.metric
WHERE m.device_id = $1 AND ($2::text IS NULL OR m.metric = $2) AND m.time >= $3 AND m.time < $4
ORDER BY m.time, m.metric
LIMIT $5 OFFSET $6
