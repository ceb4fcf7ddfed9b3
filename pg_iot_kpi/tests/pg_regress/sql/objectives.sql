-- Objectives over a store of three devices, small enough to count by hand.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_iot_kpi;
SET search_path = iot_kpi, public;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET intervalstyle = 'postgres';
\set SHOW_CONTEXT never
SELECT create_store() LIKE 'store version % is ready%' AS made;
SELECT make_partitions('[2024-01-01, 2024-01-05)') > 0 AS partitions;

-- a: a beat a minute, good for one, from the first of January on; none from 10:00 to 10:59 on the third: down for an hour of 72.
-- b: the same, and none from 11:30 to 11:59 on the third. c sends no beat, but a status.
INSERT INTO iot.devices (device_id, device_type, liveness, status_ttl) VALUES ('a', 'pump', '1 min', NULL), ('b', 'fan', '1 min', NULL), ('c', 'valve', NULL, '10 min');
INSERT INTO iot.device_metrics (device_id, metric, time, value)
    SELECT d, 'heartbeat', t, 1 FROM unnest(ARRAY['a', 'b']) AS d, generate_series('2024-01-01 00:00+00'::timestamptz, '2024-01-03 23:59+00', '1 min') AS t
    WHERE NOT (d = 'a' AND t >= '2024-01-03 10:00+00' AND t < '2024-01-03 11:00+00') AND NOT (d = 'b' AND t >= '2024-01-03 11:30+00' AND t < '2024-01-03 12:00+00');
INSERT INTO iot.slo_targets (id, scope_kind, scope_value, kpi, objective) VALUES
    (1, 'device', 'a', 'uptime', 0.99), (2, 'device_type', 'fan', 'uptime', 0.99), (3, 'all', NULL, 'uptime', 0.5), (4, 'device', 'c', 'availability', 0.9);

-- a: 71 of 72 hours; the budget of 1 % is 43:12 minutes, and 60 are consumed: 16:48 too many. b: 30 of 43:12.
SELECT slo_id, devices, round(value::numeric, 9) AS value, met, eligible_time, error_budget, consumed, remaining, round(remaining_ratio::numeric, 9) AS ratio,
       round(burn_rate::numeric, 9) AS burn_rate, round(nines::numeric, 6) AS nines
FROM slo_report('[2024-01-01, 2024-01-04)', as_of => '2024-01-04') WHERE slo_id < 3;
-- All: 71 + 71.5 + 0 of 216 hours. Of c nothing was said: no availability, no budget used.
SELECT slo_id, devices, round(value::numeric, 9) AS value, met, eligible_time, consumed, burn_rate IS NULL AS no_rate
FROM slo_report('[2024-01-01, 2024-01-04)', as_of => '2024-01-04') WHERE slo_id >= 3;

-- At 11:00 on the third a was down all of the last hour: 1/0.01 = 100 times the budget, in the last five minutes too. In the last six hours a sixth of the time,
-- that is 16.7 times. Of the last three days it was down 14 hours: 13 before its first beat, and this one.
SELECT severity, threshold, long_window, short_window, round(long_burn_rate::numeric, 6) AS long, round(short_burn_rate::numeric, 6) AS short, firing
FROM burn_rate_alerts('{a}', '2024-01-03 11:00+00') WHERE slo_id = 1;
-- Half an hour later the short windows of the pages are clean: nobody is paged for what is over.
SELECT severity, threshold, round(long_burn_rate::numeric, 6) AS long, round(short_burn_rate::numeric, 6) AS short, firing
FROM burn_rate_alerts('{a}', '2024-01-03 11:30+00') WHERE slo_id = 1;
-- c says it is in error for ten minutes of the last hour, and nothing else: five sixths are unknown, so an alert keeps its state.
INSERT INTO iot.device_status_history (device_id, time, status) VALUES ('c', '2024-01-03 10:50+00', 'error');
SELECT severity, round(long_burn_rate::numeric, 6) AS long, round(short_burn_rate::numeric, 6) AS short, firing FROM burn_rate_alerts('{c}', '2024-01-03 11:00+00') WHERE slo_id = 4;
-- With a sample every ten minutes all of the hour is seen.
INSERT INTO iot.device_status_history (device_id, time, status) SELECT 'c', t, 'error' FROM generate_series('2024-01-03 10:00+00'::timestamptz, '2024-01-03 10:40+00', '10 min') AS t;
SELECT severity, round(long_burn_rate::numeric, 6) AS long, round(short_burn_rate::numeric, 6) AS short, firing FROM burn_rate_alerts('{c}', '2024-01-03 11:00+00') WHERE slo_id = 4;

-- The calendar: a day of 24 hours may be down 14:24 minutes against 99 %.
SELECT series, started_at, round(uptime::numeric, 6) AS uptime, met, up_time, down_time, error_budget, remaining FROM sla_calendar('[2024-01-01, 2024-01-04)', 0.99, device_ids => '{a,b}', as_of => '2024-01-04');
SELECT series, started_at, round(uptime::numeric, 6) AS uptime, met FROM sla_calendar('[2024-01-03, 2024-01-04)', 0.99, '1 day', 'device_type', as_of => '2024-01-04');
-- Days of Tokyo begin at 15:00 UTC.
SELECT started_at, up_time, down_time FROM sla_calendar('[2024-01-02, 2024-01-04)', 0.99, time_zone => 'Asia/Tokyo', device_ids => '{a}', as_of => '2024-01-04');

-- Scores. Of 1, 2, 3, 4, 100 the median is 3 and the MAD 1: 100 scores 0.6745 * 97.
SELECT round(modified_z_score(100, 3, 1)::numeric, 6) AS mad, round(modified_z_score(5, 3, 0, 0.5)::numeric, 6) AS mean_deviation, modified_z_score(5, 3, 0) AS no_spread;
-- Weight a half: 10, 15, 12.5, 7.25. From a mean of 10 with slack 1: 0, 9, 8, 0. A NULL changes nothing.
SELECT array_agg(e ORDER BY i) AS ewma, array_agg(c ORDER BY i) AS cusum FROM (
    SELECT i, ewma(v, 0.5) OVER (ORDER BY i) AS e, cusum(v, 10, 1) OVER (ORDER BY i) AS c FROM unnest(ARRAY[10, 20, NULL, 10, 2]::float8[]) WITH ORDINALITY AS u (v, i)) AS s;
-- After one value the limits of weight 0.2 are 3 * 0.2 deviations off; in the end 3 * sqrt(0.2/1.8) = 1.
SELECT n, round(low::numeric, 6) AS low, round(high::numeric, 6) AS high FROM unnest(ARRAY[0, 1, 1000]) AS n, ewma_limits(10, 1, 0.2, 3, n);
-- Anomalies: sixteen samples of 20, fourteen of 21, one of 40. The median is 20 and the MAD 0, the mean deviation 34/31: 20/(1.2533 * 34/31).
INSERT INTO iot.device_metrics (device_id, metric, time, value) SELECT 'c', 'temperature', '2024-01-03 12:00+00'::timestamptz + i * interval '1 min', CASE WHEN i = 15 THEN 40 ELSE 20 + i % 2 END FROM generate_series(0, 30) AS i;
SELECT device_id, time, value, expected, round(score::numeric, 6) AS score FROM anomalies('temperature', '[2024-01-03 12:00+00, 2024-01-03 13:00+00)', as_of => '2024-01-04');
SELECT count(*) FROM anomalies('temperature', '[2024-01-03 12:00+00, 2024-01-03 12:15+00)', as_of => '2024-01-04');

-- g collects for c, and was up for six hours of the third. An objective of a group leaves it out, whatever the group, as the fleet and
-- the calendar do: one answer. So it counts where it is asked for by name, or where the objective is its own.
INSERT INTO iot.devices (device_id, device_type, location, liveness) VALUES ('g', 'pump', 'hall', '1 min');
INSERT INTO iot.device_metrics (device_id, metric, time, value)
    SELECT 'g', 'heartbeat', t, 1 FROM generate_series('2024-01-03 00:00+00'::timestamptz, '2024-01-03 05:59+00', '1 min') AS t;
UPDATE iot.devices SET location = 'hall' WHERE device_id IN ('a', 'b');
UPDATE iot.devices SET collector_id = 'g' WHERE device_id = 'c';
INSERT INTO iot.slo_targets (id, scope_kind, scope_value, kpi, objective) VALUES
    (10, 'location', 'hall', 'uptime', 0.9), (11, 'device_type', 'pump', 'uptime', 0.9), (12, 'device', 'g', 'uptime', 0.9);
\set third '''[2024-01-03, 2024-01-04)'''
SELECT s.slo_id, s.scope_kind, s.scope_value, s.devices, s.value, c.uptime AS calendar, f.pooled_uptime AS fleet
FROM slo_report(:third, as_of => '2024-01-04') AS s
LEFT JOIN LATERAL (SELECT k.uptime FROM sla_calendar(:third, 0.9, '1 day', nullif(s.scope_kind, 'device'), as_of => '2024-01-04') AS k
                   WHERE k.series = s.scope_value) AS c ON true
LEFT JOIN LATERAL (SELECT k.pooled_uptime FROM fleet_kpis(:third, nullif(s.scope_kind, 'device'), as_of => '2024-01-04') AS k
                   WHERE k.group_value = s.scope_value) AS f ON true
WHERE s.slo_id >= 10 ORDER BY 1;
SELECT s.devices, s.value, (SELECT k.pooled_uptime FROM fleet_kpis(:third, device_ids => '{a, b, c, g}', as_of => '2024-01-04') AS k) AS fleet
FROM slo_report(:third, '{a, b, c, g}', '2024-01-04') AS s WHERE s.slo_id = 3;
SELECT s.devices, s.value, (SELECT k.pooled_uptime FROM fleet_kpis(:third, as_of => '2024-01-04') AS k) AS fleet
FROM slo_report(:third, as_of => '2024-01-04') AS s WHERE s.slo_id = 3;
SELECT DISTINCT a.slo_id, a.long_window, a.long_burn_rate FROM burn_rate_alerts(as_of => '2024-01-03 12:00+00') AS a WHERE a.slo_id IN (10, 11) ORDER BY 1, 2;

-- What makes no sense is refused.
SELECT * FROM sla_calendar('[2024-01-01, 2024-01-04)', 1, as_of => '2024-01-04');
SELECT modified_z_score('NaN', 0, 1);
SELECT modified_z_score(1, 0, -1);
SELECT ewma(1, 0);
SELECT cusum(1, 0, -1);
SELECT * FROM anomalies('temperature', '[2024-01-03, 2024-01-04)', 0, as_of => '2024-01-04');
SELECT * FROM anomalies('weather', '[2024-01-03, 2024-01-04)', as_of => '2024-01-04');
INSERT INTO iot.slo_targets (id, scope_kind, kpi, objective) VALUES (9, 'all', 'jitter', 0.9);
SELECT * FROM slo_report('[2024-01-01, 2024-01-04)', as_of => '2024-01-04');
