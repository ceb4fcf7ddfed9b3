-- heartbeat_agg and its accessors: a beat at b proves a device alive on [b, b + liveness).
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_iot_kpi;
CREATE SCHEMA heartbeats_test;
SET search_path = heartbeats_test, iot_kpi, public;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET intervalstyle = 'postgres';

-- Beats at minutes 0, 1, 2, 7, 8, 9 of ten, each good for 90 s: alive on [0:00, 3:30) and [7:00, 10:30), so 390 of 600 s.
CREATE TABLE beats (at timestamptz, liveness interval);
INSERT INTO beats SELECT '2024-01-01 00:00:00+00'::timestamptz + minute * interval '1 min', '90 s'
    FROM unnest(ARRAY[0, 1, 2, 7, 8, 9]) AS minute;
CREATE VIEW ten AS SELECT heartbeat_agg(at, liveness) AS h, tstzrange('2024-01-01 00:00+00', '2024-01-01 00:10+00') AS during FROM beats;
SELECT live_ranges(h), beat_count(h), last_beat(h) FROM ten;
SELECT uptime(h, during), up_time(h, during), down_time(h, during) FROM ten;
SELECT r.* FROM ten, availability_report(h, during) AS r;
SELECT o.* FROM ten, outages(h, during) AS o;
-- A live interval is half-open.
SELECT at, live_at(h, at) FROM ten, unnest(ARRAY['2024-01-01 00:03:29.999999+00', '2024-01-01 00:03:30+00', '2024-01-01 00:06:59.999999+00',
    '2024-01-01 00:07:00+00', '2023-12-31 23:59:59.999999+00']::timestamptz[]) AS at;
-- Excluded time wins over unknown time; both interrupt an outage and end none: 3:30-4:00 and 5:30-7:00 are down.
SELECT r.* FROM ten, availability_report(h, during, '{[2024-01-01 00:04:00+00, 2024-01-01 00:05:00+00)}',
    '{[2024-01-01 00:04:30+00, 2024-01-01 00:05:30+00)}') AS r;
SELECT o.* FROM ten, outages(h, during, '{[2024-01-01 00:04:00+00, 2024-01-01 00:05:00+00)}',
    '{[2024-01-01 00:04:30+00, 2024-01-01 00:05:30+00)}') AS o;
-- The outage ends where its last down time ends, not where the exempt time after it does.
SELECT o.* FROM ten, outages(h, during, '{[2024-01-01 00:05:00+00, 2024-01-01 00:07:00+00)}') AS o;
SELECT count(*) FROM ten, outages(h, during, min_outage => '3 min 30 s');
SELECT count(*) FROM ten, outages(h, during, min_outage => '3 min 30.000001 s');
-- Windows that start where live time ends, inside an outage, before any beat, and that end in one.
SELECT bounds, o.*, uptime(h, bounds::tstzrange) FROM ten, (VALUES ('[2024-01-01 00:03:30+00, 2024-01-01 00:08:00+00)'),
    ('[2024-01-01 00:03:30.000001+00, 2024-01-01 00:08:00+00)'), ('[2023-12-31 23:59:00+00, 2024-01-01 00:00:30+00)'),
    ('[2024-01-01 00:09:00+00, 2024-01-01 00:11:00+00)')) AS w (bounds), outages(h, bounds::tstzrange) AS o;
-- Nothing required: no ratio. Proof beats ignorance.
SELECT uptime(h, during, tstzmultirange(during)), uptime(h, during, '{}', tstzmultirange(during)) FROM ten;
-- An exclusive start and an inclusive end move on by a microsecond.
SELECT up_time(h, '(2024-01-01 00:00+00, 2024-01-01 00:03+00]') FROM ten;

-- A gap of exactly liveness is no gap; one of a microsecond more is.
SELECT live_ranges(heartbeat_agg(at::timestamptz, '90 s')) FROM (VALUES ('2024-01-01 00:00:00+00'), ('2024-01-01 00:01:30+00')) AS v (at);
SELECT live_ranges(heartbeat_agg(at::timestamptz, '90 s')) FROM (VALUES ('2024-01-01 00:00:00+00'), ('2024-01-01 00:01:30.000001+00')) AS v (at);
-- Every beat has its own liveness: a long one is not cut short by a later short one.
SELECT live_ranges(heartbeat_agg(at::timestamptz, l::interval)), last_beat(heartbeat_agg(at::timestamptz, l::interval))
    FROM (VALUES ('2024-01-01 00:00:00+00', '1 h'), ('2024-01-01 00:01:00+00', '1 s')) AS v (at, l);

-- The empty group, NULLs, one row.
SELECT live_ranges(h), beat_count(h), last_beat(h), uptime(h, '[2024-01-01, 2024-01-02)'), live_at(h, '2024-01-01')
    FROM (SELECT heartbeat_agg(at, liveness) AS h FROM beats WHERE false) AS e;
SELECT o.* FROM (SELECT heartbeat_agg(at, liveness) AS h FROM beats WHERE false) AS e, outages(h, '[2024-01-01, 2024-01-02)') AS o;
SELECT beat_count(heartbeat_agg(at::timestamptz, l::interval))
    FROM (VALUES (NULL, '1 s'), ('2024-01-01', NULL), (NULL, NULL), ('2024-01-01', '1 s')) AS v (at, l);
SELECT live_ranges(heartbeat_agg('2024-01-01 00:00+00', '1 min'));
SELECT uptime(NULL, '[2024-01-01, 2024-01-02)') IS NULL, rollup(NULL::heartbeats) IS NOT NULL AS rollup_of_null_is_empty;
-- A set of time that is NULL is none, as range_agg() says of no rows; without state or window there is no answer.
SELECT uptime(h, during, none) = uptime(h, during) AS uptime, up_time(h, during, none, none) = up_time(h, during) AS up_time, down_time(h, during, '{}', none) = down_time(h, during) AS down_time,
       (SELECT r::text FROM availability_report(h, during, none, none) AS r) = (SELECT r::text FROM availability_report(h, during) AS r) AS report,
       (SELECT count(*) FROM outages(h, during, none, none)) = (SELECT count(*) FROM outages(h, during)) AS outages
FROM ten, (SELECT range_agg(r) AS none FROM (SELECT tstzrange(now(), NULL) AS r WHERE false) AS nothing) AS n;
SELECT uptime(h, NULL) IS NULL, up_time(NULL, during) IS NULL, (SELECT count(*) FROM outages(NULL, during)), (SELECT count(*) FROM availability_report(h, NULL)) FROM ten;

-- Duplicates and disorder change nothing but the count.
SELECT (SELECT heartbeat_agg(at, liveness ORDER BY at)::text FROM beats) = (SELECT heartbeat_agg(at, liveness ORDER BY at DESC)::text FROM beats) AS same_backwards,
       (SELECT live_ranges(heartbeat_agg(at, liveness)) FROM (TABLE beats UNION ALL TABLE beats) AS twice) = (SELECT live_ranges(h) FROM ten) AS same_twice;

-- A thousand irregular beats in a scrambled order, against range_agg. 7919 is prime, so the order is a permutation.
CREATE TABLE many AS
    SELECT i, '2024-01-01 00:00+00'::timestamptz + ((i * 7919 % 1000) * (30 + i * 7919 % 1000 % 97) || ' s')::interval AS at,
           ((i % 5 + 1) * 10 || ' s')::interval AS liveness
    FROM generate_series(1, 1000) AS i;
SELECT live_ranges(heartbeat_agg(at, liveness)) = range_agg(tstzrange(at, at + liveness)) AS same_as_range_agg,
       count(*), beat_count(heartbeat_agg(at, liveness)) FROM many;
-- Outages against the gaps that lead() finds between merged intervals.
WITH naive AS (
    SELECT upper(r) AS started_at, lead(lower(r)) OVER (ORDER BY r) AS ended_at
    FROM (SELECT unnest(range_agg(tstzrange(at, at + liveness))) AS r FROM many) AS live
), ours AS (
    SELECT o.* FROM (SELECT heartbeat_agg(at, liveness) AS h, min(at) AS first, max(at) AS last FROM many) AS m,
        outages(h, tstzrange(first, last, '[]')) AS o
)
SELECT (SELECT count(*) FROM ours) > 100 AS enough, (SELECT count(*) FROM ours) = (SELECT count(*) FROM naive WHERE ended_at IS NOT NULL) AS as_many,
       NOT EXISTS (SELECT started_at, ended_at FROM ours EXCEPT SELECT * FROM naive) AS same,
       (SELECT bool_and(duration = ended_at - started_at AND NOT ongoing AND NOT began_before) FROM ours) AS whole,
       (SELECT bool_and(last_beat = (SELECT max(at) FROM many WHERE at < started_at)) FROM ours) AS last_beats;
-- A moving window frame: a state is read without being changed.
SELECT bool_and(ours = naive) AS frames_agree FROM (
    SELECT live_ranges(heartbeat_agg(at, liveness) OVER w) AS ours, range_agg(tstzrange(at, at + liveness)) OVER w AS naive
    FROM many WINDOW w AS (ORDER BY at ROWS BETWEEN 3 PRECEDING AND CURRENT ROW)) AS f;
SELECT bool_and(ours = naive) AS running_agrees FROM (
    SELECT live_ranges(heartbeat_agg(at, liveness) OVER w) AS ours, range_agg(tstzrange(at, at + liveness)) OVER w AS naive
    FROM many WINDOW w AS (ORDER BY i)) AS f;
-- The rollup of parts is the whole, bit for bit.
SELECT rollup(part)::text = (SELECT heartbeat_agg(at, liveness)::text FROM many) AS rollup_is_whole
    FROM (SELECT heartbeat_agg(at, liveness) AS part FROM many GROUP BY i % 7) AS parts;

-- The parallel plan gives the serial state.
SELECT heartbeat_agg(at, liveness)::text AS serial FROM many \gset
SELECT rollup(part)::text AS serial_rollup FROM (SELECT heartbeat_agg(at, liveness) AS part FROM many GROUP BY i % 7) AS parts \gset
CREATE TABLE parts AS SELECT heartbeat_agg(at, liveness) AS part FROM many GROUP BY i % 7;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
EXPLAIN (COSTS OFF) SELECT heartbeat_agg(at, liveness) FROM many;
SELECT heartbeat_agg(at, liveness)::text = :'serial' AS parallel_is_serial FROM many;
SELECT rollup(part)::text = :'serial_rollup' AS parallel_rollup_is_serial FROM parts;
SELECT beat_count(heartbeat_agg(at, liveness)) FROM many WHERE i < 0;

-- What makes no sense is refused.
\set SHOW_CONTEXT never
SELECT heartbeat_agg('infinity', '1 s');
SELECT heartbeat_agg('-infinity', '1 s');
SELECT heartbeat_agg('2024-01-01', '0 s');
SELECT heartbeat_agg('2024-01-01', '-1 s');
SELECT heartbeat_agg('2024-01-01', '1 month');
SELECT uptime(h, 'empty') FROM ten;
SELECT uptime(h, '[2024-01-01, 2024-01-01)') FROM ten;
SELECT uptime(h, '[2024-01-01,)') FROM ten;
SELECT uptime(h, '(,2024-01-01)') FROM ten;
SELECT uptime(h, '[-infinity,2024-01-01)') FROM ten;
SELECT uptime(h, '[2024-01-01,infinity)') FROM ten;
SELECT live_at(h, 'infinity') FROM ten;
SELECT count(*) FROM ten, outages(h, during, min_outage => '1 month');

DROP SCHEMA heartbeats_test CASCADE;
