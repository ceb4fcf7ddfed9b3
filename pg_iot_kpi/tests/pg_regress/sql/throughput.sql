-- throughput_agg and its accessors: a sum of amounts, or of a counter's increases.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_iot_kpi;
CREATE SCHEMA throughput_test;
SET search_path = throughput_test, iot_kpi, public;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET intervalstyle = 'postgres';

-- As amounts 100 + 250 + 30 + 90 = 470 in ten seconds. As a counter it grows by 150, falls (a reset to zero, so 30 since) and grows by 60: 240.
CREATE TABLE samples (at timestamptz, value float8);
INSERT INTO samples VALUES ('2024-01-01 00:00:01+00', 100), ('2024-01-01 00:00:02+00', 250), ('2024-01-01 00:00:05+00', 30), ('2024-01-01 00:00:09+00', 90);
SELECT total(throughput_agg(at, value)), rate(throughput_agg(at, value), '[2024-01-01 00:00:00+00, 2024-01-01 00:00:10+00)'), resets(throughput_agg(at, value)) FROM samples;
SELECT total(throughput_agg(at, value, 'delta')) FROM samples;
SELECT total(throughput_agg(at, value, 'counter')), rate(throughput_agg(at, value, 'counter'), '[2024-01-01 00:00:00+00, 2024-01-01 00:00:10+00)'),
       resets(throughput_agg(at, value, 'counter')) FROM samples;

-- The empty group, NULLs, one row.
SELECT total(t), rate(t, '[2024-01-01, 2024-01-02)'), resets(t) FROM (SELECT throughput_agg(at, value) AS t FROM samples WHERE false) AS e;
SELECT total(throughput_agg(at::timestamptz, value, kind)) FROM (VALUES (NULL, 1::float8, 'delta'), ('2024-01-01', NULL, 'delta'), ('2024-01-01', 2, NULL), ('2024-01-01', 4, 'delta')) AS v (at, value, kind);
SELECT total(throughput_agg('2024-01-01', 5, 'counter')), total(throughput_agg('2024-01-01', 5));
-- A counter's duplicates change nothing; of equal times the larger value counts. Amounts add up.
SELECT total(throughput_agg(at, value, 'counter')), total(throughput_agg(at, value)) FROM (TABLE samples UNION ALL TABLE samples) AS twice;
SELECT total(throughput_agg(at::timestamptz, value, 'counter')) FROM (VALUES ('2024-01-01', 1::float8), ('2024-01-02', 9), ('2024-01-02', 5)) AS v (at, value);
-- Exact: a tenth ten times is one; a great amount swallows no small ones.
SELECT total(throughput_agg('2024-01-01', 0.1)) FROM generate_series(1, 10);
SELECT total(throughput_agg('2024-01-01', v)) = 10000000000000002 AS nothing_swallowed FROM unnest(ARRAY[1e16, 1, 1]::float8[]) AS v;
SELECT total(throughput_agg('2024-01-01'::timestamptz + i * interval '1 s', v, 'counter')) AS near_the_limit FROM unnest(ARRAY[0, 1e308, 1.5e308, 1.7e308]::float8[]) WITH ORDINALITY AS u (v, i);

-- A scrambled counter with resets against lag().
CREATE TABLE many AS
    SELECT i, '2024-01-01 00:00+00'::timestamptz + n * interval '1 s' AS at, ((n * 13 % 200) * 0.1)::float8 AS value
    FROM generate_series(1, 1000) AS i, LATERAL (SELECT i * 7919 % 1000 AS n) AS p;
WITH steps AS (SELECT value, lag(value) OVER (ORDER BY at) AS before FROM many)
SELECT abs(total(t) - (SELECT sum(CASE WHEN value >= before THEN value - before ELSE value END) FROM steps WHERE before IS NOT NULL)) < 1e-9 AS total,
       resets(t) = (SELECT count(*) FROM steps WHERE value < before) AS resets, resets(t) > 10 AS enough
FROM (SELECT throughput_agg(at, value, 'counter') AS t FROM many) AS m;
-- Disorder changes nothing; a frame is read without being changed; the rollup of parts is the whole, for amounts and counters.
SELECT throughput_agg(at, value, 'counter' ORDER BY at)::text = throughput_agg(at, value, 'counter' ORDER BY i)::text AS same_counter,
       throughput_agg(at, value ORDER BY at)::text = throughput_agg(at, value ORDER BY i)::text AS same_amounts FROM many;
SELECT bool_and(abs(ours - naive) < 1e-9) AS frames_agree FROM (
    SELECT total(throughput_agg(at, value) OVER w) AS ours, sum(value::numeric) OVER w AS naive FROM many
    WINDOW w AS (ORDER BY i ROWS BETWEEN 3 PRECEDING AND CURRENT ROW)) AS f;
CREATE TABLE parts AS SELECT throughput_agg(at, value, 'counter') AS counter, throughput_agg(at, value) AS amounts FROM many GROUP BY i % 7;
SELECT rollup(counter)::text = (SELECT throughput_agg(at, value, 'counter')::text FROM many) AS counter_rollup_is_whole,
       rollup(amounts)::text = (SELECT throughput_agg(at, value)::text FROM many) AS amounts_rollup_is_whole FROM parts;

-- A steady counter takes little, in whatever order it came.
SELECT octet_length(throughput_send(throughput_agg(at, n * 512, 'counter'))) < 1300 AS small,
       throughput_agg(at, n * 512, 'counter')::text = throughput_agg(at, n * 512, 'counter' ORDER BY n % 97, n)::text AS same, total(throughput_agg(at, n * 512, 'counter'))
FROM generate_series(0, 9230) AS n, LATERAL (SELECT timestamptz '2024-01-01' + n * interval '1 min' AS at) AS t;
-- The parallel plan gives the serial state.
SELECT throughput_agg(at, value, 'counter')::text AS counter, throughput_agg(at, value)::text AS amounts FROM many \gset
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
EXPLAIN (COSTS OFF) SELECT throughput_agg(at, value, 'counter'), throughput_agg(at, value) FROM many;
SELECT throughput_agg(at, value, 'counter')::text = :'counter' AS counter_is_serial, throughput_agg(at, value)::text = :'amounts' AS amounts_are_serial FROM many;
SELECT rollup(counter)::text = :'counter' AS parallel_rollup_is_whole FROM parts;

-- What makes no sense is refused.
\set SHOW_CONTEXT never
SELECT throughput_agg('2024-01-01', -1);
SELECT throughput_agg('2024-01-01', -1, 'counter');
SELECT throughput_agg('2024-01-01', 'NaN');
SELECT throughput_agg('2024-01-01', 'infinity');
SELECT throughput_agg('infinity', 1);
SELECT throughput_agg('2024-01-01', 1, 'gauge');
SELECT rate(throughput_agg(at, value), 'empty') FROM samples;

DROP SCHEMA throughput_test CASCADE;
