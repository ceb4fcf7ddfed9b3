SELECT device_id, started_at, ended_at, status FROM iot_kpi.status_periods(tstzrange($1, $2), $3)
