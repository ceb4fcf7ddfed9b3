-- Devices that are registered otherwise than the fleet reports: their KPIs would be judged by another measure.
SELECT count(*), min(d.device_id)
FROM iot.devices d
WHERE d.device_id = ANY ($1::text[])
  AND (d.expected_interval <> $2::float8 * interval '1 second'
       OR d.heartbeat_metric IS DISTINCT FROM 'heartbeat'
       OR d.collector_id IS DISTINCT FROM $3::text)
