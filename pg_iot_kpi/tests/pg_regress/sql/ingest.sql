-- The two doors into the store: strict INSERT and COPY, forgiving ingest_metrics() and ingest_status().
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres';
SET client_min_messages = warning;
\set SHOW_CONTEXT never
CREATE EXTENSION IF NOT EXISTS pg_iot_kpi;
SELECT iot_kpi.create_store() IS NOT NULL AS made;
SELECT iot_kpi.make_partitions('[2024-01-01,2024-01-04)');

-- Strict: one bad row refuses the statement and is named.
COPY iot.device_metrics (device_id, metric, time, value) FROM stdin;
a	temperature	2024-01-01 00:00:00	20
a	temperature	2024-01-01 00:01:00	21
\.
COPY iot.device_metrics (device_id, metric, time, value) FROM stdin;
a	temperature	2024-01-01 00:02:00	22
b	flavour	2024-01-01 00:02:00	1
\.
INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('a', 'temperature', '2024-01-01', 20);
\echo :LAST_ERROR_SQLSTATE
INSERT INTO iot.device_metrics (device_id, metric, time, value, received_at) VALUES ('a', 'temperature', '2024-01-01 01:00', 'NaN', '2024-01-01');
\echo :LAST_ERROR_SQLSTATE
INSERT INTO iot.device_metrics (device_id, metric, time, value, received_at) VALUES ('a', 'temperature', '2024-01-01 01:00', '-infinity', '2024-01-01');
INSERT INTO iot.device_metrics (device_id, metric, time, value, received_at) VALUES ('a', 'temperature', '2024-01-01 01:00', NULL, '2024-01-01');
INSERT INTO iot.device_metrics (device_id, metric, time, value, received_at) VALUES ('', 'temperature', '2024-01-01 01:00', 1, '2024-01-01');
INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('a', 'temperature', 'infinity', 1);
INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('a', 'humidity', '2024-01-01 01:00', 101);
INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('a', 'error', '2024-01-01 01:00', 2);
UPDATE iot.device_metrics SET metric = 'flavour' WHERE time = '2024-01-01 00:01';
DO $$
BEGIN
    INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('a', 'temperature', now() + interval '6 min', 1);
EXCEPTION WHEN datetime_field_overflow THEN
    RAISE WARNING '%', substring(SQLERRM FROM 'time is in the future');
END $$;
INSERT INTO iot.device_status_history (device_id, time, status, received_at) VALUES
    ('a', '2024-01-01', 'online', '2024-01-01'), ('a', '2024-01-01 00:01', 'sleepy', '2024-01-01');
INSERT INTO iot.device_status_history (device_id, time, status, received_at) VALUES ('a', '-infinity', 'online', '2024-01-01');
SELECT device_id, metric, time, value FROM iot.device_metrics;

-- Forgiving: the good rows are stored, sending again changes nothing, the first of equal keys counts, there or in the batch. Another
-- value of the same key is a conflict, told with both values; the same value is a duplicate.
CREATE FUNCTION pg_temp.told(details jsonb) RETURNS TABLE ("position" bigint, device_id text, metric text, "time" timestamptz, kept text, lost text)
    LANGUAGE sql AS $$ SELECT * FROM jsonb_to_recordset(details) AS d ("position" bigint, device_id text, metric text, "time" timestamptz, kept text, lost text) $$;
PREPARE batch AS SELECT * FROM iot_kpi.ingest_metrics(
    ARRAY['b', 'nonsense', 'a', 'a', 'a', 'a'], ARRAY['bytes', 'nonsense', 'temperature', 'humidity', 'humidity', 'humidity'],
    array_fill(timestamptz '2024-01-01 00:00', ARRAY[6]), ARRAY[10, 1, 99, 50, 60, 50]);
CREATE TEMP TABLE first_time AS EXECUTE batch;
CREATE TEMP TABLE second_time AS EXECUTE batch;
SELECT stored, duplicates, conflicts, future_clamped, refused FROM first_time;
SELECT d.* FROM first_time, pg_temp.told(conflict_details) d;
SELECT stored, duplicates, conflicts, future_clamped, refused FROM second_time;
SELECT d.* FROM second_time, pg_temp.told(conflict_details) d;
SELECT device_id, metric, time, value FROM iot.device_metrics ORDER BY 1, 2, 3;

-- Every kind of bad row.
CREATE TEMP TABLE answer AS SELECT * FROM iot_kpi.ingest_metrics(
    ARRAY['c', NULL, '', repeat('x', 10000), 'c', 'c', 'c', 'c', 'c', 'c', 'c', 'c', 'c', 'c', 'c', 'c'],
    ARRAY['light', 'light', 'light', 'light', NULL, '', repeat('x', 10000), 'flavour', 'light', 'light', 'light', 'light', 'light', 'light', 'light', 'battery'],
    ARRAY['2024-01-01', '2024-01-01', '2024-01-01', '2024-01-01', '2024-01-01', '2024-01-01', '2024-01-01', '2024-01-01',
          NULL, 'infinity', '-infinity', '1969-12-31', '2024-01-01', '2024-01-01', '2024-01-01', '2024-01-01']::timestamptz[],
    ARRAY[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, NULL, 'NaN', 'infinity', 101]::float8[]);
SELECT stored, duplicates, future_clamped, refused FROM answer;
SELECT r.position, left(r.device_id, 10) AS device_id, r.field, left(r.value, 24) AS value, length(r.value) AS length, r.reason
FROM answer, jsonb_to_recordset(refusals) r (position int, device_id text, field text, value text, reason text);
SELECT device_id, metric, time, value FROM iot.device_metrics WHERE device_id NOT IN ('a', 'b');
-- A whole batch of them.
SELECT stored, duplicates, refused, jsonb_array_length(refusals) AS refusals FROM iot_kpi.ingest_metrics('{NULL,NULL}', '{light,light}', '{2024-01-01,2024-01-01}', '{1,2}');

-- No rows; arrays of different length; NULL for an array.
SELECT * FROM iot_kpi.ingest_metrics('{}', '{}', '{}', '{}');
SELECT * FROM iot_kpi.ingest_metrics('{a,b}', '{light}', '{2024-01-01,2024-01-01}', '{1,2}');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM iot_kpi.ingest_metrics('{a}', '{light}', '{2024-01-01}', NULL);
SELECT * FROM iot_kpi.ingest_status('{a}', '{2024-01-01}', '{online}', '{}');
\echo :LAST_ERROR_SQLSTATE

-- Clocks ahead: the latest of a device in the batch becomes the receive time, the others stay as far before it as they were.
CREATE TEMP VIEW light AS SELECT device_id, value, time - now() AS since_receipt FROM iot.device_metrics WHERE metric = 'light' AND time > '2025-01-01' ORDER BY 1, 2;
BEGIN;
-- Nine amounts of a clock that is an hour ahead, and one of a clock that is right.
SELECT stored, duplicates, conflicts, future_clamped, refused
FROM (SELECT array_agg(now() + interval '1 hour' - n * interval '1 min') AS ts, array_agg(n::float8) AS v FROM generate_series(0, 8) n) b,
    iot_kpi.ingest_metrics(array_fill('ahead'::text, '{9}') || 'right'::text, array_fill('light'::text, '{10}'), ts || now(), v || 10::float8);
TABLE light;
ROLLBACK;
BEGIN;
-- Those of the same device that are not ahead move along where the others would come to lie among them (mixed), and stay where they
-- are otherwise (single); up to clock_skew nothing moves (little).
SELECT stored, duplicates, conflicts, future_clamped, refused
FROM iot_kpi.ingest_metrics('{mixed,mixed,mixed,mixed,single,single,single,little,little}', array_fill('light'::text, '{9}'),
    ARRAY[now() + interval '30 min', now() + interval '6 min', now() + interval '5 min', now() - interval '20 min',
          now() + interval '40 days', now() - interval '1 min', now() - interval '2 min', now() + interval '5 min', now() - interval '1 day'], '{1,2,3,4,1,2,3,1,2}');
TABLE light;
ROLLBACK;
BEGIN;
-- What would come to lie before what is kept is refused where it is ahead itself, and stays where it is where it is not.
SELECT stored, duplicates, conflicts, future_clamped, refused, refusals -> 0 ->> 'position' AS position, refusals -> 0 ->> 'reason' AS reason
FROM iot_kpi.ingest_metrics('{wild,wild,wild,wild}', '{light,light,light,light}',
    ARRAY[now() + interval '4 min', now() + interval '6 min', now() + interval '100 years', '294276-12-31 23:59'], '{1,2,3,4}');
TABLE light;
ROLLBACK;
BEGIN;
SELECT stored, duplicates, conflicts, future_clamped, refused, refusals, conflict_details
FROM iot_kpi.ingest_status('{a,a,a}', ARRAY[now() + interval '1 hour', now() + interval '2 hours', now() - interval '1 day'], '{online,offline,degraded}', '{NULL,NULL,NULL}');
SELECT status, time - now() AS since_receipt FROM iot.device_status_history WHERE device_id = 'a' ORDER BY time;
ROLLBACK;

-- Status: the sample stored last wins. One that it outdoes, in the batch or in the store, is a conflict.
SELECT i.stored, i.duplicates, i.conflicts, i.future_clamped, i.refused, d.*
FROM iot_kpi.ingest_status('{nobody,a,b,a,a}', '{NULL,2024-01-01,2024-01-01,2024-01-01,2024-01-01}', '{online,degraded,offline,online,degraded}', '{NULL,weak,power,NULL,weak}') i
    LEFT JOIN pg_temp.told(i.conflict_details) d ON true;
SELECT device_id, time, status, reason FROM iot.device_status_history ORDER BY 1, 2;
SELECT i.stored, i.duplicates, i.conflicts, i.future_clamped, i.refused, d.*
FROM iot_kpi.ingest_status('{nobody,a,b,c}', '{NULL,2024-01-01,2024-01-01,2024-01-01}', '{online,degraded,online,error}', '{NULL,weak,NULL,NULL}') i
    LEFT JOIN pg_temp.told(i.conflict_details) d ON true;
SELECT device_id, time, status, reason FROM iot.device_status_history ORDER BY 1, 2;
SELECT r.* FROM iot_kpi.ingest_status(
        ARRAY['a', 'a', NULL, 'a', 'a'], ARRAY['2024-01-01', '2024-01-01', '2024-01-01', NULL, '2024-01-02']::timestamptz[],
        ARRAY[NULL, 'sleepy', 'online', 'online', 'online'], ARRAY[NULL, NULL, NULL, NULL, repeat('y', 1001)]) i,
    jsonb_to_recordset(i.refusals) r (position int, device_id text, field text, reason text);

-- Unknown devices and metrics, by setting.
UPDATE iot.settings SET value = 'refuse' WHERE name = 'unknown_devices';
SELECT stored, refused, refusals -> 0 ->> 'reason' AS reason FROM iot_kpi.ingest_metrics('{stranger,a}', '{light,light}', '{2024-01-02,2024-01-02}', '{1,1}');
SELECT stored, refused, refusals -> 0 ->> 'reason' AS reason FROM iot_kpi.ingest_status('{stranger}', '{2024-01-02}', '{online}', '{NULL}');
INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('stranger', 'light', '2024-01-02', 1);
\echo :LAST_ERROR_SQLSTATE
INSERT INTO iot.device_status_history (device_id, time, status) VALUES ('stranger', '2024-01-02', 'online');
UPDATE iot.settings SET value = 'register' WHERE name IN ('unknown_devices', 'unknown_metrics');
SELECT stored, refused FROM iot_kpi.ingest_metrics('{stranger}', '{flavour}', '{2024-01-02}', '{1}');
INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('stranger', 'colour', '2024-01-02', 1);
SELECT metric, kind FROM iot.metric_types WHERE metric IN ('flavour', 'colour') ORDER BY 1;
SELECT device_id, registered_by, commissioned_at FROM iot.devices ORDER BY 1;
