-- device_liveness and the stale marks, through every kind of write.
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres';
SET client_min_messages = warning;
\set SHOW_CONTEXT never
CREATE EXTENSION IF NOT EXISTS pg_iot_kpi;
SELECT iot_kpi.create_store() IS NOT NULL AS made;
SELECT iot_kpi.make_partitions('[2024-01-01,2024-01-04)');

CREATE TEMP VIEW liveness AS
SELECT device_id, last_measured, last_received, last_beat, last_status, last_status_at FROM iot.device_liveness ORDER BY 1;
-- What the books should say, by counting.
CREATE TEMP VIEW wrong_liveness AS
SELECT l.device_id FROM iot.device_liveness l JOIN iot.devices d USING (device_id)
WHERE (last_measured, last_received, last_beat) IS DISTINCT FROM
      (SELECT (max(time), max(received_at), max(time) FILTER (WHERE d.heartbeat_metric IS NULL OR metric = d.heartbeat_metric))
       FROM iot.device_metrics m WHERE m.device_id = l.device_id);

INSERT INTO iot.device_metrics (device_id, metric, time, value, received_at) VALUES
    ('b', 'heartbeat', '2024-01-01 10:00', 1, '2024-01-01 10:00:01'),
    ('a', 'temperature', '2024-01-01 09:00', 20, '2024-01-01 10:00:02'),
    ('a', 'heartbeat', '2024-01-01 08:00', 1, '2024-01-01 10:00:02');
SELECT * FROM liveness;
SELECT device_id, registered_by, commissioned_at FROM iot.devices ORDER BY 1;

-- Late data moves the time of receipt and, of a device registered on first sight, the beginning.
INSERT INTO iot.device_metrics (device_id, metric, time, value, received_at) VALUES
    ('a', 'temperature', '2024-01-01 07:00', 20, '2024-01-02 00:00');
SELECT * FROM liveness WHERE device_id = 'a';
SELECT commissioned_at FROM iot.devices WHERE device_id = 'a';
-- Once an operator said when it began, that stays.
UPDATE iot.devices SET commissioned_at = '2024-01-01 07:30' WHERE device_id = 'a';
INSERT INTO iot.device_metrics (device_id, metric, time, value, received_at) VALUES
    ('a', 'temperature', '2024-01-01 06:00', 20, '2024-01-02 00:00');
SELECT registered_by, commissioned_at FROM iot.devices WHERE device_id = 'a';

-- heartbeat_metric.
UPDATE iot.devices SET heartbeat_metric = 'heartbeat' WHERE device_id = 'a';
SELECT last_measured, last_beat FROM liveness WHERE device_id = 'a';
INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('a', 'temperature', '2024-01-02 00:00', 20);
SELECT last_measured, last_beat FROM liveness WHERE device_id = 'a';

-- ROLLBACK and savepoints.
BEGIN;
INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('a', 'heartbeat', '2024-01-02 01:00', 1);
SAVEPOINT s;
INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('a', 'heartbeat', '2024-01-02 02:00', 1);
SELECT last_beat FROM liveness WHERE device_id = 'a';
ROLLBACK TO s;
SELECT last_beat FROM liveness WHERE device_id = 'a';
ROLLBACK;
SELECT last_beat FROM liveness WHERE device_id = 'a';

-- UPDATE, also from one partition to another and from one device to another; DELETE; ON CONFLICT DO UPDATE; MERGE.
UPDATE iot.device_metrics SET time = '2024-01-03 00:00' WHERE device_id = 'b';
SELECT last_measured FROM liveness WHERE device_id = 'b';
UPDATE iot.device_metrics SET device_id = 'c' WHERE device_id = 'b';
SELECT device_id, last_measured FROM liveness;
SELECT * FROM wrong_liveness;
DELETE FROM iot.device_metrics WHERE device_id = 'a' AND time >= '2024-01-01 09:00';
SELECT last_measured, last_beat FROM liveness WHERE device_id = 'a';
INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('a', 'heartbeat', '2024-01-01 08:00', 2), ('a', 'heartbeat', '2024-01-01 12:00', 2)
    ON CONFLICT (device_id, metric, time) DO UPDATE SET value = excluded.value;
MERGE INTO iot.device_metrics m USING (VALUES ('a', timestamptz '2024-01-01 12:00'), ('a', '2024-01-01 13:00')) s (d, t)
    ON m.device_id = s.d AND m.metric = 'heartbeat' AND m.time = s.t
    WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (device_id, metric, time, value) VALUES (s.d, 'heartbeat', s.t, 3);
SELECT last_measured, last_beat FROM liveness WHERE device_id = 'a';
SELECT * FROM wrong_liveness;
DELETE FROM iot.device_metrics WHERE false;

-- Status.
INSERT INTO iot.device_status_history (device_id, time, status) VALUES
    ('a', '2024-01-01 08:00', 'online'), ('a', '2024-01-01 10:00', 'error'), ('d', '2024-01-01 10:00', 'degraded');
SELECT device_id, last_measured, last_status, last_status_at FROM liveness;
INSERT INTO iot.device_status_history (device_id, time, status) VALUES ('a', '2024-01-01 09:00', 'offline');
SELECT last_status FROM liveness WHERE device_id = 'a';
UPDATE iot.device_status_history SET status = 'maintenance' WHERE device_id = 'a' AND time = '2024-01-01 10:00';
SELECT last_status FROM liveness WHERE device_id = 'a';
DELETE FROM iot.device_status_history WHERE device_id = 'a' AND time = '2024-01-01 10:00';
SELECT last_status, last_status_at FROM liveness WHERE device_id = 'a';

-- What makes which calculations stale. A calculation of every hour of a day, for a device, its collector and another device.
INSERT INTO iot.devices (device_id, expected_interval, collector_id) VALUES ('col', '10 min', NULL), ('e', '20 min', 'col'), ('f', '20 min', NULL);
CREATE PROCEDURE pg_temp.calculate() LANGUAGE plpgsql AS $$
BEGIN
    PERFORM iot_kpi.lock_for_calculation(NULL, '2024-01-02');
    DELETE FROM iot.kpi_calculations;
    INSERT INTO iot.kpi_calculations (device_id, grain, period, parts)
    SELECT d, 'hour', tstzrange(h, h + interval '1 hour'), bytea ''
    FROM unnest(ARRAY['col', 'e', 'f']) d, generate_series(timestamptz '2024-01-01 00:00', '2024-01-01 23:00', '1 hour') h
    UNION ALL SELECT d, 'day', tstzrange('2024-01-01', '2024-01-02'), '' FROM unnest(ARRAY['col', 'e', 'f']) d;
END $$;
CREATE TEMP VIEW stale AS
SELECT device_id, count(*) FILTER (WHERE grain = 'hour') AS hours, bool_or(grain = 'day') AS day,
       min(lower(period)) FILTER (WHERE grain = 'hour')::time AS first, max(lower(period)) FILTER (WHERE grain = 'hour')::time AS last
FROM iot.kpi_calculations WHERE stale GROUP BY 1 ORDER BY 1;

CALL pg_temp.calculate();
SELECT * FROM stale;
-- A beat reaches one liveness (60 min) past itself.
INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('e', 'temperature', '2024-01-01 05:30', 1);
SELECT * FROM stale;
-- Nothing is calculated past the end, so newer data marks nothing.
CALL pg_temp.calculate();
INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('f', 'temperature', '2024-01-02 05:30', 1);
SELECT * FROM stale;
-- But what lies exactly at the end does.
INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('f', 'temperature', '2024-01-02 00:00', 1);
SELECT * FROM stale;
-- The collector's samples (liveness 30 min) decide what is known of e.
CALL pg_temp.calculate();
INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('col', 'heartbeat', '2024-01-01 07:10', 1);
SELECT * FROM stale;
CALL pg_temp.calculate();
UPDATE iot.device_metrics SET time = '2024-01-01 09:10' WHERE device_id = 'col';
SELECT * FROM stale;
CALL pg_temp.calculate();
DELETE FROM iot.device_metrics WHERE device_id = 'e';
SELECT * FROM stale;
-- A duplicate changes nothing.
CALL pg_temp.calculate();
SELECT stored, duplicates FROM iot_kpi.ingest_metrics('{col}', '{heartbeat}', '{2024-01-01 09:10}', '{1}');
SELECT * FROM stale;
-- A status holds until the next one.
INSERT INTO iot.device_status_history (device_id, time, status) VALUES ('f', '2024-01-01 20:30', 'online');
SELECT * FROM stale;
CALL pg_temp.calculate();
SELECT stored, duplicates FROM iot_kpi.ingest_status('{f}', '{2024-01-01 20:30}', '{online}', '{NULL}');
SELECT * FROM stale;
SELECT stored, duplicates FROM iot_kpi.ingest_status('{f}', '{2024-01-01 20:30}', '{offline}', '{broken}');
SELECT * FROM stale;
-- Maintenance windows, of one device and of all; moving one touches where it was and where it is.
CALL pg_temp.calculate();
INSERT INTO iot.maintenance_windows (device_id, period) VALUES ('e', '[2024-01-01 03:00,2024-01-01 03:30)');
SELECT * FROM stale;
CALL pg_temp.calculate();
UPDATE iot.maintenance_windows SET device_id = NULL, period = '[2024-01-01 22:15,)';
SELECT * FROM stale;
CALL pg_temp.calculate();
DELETE FROM iot.maintenance_windows;
SELECT * FROM stale;
-- Settings of a device that KPIs depend on, and one that they do not.
CALL pg_temp.calculate();
UPDATE iot.devices SET name = 'F', location = 'roof' WHERE device_id = 'f';
SELECT * FROM stale;
UPDATE iot.devices SET response_target = 100 WHERE device_id = 'f';
SELECT * FROM stale;
CALL pg_temp.calculate();
UPDATE iot.devices SET liveness = '1 hour' WHERE device_id = 'col';
SELECT * FROM stale;
-- A metric's kind.
CALL pg_temp.calculate();
UPDATE iot.metric_types SET description = 'Signs of life' WHERE metric = 'heartbeat';
SELECT count(*) FROM stale;
UPDATE iot.metric_types SET kind = 'counter' WHERE metric = 'bytes';
SELECT * FROM stale;
-- An increase of a counter may show in any later period.
CALL pg_temp.calculate();
INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('f', 'bytes', '2024-01-01 05:30', 1);
SELECT * FROM stale;
-- A rolled back write marks nothing.
CALL pg_temp.calculate();
BEGIN;
INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('f', 'bytes', '2024-01-01 05:31', 1);
ROLLBACK;
SELECT * FROM stale;

TRUNCATE iot.device_metrics;
SELECT device_id, last_measured, last_received, last_beat, last_status FROM liveness;
TRUNCATE iot.device_status_history;
SELECT count(*) AS devices, count(last_status) AS with_status FROM liveness;
SELECT * FROM stale;
