-- The reports over a store of five devices and one hour, small enough to count by hand.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_iot_kpi;
DROP SCHEMA IF EXISTS iot CASCADE;
SET search_path = iot_kpi, public;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET intervalstyle = 'postgres';
\set SHOW_CONTEXT never
SELECT uptime FROM device_kpis('[2024-01-01 00:00+00, 2024-01-01 01:00+00)', as_of => '2024-01-01 01:00+00');
SELECT create_store() LIKE 'store version % is ready%' AS made;
SELECT make_partitions('[2023-12-31, 2024-01-02)') > 0 AS partitions;

INSERT INTO iot.devices (device_id, device_type, location, liveness, status_ttl, expected_interval, response_target, heartbeat_metric, collector_id,
                         commissioned_at, decommissioned_at, metadata) VALUES
    ('gateway', 'collector', 'hall', NULL, NULL, '1 min', NULL, NULL, NULL, NULL, NULL, '{}'),
    ('a', 'climate', 'hall', NULL, NULL, '1 min', NULL, NULL, 'gateway', NULL, NULL, '{"floor": "1"}'),
    ('b', 'camera', 'yard', '10 min', NULL, '5 min', 100, 'heartbeat', NULL, NULL, NULL, '{"floor": "0"}'),
    ('c', 'climate', 'hall', NULL, NULL, '1 min', NULL, NULL, NULL, '2024-01-01 00:30+00', NULL, '{"floor": "1"}'),
    ('d', 'camera', 'yard', NULL, NULL, '1 min', NULL, NULL, NULL, NULL, '2023-12-01', '{}');
-- gateway: a beat a minute, but none from 0:38 to 0:49; so it did not look from 0:37 to 0:50; but the beats of a from then came later.
-- a: a beat a minute, but none from 0:10 to 0:19: down from 0:12 to 0:20.
-- b: a heartbeat every five minutes, but none at 0:20 to 0:40; in maintenance from 0:20 to 0:30, with half of its liveness left then: down from 0:35 to 0:45.
-- c: commissioned at 0:30, never seen: down from 0:33. d: decommissioned the month before.
CREATE FUNCTION pg_temp.minute(m double precision) RETURNS timestamptz LANGUAGE sql AS $$ SELECT '2024-01-01 00:00+00'::timestamptz + m * interval '1 min' $$;
INSERT INTO iot.device_metrics (device_id, metric, time, value, received_at)
    SELECT 'gateway', 'heartbeat', pg_temp.minute(m), 1, pg_temp.minute(m) FROM generate_series(0, 59) AS m WHERE m NOT BETWEEN 38 AND 49
    UNION ALL SELECT 'a', 'temperature', pg_temp.minute(m), 20 + m % 7, pg_temp.minute(m) FROM generate_series(0, 59) AS m WHERE m NOT BETWEEN 10 AND 19
    UNION ALL SELECT 'b', 'heartbeat', pg_temp.minute(m), 1, pg_temp.minute(m) + interval '2 s' FROM generate_series(0, 55, 5) AS m WHERE m NOT BETWEEN 20 AND 40
    UNION ALL SELECT 'b', 'response_time', pg_temp.minute(m), ms, pg_temp.minute(m) FROM unnest(ARRAY[50, 80, 100, 150, 400, 500]) WITH ORDINALITY AS r (ms, m)
    UNION ALL SELECT 'b', 'error', pg_temp.minute(m), (m > 6)::int, pg_temp.minute(m) FROM generate_series(1, 8) AS m
    UNION ALL SELECT 'b', 'bytes', pg_temp.minute(m), 300, pg_temp.minute(m) FROM generate_series(10, 12) AS m;
INSERT INTO iot.device_status_history (device_id, time, status) VALUES ('b', '2023-12-31 23:00+00', 'online'), ('b', pg_temp.minute(10), 'degraded'),
    ('b', pg_temp.minute(35), 'error'), ('b', pg_temp.minute(40), 'online');
INSERT INTO iot.maintenance_windows (device_id, period) VALUES ('b', '[2024-01-01 00:20+00, 2024-01-01 00:30+00)');
\set hour '''[2024-01-01 00:00+00, 2024-01-01 01:00+00)'''
\set at '''2024-01-01 01:00+00'''

-- device_kpis.
SELECT device_id, name, device_type, location, status, live, never_seen, last_measured, last_received FROM device_kpis(:hour, as_of => :at);
-- a: 52 up, 8 down; b: 35 up, 10 down, 10 excluded, and 5 unknown: all five minutes of a liveness are left after the maintenance; by status
-- 45 of 50; c: 3 unknown after it went into service, 27 down, 30 excluded.
SELECT device_id, up_time, down_time, unknown_time, excluded_time, uptime, availability, failures, mtbf, mttr, longest_outage FROM device_kpis(:hour, as_of => :at);
-- Lost: gateway [38, 50), a [10, 20), b [20, 45) of which [35, 45) is eligible. Two changes each: of 60, 60 and 45 eligible minutes.
SELECT device_id, completeness, regularity, round(stability::numeric, 9) AS stability, round(consistency::numeric, 9) AS consistency, jitter, missed_beats
FROM device_kpis(:hour, as_of => :at);
SELECT device_id, response_count, round(response_mean::numeric, 6) AS mean, abs(response_p50 / 100 - 1) <= 0.01 AS p50, abs(response_p90 / 400 - 1) <= 0.01 AS p90,
       abs(response_p95 / 400 - 1) <= 0.01 AS p95, abs(response_p99 / 400 - 1) <= 0.01 AS p99, apdex,
       attempts, failed, error_rate, round(error_rate_low::numeric, 6) AS low, round(error_rate_high::numeric, 6) AS high,
       bytes_per_second, round(messages_per_second::numeric, 9) AS messages FROM device_kpis(:hour, as_of => :at);
-- Some of them; none of them; a device that is not there.
SELECT array_agg(device_id) FROM device_kpis(:hour, '{b,a}', :at);
SELECT count(*) FROM device_kpis(:hour, '{}', :at);
SELECT count(*) FROM device_kpis(:hour, '{nobody}', :at);
-- A device alone is judged as among the others: its collector's silence counts all the same.
SELECT up_time, down_time, unknown_time FROM device_kpis(:hour, '{a}', :at);
-- A report stops at as_of: at half past, of which a has 22 up and 8 down. Nothing of the window has happened at its start.
SELECT device_id, status, live, up_time, down_time, unknown_time, excluded_time, uptime, failures FROM device_kpis(:hour, as_of => '2024-01-01 00:30+00');
SELECT device_id, up_time, down_time, unknown_time, excluded_time, uptime, availability, failures, completeness, consistency, response_count, bytes_per_second
FROM device_kpis(:hour, as_of => '2024-01-01 00:00+00');
-- In the middle of what happened: b in maintenance at 0:25, a alive at 0:45 though nobody observed it, gateway dead at 0:40 and alive a microsecond before.
SELECT at, device_id, status, live FROM unnest(ARRAY['2024-01-01 00:25+00', '2024-01-01 00:45+00']::timestamptz[]) AS at, device_kpis(:hour, '{a,b}', at);
SELECT at, status, live FROM unnest(ARRAY['2024-01-01 00:39:59.999999+00', '2024-01-01 00:40+00', '2024-01-01 00:50+00']::timestamptz[]) AS at, device_kpis(:hour, '{gateway}', at);

-- fleet_kpis: without the observer. Mean of 0.84, 0.7 and 0; pooled 77 of 130 minutes; two failures, so 77/2 and 53/2 minutes.
SELECT devices, required, live, device_availability, round(mean_uptime::numeric, 9) AS mean, round(pooled_uptime::numeric, 9) AS pooled, availability,
       round(consistency::numeric, 9) AS consistency, failures, mtbf, mttr, longest_outage FROM fleet_kpis(:hour, as_of => :at);
SELECT response_count, round(response_mean::numeric, 6) AS mean, abs(response_p95 / 400 - 1) <= 0.01 AS p95, apdex, attempts, failed, error_rate,
       round(error_rate_low::numeric, 6) AS low, round(error_rate_high::numeric, 6) AS high, bytes_per_second, round(messages_per_second::numeric, 9) AS messages
FROM fleet_kpis(:hour, as_of => :at);
SELECT group_value, devices, required, live, device_availability, mean_uptime, pooled_uptime, availability, failures, mtbf, mttr FROM fleet_kpis(:hour, 'device_type', as_of => :at);
SELECT group_value, devices, required, live, device_availability, mean_uptime, pooled_uptime FROM fleet_kpis(:hour, 'location', as_of => :at);
SELECT group_value, devices, required, live, device_availability, mean_uptime, pooled_uptime FROM fleet_kpis(:hour, 'floor', as_of => :at);
SELECT group_value, devices FROM fleet_kpis(:hour, 'device_type', '{gateway,a}', :at);
-- Every pooled number is what device_kpis adds up to.
SELECT f.pooled_uptime = d.pooled AND f.failures = d.failures AND f.attempts = d.attempts AND f.mean_uptime = d.mean AS adds_up
FROM fleet_kpis(:hour, as_of => :at) AS f, (
    SELECT (extract(epoch FROM sum(up_time)) / extract(epoch FROM sum(up_time + down_time)))::float8 AS pooled, sum(failures) AS failures, sum(attempts) AS attempts,
           avg(uptime ORDER BY device_id) AS mean FROM device_kpis(:hour, as_of => :at) WHERE device_id <> 'gateway') AS d;

-- kpi_series: buckets are windows of their own, and carry in what lies before them.
SELECT series, time, value FROM kpi_series('uptime', :hour, '20 min', as_of => :at);
SELECT series, array_agg(value ORDER BY time) FROM kpi_series('failures', :hour, '20 min', as_of => :at) GROUP BY series ORDER BY series;
SELECT s.series, bool_and(s.value IS NOT DISTINCT FROM iot_kpi.seconds(d.down_time)) AS as_device_kpis
FROM kpi_series('down_time', :hour, '7 min', as_of => :at) AS s,
     LATERAL device_kpis(tstzrange(s.time, (SELECT coalesce(min(n.time), :at) FROM kpi_series('down_time', :hour, '7 min', as_of => :at) AS n WHERE n.time > s.time)),
                         ARRAY[s.series], :at) AS d GROUP BY s.series ORDER BY s.series;
SELECT series, array_agg(round(value::numeric, 6) ORDER BY time) FROM kpi_series('uptime', :hour, '20 min', 'device_type', as_of => :at) GROUP BY series ORDER BY series;
SELECT series, array_agg(round(value::numeric, 6) ORDER BY time) FROM kpi_series('mean_uptime', :hour, '20 min', 'location', as_of => :at) GROUP BY series ORDER BY series;
SELECT series, array_agg(value ORDER BY time) FROM kpi_series('live', :hour, '20 min', as_of => :at) GROUP BY series ORDER BY series;
SELECT series, array_agg(value ORDER BY time) FROM kpi_series('device_availability', :hour, '20 min', 'floor', as_of => :at) GROUP BY series ORDER BY series;
SELECT series, array_agg(value ORDER BY time) FROM kpi_series('response_count', :hour, '2 min', device_ids => '{b}', as_of => '2024-01-01 00:07+00') GROUP BY series;
-- Buckets begin at round times, the first at the window's start; the one that holds as_of is judged on its past part.
SELECT time, value FROM kpi_series('up_time', '[2024-01-01 00:07+00, 2024-01-01 01:00+00)', '15 min', device_ids => '{a}', as_of => '2024-01-01 00:35+00');
SELECT count(*) FROM kpi_series('uptime', :hour, '20 min', as_of => '2024-01-01 00:00+00');
-- Every KPI is there, alone and in groups; with one bucket it is what the other reports say.
SELECT kpi, count(*), count(value) FROM unnest(kpi_names()) AS kpi, kpi_series(kpi, :hour, '1 h', as_of => :at) GROUP BY kpi ORDER BY kpi;
SELECT bool_and(single.value IS NOT DISTINCT FROM (to_jsonb(d) ->> kpi)::float8) AS same
FROM unnest(ARRAY['uptime', 'availability', 'failures', 'completeness', 'regularity', 'stability', 'consistency', 'jitter', 'missed_beats', 'response_count', 'response_mean',
    'response_p50', 'response_p90', 'response_p95', 'response_p99', 'apdex', 'attempts', 'failed', 'error_rate', 'error_rate_low', 'error_rate_high',
    'bytes_per_second', 'messages_per_second']) AS kpi, kpi_series(kpi, :hour, '1 h', as_of => :at) AS single JOIN device_kpis(:hour, as_of => :at) AS d ON d.device_id = single.series;
SELECT bool_and(single.value IS NOT DISTINCT FROM (to_jsonb(f) ->> kpi)::float8) AS same
FROM unnest(ARRAY['mean_uptime', 'pooled_uptime', 'availability', 'failures', 'consistency', 'response_count', 'response_mean',
    'response_p50', 'response_p90', 'response_p95', 'response_p99', 'apdex', 'attempts', 'failed', 'error_rate', 'error_rate_low', 'error_rate_high',
    'bytes_per_second', 'messages_per_second', 'live', 'device_availability']) AS kpi, kpi_series(kpi, :hour, '1 h', 'device_type', as_of => :at) AS single
    JOIN fleet_kpis(:hour, 'device_type', as_of => :at) AS f ON f.group_value = single.series;
-- Days where clocks change: c is down all the time, so its down time is the length of the bucket. Spring in Berlin has a day of 23 hours, autumn one of 25.
SELECT time AT TIME ZONE 'Europe/Berlin' AS wall, value / 3600 AS hours
FROM kpi_series('down_time', '[2024-03-30 00:00 Europe/Berlin, 2024-04-02 00:00 Europe/Berlin)', '1 day', time_zone => 'Europe/Berlin', device_ids => '{c}', as_of => '2024-05-01');
SELECT time AT TIME ZONE 'Europe/Berlin' AS wall, value / 3600 AS hours
FROM kpi_series('down_time', '[2024-10-26 00:00 Europe/Berlin, 2024-10-29 00:00 Europe/Berlin)', '1 day', time_zone => 'Europe/Berlin', device_ids => '{c}', as_of => '2024-12-01');
-- Hours stay hours; parts of a day follow the wall clock.
SELECT count(*), min(value) / 3600 AS shortest, max(value) / 3600 AS longest
FROM kpi_series('down_time', '[2024-03-31 00:00 Europe/Berlin, 2024-04-01 00:00 Europe/Berlin)', '1 h', time_zone => 'Europe/Berlin', device_ids => '{c}', as_of => '2024-05-01');
SELECT count(*), min(value) / 3600 AS shortest, max(value) / 3600 AS longest
FROM kpi_series('down_time', '[2024-10-27 00:00 Europe/Berlin, 2024-10-28 00:00 Europe/Berlin)', '1 h', time_zone => 'Europe/Berlin', device_ids => '{c}', as_of => '2024-12-01');
SELECT time AT TIME ZONE 'Europe/Berlin' AS wall, value / 3600 AS hours
FROM kpi_series('down_time', '[2024-10-27 00:00 Europe/Berlin, 2024-10-28 00:00 Europe/Berlin)', '6 h', time_zone => 'Europe/Berlin', device_ids => '{c}', as_of => '2024-12-01');
-- Weeks begin on Monday, months on the first.
SELECT time AT TIME ZONE 'Europe/Berlin' AS wall, value / 3600 AS hours
FROM kpi_series('down_time', '[2024-10-23 12:00 Europe/Berlin, 2024-11-06 00:00 Europe/Berlin)', '7 days', time_zone => 'Europe/Berlin', device_ids => '{c}', as_of => '2024-12-01');
SELECT time AT TIME ZONE 'Europe/Berlin' AS wall, value / 3600 AS hours
FROM kpi_series('down_time', '[2024-03-15 00:00 Europe/Berlin, 2024-06-01 00:00 Europe/Berlin)', '1 month', time_zone => 'Europe/Berlin', device_ids => '{c}', as_of => '2024-12-01');

-- status_periods: a by its beats, b as it says itself, with what is exempt laid over.
SELECT * FROM status_periods(:hour, '{a,b,c,d}', :at);
UPDATE iot.devices SET status_ttl = '12 min' WHERE device_id = 'b';
SELECT started_at, ended_at, status FROM status_periods(:hour, '{b}', :at);
UPDATE iot.devices SET status_ttl = NULL, degraded_counts_up = false WHERE device_id = 'b';
-- Degraded is down now: up [0, 10) and [40, 60), 30 of 50.
SELECT availability FROM device_kpis(:hour, '{b}', :at);

-- outages.
SELECT * FROM outages(:hour, as_of => :at);
SELECT device_id, duration FROM outages(:hour, '10 min', as_of => :at);
SELECT * FROM outages('[2024-01-01 00:15+00, 2024-01-01 00:40+00)', device_ids => '{a,b}', as_of => :at);
SELECT * FROM outages('[2024-01-01 00:12+00, 2024-01-01 00:15+00)', device_ids => '{a}', as_of => :at);
-- A day later b has long been silent; its last beat is still known.
SELECT * FROM outages('[2024-01-02 00:00+00, 2024-01-02 01:00+00)', device_ids => '{b}', as_of => '2024-01-02 02:00+00');

-- metric_series: all samples, or first, last, least and greatest of each bucket.
SELECT count(*), min(value), max(value) FROM metric_series('temperature', :hour, as_of => :at);
SELECT * FROM metric_series('temperature', :hour, 8, as_of => :at);
SELECT count(*) FROM metric_series('temperature', :hour, 50, as_of => :at);
SELECT count(*) FROM metric_series('response_time', :hour, 4, '{a}', :at);
SELECT count(*) FROM metric_series('temperature', :hour, as_of => '2024-01-01 00:05+00');
-- metric_before: the last sample of each device, however many there are, none that is too old.
SELECT * FROM metric_before('temperature', '2024-01-01 00:05+00');
SELECT b.device_id, b.time = max(m.time), b.value = (array_agg(m.value ORDER BY m.time DESC))[1]
FROM metric_before('response_time', '2024-01-01 01:00+00') AS b
JOIN iot.device_metrics m ON m.device_id = b.device_id AND m.metric = 'response_time' AND m.time < '2024-01-01 01:00+00'
GROUP BY b.device_id, b.time, b.value ORDER BY b.device_id;
SELECT * FROM metric_before('temperature', '2024-01-01 00:00+00', '{a}');
SELECT * FROM metric_before('temperature', '2024-01-03 00:00+00', look_back => '1 hour');

-- What makes no sense is refused.
\set SHOW_CONTEXT never
SELECT * FROM device_kpis('empty', as_of => :at);
SELECT * FROM device_kpis('[2024-01-01,)', as_of => :at);
SELECT * FROM device_kpis(:hour, as_of => 'infinity');
SELECT * FROM fleet_kpis(:hour, 'colour', as_of => :at);
SELECT * FROM kpi_series('speed', :hour, '1 h', as_of => :at);
SELECT * FROM kpi_series('uptime', :hour, '0 s', as_of => :at);
SELECT * FROM kpi_series('uptime', :hour, '1 day 1 h', as_of => :at);
SELECT * FROM kpi_series('uptime', :hour, '1 ms', as_of => :at);
SELECT * FROM kpi_series('uptime', :hour, '1 h', time_zone => 'Europe/Atlantis', as_of => :at);
SELECT * FROM outages(:hour, '1 month', as_of => :at);
SELECT * FROM metric_series('temperature', :hour, 3, as_of => :at);
SELECT * FROM metric_series('weather', :hour, as_of => :at);
SELECT * FROM metric_before('weather', :at);
SELECT * FROM metric_before('temperature', 'infinity');
SELECT * FROM metric_before('temperature', :at, look_back => '-1 hour');
-- Ids that are not registered, or no more, are passed over by every report: a dashboard remembers them.
SELECT * FROM metric_before('temperature', :at, '{nobody}');
SELECT r.name, r.alone AS nobody_alone, r.with_nobody = r.without AS beside_a FROM (VALUES
    ('device_kpis', (SELECT count(*) FROM device_kpis(:hour, '{nobody}', :at)),
        (SELECT string_agg(k::text, ';') FROM device_kpis(:hour, '{a, nobody, NULL}', :at) AS k),
        (SELECT string_agg(k::text, ';') FROM device_kpis(:hour, '{a}', :at) AS k)),
    ('fleet_kpis', (SELECT count(*) FROM fleet_kpis(:hour, device_ids => '{nobody}', as_of => :at)),
        (SELECT string_agg(k::text, ';') FROM fleet_kpis(:hour, device_ids => '{a, nobody, NULL}', as_of => :at) AS k),
        (SELECT string_agg(k::text, ';') FROM fleet_kpis(:hour, device_ids => '{a}', as_of => :at) AS k)),
    ('kpi_series', (SELECT count(*) FROM kpi_series('uptime', :hour, '15 min', device_ids => '{nobody}', as_of => :at)),
        (SELECT string_agg(k::text, ';') FROM kpi_series('uptime', :hour, '15 min', device_ids => '{a, nobody, NULL}', as_of => :at) AS k),
        (SELECT string_agg(k::text, ';') FROM kpi_series('uptime', :hour, '15 min', device_ids => '{a}', as_of => :at) AS k)),
    ('kpi_series of the future', (SELECT count(*) FROM kpi_series('uptime', :hour, '15 min', device_ids => '{nobody}', as_of => '2000-01-01')), '', ''),
    ('outages', (SELECT count(*) FROM outages(:hour, device_ids => '{nobody}', as_of => :at)),
        (SELECT string_agg(k::text, ';') FROM outages(:hour, device_ids => '{a, nobody, NULL}', as_of => :at) AS k),
        (SELECT string_agg(k::text, ';') FROM outages(:hour, device_ids => '{a}', as_of => :at) AS k)),
    ('status_periods', (SELECT count(*) FROM status_periods(:hour, '{nobody}', :at)),
        (SELECT string_agg(k::text, ';') FROM status_periods(:hour, '{a, nobody, NULL}', :at) AS k),
        (SELECT string_agg(k::text, ';') FROM status_periods(:hour, '{a}', :at) AS k)),
    ('metric_series', (SELECT count(*) FROM metric_series('temperature', :hour, device_ids => '{nobody}', as_of => :at)),
        (SELECT string_agg(k::text, ';') FROM metric_series('temperature', :hour, device_ids => '{a, nobody, NULL}', as_of => :at) AS k),
        (SELECT string_agg(k::text, ';') FROM metric_series('temperature', :hour, device_ids => '{a}', as_of => :at) AS k)),
    ('anomalies', (SELECT count(*) FROM anomalies('temperature', :hour, 0.5, device_ids => '{nobody}', as_of => :at)),
        (SELECT string_agg(k::text, ';') FROM anomalies('temperature', :hour, 0.5, device_ids => '{a, nobody, NULL}', as_of => :at) AS k),
        (SELECT string_agg(k::text, ';') FROM anomalies('temperature', :hour, 0.5, device_ids => '{a}', as_of => :at) AS k)),
    ('sla_calendar', (SELECT count(*) FROM sla_calendar(:hour, 0.9, device_ids => '{nobody}', as_of => :at)),
        (SELECT string_agg(k::text, ';') FROM sla_calendar(:hour, 0.9, device_ids => '{a, nobody, NULL}', as_of => :at) AS k),
        (SELECT string_agg(k::text, ';') FROM sla_calendar(:hour, 0.9, device_ids => '{a}', as_of => :at) AS k))
) AS r (name, alone, with_nobody, without);
-- Who has something written is told.
SELECT calculate_kpis(:hour, '{a, nobody}', :at);

DROP SCHEMA iot CASCADE;
