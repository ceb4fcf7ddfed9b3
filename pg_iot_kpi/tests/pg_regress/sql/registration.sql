-- Devices registered on first sight are in service since their earliest sample that stands; and what is in the way of deleting one.
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres';
SET client_min_messages = warning;
\set SHOW_CONTEXT never
CREATE EXTENSION IF NOT EXISTS pg_iot_kpi;
SELECT iot_kpi.create_store() IS NOT NULL AS made;
SELECT iot_kpi.make_partitions('[2024-01-01,2024-01-04)');
-- What it should be, by looking at all of them.
CREATE TEMP VIEW wrongly_in_service AS
SELECT d.device_id, d.commissioned_at FROM iot.devices d
WHERE d.registered_by = 'first_sample' AND d.commissioned_at IS DISTINCT FROM least(
    (SELECT min(time) FROM iot.device_metrics m WHERE m.device_id = d.device_id),
    (SELECT min(time) FROM iot.device_status_history h WHERE h.device_id = d.device_id AND recorded_by IS NULL));
CREATE TEMP VIEW in_service AS SELECT device_id, registered_by, commissioned_at FROM iot.devices ORDER BY 1;
CREATE TEMP VIEW stale AS SELECT device_id, count(*) FILTER (WHERE stale) AS stale, count(*) FROM iot.kpi_calculations GROUP BY 1 ORDER BY 1;

-- a sends metrics and statuses, b statuses alone, c was registered by an operator.
INSERT INTO iot.devices (device_id, commissioned_at) VALUES ('c', '2024-01-01 08:00');
INSERT INTO iot.device_metrics (device_id, metric, time, value)
SELECT d, m, t, 1 FROM unnest('{a, c}'::text[]) d, unnest('{heartbeat, humidity}'::text[]) m,
     generate_series('2024-01-01 08:00'::timestamptz, '2024-01-02 08:00', '1 hour') t;
INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('a', 'co2', '2024-01-01 07:30', 400);
INSERT INTO iot.device_status_history (device_id, time, status) VALUES
    ('a', '2024-01-01 06:00', 'online'), ('b', '2024-01-01 06:00', 'online'), ('b', '2024-01-01 09:00', 'online');
SELECT * FROM in_service;
SELECT iot_kpi.calculate_kpis('[2024-01-01, 2024-01-03)') AS calculated;

-- Not the first one: nothing moves.
DELETE FROM iot.device_metrics WHERE time = '2024-01-01 12:00';
SELECT * FROM in_service;
SELECT iot_kpi.calculate_kpis('[2024-01-01, 2024-01-03)') > 0 AS calculated;
-- The first ones, by and by: of statuses, of a metric, of a value that is only changed, of a time that is.
DELETE FROM iot.device_status_history WHERE time = '2024-01-01 06:00';
SELECT * FROM in_service;
SELECT * FROM stale;
UPDATE iot.device_metrics SET value = 410 WHERE metric = 'co2';
SELECT * FROM in_service;
SELECT iot_kpi.calculate_kpis('[2024-01-01, 2024-01-03)') > 0 AS calculated;
UPDATE iot.device_metrics SET time = '2024-01-01 20:30' WHERE metric = 'co2';
SELECT * FROM in_service;
SELECT * FROM stale;
UPDATE iot.device_metrics SET time = '2024-01-01 05:30' WHERE metric = 'co2';
SELECT * FROM in_service;
DELETE FROM iot.device_metrics WHERE time < '2024-01-01 10:00';
SELECT * FROM in_service;
UPDATE iot.device_status_history SET time = '2024-01-01 11:00' WHERE device_id = 'b';
SELECT * FROM in_service;
SELECT * FROM wrongly_in_service;

-- None stands: it waits for the next one, and is neither down nor missing meanwhile.
DELETE FROM iot.device_metrics WHERE device_id = 'a';
DELETE FROM iot.device_status_history;
SELECT * FROM in_service;
SELECT device_id, uptime, up_time, down_time, excluded_time FROM iot_kpi.device_kpis('[2024-01-01, 2024-01-02)');
SELECT device_id, missed FROM iot_kpi.deadlines() WHERE device_id = 'a';
SELECT stored FROM iot_kpi.ingest_metrics('{a}', '{heartbeat}', '{2024-01-03 09:00}', '{1}');
SELECT stored FROM iot_kpi.ingest_status('{b, b}', '{2024-01-03 10:00, 2024-01-03 09:00}', '{online, online}', '{x, y}');
SELECT * FROM in_service;
-- It can be said beforehand, too.
INSERT INTO iot.devices (device_id, registered_by) VALUES ('awaited', 'first_sample');
SELECT device_id, down_time, excluded_time FROM iot_kpi.device_kpis('[2024-01-01, 2024-01-02)', '{awaited}');
SELECT stored FROM iot_kpi.ingest_metrics('{awaited}', '{heartbeat}', '{2024-01-02 09:00}', '{1}');
SELECT * FROM in_service;

-- TRUNCATE, of the one and of the other.
INSERT INTO iot.device_status_history (device_id, time, status) VALUES ('a', '2024-01-03 12:00', 'online');
TRUNCATE iot.device_metrics;
SELECT * FROM in_service;
TRUNCATE iot.device_status_history;
SELECT * FROM in_service;
SELECT * FROM wrongly_in_service;

-- Out of service before the next sample: it never was in it.
INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('a', 'heartbeat', '2024-01-01 08:00', 1), ('a', 'heartbeat', '2024-01-03 08:00', 1);
UPDATE iot.devices SET decommissioned_at = '2024-01-02' WHERE device_id = 'a';
DELETE FROM iot.device_metrics WHERE time = '2024-01-01 08:00';
SELECT commissioned_at, decommissioned_at FROM iot.devices WHERE device_id = 'a';

-- A device with samples, or with a status of its own, stays; upkeep's records go with it.
DELETE FROM iot.devices WHERE device_id = 'a';
INSERT INTO iot.devices (device_id, expected_interval, commissioned_at) VALUES ('silent', '1 min', '2024-01-01'), ('told', '1 min', '2024-01-01');
INSERT INTO iot.device_status_history (device_id, time, status, reason) VALUES ('told', '2024-01-01 08:00', 'online', 'iot_kpi: reports again');
CALL iot_kpi.maintain();
SELECT device_id, time, status, recorded_by, reason FROM iot.device_status_history WHERE device_id IN ('silent', 'told') ORDER BY 1, 2;
DELETE FROM iot.devices WHERE device_id = 'told';
DELETE FROM iot.devices WHERE device_id = 'silent';
SELECT count(*) FROM iot.device_status_history WHERE device_id = 'silent';

-- The device's own word counts, whatever the words; upkeep's does not.
SELECT device_id, last_status, last_status_at FROM iot.device_liveness WHERE device_id = 'told';
SELECT device_id, availability FROM iot_kpi.device_kpis('[2024-01-01 08:00, 2024-01-01 09:00)', '{told}');
-- At the very instant of upkeep's record the device's word comes in its place.
SELECT i.* FROM iot.device_status_history h,
    iot_kpi.ingest_status(ARRAY[h.device_id], ARRAY[h.time], ARRAY['degraded'], ARRAY['it is me']) i
WHERE h.recorded_by = 'upkeep' AND h.device_id = 'told';
SELECT device_id, status, recorded_by, reason FROM iot.device_status_history WHERE device_id = 'told' ORDER BY time;
-- And upkeep's records expire, when no report needs them, before the last status does.
INSERT INTO iot.device_status_history (device_id, time, status, recorded_by) VALUES ('told', '2024-01-01 09:00', 'offline', 'upkeep');
INSERT INTO iot.device_status_history (device_id, time, status, recorded_by, received_at) VALUES ('told', '2024-01-01 09:30', 'offline', 'somebody', '2024-01-01');
UPDATE iot.settings SET value = '30 days' WHERE name = 'retention';
SELECT iot_kpi.calculate_kpis(tstzrange(now() - interval '3 hours', now()), '{told}') > 0 AS calculated;
SELECT iot_kpi.delete_expired_statuses(NULL);
SELECT device_id, status, recorded_by, reason FROM iot.device_status_history WHERE device_id = 'told' ORDER BY time;
-- It changes no KPI, so nothing is stale.
SELECT count(*) FROM iot.kpi_calculations WHERE stale AND device_id = 'told' AND lower(period) >= now() - interval '3 hours';
