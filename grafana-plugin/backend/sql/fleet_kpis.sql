SELECT * FROM iot_kpi.fleet_kpis(tstzrange($1, $2), $3, $4)
