-- Where samples lie: a partition a UTC day near now, one a year for the rest, and a default one. What is made, when, and what retention takes.
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres';
SET client_min_messages = warning;
\set SHOW_CONTEXT never
CREATE EXTENSION IF NOT EXISTS pg_iot_kpi;
SELECT iot_kpi.create_store() IS NOT NULL AS made;

-- Yesterday, today and those ahead are there, and every year since the earliest sample that is taken, up to the next one, without a gap.
SELECT count(*) AS days, min(first) = date_trunc('day', now()) - interval '1 day' AS since_yesterday FROM iot_kpi.partitions() WHERE of_days;
SELECT min(first) AS since, max(until) = date_trunc('year', now()) + interval '2 years' AS until_the_next,
       range_agg(tstzrange(first, until)) = tstzmultirange(tstzrange(min(first), max(until))) AS without_gap,
       count(*) - count(DISTINCT date_trunc('year', first)) <= 1 AS cut_once
FROM iot_kpi.partitions() WHERE NOT of_days;
SELECT iot_kpi.make_partitions() AS missing;
-- The bounds are read from the catalogs, in whatever style those say them.
BEGIN;
CREATE TEMP TABLE as_read ON COMMIT DROP AS SELECT * FROM iot_kpi.partitions();
SET LOCAL timezone = 'Asia/Kathmandu';
SET LOCAL datestyle = 'SQL, DMY';
SELECT count(*) AS differ FROM (SELECT * FROM iot_kpi.partitions() EXCEPT TABLE as_read) d;
ROLLBACK;

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

-- A partition has the key and the checks of the table, and all are the owner's.
SELECT conname, contype FROM pg_constraint WHERE conrelid = 'iot.device_metrics_p20240229'::regclass AND contype <> 'n' ORDER BY 1;
SELECT conname, contype FROM pg_constraint WHERE conrelid = 'iot.device_metrics_y2024'::regclass AND contype <> 'n' ORDER BY 1;
SELECT count(*) FROM pg_class WHERE relispartition AND relnamespace = 'iot'::regnamespace AND (relowner <> iot_kpi.store_owner() OR relacl IS NOT NULL);

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

-- Neither door needs a partition of the day.
INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('a', 'temperature', '2024-03-01', 0), ('a', 'temperature', '2024-06-01', 1);
SELECT stored, duplicates, refused FROM iot_kpi.ingest_metrics(
    ARRAY['a', 'a', 'a'], ARRAY['temperature', 'temperature', 'temperature'],
    ARRAY['2024-06-01 23:59:59.999999', '2024-06-02', '2005-06-05']::timestamptz[], ARRAY[1, 2, 3]);
SELECT tableoid::regclass AS partition, time FROM iot.device_metrics ORDER BY time;
-- A day that has samples keeps them where they are; the others of the range get theirs.
SET client_min_messages = notice;
SELECT iot_kpi.make_partitions('[2024-06-01,2024-06-04)') AS made;
SET client_min_messages = warning;
SELECT tableoid::regclass AS partition, time FROM iot.device_metrics WHERE time >= '2024-06-01' ORDER BY time;
SELECT relname FROM in_2024 WHERE relname > 'device_metrics_p20240302';

-- Ten years of a reading a day, by either door, and no partition more.
SELECT count(*) AS tables INTO TEMP before FROM pg_inherits;
SELECT stored, duplicates, conflicts, refused
FROM (SELECT array_agg(t) AS ts FROM generate_series(timestamptz '2012-01-01', '2021-12-31', '1 day') t) b,
    iot_kpi.ingest_metrics(array_fill('meter'::text, ARRAY[cardinality(ts)]), array_fill('temperature'::text, ARRAY[cardinality(ts)]), ts, array_fill(1.0::float8, ARRAY[cardinality(ts)]));
INSERT INTO iot.device_metrics (device_id, metric, time, value)
SELECT 'another', 'temperature', t, 1 FROM generate_series(timestamptz '2012-01-01', '2021-12-31', '1 day') t;
SELECT count(*) = (SELECT tables FROM before) AS as_before FROM pg_inherits;
SELECT tableoid::regclass AS partition, count(*) FROM iot.device_metrics WHERE device_id IN ('meter', 'another') GROUP BY 1 ORDER BY tableoid::regclass::text;

-- Clocks that never were set: the start of their time, and what people set them to by mistake.
SELECT stored, refused, r.position, r.field, r.reason, r.remedy
FROM iot_kpi.ingest_metrics('{unset,unset,unset}', '{light,light,light}', ARRAY[to_timestamp(5), '2000-01-01', '2005-01-01']::timestamptz[], '{1,2,3}') i,
    jsonb_to_recordset(i.refusals) r (position int, field text, reason text, remedy text);
SELECT stored, refused, refusals -> 0 ->> 'reason' AS reason FROM iot_kpi.ingest_status('{unset}', ARRAY[to_timestamp(5)], '{online}', '{NULL}');
INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('unset', 'light', '2000-01-01', 1);
\echo :LAST_ERROR_SQLSTATE
SELECT commissioned_at FROM iot.devices WHERE device_id = 'unset';

-- Years that have no partition lie in the default one, until upkeep makes it.
UPDATE iot.settings SET value = '1990-01-01' WHERE name = 'earliest_time';
INSERT INTO iot.device_metrics (device_id, metric, time, value, received_at)
SELECT 'old', 'temperature', t, extract(epoch FROM t), '2024-01-01' FROM generate_series(timestamptz '1990-01-01', '1992-06-30', '1 day') t;
SELECT tableoid::regclass AS partition, count(*) FROM iot.device_metrics WHERE device_id = 'old' GROUP BY 1;
SELECT status, detail LIKE '%iot.device_metrics_default holds samples of years that have none' AS says_so, remedy FROM iot_kpi.health() WHERE "check" = 'partitions';
SELECT md5(string_agg(m::text, ',' ORDER BY m.time)) AS samples INTO TEMP kept FROM iot.device_metrics m WHERE device_id = 'old';
SELECT iot_kpi.make_partitions() AS made;
SELECT tableoid::regclass AS partition, count(*) FROM iot.device_metrics WHERE device_id = 'old' GROUP BY 1 ORDER BY tableoid::regclass::text;
SELECT md5(string_agg(m::text, ',' ORDER BY m.time)) = (SELECT samples FROM kept) AS as_they_were FROM iot.device_metrics m WHERE device_id = 'old';
SELECT status FROM iot_kpi.health() WHERE "check" = 'partitions';
SELECT min(first) AS since FROM iot_kpi.partitions();
UPDATE iot.settings SET value = NULL WHERE name = 'earliest_time';
SELECT iot_kpi.earliest_sample() AS by_default;

-- Retention: days are dropped, years emptied; of one that is not over, days go.
SELECT iot_kpi.drop_expired() AS dropped;
INSERT INTO iot.device_status_history (device_id, time, status) VALUES
    ('a', '2024-01-01', 'online'), ('a', '2024-06-01', 'offline'), ('b', '2024-01-01', 'online');
INSERT INTO iot.kpi_calculations (device_id, grain, period, parts) VALUES ('a', 'day', '[2024-01-01,2024-01-02)', '');
-- Before midday of 15 February 2020: the day that is cut stays.
DO $$ BEGIN UPDATE iot.settings SET value = (now() - timestamptz '2020-02-15 12:00')::text WHERE name = 'retention'; END $$;
SELECT iot_kpi.drop_expired() AS dropped;
SELECT min(time) AS since FROM iot.device_metrics;
SELECT count(*) AS samples FROM iot.device_metrics WHERE device_id = 'meter';
SELECT iot_kpi.setting('evidence_from') AS noted, iot_kpi.kept_from() > '2020-02-15 11:00' AS kept_from;
SELECT iot_kpi.drop_expired() AS dropped;
UPDATE iot.settings SET value = '30 days' WHERE name = 'retention';
SELECT iot_kpi.drop_expired() AS dropped;
SELECT * FROM in_2024;
SELECT count(*) AS samples FROM iot.device_metrics;
-- What is gone is known also when more is kept again, and the years are there for it.
UPDATE iot.settings SET value = NULL WHERE name = 'retention';
SELECT iot_kpi.kept_from();
INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('a', 'temperature', '2012-03-01', 0);
SELECT tableoid::regclass AS partition FROM iot.device_metrics;
UPDATE iot.settings SET value = '30 days' WHERE name = 'retention';
-- The last expired status of a device still holds when the kept time begins; expiry makes nothing stale.
SELECT device_id, time, status FROM iot.device_status_history ORDER BY 1, 2;
SELECT period, stale FROM iot.kpi_calculations;
-- What is older than retention is refused by both doors.
SELECT stored, refused, refusals -> 0 ->> 'field' AS field, refusals -> 0 ->> 'value' AS value,
       refusals -> 0 ->> 'reason' LIKE 'time is older than what is kept, %' AS says_so
FROM iot_kpi.ingest_metrics('{a}', '{temperature}', '{2024-06-01}', '{1}');
DO $$
BEGIN
    INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('a', 'temperature', '2024-06-01', 1);
EXCEPTION WHEN datetime_field_overflow THEN
    RAISE WARNING '%', left(SQLERRM, 100);
END $$;

-- A store that has a hundred days with next to nothing in them does without further ones; until they fill.
UPDATE iot.settings SET value = NULL WHERE name = 'retention';
CREATE PROCEDURE pg_temp.take_one_away() LANGUAGE plpgsql AS $$
BEGIN EXECUTE format('DROP TABLE iot.device_metrics_p%s', to_char(now() + interval '2 days', 'YYYYMMDD')); END $$;
SELECT iot_kpi.make_partitions('[2025-01-01,2025-04-09)') AS made;
CALL pg_temp.take_one_away();
SELECT iot_kpi.wants_days(), iot_kpi.make_partitions() AS made;
SELECT iot_kpi.make_partitions('[2025-04-09,2025-04-10)') AS made;
CALL pg_temp.take_one_away();
SELECT iot_kpi.wants_days(), iot_kpi.make_partitions() AS made, (SELECT status FROM iot_kpi.health() WHERE "check" = 'partitions');
INSERT INTO iot.device_metrics (device_id, metric, time, value)
SELECT 'busy', 'light', timestamptz '2025-04-09' + n * interval '0.5 s', n FROM generate_series(1, 140000) n;
SELECT iot_kpi.wants_days(), (SELECT status FROM iot_kpi.health() WHERE "check" = 'partitions'), iot_kpi.make_partitions() AS made;
SELECT status FROM iot_kpi.health() WHERE "check" = 'partitions';
