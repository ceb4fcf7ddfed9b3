-- Calculated hours and days: which of them a report reads, and that it says the same whichever it reads.
SET timezone = 'UTC';
SELECT iot_kpi.create_store() LIKE 'store version %' AS made;
SELECT iot_kpi.make_partitions('[2026-03-01, 2026-03-05)') > 0 AS made;
INSERT INTO iot.devices (device_id, expected_interval, heartbeat_metric, response_target, commissioned_at)
VALUES ('steady', '60 s', 'heartbeat', 100, '2026-03-01'), ('shaky', '60 s', NULL, 100, '2026-03-01'), ('silent', '60 s', NULL, NULL, '2026-03-01');
INSERT INTO iot.device_metrics (device_id, metric, time, value)
SELECT d, metric, timestamptz '2026-03-01' + m * interval '1 min' + m % 7 * interval '100 ms', CASE metric WHEN 'response_time' THEN 50 + m % 100 ELSE 1 END
FROM generate_series(0, 4 * 1440 - 1) AS m, (VALUES ('steady'), ('shaky')) AS devices (d), (VALUES ('heartbeat'), ('response_time')) AS metrics (metric)
-- An outage a day, one of them over midnight.
WHERE d = 'steady' OR (m % 1440 NOT BETWEEN 700 AND 720 AND m NOT BETWEEN 1430 AND 1450 AND m % 11 <> 3);

CREATE FUNCTION pg_temp.all_reports() RETURNS SETOF text LANGUAGE sql AS $$
SELECT k::text FROM iot_kpi.device_kpis('[2026-03-01, 2026-03-05)', NULL, '2026-03-05') AS k
UNION ALL SELECT k::text FROM iot_kpi.device_kpis('[2026-03-01 12:00, 2026-03-04 06:30)', NULL, '2026-03-05') AS k
UNION ALL SELECT s::text FROM iot_kpi.kpi_series('consistency', '[2026-03-01, 2026-03-05)', '1 day', as_of => '2026-03-05') AS s
UNION ALL SELECT o::text FROM iot_kpi.outages('[2026-03-01, 2026-03-05)', as_of => '2026-03-05') AS o
UNION ALL SELECT p::text FROM iot_kpi.status_periods('[2026-03-01, 2026-03-05)', as_of => '2026-03-05') AS p
$$;
CREATE TEMP TABLE from_rows AS SELECT * FROM pg_temp.all_reports() AS r (line);
SELECT count(*) FROM from_rows;
CREATE FUNCTION pg_temp.differences() RETURNS SETOF text LANGUAGE sql AS $$
(SELECT '- ' || line FROM from_rows EXCEPT ALL SELECT '- ' || line FROM pg_temp.all_reports() AS r (line))
UNION ALL
(SELECT '+ ' || line FROM pg_temp.all_reports() AS r (line) EXCEPT ALL SELECT '+ ' || line FROM from_rows)
$$;
SELECT iot_kpi.calculate_kpis('[2026-03-01, 2026-03-05)', as_of => '2026-03-05');
SELECT * FROM pg_temp.differences();

-- A day has a summary, which is as long as it has gaps (shaky: 130), whatever its beats; an hour has none.
SELECT device_id, grain, count(*), count(summary) AS summaries, max(expected_interval) AS expected_interval, max(liveness) AS liveness,
       max(length(parts)) > 1440 AS many_bytes, max(length(summary)) < 600 AS few_bytes
FROM iot.kpi_calculations GROUP BY device_id, grain ORDER BY device_id, grain;

-- Reports read summaries alone where they serve: nothing is wrong with them when the parts are broken.
BEGIN;
UPDATE iot.kpi_calculations SET parts = '\x00' WHERE grain = 'day';
SELECT * FROM pg_temp.differences();
ROLLBACK;

-- Calculated before there were summaries: from parts.
BEGIN;
UPDATE iot.kpi_calculations SET summary = NULL, expected_interval = NULL, liveness = NULL;
SELECT * FROM pg_temp.differences();
ROLLBACK;

-- Some with and some without.
BEGIN;
UPDATE iot.kpi_calculations SET summary = NULL WHERE extract(day FROM lower(period))::int % 2 = 0;
DELETE FROM iot.kpi_calculations WHERE lower(period) >= '2026-03-03' AND lower(period) < '2026-03-04' AND device_id = 'shaky';
SELECT * FROM pg_temp.differences();
ROLLBACK;

-- What was calculated before the rows went is never stale. When the device is judged otherwise, its beats are read again.
BEGIN;
UPDATE iot.devices SET liveness = '90 s' WHERE device_id = 'shaky';
SELECT count(*) > 0 AS stale FROM iot.kpi_calculations WHERE stale;
UPDATE iot.kpi_calculations SET stale = false;
CREATE TEMP TABLE judged_otherwise AS SELECT * FROM pg_temp.all_reports() AS r (line);
DELETE FROM iot.kpi_calculations;
SELECT count(*) > 0 AS says_otherwise FROM pg_temp.differences();
TRUNCATE from_rows;
INSERT INTO from_rows SELECT * FROM judged_otherwise;
SELECT * FROM pg_temp.differences();
ROLLBACK;

-- A summary for other settings is refused, and so are two of the same time.
SELECT iot_kpi.device_report(ROW (ARRAY[lower(period), upper(period)], '30 s'::interval, NULL, NULL, NULL, NULL,
           iot_kpi.evidence_merge(summary, ARRAY[lower(period), upper(period)]), NULL, NULL, NULL, NULL, NULL)::iot_kpi.dossier)
FROM iot.kpi_calculations WHERE device_id = 'steady' AND period = '[2026-03-02, 2026-03-03)' GROUP BY period;
SELECT iot_kpi.evidence_merge(summary, ARRAY[lower(period), upper(period)])
FROM iot.kpi_calculations, generate_series(1, 2) WHERE device_id = 'steady' AND period = '[2026-03-02, 2026-03-03)' GROUP BY period;
SELECT iot_kpi.evidence_summary(iot_kpi.no_evidence(ARRAY[now(), now() + interval '1 h']), '0', '1 min');
SELECT iot_kpi.evidence_summary(iot_kpi.no_evidence(ARRAY[now(), now() + interval '1 h', now() + interval '2 h']), '1 min', '1 min');
SELECT iot_kpi.evidence_summary(iot_kpi.no_evidence(ARRAY[now(), now() + interval '1 h']), NULL, '1 min') IS NULL AS nothing;
