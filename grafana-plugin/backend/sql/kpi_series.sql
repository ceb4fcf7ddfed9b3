SELECT time, series, value FROM iot_kpi.kpi_series($1, tstzrange($2, $3), make_interval(days => $4, secs => $5), $6, $7, $8)
