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

-- Forgiving: the good rows are stored, sending again changes nothing, the first of equal keys in a batch counts.
SELECT * FROM iot_kpi.ingest_metrics(
    ARRAY['b', 'a', 'a', 'a'], ARRAY['bytes', 'temperature', 'humidity', 'humidity'],
    ARRAY['2024-01-01 00:00', '2024-01-01 00:00', '2024-01-01 00:00', '2024-01-01 00:00']::timestamptz[], ARRAY[10, 99, 50, 60]);
SELECT * FROM iot_kpi.ingest_metrics(
    ARRAY['b', 'a', 'a', 'a'], ARRAY['bytes', 'temperature', 'humidity', 'humidity'],
    ARRAY['2024-01-01 00:00', '2024-01-01 00:00', '2024-01-01 00:00', '2024-01-01 00:00']::timestamptz[], ARRAY[10, 99, 50, 60]);
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

-- Clocks ahead: stored at the receive time. Two of one key in a batch collide then.
BEGIN;
SELECT * FROM iot_kpi.ingest_metrics('{a,a,a}', '{light,light,co2}',
    ARRAY[now() + interval '6 min', now() + interval '100 years', now() + interval '4 min'], '{1,2,3}');
SELECT metric, value, time = now() AS at_receipt, time - now() AS ahead FROM iot.device_metrics WHERE device_id = 'a' AND metric IN ('light', 'co2') ORDER BY metric;
SELECT * FROM iot_kpi.ingest_status('{a,a}', ARRAY[now() + interval '1 hour', now() + interval '2 hours'], '{online,offline}', '{NULL,NULL}');
SELECT status, time = now() AS at_receipt FROM iot.device_status_history WHERE device_id = 'a';
ROLLBACK;

-- Status: the sample stored last wins.
SELECT stored, duplicates, future_clamped, refused FROM iot_kpi.ingest_status('{a,b,a}', '{2024-01-01,2024-01-01,2024-01-01}', '{online,offline,degraded}', '{NULL,power,weak}');
SELECT device_id, time, status, reason FROM iot.device_status_history ORDER BY 1, 2;
SELECT stored, duplicates, future_clamped, refused FROM iot_kpi.ingest_status('{a,b}', '{2024-01-01,2024-01-01}', '{degraded,online}', '{weak,NULL}');
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
