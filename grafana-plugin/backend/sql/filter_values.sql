SELECT coalesce(json_agg(DISTINCT p.value), '[]')::text
FROM iot.devices d,
     LATERAL (SELECT CASE $1 WHEN 'device_id' THEN d.device_id WHEN 'name' THEN d.name WHEN 'device_type' THEN d.device_type
                             WHEN 'location' THEN d.location ELSE d.metadata ->> $1 END) AS p (value)
WHERE p.value IS NOT NULL
