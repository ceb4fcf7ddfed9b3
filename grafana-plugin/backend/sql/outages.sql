SELECT * FROM iot_kpi.outages(tstzrange($1, $2), make_interval(secs => $3), $4)
