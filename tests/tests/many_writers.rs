//! Many writers at once, on the same devices, through both doors: nobody deadlocks, and afterwards the books are right.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the message, outside a #[test] function too"
)]

use std::thread;
use std::time::{Duration, Instant};

use iot_kpi_tests::postgres::{Database, shared};

const RUN: Duration = Duration::from_secs(4);

/// Batches overlap and come shuffled; devices are unknown at first.
const FORGIVING: &str = "
    SELECT iot_kpi.ingest_metrics(array_agg('dev-' || d ORDER BY random()), array_agg(m),
        array_agg(date_trunc('minute', now()) - t * interval '1 min'), array_agg(1::float8))
    FROM (SELECT (random() * 60)::int AS d, (random() * 50)::int AS t, (ARRAY['humidity', 'bytes'])[1 + (random())::int] AS m
          FROM generate_series(1, 300)) batch";
/// Sorted, as a statement must be that inserts keys others insert too.
const STRICT: &str = "
    INSERT INTO iot.device_metrics (device_id, metric, time, value)
    SELECT DISTINCT 'dev-' || d, 'humidity', date_trunc('minute', now()) - t * interval '1 min', 2
    FROM (SELECT (random() * 60)::int AS d, (random() * 50)::int AS t FROM generate_series(1, 100)) batch
    ORDER BY 1, 2, 3 ON CONFLICT DO NOTHING";
const STATUS: &str = "
    SELECT iot_kpi.ingest_status(array_agg('dev-' || d ORDER BY random()),
        array_agg(date_trunc('minute', now()) - t * interval '1 min'),
        array_agg((ARRAY['online', 'offline', 'error'])[1 + (random() * 2)::int]), array_agg(NULL::text))
    FROM (SELECT (random() * 60)::int AS d, (random() * 50)::int AS t FROM generate_series(1, 100)) batch";
const DEVICE: &str = "
    UPDATE iot.devices SET liveness = (random() * 100 + 10) * interval '1 s', heartbeat_metric = CASE WHEN random() < 0.5 THEN 'bytes' END
    WHERE device_id = 'dev-' || extract(second FROM clock_timestamp())::int";
/// What `calculate_kpis()` does, with a count as the only KPI, so that the result can be checked.
const CALCULATE: &str = "
    BEGIN;
    SELECT iot_kpi.lock_for_calculation(NULL, now());
    INSERT INTO iot.kpi_calculations (device_id, grain, period, parts, failures)
    SELECT d.device_id, 'hour', tstzrange(h, h + interval '1 hour'), bytea '',
           (SELECT count(*) FROM iot.device_metrics m WHERE m.device_id = d.device_id AND m.time >= h AND m.time < h + interval '1 hour')
    FROM iot.devices d, generate_series(date_trunc('hour', now()) - interval '2 hours', now(), interval '1 hour') h
    ON CONFLICT (device_id, grain, period) DO UPDATE SET failures = excluded.failures, stale = false;
    COMMIT";

/// Each counts what is wrong.
const BOOKS: [(&str, &str); 4] = [
    (
        "device_liveness of metrics",
        "SELECT count(*) FROM iot.device_liveness l JOIN iot.devices d USING (device_id)
         WHERE (last_measured, last_received, last_beat) IS DISTINCT FROM
               (SELECT (max(time), max(received_at), max(time) FILTER (WHERE d.heartbeat_metric IS NULL OR metric = d.heartbeat_metric))
                FROM iot.device_metrics m WHERE m.device_id = l.device_id)",
    ),
    (
        "device_liveness of status",
        "SELECT count(*) FROM iot.device_liveness l LEFT JOIN LATERAL (SELECT h.status, h.time FROM iot.device_status_history h
             WHERE h.device_id = l.device_id ORDER BY time DESC LIMIT 1) s ON true
         WHERE (last_status, last_status_at) IS DISTINCT FROM (s.status, s.time)",
    ),
    (
        "commissioned_at",
        "SELECT count(*) FROM iot.devices d WHERE commissioned_at IS DISTINCT FROM least(
             (SELECT min(time) FROM iot.device_metrics m WHERE m.device_id = d.device_id),
             (SELECT min(time) FROM iot.device_status_history h WHERE h.device_id = d.device_id))",
    ),
    (
        "calculations that are not stale",
        "SELECT count(*) FROM iot.kpi_calculations k WHERE NOT stale AND failures <>
             (SELECT count(*) FROM iot.device_metrics m WHERE m.device_id = k.device_id AND m.time <@ k.period)",
    ),
];

#[test]
fn nobody_deadlocks_and_the_books_are_right() {
    let database = shared().store("many_writers");
    let statements = [
        FORGIVING, FORGIVING, FORGIVING, STRICT, STRICT, STATUS, STATUS, DEVICE, CALCULATE,
    ];
    thread::scope(|scope| {
        for statement in statements {
            let database = &database;
            scope.spawn(move || repeat(database, statement));
        }
    });
    let mut client = database.client();
    for (what, count) in BOOKS {
        let wrong: i64 = client.query_one(count, &[]).unwrap().get(0);
        assert_eq!(wrong, 0, "{what}");
    }
}

fn repeat(database: &Database<'_>, statement: &str) {
    let mut client = database.client();
    let start = Instant::now();
    while start.elapsed() < RUN {
        client.batch_execute(statement).unwrap();
    }
}
