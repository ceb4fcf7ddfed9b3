SELECT * FROM iot_kpi.device_kpis(tstzrange($1, $2), $3)
