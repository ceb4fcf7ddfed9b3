-- Partitions: one a UTC day, made ahead or on demand, dropped by retention.
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres';
SET client_min_messages = warning;
\set SHOW_CONTEXT never
CREATE EXTENSION IF NOT EXISTS pg_iot_kpi;
SELECT iot_kpi.create_store() IS NOT NULL AS made;

-- Yesterday, today and those ahead are there.
SELECT count(*) AS partitions FROM pg_inherits WHERE inhparent = 'iot.device_metrics'::regclass;
SELECT iot_kpi.make_partitions() AS missing;

CREATE TEMP VIEW in_2024 AS
SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) AS bounds FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'iot.device_metrics'::regclass AND c.relname < 'device_metrics_p2025' ORDER BY 1;

-- Every day that the range touches, once; the second time none is missing.
SELECT iot_kpi.make_partitions('[2024-02-28 23:59:59,2024-03-01 00:00:00)') AS made;
SELECT iot_kpi.make_partitions('[2024-02-28 23:59:59,2024-03-01 00:00:00)') AS made;
SELECT iot_kpi.make_partitions('[2024-02-28,2024-03-01]') AS made;
SELECT * FROM in_2024;

-- Days are UTC days whatever the session's time zone.
SET timezone = 'Pacific/Auckland';
SELECT iot_kpi.make_partitions('[2024-03-02 00:30+00,2024-03-02 23:30+00)') AS made;
SET timezone = 'UTC';
SELECT * FROM in_2024 WHERE relname > 'device_metrics_p20240301';

-- A partition has the key and the checks of the table.
SELECT conname, contype FROM pg_constraint WHERE conrelid = 'iot.device_metrics_p20240229'::regclass AND contype <> 'n' ORDER BY 1;

-- Malformed and absurd ranges.
SELECT iot_kpi.make_partitions('empty');
\echo :LAST_ERROR_SQLSTATE
SELECT iot_kpi.make_partitions('[2024-01-02,2024-01-01)');
SELECT iot_kpi.make_partitions('[2024-01-02,2024-01-02)');
SELECT iot_kpi.make_partitions('[2024-01-01,)');
SELECT iot_kpi.make_partitions('[2024-01-01,infinity)');
SELECT iot_kpi.make_partitions('[-infinity,2024-01-01)');
SELECT iot_kpi.make_partitions('[1970-01-01,2024-01-01)');
SELECT iot_kpi.make_partitions('[1969-12-31,1970-01-02)');
SELECT iot_kpi.make_partitions('[9999-12-31,10000-01-02)');
\echo :LAST_ERROR_SQLSTATE

-- The strict door does not make partitions, the forgiving one does.
INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('a', 'temperature', '2024-06-01', 1);
SELECT stored, duplicates, refused FROM iot_kpi.ingest_metrics(
    ARRAY['a', 'a', 'a'], ARRAY['temperature', 'temperature', 'temperature'],
    ARRAY['2024-06-01 23:59:59.999999', '2024-06-02', '2024-06-05']::timestamptz[], ARRAY[1, 2, 3]);
SELECT relname FROM in_2024 WHERE relname > 'device_metrics_p20240601';
SELECT tableoid::regclass AS partition, time FROM iot.device_metrics ORDER BY time;

-- Retention.
SELECT iot_kpi.drop_expired() AS dropped;
INSERT INTO iot.device_status_history (device_id, time, status) VALUES
    ('a', '2024-01-01', 'online'), ('a', '2024-06-01', 'offline'), ('b', '2024-01-01', 'online');
INSERT INTO iot.kpi_calculations (device_id, grain, period, parts) VALUES ('a', 'day', '[2024-01-01,2024-01-02)', '');
UPDATE iot.settings SET value = '30 days' WHERE name = 'retention';
SELECT iot_kpi.drop_expired() AS dropped;
SELECT * FROM in_2024;
-- The last expired status of a device still holds when the kept time begins; expiry makes nothing stale.
SELECT device_id, time, status FROM iot.device_status_history ORDER BY 1, 2;
SELECT stale FROM iot.kpi_calculations;
-- What is older than retention is refused by both doors.
SELECT stored, refused, refusals -> 0 ->> 'field' AS field, refusals -> 0 ->> 'value' AS value,
       refusals -> 0 ->> 'reason' LIKE 'time is older than what is kept, %' AS says_so
FROM iot_kpi.ingest_metrics('{a}', '{temperature}', '{2024-06-01}', '{1}');
SELECT iot_kpi.make_partitions('[2024-06-01,2024-06-02)');
DO $$
BEGIN
    INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('a', 'temperature', '2024-06-01', 1);
EXCEPTION WHEN datetime_field_overflow THEN
    RAISE WARNING '%', left(SQLERRM, 100);
END $$;
