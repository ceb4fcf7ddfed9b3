-- pool: what dossiers of a group amount to, and nothing that is not asked for.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_iot_kpi;
CREATE SCHEMA pool_test;
SET search_path = pool_test, iot_kpi, public;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET intervalstyle = 'postgres';
\set SHOW_CONTEXT never

-- An hour in two slots: a is up in the first, b in both; a answers in 10 ms, b in 30 and in 50.
CREATE TABLE edges AS SELECT '{2025-03-03 00:00, 2025-03-03 00:30, 2025-03-03 01:00}'::timestamptz[] AS cut;
CREATE TABLE samples AS
    SELECT d.id, m.metric, timestamptz '2025-03-03 00:00' + n * interval '1 min' AS at, v.value
    FROM (VALUES ('a', 30), ('b', 60)) AS d (id, beats), generate_series(0, d.beats - 1) AS n, unnest('{heartbeat, response_time}'::text[]) AS m (metric),
         LATERAL (SELECT CASE WHEN metric = 'heartbeat' THEN 1.0 WHEN id = 'a' THEN 10 WHEN n < 30 THEN 30 ELSE 50 END::float8) AS v (value);
CREATE TABLE dossiers AS
    SELECT id, ROW (cut, '1 min', '1 min', NULL, NULL, NULL, evidence_agg(at, metric, value, NULL, false, cut), NULL, NULL, NULL, NULL, NULL)::dossier AS d
    FROM samples, edges GROUP BY id, cut;
SELECT pool('{up_time, down_time, uptime, mean_uptime, failures, live, response_count, response_mean}', d, NULL) FROM dossiers;
SELECT abs(p[1] / 10 - 1) <= 0.01 AND abs(p[2] / 50 - 1) <= 0.01 AS those_of_all_responses FROM (SELECT pool('{response_p50}', d, NULL) AS p FROM dossiers) AS r;
-- One alone is what the device is, in any order it is the same, and KPIs may be asked for twice.
SELECT bool_and(together::text = alone::text) AS same, count(*) AS compared
FROM dossiers, unnest('{uptime, mtbf, jitter, missed_beats, unknown, response_mean, response_p95, error_rate, messages_per_second}'::text[]) AS kpi,
     LATERAL (SELECT pool(ARRAY[kpi], own, NULL) FROM (SELECT d) AS o (own)) AS t (together),
     LATERAL (SELECT array_agg(v.value ORDER BY v.slot_start) FROM device_values(d, kpi) AS v) AS a (alone);
SELECT pool(kpi_names(), d, NULL ORDER BY id) = pool(kpi_names(), d, NULL ORDER BY id DESC) AS same FROM dossiers;
SELECT pool('{failures, failures}', d, NULL) FROM dossiers;
-- A class that is given is that at the end; of a device without a window nothing else is known.
SELECT pool('{live, unknown, device_availability, up_time}', (NULL, '1 min', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)::dossier, class)
FROM unnest('{up, up, down, unknown, excluded}'::text[]) AS class;
-- What was gathered for beats alone has no slots of responses: uptime does not ask for them.
CREATE TABLE uncounted AS
    SELECT ROW (cut, '1 min', '1 min', NULL, NULL, NULL, evidence_agg(at, metric, value, NULL, false, ARRAY[cut[1], cut[3]]), NULL, NULL, NULL, NULL, NULL)::dossier AS d
    FROM samples, edges GROUP BY id, cut;
SELECT pool('{uptime, missed_beats}', d, NULL) FROM uncounted;
SELECT slot_start, up_time FROM uncounted, device_times(d) ORDER BY up_time, slot_start;
SELECT pool('{response_p50}', d, NULL) FROM uncounted;
SELECT FROM uncounted, device_report(d);

-- Groups without devices, without KPIs; a frame is read without being changed.
SELECT pool('{uptime}', d, NULL) FROM dossiers WHERE false;
SELECT pool('{}', d, NULL) FROM dossiers;
SELECT id, pool('{up_time}', d, NULL) OVER (ORDER BY id) FROM dossiers;

-- Refused.
SELECT pool(NULL, d, NULL) FROM dossiers;
SELECT pool('{uptime, NULL}', d, NULL) FROM dossiers;
SELECT pool('{uptime}', NULL, NULL) FROM dossiers;
SELECT pool('{live}', d, 'asleep') FROM dossiers;
SELECT pool('{uptime}', v, NULL) FROM dossiers, LATERAL (VALUES (d), ((ARRAY[now(), now() + interval '1 h'], '1 min', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)::dossier)) AS o (v);
