-- The extremes of double precision and of time: one device's figures never spoil another's, and no report, calculation or upkeep fails for all.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_iot_kpi;
DROP SCHEMA IF EXISTS iot CASCADE;
SET search_path = iot_kpi, public;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET intervalstyle = 'postgres';
\set SHOW_CONTEXT never
SELECT create_store() LIKE 'store version % is ready%' AS made;
UPDATE iot.settings SET value = '36500 days' WHERE name = 'retention';
SELECT make_partitions('[2024-01-01, 2024-01-02)') > 0 AS partitions;

-- A good device, one whose sums are beyond double precision, and one whose values are at both ends of it.
INSERT INTO iot.devices (device_id, location, expected_interval, response_target, commissioned_at) VALUES
    ('good', 'Hall 1', '1 min', 200, '2024-01-01'), ('beyond', 'Hall 1', '1 min', 1.7976931348623157e308, '2024-01-01'),
    ('ends', 'Hall 2', '1 min', 5e-324, '2024-01-01');
CREATE TEMPORARY TABLE wild AS
    SELECT d AS device, m AS metric, timestamptz '2024-01-01' + n * interval '1 min' AS at, v[1 + n % cardinality(v)] AS value
    FROM (VALUES ('good', '{20, 30, 20, 25}'::float8[]), ('beyond', '{1.797e308, 1.797e308}'),
                 ('ends', '{5e-324, 0, -0, 2.2250738585072014e-308, 1e-300, 1.7976931348623157e308}')) AS x (d, v),
         unnest(ARRAY['response_time', 'bytes', 'pressure', 'motion']) AS m, generate_series(0, 59) AS n;
SELECT stored, refused FROM ingest_metrics((SELECT array_agg(device) FROM wild), (SELECT array_agg(metric) FROM wild), (SELECT array_agg(at) FROM wild), (SELECT array_agg(value) FROM wild));
\set hour '''[2024-01-01 00:00+00, 2024-01-01 01:00+00)'''
\set at '''2024-01-01 01:00+00'''

SELECT device_id, up_time, response_count, response_mean, abs(response_p50 / CASE device_id WHEN 'good' THEN 20 ELSE 1.797e308 END - 1) <= 0.01 AS p50, apdex, bytes_per_second
FROM device_kpis(:hour, as_of => :at) WHERE device_id IN ('good', 'beyond');
SELECT device_id, response_count, response_mean IS NULL AS no_mean, response_p50 < 1e-299 AS p50_is_small, response_p99 = 1.7976931348623157e308 AS p99_is_the_largest, apdex,
       bytes_per_second IS NULL AS no_bytes FROM device_kpis(:hour, '{ends}', :at);
-- A group with such a device has no mean and no bytes a second either; all else of it, and every other group, stands.
SELECT group_value, devices, mean_uptime, response_count, response_mean, apdex, bytes_per_second, round(messages_per_second::numeric, 6) AS messages
FROM fleet_kpis(:hour, 'location', as_of => :at);
SELECT response_mean, round(bytes_per_second::numeric, 4) AS bytes FROM fleet_kpis(:hour, device_ids => '{good}', as_of => :at);
-- Every KPI as a series, by device and group: the good one has all of its values.
SELECT kpi, count(*) AS rows, count(value) FILTER (WHERE series = 'good') AS good, bool_and(value > '-infinity' AND value < 'infinity') AS finite
FROM unnest(kpi_names()) AS kpi, kpi_series(kpi, :hour, '20 min', as_of => :at) AS s GROUP BY kpi HAVING count(*) <> 9 OR NOT bool_and(value > '-infinity' AND value < 'infinity');
SELECT count(*) AS groups_and_buckets FROM unnest(kpi_names()) AS kpi, kpi_series(kpi, :hour, '20 min', 'location', as_of => :at) AS s;
INSERT INTO iot.slo_targets (scope_kind, kpi, objective, period) VALUES ('all', 'uptime', 0.9999999999999999, '36525 days'), ('all', 'availability', 1e-300, '1 hour');
SELECT count(*) AS objectives FROM slo_report(as_of => :at);
SELECT count(*) AS policies FROM burn_rate_alerts(as_of => :at);
SELECT count(*) AS days FROM sla_calendar(:hour, 0.99, as_of => :at);
SELECT device_id, count(*) FILTER (WHERE value IS NOT NULL) AS samples FROM metric_series('pressure', :hour, 1000, as_of => :at) GROUP BY device_id ORDER BY device_id;

-- Calculated it is the same, and told.
CREATE TEMPORARY TABLE from_rows AS SELECT k.* FROM device_kpis(:hour, as_of => :at) AS k;
SELECT calculate_kpis('[2024-01-01 00:00+00, 2024-01-01 01:00+00)', as_of => :at);
SELECT count(*) FILTER (WHERE f::text = k::text) AS same FROM from_rows f JOIN device_kpis(:hour, as_of => :at) AS k USING (device_id);
SELECT "check", status, detail, remedy IS NOT NULL AS has_remedy FROM health() WHERE "check" = 'figures';

-- As counters: what fell is a reset, so that increases add up beyond double precision too.
UPDATE iot.metric_types SET kind = 'counter' WHERE metric = 'bytes';
SELECT device_id, bytes_per_second FROM device_kpis(:hour, as_of => :at) WHERE device_id <> 'ends' ORDER BY device_id;
SELECT device_id, bytes_per_second IS NULL AS no_bytes FROM device_kpis(:hour, '{ends}', :at);
UPDATE iot.metric_types SET kind = 'delta' WHERE metric = 'bytes';

-- A value that its role does not allow, let in by an operator: it spoils the figure of its device alone.
UPDATE iot.metric_types SET minimum = NULL WHERE metric IN ('response_time', 'bytes');
INSERT INTO iot.devices (device_id, expected_interval, commissioned_at) VALUES ('negative', '1 min', '2024-01-01');
SELECT stored FROM ingest_metrics('{negative, negative, negative}', '{response_time, response_time, bytes}', '{2024-01-01 00:01+00, 2024-01-01 00:02+00, 2024-01-01 00:03+00}', '{-1, 20, -1}');
SELECT device_id, response_count, response_mean, bytes_per_second FROM device_kpis(:hour, '{good, negative}', :at);

-- Upkeep comes to its end, with samples of the last hours.
INSERT INTO iot.devices (device_id, expected_interval) VALUES ('now_good', '1 min'), ('now_beyond', '1 min');
SELECT stored FROM ingest_metrics('{now_good, now_beyond, now_beyond}', '{response_time, response_time, response_time}',
    ARRAY[date_trunc('hour', now()) - interval '90 min', date_trunc('hour', now()) - interval '90 min', date_trunc('hour', now()) - interval '91 min'], '{20, 1.797e308, 1.797e308}');
CALL maintain();
SELECT device_id, bool_or(response_mean = 20) AS mean, sum(response_count) AS responses FROM iot.kpi_calculations
WHERE device_id LIKE 'now%' AND grain = 'hour' GROUP BY device_id ORDER BY device_id;
SELECT upkeep_fault() IS NULL AS no_fault;

-- Anomalies: the samples that are far from the others, also where no double precision holds how far. No average, whose squares are beyond it, stands in the way.
SELECT device_id, count(*), min(expected) AS expected, bool_and(score IS NULL) AS beyond_a_score FROM anomalies('pressure', :hour, as_of => :at) GROUP BY device_id ORDER BY device_id;
SELECT device_id, count(*) FROM anomalies('pressure', :hour, seasonal => true, as_of => :at) GROUP BY device_id ORDER BY device_id;
SELECT u.* FROM unusual('{2024-01-01, 2024-01-02, 2024-01-03, 2024-01-04, 2024-01-05}', '{1, 2, 3, 2, 1e300}', '2024-01-02', 3.5) AS u;
SELECT u.* FROM unusual(NULL, '{1}', '2024-01-02', 3.5) AS u;
SELECT u.* FROM unusual('{2024-01-01}', '{1, 2}', '2024-01-02', 3.5) AS u;
SELECT u.* FROM unusual('{2024-01-01, 2024-01-02}', '{1, NULL}', '2024-01-02', 3.5) AS u;
SELECT u.* FROM unusual('{2024-01-01}', '{NaN}', '2024-01-02', 3.5) AS u;

-- Asked for one value, a score or a chart beyond double precision is an error.
SELECT round(modified_z_score(1.7e308, -1.7e308, 1e308)::numeric, 4) AS score, cusum(v, 1.7e308, 0) AS cusum, ewma(v, 0.5) AS ewma FROM unnest(ARRAY[1.7e308, 1.7e308]) AS v;
SELECT modified_z_score(1e308, 0, 1e-10);
SELECT cusum(v, 0, 0) FROM unnest(ARRAY[1.7e308, 1.7e308]) AS v;
SELECT * FROM ewma_limits(1.7e308, 1e308, 1, 3, 10);

-- Bare aggregates: what cannot be summed is NULL, group by group.
SELECT g, total(throughput_agg(at, v)), rate(throughput_agg(at, v), '[2024-01-01, 2024-01-01 00:00:00.000001)') AS rate, total(throughput_agg(at, v, 'counter')) AS counted,
       resets(throughput_agg(at, v, 'counter')), mean(response_agg(v)), percentile(response_agg(v), 0) AS least, percentile(response_agg(v), 1) AS greatest
FROM (VALUES ('a', timestamptz '2024-01-01', 1.5::float8), ('a', '2024-01-02', 2.5), ('b', '2024-01-01', 1.7e308), ('b', '2024-01-02', 1e308), ('b', '2024-01-03', 9e307)) AS x (g, at, v)
GROUP BY g ORDER BY g;
-- And what is beyond goes the way of every state: text, binary, rollup.
SELECT r::text = rollup(r)::text AS same, mean(rollup(r)) IS NULL AS still_beyond, count(rollup(r)) FROM (SELECT response_agg(1.797e308) AS r FROM generate_series(1, 3)) AS s GROUP BY r::text;
SELECT total(rollup(t)) IS NULL AS still_beyond, total(rollup(t::text::throughput)) IS NULL AS as_text FROM (SELECT throughput_agg('2024-01-01', 1.797e308) AS t FROM generate_series(1, 3)) AS s;

-- Both ends of time, in bare aggregates.
SELECT beat_count(h), uptime(h, '[4713-01-01 BC, 4713-01-02 BC)') AS first, last_beat(h) FROM (SELECT heartbeat_agg(at, '1 hour') AS h FROM unnest('{4713-01-01 00:00+00 BC, 294276-12-31 23:59:59.999999+00}'::timestamptz[]) AS at) AS s;
SELECT duration_in(s, 'online', '[2000-01-01, 290000-01-01)') AS online, transitions(s, '[2000-01-01, 290000-01-01)', '1 hour') AS transitions
FROM (SELECT status_agg(at, 'online') AS s FROM unnest('{4713-01-01 00:00+00 BC, 2020-01-01 00:00+00, 294276-12-31 23:59:59.999999+00}'::timestamptz[]) AS at) AS x;
SELECT total(throughput_agg(at, 5, 'counter')), missed_beats(cadence_agg(at), '1 day', '[2000-01-01, 290000-01-01)') FROM unnest('{4713-01-01 00:00+00 BC, 2020-01-01 00:00+00, 294276-12-31 23:59:59.999999+00}'::timestamptz[]) AS at;
-- Of the reports: a device is waited for ten years at most, an objective's period is a century at most.
INSERT INTO iot.slo_targets (scope_kind, kpi, objective, period) VALUES ('all', 'uptime', 0.5, '80000000 days');
SELECT count(*) AS devices FROM device_kpis('[4713-01-02 BC, 4713-01-03 BC)', as_of => '4713-01-03 BC');
SELECT count(*) AS devices FROM device_kpis('[4713-01-02 BC, 200000-01-01)', as_of => '200000-01-01');

DROP SCHEMA iot CASCADE;
