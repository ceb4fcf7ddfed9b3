SELECT time, device_id, value, expected, score
FROM iot_kpi.anomalies($1, tstzrange($2, $3), cut_off => $4, seasonal => $5 = 1, time_zone => $6, device_ids => $7)
