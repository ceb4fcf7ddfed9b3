(SELECT DISTINCT ON (b.device_id) b.time, b.device_id, b.value
 FROM iot_kpi.metric_series($1, tstzrange($2 - make_interval(secs => $6), $2), 4, $5) AS b
 ORDER BY b.device_id, b.time DESC)
UNION ALL
SELECT m.time, m.device_id, m.value FROM iot_kpi.metric_series($1, tstzrange($2, $3), $4, $5) AS m
ORDER BY device_id, time
