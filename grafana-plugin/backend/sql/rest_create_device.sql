INSERT INTO iot.devices (device_id, name, device_type, location, expected_interval, liveness, response_target, heartbeat_metric,
                         collector_id, commissioned_at, decommissioned_at, metadata)
SELECT r.device_id, coalesce(r.name, r.device_id), r.device_type, r.location,
       coalesce(make_interval(secs => r.expected_interval), '60 s'), make_interval(secs => r.liveness), r.response_target,
       r.heartbeat_metric, r.collector_id, r.commissioned_at, r.decommissioned_at, coalesce(r.metadata, '{}')
FROM jsonb_to_record($1::text::jsonb) AS r (
    device_id text, name text, device_type text, location text, expected_interval float8, liveness float8,
    response_target float8, heartbeat_metric text, collector_id text, commissioned_at timestamptz,
    decommissioned_at timestamptz, metadata jsonb)
