//! A small store: three devices of two types and their collector, six hours of 2026-01-01, one outage.

use iot_kpi_tests::postgres::{Database, shared};

/// 2026-01-01T00:00Z, in ms.
pub(crate) const FROM: i64 = 1_767_225_600_000;
/// Six hours later.
pub(crate) const TO: i64 = FROM + 6 * 3_600_000;

const DEVICES: &str = "
INSERT INTO iot.devices (device_id, device_type, location, expected_interval, commissioned_at, metadata)
VALUES ('collector-1', 'collector', 'rack', '60 s', '2025-12-31', '{}'),
       ('TEMP_001', 'temperature', 'hall', '60 s', '2025-12-31', '{\"floor\": \"1\"}'),
       ('TEMP_002', 'temperature', 'roof', '60 s', '2025-12-31', '{\"floor\": \"2\"}'),
       ('CAM_001', 'camera', 'hall', '60 s', '2025-12-31', '{\"floor\": \"1\"}');
UPDATE iot.devices SET collector_id = 'collector-1' WHERE device_id <> 'collector-1';
INSERT INTO iot.metric_types (metric, unit, kind) VALUES ('temperature', 'Cel', 'gauge') ON CONFLICT (metric) DO NOTHING;
INSERT INTO iot.slo_targets (scope_kind, scope_value, kpi, objective) VALUES ('device_type', 'temperature', 'uptime', 0.99);
SELECT iot_kpi.make_partitions(tstzrange('2025-12-31', '2026-01-02'));
";

/// A report a minute, from a quarter of an hour before the window; TEMP_001 is silent from 02:00 to 02:30.
const SAMPLES: &str = "
WITH report AS (
    SELECT d.device_id, t AS time, d.ordinality AS n, extract(epoch FROM t)::bigint / 60 AS minute
    FROM unnest(ARRAY['collector-1', 'TEMP_001', 'TEMP_002', 'CAM_001']) WITH ORDINALITY AS d (device_id, ordinality),
         generate_series(timestamptz '2025-12-31 23:45Z', timestamptz '2026-01-01 05:59Z', '1 min') AS t
    WHERE NOT (d.device_id = 'TEMP_001' AND t >= '2026-01-01 02:00Z' AND t < '2026-01-01 02:30Z')
)
INSERT INTO iot.device_metrics (device_id, metric, time, value)
SELECT r.device_id, m.metric, r.time, m.value
FROM report r, LATERAL (VALUES
    ('heartbeat', 1), ('response_time', 20 + r.minute % 50), ('error', (r.minute % 20 = 0)::int), ('bytes', 600),
    ('temperature', CASE WHEN r.minute % 300 = 7 THEN 90 ELSE 20 + r.minute % 5 END)) AS m (metric, value)
WHERE m.metric = 'heartbeat' OR r.device_id <> 'collector-1';
INSERT INTO iot.device_status_history (device_id, time, status)
VALUES ('TEMP_001', '2025-12-31 12:00Z', 'online'), ('TEMP_001', '2026-01-01 02:01Z', 'offline'),
       ('TEMP_001', '2026-01-01 02:30Z', 'online'), ('TEMP_002', '2025-12-31 12:00Z', 'degraded'),
       ('CAM_001', '2025-12-31 12:00Z', 'online');
";

/// Makes it under a name of its own.
pub(crate) fn make(name: &str) -> Database<'static> {
    let database = shared().store(name);
    let mut client = database.client();
    client.batch_execute(DEVICES).expect("make the devices");
    client.batch_execute(SAMPLES).expect("make the samples");
    database
}

/// The server of all of them.
pub(crate) fn server() -> &'static iot_kpi_tests::postgres::Postgres {
    shared()
}
