-- response_agg and its accessors: percentiles within 1 %, everything else exact.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_iot_kpi;
CREATE SCHEMA response_test;
SET search_path = response_test, iot_kpi, public;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET intervalstyle = 'postgres';

-- 1 to 100 ms: the value at rank q(n - 1) is 1 + 99 q, rounded down.
CREATE TABLE hundred AS SELECT ms::float8 FROM generate_series(1, 100) AS ms;
SELECT count(s), mean(s), min(s), max(s) FROM (SELECT response_agg(ms) AS s FROM hundred) AS r;
SELECT q, expected, abs(percentile(s, q) / expected - 1) <= 0.01 AS within_1_percent
FROM (SELECT response_agg(ms) AS s FROM hundred) AS r,
     (VALUES (0.0, 1), (0.01, 1), (0.25, 25), (0.5, 50), (0.75, 75), (0.9, 90), (0.95, 95), (0.99, 99), (0.999, 99), (1, 100)) AS v (q, expected);
SELECT percentiles(s, ARRAY[0, 0.5, 0.95, 1]) = ARRAY[percentile(s, 0), percentile(s, 0.5), percentile(s, 0.95), percentile(s, 1)] AS same FROM (SELECT response_agg(ms) AS s FROM hundred) AS r;
-- 0 and 1 are the extremes, to the last digit.
SELECT percentile(s, 0) = min(s) AS least, percentile(s, 1) = max(s) AS greatest, percentiles(s, '{0, 1}') FROM (SELECT response_agg(ms) AS s FROM unnest('{101.5, 333.3, 202.25}'::float8[]) AS ms) AS r;
-- Apdex with a target of 20 ms: 20 satisfied, 60 tolerated up to 80, and 81 with them, since it shares a bin with 80: (20 + 61/2)/100.
-- Twenty-five failed more: 50.5/125. A target of 15 ms has no neighbour in the bins of 15 and 60: (15 + 45/2)/100.
SELECT apdex(s, 20), apdex(s, 20, 25), apdex(s, 15), apdex(s, 100), apdex(s, 0.2), apdex(s, 0.2, 100) FROM (SELECT response_agg(ms) AS s FROM hundred) AS r;

-- The empty group, NULLs, one row, zeros.
SELECT count(s), mean(s), min(s), max(s), percentile(s, 0.5), percentiles(s, ARRAY[0.5, 1]), apdex(s, 20), apdex(s, 20, 3)
FROM (SELECT response_agg(ms) AS s FROM hundred WHERE false) AS e;
SELECT count(s), mean(s), percentile(s, 0.5) FROM (SELECT response_agg(ms) AS s FROM (VALUES (NULL::float8), (42), (NULL)) AS v (ms)) AS n;
SELECT count(s), mean(s), min(s), percentile(s, 0.5), percentile(s, 1) FROM (SELECT response_agg(ms) AS s FROM (VALUES (0::float8), (0), ('-0'), (7)) AS v (ms)) AS z;
-- A sum that forgets nothing: 0.1 ten times is 1, and a great value does not swallow small ones.
SELECT mean(response_agg(0.1)) = 0.1 AS tenth FROM generate_series(1, 10);
SELECT mean(response_agg(ms)) = 1e16 / 3 + 2.0 / 3 AS nothing_swallowed FROM (VALUES (1e16::float8), (1), (1)) AS v (ms);
SELECT mean(response_agg(ms)) FROM (VALUES (1e-300::float8), (1e300)) AS v (ms);

-- A scrambled, skewed stream against percentile_disc. 7919 is prime, so the order is a permutation.
CREATE TABLE many AS SELECT i, 3 * exp((i * 7919 % 10000) / 1100.0::float8) AS ms FROM generate_series(1, 10000) AS i;
SELECT bool_and(abs(percentile(s, q) / naive - 1) <= 0.01) AS within_1_percent FROM (SELECT response_agg(ms) AS s FROM many) AS r,
    -- percentile_disc takes the value at rank ceil(q n) from one: that of rank q(n - 1) from zero, rounded down, for such q.
    LATERAL (SELECT q, (SELECT ms FROM many ORDER BY ms OFFSET floor(q * 9999) LIMIT 1) AS naive FROM unnest(ARRAY[0, 0.001, 0.1, 0.333, 0.5, 0.9, 0.95, 0.99, 0.999, 1]) AS q) AS n;
SELECT abs(percentile(s, 0.5) / disc - 1) <= 0.011 AS median_is_that_of_percentile_disc
FROM (SELECT response_agg(ms) AS s, percentile_disc(0.5) WITHIN GROUP (ORDER BY ms) AS disc FROM many) AS r;
SELECT count(s) = n AND min(s) = lo AND max(s) = hi AND abs(mean(s) / average - 1) < 1e-12 AS exact
FROM (SELECT response_agg(ms) AS s, count(ms) AS n, min(ms) AS lo, max(ms) AS hi, avg(ms) AS average FROM many) AS r;
-- Duplicates count; disorder changes nothing; a frame is read without being changed; the rollup of parts is the whole.
SELECT response_agg(ms ORDER BY ms)::text = response_agg(ms ORDER BY i)::text AS same_scrambled,
       response_agg(ms ORDER BY ms DESC)::text = response_agg(ms ORDER BY i)::text AS same_backwards FROM many;
SELECT count(response_agg(ms)) FROM (TABLE many UNION ALL TABLE many) AS twice;
SELECT bool_and(count(ours) = n AND max(ours) = hi AND abs(mean(ours) - average) <= 1e-9 * average) AS frames_agree FROM (
    SELECT response_agg(ms) OVER w AS ours, count(*) OVER w AS n, max(ms) OVER w AS hi, avg(ms) OVER w AS average
    FROM many WHERE i <= 1000 WINDOW w AS (ORDER BY i ROWS BETWEEN 3 PRECEDING AND CURRENT ROW)) AS f;
CREATE TABLE parts AS SELECT response_agg(ms) AS part FROM many GROUP BY i % 7;
SELECT rollup(part)::text = (SELECT response_agg(ms)::text FROM many) AS rollup_is_whole FROM parts;

-- The parallel plan gives the serial state.
SELECT response_agg(ms)::text AS serial FROM many \gset
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
EXPLAIN (COSTS OFF) SELECT response_agg(ms) FROM many;
SELECT response_agg(ms)::text = :'serial' AS parallel_is_serial FROM many;
SELECT rollup(part)::text = :'serial' AS parallel_rollup_is_whole FROM parts;

-- What makes no sense is refused.
\set SHOW_CONTEXT never
SELECT response_agg(-1);
SELECT response_agg('NaN');
SELECT response_agg('infinity');
SELECT percentile(response_agg(ms), 1.5) FROM hundred;
SELECT percentile(response_agg(ms), 'NaN') FROM hundred;
SELECT percentiles(response_agg(ms), ARRAY[0.5, NULL]) FROM hundred;
SELECT apdex(response_agg(ms), 0) FROM hundred;
SELECT apdex(response_agg(ms), 20, -1) FROM hundred;

DROP SCHEMA response_test CASCADE;
