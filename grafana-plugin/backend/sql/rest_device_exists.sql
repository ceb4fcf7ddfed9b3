SELECT FROM iot.devices WHERE device_id = $1
