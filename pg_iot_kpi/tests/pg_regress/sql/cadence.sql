-- cadence_agg and its accessors: completeness, regularity, stability and what is said of single gaps.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_iot_kpi;
CREATE SCHEMA cadence_test;
SET search_path = cadence_test, iot_kpi, public;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET intervalstyle = 'postgres';

-- A report is expected every 60 s over ten minutes; live for 180 s. Seconds of the beats:
CREATE TABLE beats (device text, at timestamptz);
INSERT INTO beats
    SELECT device, '2024-01-01 00:00+00'::timestamptz + second * interval '1 s' FROM (VALUES
        ('clockwork', ARRAY[0, 60, 120, 180, 240, 300, 360, 420, 480, 540]),
        ('gap',       ARRAY[0, 60, 120, 180, 480, 540]),
        ('uneven',    ARRAY[0, 50, 120, 170, 240, 290, 360, 410, 480, 530]),
        ('burst',     ARRAY[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ('edge',      ARRAY[0, 90, 179, 194, 208]),
        ('late',      ARRAY[300, 360, 420, 480, 540])) AS v (device, seconds), unnest(seconds) AS second;
CREATE FUNCTION ten_minutes() RETURNS tstzrange LANGUAGE sql IMMUTABLE AS $$ SELECT tstzrange('2024-01-01 00:00+00', '2024-01-01 00:10+00') $$;
CREATE VIEW judged AS
    SELECT device, completeness(c, '60 s', ten_minutes()), regularity(c, '60 s', ten_minutes()), stability(c, '60 s', ten_minutes()),
           consistency(c, '60 s', ten_minutes()), jitter(c, '60 s', ten_minutes()), missed_beats(c, '60 s', ten_minutes()) AS missed,
           extra_beats(c, '60 s', ten_minutes()) AS extra
    FROM (SELECT device, cadence_agg(at) AS c FROM beats GROUP BY device) AS d;
-- clockwork: nothing lost, no spread.
-- gap: a gap of 300 s after 180 loses [240, 480), 240 of 600 s; five even gaps but one; two changes (down at 360, up at 480) weigh
--   2 * 60/600; four of the reports missed.
-- uneven: gaps of 50 and 70 in turn, mean 58.9 (five of 50, four of 70), jitter 20 s.
-- burst: nine gaps of 1 s, all too short to be on time, and the last gap loses [69, 600); it goes down at 189: one change.
-- edge: a gap of 90 s = 1.5 T is late and loses [60, 90), one of 89 s is not, one of 15 s = T/4 is on time, one of 14 s is extra; the gap
--   to the end of the window loses [268, 600); down from 388: one change; two on-time gaps are too few for regularity.
-- late: lost from the window's start to the first beat; one change.
SELECT device, round(completeness::numeric, 9) AS completeness, round(regularity::numeric, 9) AS regularity, round(stability::numeric, 9) AS stability,
       round(consistency::numeric, 9) AS consistency, round(jitter::numeric, 9) AS jitter, missed, extra FROM judged ORDER BY device;
SELECT device, completeness = expected AS completeness_as_said FROM judged JOIN (VALUES ('clockwork', 1.0::float8), ('gap', 1 - 240 / 600.0::float8),
    ('burst', 1 - 531 / 600.0::float8), ('edge', 1 - 362 / 600.0::float8), ('late', 0.5)) AS v (device, expected) USING (device) ORDER BY device;

-- The carry-in: a beat before the window covers its start; one that is 1.5 T back or more does not save it from being lost.
SELECT before, completeness(cadence_agg(at), '60 s', ten_minutes()), missed_beats(cadence_agg(at), '60 s', ten_minutes())
FROM unnest(ARRAY[0, 30, 59, 60, 89, 180]) AS before, LATERAL (
    SELECT '2024-01-01 00:00+00'::timestamptz + s * interval '1 s' AS at FROM generate_series(30, 570, 60) AS s
    UNION ALL SELECT '2024-01-01 00:00+00'::timestamptz - before * interval '1 s' WHERE before > 0) AS b
GROUP BY before ORDER BY before;
-- Exempt time is not lost: of the 240 s that are, 100 are excluded. Only 150 s of the silence could be heard, less than a liveness: so from
-- 0:06 on, where the last beat proves nothing any more, nobody can tell. Of 380 s that count 20 are lost.
SELECT completeness(cadence_agg(at), '60 s', ten_minutes(), '{[2024-01-01 00:04+00, 2024-01-01 00:05:40+00)}', '{[2024-01-01 00:06+00, 2024-01-01 00:06:50+00)}')
    = 1 - 20 / 380.0::float8 AS exempt FROM beats WHERE device = 'gap';
-- A longer liveness bridges the gap: no change, so all stable.
SELECT stability(cadence_agg(at), '60 s', ten_minutes(), liveness => '300 s') FROM beats WHERE device = 'gap';
-- Nothing required: nothing to judge; the gaps are still what they are.
SELECT completeness(c, '60 s', ten_minutes(), tstzmultirange(ten_minutes())), stability(c, '60 s', ten_minutes(), tstzmultirange(ten_minutes())),
       regularity(c, '60 s', ten_minutes(), tstzmultirange(ten_minutes())), consistency(c, '60 s', ten_minutes(), tstzmultirange(ten_minutes()))
FROM (SELECT cadence_agg(at) AS c FROM beats WHERE device = 'clockwork') AS d;

-- The empty group, NULLs, one row.
SELECT completeness(c, '60 s', ten_minutes()), regularity(c, '60 s', ten_minutes()), stability(c, '60 s', ten_minutes()),
       consistency(c, '60 s', ten_minutes()), jitter(c, '60 s', ten_minutes()), missed_beats(c, '60 s', ten_minutes())
FROM (SELECT cadence_agg(at) AS c FROM beats WHERE false) AS e;
SELECT cadence_agg(at)::text = cadence_agg(at) FILTER (WHERE at IS NOT NULL)::text AS nulls_skipped
FROM (TABLE beats UNION ALL SELECT NULL, NULL) AS n;
SELECT completeness(cadence_agg('2024-01-01 00:00+00'), '60 s', ten_minutes()) = 1 - 540 / 600.0::float8 AS one_row;

-- A scrambled, jittering stream against plain SQL.
CREATE TABLE many AS
    SELECT i, '2024-01-01 00:00+00'::timestamptz + n * interval '60 s' + (n * 37 % 23) * interval '1.000001 s' AS at
    FROM generate_series(1, 1000) AS i, LATERAL (SELECT i * 7919 % 1000 AS n) AS p WHERE n % 50 < 45;
WITH gaps AS (
    SELECT extract(epoch FROM lead(at) OVER (ORDER BY at) - at) AS g, at FROM many
), on_time AS (
    SELECT g, at, abs(g - lag(g) OVER (ORDER BY at)) AS difference FROM (
        SELECT g, at, g >= 15 AND g < 90 AS ok FROM gaps WHERE g IS NOT NULL) AS q WHERE ok
), naive AS (
    SELECT 1 - stddev_pop(g) / avg(g) AS above, 1 + stddev_pop(g) / avg(g) AS below FROM on_time
)
SELECT abs(regularity(c, '60 s', during) - (above / below)::float8) < 1e-12 AS regularity,
       missed_beats(c, '60 s', during) = (SELECT sum(greatest(0, floor(g / 60 + 0.5) - 1)) FROM gaps) AS missed,
       extra_beats(c, '60 s', during) = (SELECT count(*) FROM gaps WHERE g < 15) AS extra,
       abs(completeness(c, '60 s', during) - (1 - (SELECT sum(g - 60) FROM gaps WHERE g >= 90) / extract(epoch FROM upper(during) - lower(during)))::float8) < 1e-12
           AS completeness
FROM naive, (SELECT cadence_agg(at) AS c, tstzrange(min(at), max(at) + interval '1 s') AS during FROM many) AS m;
-- Duplicates and disorder change nothing; a frame is read without being changed; the rollup of parts is the whole.
SELECT cadence_agg(at ORDER BY at)::text = cadence_agg(at ORDER BY i)::text AS same_scrambled,
       cadence_agg(at)::text = (SELECT cadence_agg(at)::text FROM (TABLE many UNION ALL TABLE many) AS twice) AS same_twice FROM many;
SELECT bool_and(ours = naive) AS frames_agree FROM (
    SELECT missed_beats(cadence_agg(at) OVER w, '20 s', tstzrange(first_value(at) OVER w, at, '[]')) AS ours,
           sum(missed) OVER (ORDER BY at ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS naive, count(*) OVER w AS n
    FROM (SELECT at, greatest(0, floor(extract(epoch FROM at - lag(at) OVER (ORDER BY at)) / 20 + 0.5) - 1) AS missed FROM many) AS g
    WINDOW w AS (ORDER BY at ROWS BETWEEN 3 PRECEDING AND CURRENT ROW)) AS f WHERE n = 4;
CREATE TABLE parts AS SELECT cadence_agg(at) AS part FROM many GROUP BY i % 7;
SELECT rollup(part)::text = (SELECT cadence_agg(at)::text FROM many) AS rollup_is_whole FROM parts;

-- The parallel plan gives the serial state.
SELECT cadence_agg(at)::text AS serial FROM many \gset
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
EXPLAIN (COSTS OFF) SELECT cadence_agg(at) FROM many;
SELECT cadence_agg(at)::text = :'serial' AS parallel_is_serial FROM many;
SELECT rollup(part)::text = :'serial' AS parallel_rollup_is_whole FROM parts;

-- What makes no sense is refused.
\set SHOW_CONTEXT never
SELECT cadence_agg('infinity');
SELECT completeness(cadence_agg(at), '0 s', ten_minutes()) FROM beats;
SELECT completeness(cadence_agg(at), '1 month', ten_minutes()) FROM beats;
SELECT completeness(cadence_agg(at), '60 s', 'empty') FROM beats;
SELECT stability(cadence_agg(at), '60 s', ten_minutes(), liveness => '0 s') FROM beats;

DROP SCHEMA cadence_test CASCADE;
