-- A small store with something of everything: three devices and their collector, outages, statuses, late and stale hours,
-- maintenance, objectives, a setting and a metric of its own. Always the same, save for when it was received.
SELECT iot_kpi.make_partitions('[2026-02-28 00:00+00, 2026-03-01 04:00+00]');

UPDATE iot.settings SET value = '10 min' WHERE name = 'clock_skew';
INSERT INTO iot.metric_types (metric, unit, kind, description) VALUES ('pulses', NULL, 'counter', 'A counter that is reset now and then');
INSERT INTO iot.devices (device_id, device_type, location, expected_interval, status_ttl, response_target, heartbeat_metric, commissioned_at, metadata)
VALUES ('collector-1', 'collector', NULL, '10 min', NULL, NULL, NULL, '2026-02-01 00:00+00', '{}');
INSERT INTO iot.devices (device_id, device_type, location, expected_interval, status_ttl, response_target, heartbeat_metric, collector_id,
                         commissioned_at, metadata)
VALUES ('TEMP_001', 'temperature', 'Hall 1', '10 min', NULL, 60, 'heartbeat', 'collector-1', '2026-02-01 00:00+00', '{"floor": 1}'),
       ('AIR_001', 'air', 'Hall 2', '10 min', '1 hour', 100, 'heartbeat', 'collector-1', '2026-02-28 21:00+00', '{"owner": "Ä, \"B\""}'),
       ('CAM_001', 'camera', 'Hall 2', '20 min', NULL, 250, NULL, NULL, NULL, '{}');

-- One contact each ten minutes; a tenth of them do not come, and none for an hour and a half of AIR_001.
WITH contacts AS (
    SELECT d.device_id, tick, start + tick * interval '10 min' + abs(hashtext(d.device_id || tick)) % 5000 * interval '1 ms' AS at
    FROM (VALUES (timestamptz '2026-02-28 20:00+00')) w (start), generate_series(0, 47) tick, iot.devices d
    WHERE abs(hashtext(tick || d.device_id)) % 10 > 0 AND NOT (d.device_id = 'AIR_001' AND tick BETWEEN 12 AND 20)
)
INSERT INTO iot.device_metrics (device_id, metric, time, value)
SELECT c.device_id, m.metric, c.at, m.value
FROM contacts c, LATERAL (VALUES
    ('heartbeat', 1),
    ('error', (abs(hashtext('e' || c.device_id || c.tick)) % 8 = 0)::int),
    ('response_time', 20 + abs(hashtext('r' || c.device_id || c.tick)) % 1000 / 4.0),
    ('bytes', abs(hashtext('b' || c.device_id || c.tick)) % 5000),
    ('pulses', c.tick % 30 * 7)) m (metric, value)
WHERE c.device_id <> 'collector-1' OR m.metric = 'heartbeat';

INSERT INTO iot.device_status_history (device_id, time, status, reason)
VALUES ('AIR_001', '2026-02-28 21:00+00', 'online', NULL), ('AIR_001', '2026-02-28 22:05+00', 'error', E'sensor:\tno "air"\n\\ '),
       ('AIR_001', '2026-02-28 23:31+00', 'degraded', NULL), ('AIR_001', '2026-03-01 00:10+00', 'online', ''),
       ('CAM_001', '2026-02-28 20:00+00', 'online', NULL), ('CAM_001', '2026-03-01 02:00+00', 'maintenance', 'lens');
INSERT INTO iot.maintenance_windows (device_id, period, reason, created_by)
VALUES ('CAM_001', '[2026-03-01 02:00+00, 2026-03-01 02:45+00)', 'lens', 'postgres'),
       (NULL, '[2026-02-28 20:10+00, 2026-02-28 20:20+00)', 'switch', 'postgres');
INSERT INTO iot.slo_targets (scope_kind, scope_value, kpi, objective, period)
VALUES ('all', NULL, 'uptime', 0.99, '1 day'), ('device', 'AIR_001', 'availability', 0.9, '6 hours');

SELECT iot_kpi.calculate_kpis('[2026-02-28 00:00+00, 2026-03-01 02:00+00)', as_of => '2026-03-01 04:00+00');
-- A late sample: some of the hours, and the day, are stale again.
INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('TEMP_001', 'heartbeat', '2026-02-28 23:59:30+00', 1);

