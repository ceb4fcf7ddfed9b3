-- status_agg and its accessors: a status holds until the next sample, at most status_ttl.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_iot_kpi;
CREATE SCHEMA status_test;
SET search_path = status_test, iot_kpi, public;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET intervalstyle = 'postgres';

-- One hour: online from 23:50 (carried in), degraded at 0:10, offline at 0:20, online at 0:30, maintenance at 0:40, error at 0:50.
CREATE TABLE samples (at timestamptz, status text);
INSERT INTO samples VALUES ('2023-12-31 23:50+00', 'online'), ('2024-01-01 00:10+00', 'degraded'), ('2024-01-01 00:20+00', 'offline'),
    ('2024-01-01 00:30+00', 'online'), ('2024-01-01 00:40+00', 'maintenance'), ('2024-01-01 00:50+00', 'error');
CREATE VIEW hour AS SELECT status_agg(at, status) AS s, tstzrange('2024-01-01 00:00+00', '2024-01-01 01:00+00') AS during FROM samples;
SELECT p.* FROM hour, periods(s, during) AS p;
-- Up 30 min (online, degraded, online), down 20, excluded 10: 30/50. Degraded as down: 20/50.
SELECT availability(s, during), availability(s, during, degraded_counts_up => false), transitions(s, during) FROM hour;
SELECT status, duration_in(s, status, during) FROM hour,
    unnest(ARRAY['online', 'degraded', 'offline', 'error', 'maintenance', 'unknown']) AS status;
-- A sample holds for seven minutes: the carried-in one is too old, and each is followed by three minutes of unknown.
SELECT p.* FROM hour, periods(s, during, '7 min') AS p;
-- Up 7 + 7 of 7 + 7 + 7 + 7 judged minutes: 14/28.
SELECT availability(s, during, status_ttl => '7 min'), transitions(s, during, '7 min'), duration_in(s, 'unknown', during, '7 min') FROM hour;
SELECT at, status_at(s, at), status_at(s, at, '7 min') FROM hour, unnest(ARRAY['2023-12-31 23:49:59.999999+00', '2023-12-31 23:50+00',
    '2024-01-01 00:09:59.999999+00', '2024-01-01 00:10+00', '2024-01-01 00:16:59.999999+00', '2024-01-01 00:17+00']::timestamptz[]) AS at;
-- Excluded 0:20-0:25 takes five minutes of down: 30/45. Unknown 0:00-0:10 as well takes ten of up: 20/35.
SELECT availability(s, during, '{[2024-01-01 00:20+00, 2024-01-01 00:25+00)}') = 30 / 45.0::float8 AS excluded,
       availability(s, during, '{[2024-01-01 00:20+00, 2024-01-01 00:25+00)}', '{[2024-01-01 00:00+00, 2024-01-01 00:10+00)}') = 20 / 35.0::float8 AS unknown,
       availability(s, during, tstzmultirange(during)) AS nothing_required FROM hour;

-- Equal times: the worse wins, maintenance beats all, unknown loses to all, in whatever order they come.
SELECT one, other, status_at(status_agg('2024-01-01', w ORDER BY w), '2024-01-01') AS forwards, status_at(status_agg('2024-01-01', w ORDER BY w DESC), '2024-01-01') AS backwards
    FROM (VALUES ('unknown', 'online'), ('online', 'degraded'), ('degraded', 'offline'), ('offline', 'error'), ('error', 'maintenance')) AS v (one, other),
         LATERAL unnest(ARRAY[one, other]) AS w GROUP BY one, other ORDER BY one;

-- The empty group, NULLs, one row.
SELECT availability(s, '[2024-01-01, 2024-01-02)'), status_at(s, '2024-01-01'), transitions(s, '[2024-01-01, 2024-01-02)'), flapping(s)
    FROM (SELECT status_agg(at, status) AS s FROM samples WHERE false) AS e;
SELECT p.* FROM (SELECT status_agg(at, status) AS s FROM samples WHERE false) AS e, periods(s, '[2024-01-01, 2024-01-02)') AS p;
SELECT p.* FROM (SELECT status_agg(at::timestamptz, status) AS s FROM (VALUES (NULL, 'online'), ('2024-01-01 12:00', NULL), ('2024-01-01 06:00', 'online'))
    AS v (at, status)) AS n, periods(s, '[2024-01-01, 2024-01-02)') AS p;

-- A scrambled history against lead(): 7919 is prime, so the order is a permutation; neighbours may be equal.
CREATE TABLE many AS
    SELECT i, '2024-01-01 00:00+00'::timestamptz + (i * 7919 % 1000) * interval '61 s' AS at,
           (ARRAY['online', 'degraded', 'offline', 'error', 'maintenance', 'unknown'])[1 + (i * 7919 % 1000) * 31 % 17 % 6] AS status
    FROM generate_series(1, 1000) AS i;
WITH naive AS (
    SELECT status, lead(at, 1, '2024-01-01 00:00+00'::timestamptz + 1000 * interval '61 s') OVER (ORDER BY at) - at AS length FROM many
), added AS (
    SELECT status, sum(length) AS length FROM naive GROUP BY status
), judged AS (
    SELECT status_agg(at, status) AS s, tstzrange(min(at), min(at) + 1000 * interval '61 s') AS during FROM many
)
SELECT (SELECT bool_and(length = duration_in(s, status, during)) FROM added) AS durations,
       availability(s, during) = (SELECT extract(epoch FROM sum(length) FILTER (WHERE status IN ('online', 'degraded')))::float8
           / extract(epoch FROM sum(length) FILTER (WHERE status NOT IN ('maintenance', 'unknown')))::float8 FROM added) AS availability
FROM judged;
SELECT count(*) = count(*) FILTER (WHERE started_at = previous OR previous IS NULL) AS no_gap, bool_and(status IS DISTINCT FROM before) AS each_a_change
FROM (SELECT p.*, lag(ended_at) OVER w AS previous, lag(status) OVER w AS before
      FROM (SELECT status_agg(at, status) AS s FROM many) AS m, periods(s, '[2023-12-31, 2024-01-03)', '59 s') AS p WINDOW w AS (ORDER BY started_at)) AS q;
-- Duplicates and disorder change nothing; a frame is read without being changed; the rollup of parts is the whole.
SELECT status_agg(at, status ORDER BY at)::text = status_agg(at, status ORDER BY i)::text AS same_scrambled,
       status_agg(at, status ORDER BY at)::text = (SELECT status_agg(at, status)::text FROM (TABLE many UNION ALL TABLE many) AS twice) AS same_twice FROM many;
SELECT bool_and(ours = naive) AS frames_agree FROM (
    SELECT status_at(status_agg(at, status) OVER w, at) AS ours, status AS naive FROM many WINDOW w AS (ORDER BY at ROWS BETWEEN 3 PRECEDING AND CURRENT ROW)) AS f;
SELECT bool_and(ours = naive) AS frames_begin_right FROM (
    SELECT status_at(status_agg(at, status) OVER w, first_value(at) OVER w) AS ours, first_value(status) OVER w AS naive
    FROM many WINDOW w AS (ORDER BY at ROWS BETWEEN 3 PRECEDING AND CURRENT ROW)) AS f;
CREATE TABLE parts AS SELECT status_agg(at, status) AS part FROM many GROUP BY i % 7;
SELECT rollup(part)::text = (SELECT status_agg(at, status)::text FROM many) AS rollup_is_whole FROM parts;

-- Flapping as Nagios weighs it: 21 samples, transition i = 0..19 weighs 0.75 + i * 0.5/19; all changed: 100 %.
SELECT n, round(flapping(s)::numeric, 6) AS percent, is_flapping(s), is_flapping(s, true) AS was_flapping
FROM (VALUES (1), (2), (5), (6), (7), (8), (21), (40)) AS v (n), LATERAL (
    SELECT status_agg('2024-01-01'::timestamptz + i * interval '1 s', CASE i % 2 WHEN 0 THEN 'online' ELSE 'offline' END) AS s
    FROM generate_series(1, n) AS i) AS f;
-- One change among 21: the oldest weighs 0.75 * 5 = 3.75 %, the newest 1.25 * 5 = 6.25 %.
SELECT change, round(flapping(status_agg('2024-01-01'::timestamptz + i * interval '1 s', CASE WHEN i < change THEN 'online' ELSE 'offline' END))::numeric, 6) AS percent
FROM unnest(ARRAY[1, 20]) AS change, generate_series(0, 20) AS i GROUP BY change ORDER BY change;

CREATE TABLE regular AS SELECT n, timestamptz '2024-01-01' + n * interval '1 min' AS at, CASE WHEN n % 1000 < 30 THEN 'offline' ELSE 'online' END AS status FROM generate_series(0, 9230) AS n;
-- Samples in equal steps take little, in whatever order they came; each of them still counts.
SELECT octet_length(status_timeline_send(s)) < 700 AS small, s::text = (SELECT status_agg(at, status ORDER BY n % 97, n)::text FROM regular) AS same,
       transitions(s, '[2024-01-01, 2024-01-07 09:51)') AS changes, transitions(s, '[2024-01-01, 2024-01-07 09:51)', '59 s') AS changes_with_gaps, status_at(s, '2024-01-01 00:00:59.5', '59 s') AS between
FROM (SELECT status_agg(at, status) AS s FROM regular) AS g;
-- The parallel plan gives the serial state.
SELECT status_agg(at, status)::text AS serial FROM many \gset
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
EXPLAIN (COSTS OFF) SELECT status_agg(at, status) FROM many;
SELECT status_agg(at, status)::text = :'serial' AS parallel_is_serial FROM many;
SELECT rollup(part)::text = :'serial' AS parallel_rollup_is_whole FROM parts;

-- What makes no sense is refused.
\set SHOW_CONTEXT never
SELECT status_agg('2024-01-01', 'Online');
SELECT status_agg('infinity', 'online');
SELECT availability(s, during, status_ttl => '0 s') FROM hour;
SELECT availability(s, 'empty') FROM hour;
SELECT duration_in(s, 'asleep', during) FROM hour;

DROP SCHEMA status_test CASCADE;
