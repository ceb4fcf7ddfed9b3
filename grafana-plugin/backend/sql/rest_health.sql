SELECT * FROM iot_kpi.health()
