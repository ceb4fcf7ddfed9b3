SELECT d.device_id, d.name, coalesce(d.device_type, ''), coalesce(d.location, ''), d.expected_interval::text,
       coalesce(d.collector_id, ''), l.last_measured
FROM iot.devices d LEFT JOIN iot.device_liveness l USING (device_id)
ORDER BY d.device_type, d.device_id
