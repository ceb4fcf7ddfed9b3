SELECT count(*) FROM iot.devices WHERE device_id = ANY ($1)
