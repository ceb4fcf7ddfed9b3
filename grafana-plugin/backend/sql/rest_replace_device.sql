UPDATE iot.devices AS d
SET name = coalesce(r.name, d.device_id), device_type = r.device_type, location = r.location,
    expected_interval = coalesce(make_interval(secs => r.expected_interval), '60 s'),
    liveness = make_interval(secs => r.liveness), response_target = r.response_target,
    heartbeat_metric = r.heartbeat_metric, collector_id = r.collector_id, commissioned_at = r.commissioned_at,
    decommissioned_at = r.decommissioned_at, metadata = coalesce(r.metadata, '{}'), updated_at = now()
FROM jsonb_to_record($1::text::jsonb) AS r (
    device_id text, name text, device_type text, location text, expected_interval float8, liveness float8,
    response_target float8, heartbeat_metric text, collector_id text, commissioned_at timestamptz,
    decommissioned_at timestamptz, metadata jsonb)
WHERE d.device_id = r.device_id
