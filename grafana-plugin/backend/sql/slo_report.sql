SELECT * FROM iot_kpi.slo_report(tstzrange($1, $2), $3)
