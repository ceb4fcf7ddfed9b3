-- The last value before the window, where it is wanted, then the window's own.
SELECT b.time, b.device_id, b.value FROM iot_kpi.metric_before($1, $2, $5) AS b WHERE $6 = 1
UNION ALL
SELECT m.time, m.device_id, m.value FROM iot_kpi.metric_series($1, tstzrange($2, $3), $4, $5) AS m
ORDER BY device_id, time
