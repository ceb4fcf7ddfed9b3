-- create_store(): makes the store once, changes nothing when run again, leaves the data when the extension goes.
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres';
SET client_min_messages = warning;
\set SHOW_CONTEXT never
CREATE EXTENSION IF NOT EXISTS pg_iot_kpi;

-- Without a store.
SELECT "check", status, remedy FROM iot_kpi.health() WHERE "check" = 'store';

SELECT iot_kpi.create_store() LIKE 'store version 3 in schema iot is ready, % partitions made' AS made;
SELECT c.relname, c.relkind FROM pg_class c
WHERE c.relnamespace = 'iot'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1;

-- Every table and column says what it is.
SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = 'iot'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped
  AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid) IS NULL);

-- The tables are no members of the extension, and nothing of theirs but triggers depends on it.
SELECT count(*) AS members FROM pg_depend d JOIN pg_class c ON d.classid = 'pg_class'::regclass AND d.objid = c.oid
WHERE d.deptype = 'e' AND c.relnamespace = 'iot'::regnamespace;

-- Run again: the same objects, the same rows.
CREATE TEMP VIEW picture AS
SELECT (SELECT count(*) FROM pg_class WHERE relnamespace = 'iot'::regnamespace) AS relations,
       (SELECT count(*) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE c.relnamespace = 'iot'::regnamespace) AS triggers,
       (SELECT md5(string_agg(s::text, ';' ORDER BY s)) FROM iot.settings s) AS settings,
       (SELECT md5(string_agg(m::text, ';' ORDER BY m)) FROM iot.metric_types m) AS metric_types;
CREATE TEMP TABLE before AS SELECT * FROM picture;
SELECT iot_kpi.create_store();
SELECT before = picture AS unchanged FROM before, picture;

-- What an operator set stays.
UPDATE iot.settings SET value = '10 min' WHERE name = 'clock_skew';
UPDATE iot.metric_types SET maximum = 150 WHERE metric = 'temperature';
SELECT iot_kpi.create_store();
SELECT iot_kpi.setting('clock_skew'), (SELECT maximum FROM iot.metric_types WHERE metric = 'temperature');

-- An older store is brought up to date, a newer one is left alone.
UPDATE iot.settings SET value = '0' WHERE name = 'store_version';
ALTER TABLE iot.kpi_calculations DROP COLUMN apdex;
SELECT status, remedy FROM iot_kpi.health() WHERE "check" = 'store';
SELECT iot_kpi.create_store();
SELECT apdex FROM iot.kpi_calculations;
UPDATE iot.settings SET value = '999' WHERE name = 'store_version';
SELECT iot_kpi.create_store();
UPDATE iot.settings SET value = '3' WHERE name = 'store_version';

-- Settings.
UPDATE iot.settings SET value = 'maybe' WHERE name = 'unknown_devices';
UPDATE iot.settings SET value = '-1 day' WHERE name = 'retention';
UPDATE iot.settings SET value = 'soon' WHERE name = 'clock_skew';
INSERT INTO iot.settings VALUES ('retentoin', '1 day');
-- An instant is one of UTC where it names no zone, whatever the session; and is over.
BEGIN;
SET LOCAL timezone = 'Pacific/Apia';
SET LOCAL datestyle = 'SQL, DMY';
UPDATE iot.settings SET value = '2010-02-01' WHERE name = 'earliest_time';
SELECT iot_kpi.setting('earliest_time'), iot_kpi.earliest_sample() = '2010-02-01 00:00+00' AS of_utc;
ROLLBACK;
UPDATE iot.settings SET value = '1969-12-31' WHERE name = 'earliest_time';
UPDATE iot.settings SET value = 'infinity' WHERE name = 'earliest_time';
UPDATE iot.settings SET value = 'tomorrow' WHERE name = 'earliest_time';
UPDATE iot.settings SET value = 'long ago' WHERE name = 'earliest_time';
SELECT iot_kpi.setting('no_such_setting') IS NULL AS unknown_is_null;

-- Devices: durations are exact and positive, a name is filled in.
INSERT INTO iot.devices (device_id) VALUES ('TEMP_001');
SELECT device_id, name, expected_interval, registered_by FROM iot.devices;
INSERT INTO iot.devices (device_id, liveness) VALUES ('x', '1 month');
\echo :LAST_ERROR_SQLSTATE
INSERT INTO iot.devices (device_id, expected_interval) VALUES ('x', '0');
INSERT INTO iot.devices (device_id, expected_interval) VALUES ('x', '-5 s');
INSERT INTO iot.devices (device_id, status_ttl) VALUES ('x', '1 year');
INSERT INTO iot.devices (device_id, status_ttl) VALUES ('x', '100000 days');
\set VERBOSITY terse
INSERT INTO iot.devices (device_id, expected_interval) VALUES ('x', NULL);
\set VERBOSITY default
INSERT INTO iot.devices (device_id) VALUES ('');
INSERT INTO iot.devices (device_id) VALUES (repeat('x', 10000));
\echo :LAST_ERROR_SQLSTATE
INSERT INTO iot.devices (device_id, response_target) VALUES ('x', 'NaN');
INSERT INTO iot.devices (device_id, commissioned_at) VALUES ('x', 'infinity');
INSERT INTO iot.devices (device_id, commissioned_at, decommissioned_at) VALUES ('x', '2024-01-02', '2024-01-01');
INSERT INTO iot.devices (device_id, collector_id) VALUES ('x', 'nobody');
UPDATE iot.devices SET device_id = 'TEMP_002' WHERE device_id = 'TEMP_001';

-- Maintenance windows and objectives.
INSERT INTO iot.maintenance_windows (period) VALUES ('empty');
\echo :LAST_ERROR_SQLSTATE
INSERT INTO iot.maintenance_windows (period) VALUES ('[,2024-01-01)');
INSERT INTO iot.maintenance_windows (period) VALUES ('[2024-01-02,2024-01-01)');
INSERT INTO iot.maintenance_windows (period) VALUES ('[-infinity,2024-01-01)');
INSERT INTO iot.slo_targets (scope_kind, kpi, objective) VALUES ('all', 'uptime', 1);
INSERT INTO iot.slo_targets (scope_kind, kpi, objective) VALUES ('device', 'uptime', 0.99);
INSERT INTO iot.slo_targets (scope_kind, kpi, objective) VALUES ('all', 'uptime', 0.99);

-- A device with samples stays; without them it may go, and takes its windows along.
SELECT iot_kpi.make_partitions('[2024-01-01,2024-01-02)');
INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('TEMP_001', 'temperature', '2024-01-01 12:00', 21.5);
DELETE FROM iot.devices;
\echo :LAST_ERROR_SQLSTATE
INSERT INTO iot.devices (device_id) VALUES ('unused');
INSERT INTO iot.maintenance_windows (device_id, period) VALUES ('unused', '[2024-01-01,)');
DELETE FROM iot.devices WHERE device_id = 'unused';
SELECT count(*) AS windows FROM iot.maintenance_windows;

-- A store of version 2 has no default partition: until it is up to date the forgiving door makes those that it needs, and what retention
-- has dropped is known by the earliest one.
ALTER TABLE iot.device_metrics DETACH PARTITION iot.device_metrics_years;
DROP TABLE iot.device_metrics_years;
UPDATE iot.settings SET value = '2' WHERE name = 'store_version';
INSERT INTO iot.kpi_calculations (device_id, grain, period, parts) VALUES ('TEMP_001', 'day', '[2023-06-01,2023-06-02)', '');
SELECT stored FROM iot_kpi.ingest_metrics('{TEMP_001}', '{temperature}', '{2024-01-05}', '{20}');
SELECT tableoid::regclass FROM iot.device_metrics WHERE time = '2024-01-05';
SELECT "check", status, remedy FROM iot_kpi.health() WHERE "check" IN ('store', 'partitions');
SELECT iot_kpi.create_store();
SELECT iot_kpi.kept_from();
INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('TEMP_001', 'temperature', '2024-01-06', 20);
SELECT tableoid::regclass FROM iot.device_metrics WHERE time = '2024-01-06';
-- One that is detached is missed, and put back with what is in it.
ALTER TABLE iot.device_metrics DETACH PARTITION iot.device_metrics_years;
SELECT "check", status, remedy FROM iot_kpi.health() WHERE "check" = 'partitions';
SELECT iot_kpi.create_store();
SELECT "check", status FROM iot_kpi.health() WHERE "check" = 'partitions';
DELETE FROM iot.device_metrics WHERE time >= '2024-01-05';

-- DROP EXTENSION is refused while there is a store; CASCADE leaves every value, and create_store() attaches the rules again.
\set VERBOSITY terse
DROP EXTENSION pg_iot_kpi;
DROP EXTENSION pg_iot_kpi CASCADE;
SELECT device_id, metric, time, value FROM iot.device_metrics;
SELECT count(*) AS triggers FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE c.relnamespace = 'iot'::regnamespace AND NOT t.tgisinternal;
CREATE EXTENSION pg_iot_kpi;
SELECT "check", status, remedy FROM iot_kpi.health() WHERE "check" = 'ingest rules';
SELECT iot_kpi.create_store();
SELECT "check", status FROM iot_kpi.health() WHERE "check" IN ('store', 'ingest rules', 'partitions');
INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('TEMP_001', 'nonsense', '2024-01-01 13:00', 1);
