SELECT d.device_id, d.name, d.device_type, d.location, d.expected_interval, d.liveness, d.response_target, d.heartbeat_metric,
       d.collector_id, d.commissioned_at, d.decommissioned_at, d.metadata, d.created_at, d.updated_at, count(*) OVER () AS total
FROM iot.devices AS d
WHERE ($1::text IS NULL OR d.device_id = $1) AND ($2::text IS NULL OR d.device_type = $2) AND ($3::text IS NULL OR d.location = $3)
ORDER BY d.device_id
LIMIT $4 OFFSET $5
