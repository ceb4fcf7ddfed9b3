-- Silence counts only while it could have been heard.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_iot_kpi;
DROP SCHEMA IF EXISTS iot CASCADE;
SET search_path = iot_kpi, public;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET intervalstyle = 'postgres';
SELECT create_store() IS NOT NULL AS made;
CREATE FUNCTION pg_temp.send(device text, metric text, since timestamptz, until timestamptz, step interval, value double precision DEFAULT 1)
RETURNS bigint LANGUAGE sql AS $$
    SELECT i.stored FROM (SELECT array_agg(t) AS times FROM generate_series(since, until, step) AS t) AS b,
        iot_kpi.ingest_metrics(array_fill(device, ARRAY[cardinality(times)]), array_fill(metric, ARRAY[cardinality(times)]), times,
                               array_fill(value, ARRAY[cardinality(times)])) AS i $$;

-- A gateway that dies for an hour, and devices of ten seconds and of ten minutes behind it: none of them was down.
INSERT INTO iot.devices (device_id, expected_interval, commissioned_at, collector_id) VALUES
    ('gateway', '30 s', '2025-03-01', NULL), ('fast', '10 s', '2025-03-03 01:00', 'gateway'), ('slow', '10 min', '2025-03-03 01:00', 'gateway'),
    ('dead', '10 s', '2025-03-03 01:00', 'gateway');
SELECT pg_temp.send('gateway', 'heartbeat', '2025-03-03 00:00', '2025-03-03 02:00', '30 s') > 0 AND pg_temp.send('gateway', 'heartbeat', '2025-03-03 03:00', '2025-03-03 04:00', '30 s') > 0
   AND pg_temp.send('fast', 'heartbeat', '2025-03-03 01:00', '2025-03-03 02:00', '10 s') > 0 AND pg_temp.send('fast', 'heartbeat', '2025-03-03 03:00:05', '2025-03-03 04:00', '10 s') > 0
   AND pg_temp.send('slow', 'heartbeat', '2025-03-03 01:00', '2025-03-03 01:55', '10 min') > 0 AND pg_temp.send('slow', 'heartbeat', '2025-03-03 03:04', '2025-03-03 04:00', '10 min') > 0
   AND pg_temp.send('dead', 'heartbeat', '2025-03-03 01:00', '2025-03-03 01:59', '10 s') > 0 AS sent;
-- The one that died a minute before the gateway is down until nobody looks any more, and again once somebody does: one outage.
SELECT device_id, status, up_time, down_time, unknown_time, failures, missed_beats
FROM device_kpis('[2025-03-03 01:00, 2025-03-03 04:00)', '{fast, slow, dead}', as_of => '2025-03-03 04:00:20');
-- The same in buckets, though the silence began long before the last of them; and asked about each by itself.
SELECT time, value FROM kpi_series('unknown_time', '[2025-03-03 01:00, 2025-03-03 04:00)', '1 hour', device_ids => '{dead}', time_zone => 'UTC', as_of => '2025-03-03 04:00:20');
SELECT down_time, unknown_time, failures FROM device_kpis('[2025-03-03 03:00:05, 2025-03-03 04:00)', '{dead}', as_of => '2025-03-03 04:00:20');
SELECT started_at, ended_at, ongoing, last_beat FROM outages('[2025-03-03 01:00, 2025-03-03 04:00:20)', device_ids => '{dead}', as_of => '2025-03-03 04:00:20');
SELECT started_at, ended_at, status FROM status_periods('[2025-03-03 01:00, 2025-03-03 04:00:20)', '{dead}', as_of => '2025-03-03 04:00:20');
-- While the gateway is away nobody is called down; nor when it has just come back.
SELECT at, status, live FROM unnest(ARRAY['2025-03-03 02:30', '2025-03-03 03:00:00.000001', '2025-03-03 03:00:30.1']::timestamptz[]) AS at, device_kpis('[2025-03-03 01:00, 2025-03-03 04:00)', '{dead}', as_of => at);
SELECT devices, required, live, unknown, device_availability FROM fleet_kpis('[2025-03-03 01:00, 2025-03-03 04:00)', device_ids => '{fast, slow, dead}', as_of => '2025-03-03 03:00:00.000001');
-- What it had in its buffer comes later, and makes that hour up.
SELECT pg_temp.send('fast', 'heartbeat', '2025-03-03 02:00:10', '2025-03-03 03:00', '10 s') > 0 AS sent;
SELECT up_time, down_time, unknown_time FROM device_kpis('[2025-03-03 01:00, 2025-03-03 04:00)', '{fast}', as_of => '2025-03-03 04:00:20');

-- Switched off for maintenance, and back twenty seconds after it.
INSERT INTO iot.devices (device_id, expected_interval, commissioned_at) VALUES ('pump', '1 min', '2025-03-03 00:00:20');
INSERT INTO iot.maintenance_windows (device_id, period) VALUES ('pump', '[2025-03-03 01:00, 2025-03-03 02:00)');
SELECT pg_temp.send('pump', 'heartbeat', '2025-03-03 00:00:20', '2025-03-03 00:59:20', '1 min') > 0 AND pg_temp.send('pump', 'heartbeat', '2025-03-03 02:00:20', '2025-03-03 02:59:20', '1 min') > 0 AS sent;
SELECT up_time, down_time, unknown_time, excluded_time, failures, missed_beats FROM device_kpis('[2025-03-03 00:00:20, 2025-03-03 03:00)', '{pump}', as_of => '2025-03-03 03:00');

-- It reports once a day, and died; its collector restarts every night for an hour. Three days are heard: so it is down three hours after three days.
INSERT INTO iot.devices (device_id, expected_interval, commissioned_at, collector_id) VALUES ('nightly', '1 min', '2025-02-01', NULL), ('meter', '1 day', '2025-02-01', 'nightly');
SELECT bool_and(pg_temp.send('nightly', 'heartbeat', day, day + '23 hours', '1 min') > 0) AS sent
FROM generate_series(timestamptz '2025-03-01 01:00', '2025-03-08 01:00', '1 day') AS day;
SELECT pg_temp.send('meter', 'heartbeat', '2025-03-01 06:00', '2025-03-02 06:00', '1 day') > 0 AS sent;
SELECT started_at, last_beat FROM outages('[2025-03-05, 2025-03-08)', device_ids => '{meter}', as_of => '2025-03-08');
-- However short a window is, and wherever it begins.
SELECT down_time, unknown_time FROM device_kpis('[2025-03-05 08:59, 2025-03-05 09:01)', '{meter}', as_of => '2025-03-08');
SELECT down_time, unknown_time FROM device_kpis('[2025-03-06 00:30, 2025-03-06 01:30)', '{meter}', as_of => '2025-03-08');

-- Who asks and gets no answer, and who says that a device is not there, prove nothing.
INSERT INTO iot.devices (device_id, expected_interval, commissioned_at) VALUES ('polled', '1 min', '2025-03-03');
SELECT pg_temp.send('polled', 'error', '2025-03-03 00:00', '2025-03-03 00:09', '1 min', 0), pg_temp.send('polled', 'error', '2025-03-03 00:10', '2025-03-03 00:19', '1 min', 1),
       pg_temp.send('polled', 'heartbeat', '2025-03-03 00:10', '2025-03-03 00:19', '1 min', 0);
SELECT up_time, down_time, attempts, failed, last_measured FROM device_kpis('[2025-03-03 00:00, 2025-03-03 00:20)', '{polled}', as_of => '2025-03-03 00:20');
SELECT last_beat FROM deadlines() WHERE device_id = 'polled';
-- What was calculated says the same.
SELECT count(*) AS calculated FROM calculate_kpis('[2025-03-03 00:00, 2025-03-04 00:00)', as_of => '2025-03-08') AS n WHERE n > 0;
SELECT k.device_id, k.down_time, k.unknown_time, k.failures FROM iot.kpi_calculations AS k
WHERE k.grain = 'hour' AND k.device_id IN ('dead', 'pump') AND k.period && '[2025-03-03 01:00, 2025-03-03 04:00)' ORDER BY k.device_id, k.period;

DROP SCHEMA iot CASCADE;
