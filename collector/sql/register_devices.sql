-- $1..$4 the devices, $5 seconds between reports, $6 seconds of liveness (null: the store's rule), $7 their collector,
-- $8 since when they are there, $9 whether what an operator has written may be replaced.
-- A device the store registered by itself on first sight gets its particulars; any other keeps what it has.
INSERT INTO iot.devices AS d
       (device_id, name, device_type, location, expected_interval, liveness, heartbeat_metric, collector_id,
        commissioned_at, registered_by)
SELECT f.device_id, f.name, f.device_type, f.location, $5::float8 * interval '1 second',
       $6::float8 * interval '1 second', 'heartbeat', $7::text, $8::timestamptz, 'operator'
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS f (device_id, name, device_type, location)
ORDER BY f.device_id
ON CONFLICT (device_id) DO UPDATE
SET name = excluded.name, device_type = excluded.device_type, location = excluded.location,
    expected_interval = excluded.expected_interval, liveness = excluded.liveness,
    heartbeat_metric = excluded.heartbeat_metric, collector_id = excluded.collector_id, registered_by = 'operator'
WHERE d.registered_by = 'first_sample' OR $9::boolean
