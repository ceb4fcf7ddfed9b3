SELECT iot_kpi.calculate_kpis(tstzrange($1, $2), ARRAY[$3]) AS calculated
