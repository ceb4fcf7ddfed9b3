//! Many sessions at once: writers through both doors, readers, calculations, transactions that end in all ways. Afterwards,
//! right away, `device_liveness` and the marks of stale calculations are what the samples say. And nobody deadlocks.

#![allow(
    clippy::unwrap_used,
    reason = "in tests, helpers outside a #[test] included, a panic is the message"
)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use iot_kpi_tests::postgres::{Database, shared};
use postgres::{Client, GenericClient, IsolationLevel};

const HOUR: &str = "'[2024-03-10 10:00+00, 2024-03-10 11:00+00)'::tstzrange";
const LATER: &str = "'2024-03-11 00:00+00'::timestamptz";

/// What a session does turn after turn.
type Work = Box<dyn FnMut(&mut Client, usize) + Send>;

/// A store with devices `d0` to `d19`, every third of them observed by `d0`, and one with a heartbeat metric of its own.
fn store(name: &str) -> Database<'static> {
    let database = shared().store(name);
    let mut client = database.client();
    client
        .batch_execute(
            "SELECT iot_kpi.make_partitions('[2024-03-10, 2024-03-11)');
             INSERT INTO iot.devices (device_id) SELECT 'd' || i FROM generate_series(0, 19) AS i;
             UPDATE iot.devices SET collector_id = 'd0' WHERE device_id IN ('d3', 'd6', 'd9', 'd12', 'd15', 'd18');
             UPDATE iot.devices SET heartbeat_metric = 'heartbeat' WHERE device_id = 'd1'",
        )
        .unwrap();
    database
}

/// What the triggers keep is what the samples say.
fn check_liveness(client: &mut impl GenericClient) {
    let wrong = client
        .query(
            "SELECT d.device_id, l.*::text AS kept, m.*::text AS samples, s.*::text AS statuses
             FROM iot.devices d
             LEFT JOIN iot.device_liveness l ON l.device_id = d.device_id
             CROSS JOIN LATERAL (
                 SELECT max(time) AS last_measured, max(received_at) AS last_received,
                        max(time) FILTER (WHERE (d.heartbeat_metric IS NULL OR metric = d.heartbeat_metric) AND CASE metric WHEN 'error' THEN value = 0 WHEN 'heartbeat' THEN value <> 0 ELSE true END) AS last_beat
                 FROM iot.device_metrics WHERE device_id = d.device_id) AS m
             LEFT JOIN LATERAL (
                 SELECT status, time FROM iot.device_status_history WHERE device_id = d.device_id ORDER BY time DESC LIMIT 1
             ) AS s ON true
             WHERE (l.last_measured, l.last_received, l.last_beat, l.last_status, l.last_status_at)
                   IS DISTINCT FROM (m.last_measured, m.last_received, m.last_beat, s.status, s.time)",
            &[],
        )
        .unwrap();
    let lines: Vec<String> = wrong
        .iter()
        .map(|row| {
            format!(
                "{}: kept {:?}, samples {:?}, statuses {:?}",
                row.get::<_, String>(0),
                row.get::<_, Option<String>>(1),
                row.get::<_, Option<String>>(2),
                row.get::<_, Option<String>>(3)
            )
        })
        .collect();
    assert!(lines.is_empty(), "device_liveness is wrong:\n{}", lines.join("\n"));
}

/// No calculation passes for fresh that comes out differently when it is made anew.
fn check_calculations(client: &mut Client) {
    let mut transaction = client.transaction().unwrap();
    let count = |transaction: &mut postgres::Transaction<'_>, sql: &str| -> i64 {
        transaction.query_one(sql, &[]).unwrap().get(0)
    };
    transaction
        .batch_execute(
            "CREATE TEMP TABLE kept ON COMMIT DROP AS
                 SELECT device_id, grain, period, to_jsonb(k) - 'calculated_at' AS value FROM iot.kpi_calculations k WHERE NOT stale;
             UPDATE iot.kpi_calculations SET stale = true",
        )
        .unwrap();
    count(
        &mut transaction,
        &format!("SELECT iot_kpi.calculate_kpis('[2024-03-10, 2024-03-11)', as_of => {LATER})"),
    );
    let wrong = transaction
        .query(
            "SELECT k.device_id || ' ' || k.grain || ' ' || k.period::text FROM kept JOIN iot.kpi_calculations k USING (device_id, grain, period)
             WHERE kept.value <> to_jsonb(k) - 'calculated_at'",
            &[],
        )
        .unwrap();
    let wrong: Vec<String> = wrong.iter().map(|row| row.get(0)).collect();
    assert!(wrong.is_empty(), "calculations pass for fresh and are not: {wrong:?}");
    transaction.rollback().unwrap();
}

/// The report in parts and the rows agree, in one snapshot.
fn check_report(client: &mut impl GenericClient) {
    let sql = format!(
        "SELECT (SELECT sum(attempts)::bigint FROM iot_kpi.device_kpis({HOUR}, as_of => {LATER})),
                (SELECT count(*) FROM iot.device_metrics WHERE metric = 'error' AND time <@ {HOUR}),
                (SELECT bool_and(up_time + down_time + unknown_time + excluded_time = '1 h') FROM iot_kpi.device_kpis({HOUR}, as_of => {LATER}))"
    );
    let row = client.query_one(&sql, &[]).unwrap();
    assert_eq!(
        row.get::<_, i64>(0),
        row.get::<_, i64>(1),
        "attempts of the report and rows"
    );
    assert!(row.get::<_, bool>(2), "the four classes add up");
}

/// A batch of a hundred samples of all devices in an order of its own. `fresh` makes their times nobody else's.
fn batch(writer: usize, turn: usize, fresh: bool) -> String {
    let offset = if fresh { writer * 1000 + turn } else { 0 };
    format!(
        "SELECT 'd' || i % 20 AS d, (ARRAY['error', 'temperature', 'heartbeat'])[1 + i % 3] AS m,
                '2024-03-10 09:00+00'::timestamptz + (i * {step} % 97 * 100 + {turn}) * interval '1 s' + {offset} * interval '1 us' AS t,
                (i % 2)::float8 AS v
         FROM generate_series(1, 100) AS i ORDER BY md5(i::text || {writer} || {turn})",
        step = if fresh { writer * 2 + 1 } else { 7 },
    )
}

fn write(client: &mut Client, writer: usize, turn: usize) {
    let sql = match writer % 4 {
        0 => format!(
            "INSERT INTO iot.device_metrics (device_id, metric, time, value) SELECT DISTINCT ON (d, m, t) d, m, t, v FROM ({}) AS b",
            batch(writer, turn, true)
        ),
        1 => format!(
            "SELECT iot_kpi.ingest_status(array_agg(d), array_agg(t), array_agg(CASE WHEN v = 0 THEN 'online' ELSE 'error' END), array_agg('writer {writer}'::text)) FROM ({}) AS b",
            batch(writer, turn, false)
        ),
        // The same rows from several writers, each in another order.
        _ => format!(
            "SELECT iot_kpi.ingest_metrics(array_agg(d), array_agg(m), array_agg(t), array_agg(v)) FROM ({}) AS b",
            batch(writer, turn, false)
        ),
    };
    client.batch_execute(&sql).unwrap();
}

#[test]
fn writers_readers_and_calculations_go_together() {
    let database = store("concurrency_all");
    let done = AtomicBool::new(false);
    let until_done = |mut work: Work| {
        let mut client = database.client();
        let done = &done;
        move || {
            for turn in 0.. {
                work(&mut client, turn);
                if done.load(Ordering::Relaxed) {
                    return;
                }
            }
        }
    };
    scope(|threads| {
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let mut client = database.client();
                threads.spawn(move || (0..25).for_each(|turn| write(&mut client, writer, turn)))
            })
            .collect();
        threads.spawn(until_done(Box::new(|client, turn| {
            let grain = if turn % 2 == 0 {
                HOUR
            } else {
                "'[2024-03-10, 2024-03-11)'"
            };
            client
                .execute(
                    &format!("SELECT iot_kpi.calculate_kpis({grain}, as_of => {LATER})"),
                    &[],
                )
                .unwrap();
        })));
        threads.spawn(until_done(Box::new(|client, _| check_report(client))));
        threads.spawn(until_done(Box::new(|client, _| {
            let mut snapshot = client
                .build_transaction()
                .isolation_level(IsolationLevel::RepeatableRead)
                .start()
                .unwrap();
            let report =
                format!("SELECT md5(string_agg(k::text, ' ')) FROM iot_kpi.device_kpis({HOUR}, as_of => {LATER}) AS k");
            let first: String = snapshot.query_one(&report, &[]).unwrap().get(0);
            check_report(&mut snapshot);
            check_liveness(&mut snapshot);
            sleep(Duration::from_millis(20));
            assert_eq!(
                snapshot.query_one(&report, &[]).unwrap().get::<_, String>(0),
                first,
                "a snapshot that changes"
            );
        })));
        // Somebody changes devices meanwhile, and new ones come in on first sight.
        threads.spawn(until_done(Box::new(|client, turn| {
            let metric = if turn % 2 == 0 { "NULL" } else { "'temperature'" };
            client.batch_execute(&format!("UPDATE iot.devices SET heartbeat_metric = {metric} WHERE device_id = 'd{}'", turn % 20)).unwrap();
            let new = format!("SELECT iot_kpi.ingest_metrics(ARRAY['new{}', 'd5'], ARRAY['error', 'error'], ARRAY['2024-03-10 10:30+00', '2024-03-10 10:30+00']::timestamptz[], ARRAY[0, 0])", turn % 50);
            client.batch_execute(&new).unwrap();
        })));
        let outcomes: Vec<_> = writers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        outcomes.into_iter().for_each(|outcome| outcome.unwrap());
    });
    let mut client = database.client();
    check_liveness(&mut client);
    check_calculations(&mut client);
    check_report(&mut client);
    // Every row is there that somebody wrote, once.
    let distinct: i64 = client
        .query_one(&format!("SELECT count(*) FROM (SELECT DISTINCT d, m, t FROM ({}) AS b) AS w LEFT JOIN iot.device_metrics s ON (s.device_id, s.metric, s.time) = (w.d, w.m, w.t) WHERE s.value IS NULL", batch(2, 24, false)), &[])
        .unwrap()
        .get(0);
    assert_eq!(distinct, 0);
}

/// Waits until another session waits for a lock.
fn wait_for_a_waiter(client: &mut Client) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while client
        .query(
            "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()",
            &[],
        )
        .unwrap()
        .is_empty()
    {
        assert!(Instant::now() < deadline, "nobody waits");
        sleep(Duration::from_millis(5));
    }
}

const LATE: &str =
    "INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('d2', 'error', '2024-03-10 10:10+00', 1)";

fn stale_periods(client: &mut Client) -> i64 {
    client
        .query_one("SELECT count(*) FROM iot.kpi_calculations WHERE stale", &[])
        .unwrap()
        .get(0)
}

fn calculate(client: &mut impl GenericClient) -> i64 {
    client
        .query_one(&format!("SELECT iot_kpi.calculate_kpis({HOUR}, as_of => {LATER})"), &[])
        .unwrap()
        .get(0)
}

#[test]
fn a_calculation_waits_for_a_writer_and_sees_its_rows() {
    let database = store("concurrency_writer_first");
    let (mut watcher, mut writer) = (database.client(), database.client());
    let mut writing = writer.transaction().unwrap();
    writing.batch_execute(LATE).unwrap();
    scope(|threads| {
        let calculation = threads.spawn(|| calculate(&mut database.client()));
        wait_for_a_waiter(&mut watcher);
        writing.commit().unwrap();
        assert_eq!(calculation.join().unwrap(), 20);
    });
    let attempts: i64 = watcher
        .query_one("SELECT attempts FROM iot.kpi_calculations WHERE device_id = 'd2'", &[])
        .unwrap()
        .get(0);
    assert_eq!(attempts, 1);
    check_calculations(&mut watcher);
}

#[test]
fn a_writer_waits_for_a_calculation_and_marks_it_stale() {
    let database = store("concurrency_calculation_first");
    let (mut watcher, mut reader) = (database.client(), database.client());
    let mut calculating = reader.transaction().unwrap();
    assert_eq!(calculate(&mut calculating), 20);
    scope(|threads| {
        let writer = threads.spawn(|| database.client().batch_execute(LATE));
        wait_for_a_waiter(&mut watcher);
        calculating.commit().unwrap();
        writer.join().unwrap().unwrap();
    });
    assert_eq!(stale_periods(&mut watcher), 1);
    check_calculations(&mut watcher);
}

/// A device is in service since its earliest sample that stands, whoever comes first: who deletes that one or who brings the next.
#[test]
fn a_first_sample_gives_way_to_one_that_comes_meanwhile() {
    let database = store("concurrency_first_sample");
    let mut watcher = database.client();
    let by_metric = "INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('seen', 'error', '2024-03-10 10:30+00', 1)";
    let by_status = "INSERT INTO iot.device_status_history (device_id, time, status) VALUES ('seen', '2024-03-10 10:30+00', 'online')";
    let by_door = "SELECT iot_kpi.ingest_status('{seen}', '{2024-03-10 10:30+00}', '{online}', '{x}')";
    let delete = "DELETE FROM iot.device_metrics WHERE device_id = 'seen' AND time = '2024-03-10 10:10+00'";
    for (first, second) in [
        (delete, by_metric),
        (by_metric, delete),
        (delete, by_status),
        (by_status, delete),
        (delete, by_door),
    ] {
        watcher
            .batch_execute(
                "TRUNCATE iot.device_metrics, iot.device_status_history; DELETE FROM iot.devices WHERE device_id = 'seen';
                 INSERT INTO iot.device_metrics (device_id, metric, time, value)
                 SELECT 'seen', 'error', t, 0 FROM unnest('{2024-03-10 10:10+00, 2024-03-10 10:50+00}'::timestamptz[]) t",
            )
            .unwrap();
        calculate(&mut watcher);
        let mut other = database.client();
        let mut open = other.transaction().unwrap();
        open.batch_execute(first).unwrap();
        scope(|threads| {
            let waiting = threads.spawn(|| database.client().batch_execute(second));
            wait_for_a_waiter(&mut watcher);
            open.commit().unwrap();
            waiting.join().unwrap().unwrap();
        });
        let since: bool = watcher
            .query_one(
                "SELECT commissioned_at = '2024-03-10 10:30+00' FROM iot.devices WHERE device_id = 'seen'",
                &[],
            )
            .unwrap()
            .get(0);
        assert!(since, "{first}; meanwhile {second}");
        check_calculations(&mut watcher);
        check_liveness(&mut watcher);
    }
}

#[test]
fn what_is_rolled_back_leaves_nothing() {
    let database = store("concurrency_rollback");
    let mut client = database.client();
    client.batch_execute("SELECT iot_kpi.ingest_metrics(ARRAY['d2'], ARRAY['error'], ARRAY['2024-03-10 10:05+00'::timestamptz], ARRAY[0])").unwrap();
    calculate(&mut client);
    let before = |client: &mut Client| -> String {
        client.query_one("SELECT (SELECT jsonb_agg(l ORDER BY device_id) FROM iot.device_liveness l)::text || (SELECT jsonb_agg(to_jsonb(k) ORDER BY device_id, period) FROM iot.kpi_calculations k)::text || (SELECT count(*) FROM iot.devices)::text", &[]).unwrap().get(0)
    };
    let kept = before(&mut client);
    let mut transaction = client.transaction().unwrap();
    transaction.batch_execute(LATE).unwrap();
    transaction.batch_execute("SELECT iot_kpi.ingest_status(ARRAY['d2', 'unheard_of'], ARRAY['2024-03-10 10:00+00', '2024-03-10 10:00+00']::timestamptz[], ARRAY['error', 'online'], ARRAY[NULL, NULL])").unwrap();
    check_liveness(&mut transaction);
    transaction.rollback().unwrap();
    assert_eq!(before(&mut client), kept);
    check_liveness(&mut client);

    // A savepoint takes back what came after it, and nothing else.
    let mut transaction = client.transaction().unwrap();
    transaction.batch_execute(LATE).unwrap();
    transaction.batch_execute("SAVEPOINT s; INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('d4', 'error', '2024-03-10 10:20+00', 1)").unwrap();
    transaction
        .batch_execute("DELETE FROM iot.device_metrics WHERE device_id = 'd2'; ROLLBACK TO s")
        .unwrap();
    transaction.batch_execute("INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('d6', 'error', '2024-03-10 10:20+00', 1)").unwrap();
    transaction.commit().unwrap();
    check_liveness(&mut client);
    let stale: Vec<String> = client
        .query("SELECT device_id FROM iot.kpi_calculations WHERE stale ORDER BY 1", &[])
        .unwrap()
        .iter()
        .map(|r| r.get(0))
        .collect();
    assert_eq!(stale, ["d2", "d6"]);
    check_calculations(&mut client);

    // An error in the middle of a statement: nothing of it stays.
    let kept = before(&mut client);
    let refused = client.batch_execute("INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('d8', 'error', '2024-03-10 10:20+00', 1), ('d8', 'error', '2024-03-10 10:21+00', 'NaN')");
    assert!(refused.is_err());
    assert_eq!(before(&mut client), kept);
}

#[test]
fn deleting_updating_and_truncating_are_noticed() {
    let database = store("concurrency_truncate");
    let mut client = database.client();
    client
        .batch_execute(
            "INSERT INTO iot.device_metrics (device_id, metric, time, value)
                 SELECT 'd' || d, m, '2024-03-10 10:00+00'::timestamptz + i * interval '1 min', 0
                 FROM generate_series(0, 19) AS d, generate_series(0, 9) AS i, unnest(ARRAY['heartbeat', 'error']) AS m;
             INSERT INTO iot.device_status_history (device_id, time, status) SELECT 'd' || d, '2024-03-10 10:00+00'::timestamptz + i * interval '1 min', 'online'
                 FROM generate_series(0, 19) AS d, generate_series(0, 2) AS i",
        )
        .unwrap();
    // Statement, and how many of the twenty devices' hours it makes stale.
    for (statement, stale) in [
        (
            "DELETE FROM iot.device_metrics WHERE device_id = 'd2' AND time = '2024-03-10 10:09+00'",
            1,
        ),
        // The last beat of d1, whose other metrics are none.
        (
            "DELETE FROM iot.device_metrics WHERE device_id = 'd1' AND metric = 'heartbeat' AND time = '2024-03-10 10:09+00'",
            1,
        ),
        (
            "UPDATE iot.device_metrics SET time = '2024-03-10 10:30+00' WHERE device_id = 'd5' AND metric = 'error' AND time = '2024-03-10 10:00+00'",
            1,
        ),
        (
            "UPDATE iot.device_metrics SET value = 1 WHERE device_id IN ('d7', 'd8') AND metric = 'error'",
            2,
        ),
        // An observer and the six that it observes.
        ("DELETE FROM iot.device_metrics WHERE device_id = 'd0'", 7),
        (
            "DELETE FROM iot.device_status_history WHERE device_id = 'd4' AND time = '2024-03-10 10:02+00'",
            1,
        ),
        (
            "UPDATE iot.device_status_history SET status = 'error' WHERE device_id = 'd4'",
            1,
        ),
        (
            "INSERT INTO iot.maintenance_windows (device_id, period) VALUES ('d9', '[2024-03-10 10:50+00, 2024-03-10 10:55+00)')",
            1,
        ),
        (
            "UPDATE iot.maintenance_windows SET period = '[2024-03-10 12:50+00, 2024-03-10 12:55+00)'",
            1,
        ),
        ("DELETE FROM iot.maintenance_windows", 0),
        ("UPDATE iot.devices SET liveness = '1 h' WHERE device_id = 'd10'", 1),
        (
            "UPDATE iot.devices SET name = 'another', location = 'elsewhere' WHERE device_id = 'd10'",
            0,
        ),
        (
            "UPDATE iot.devices SET heartbeat_metric = 'error' WHERE device_id = 'd1'",
            1,
        ),
        ("TRUNCATE iot.device_status_history", 20),
        ("TRUNCATE iot.device_metrics", 20),
    ] {
        calculate(&mut client);
        assert_eq!(stale_periods(&mut client), 0, "before {statement}");
        client.batch_execute(statement).unwrap();
        assert_eq!(stale_periods(&mut client), stale, "{statement}");
        check_liveness(&mut client);
        check_calculations(&mut client);
    }
    let mut transaction = client.transaction().unwrap();
    transaction.batch_execute(LATE).unwrap();
    transaction.batch_execute("TRUNCATE iot.device_metrics").unwrap();
    check_liveness(&mut transaction);
    transaction.rollback().unwrap();
    check_liveness(&mut client);
}

#[test]
fn a_late_beat_is_noticed_as_far_as_it_reaches() {
    let database = store("concurrency_reach");
    let mut client = database.client();
    // Each device's beats are good for three minutes.
    for (device, time, stale) in [
        ("d2", "10:58", 2),
        // Until the very end of the hour: the next one begins with the failure.
        ("d4", "10:57", 2),
        ("d5", "10:56:59.999999", 1),
        // An observer and the six that it observes, two hours each.
        ("d0", "10:59", 14),
    ] {
        let two_hours = "'[2024-03-10 10:00+00, 2024-03-10 12:00+00)'";
        let calculate = format!("SELECT iot_kpi.calculate_kpis({two_hours}, as_of => {LATER})");
        client.execute(&calculate, &[]).unwrap();
        assert_eq!(stale_periods(&mut client), 0);
        let beat = format!(
            "INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('{device}', 'temperature', '2024-03-10 {time}+00', 1)"
        );
        client.batch_execute(&beat).unwrap();
        assert_eq!(stale_periods(&mut client), stale, "{device} at {time}");
        check_calculations(&mut client);
    }
}

#[test]
fn a_calculation_takes_its_locks_at_once() {
    let database = store("concurrency_order");
    let (mut watcher, mut writer) = (database.client(), database.client());
    let whole_day = format!("SELECT iot_kpi.calculate_kpis('[2024-03-10, 2024-03-11)', as_of => {LATER})");
    watcher.execute(&whole_day, &[]).unwrap();
    // Of the hours only one of d5 is wanted, of the days those of all.
    watcher
        .batch_execute("DELETE FROM iot.kpi_calculations WHERE grain = 'day'")
        .unwrap();
    watcher
        .batch_execute("INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('d5', 'error', '2024-03-10 10:30+00', 1)")
        .unwrap();
    let mut writing = writer.transaction().unwrap();
    writing.batch_execute("INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('d10', 'error', '2024-03-10 10:30+00', 1)").unwrap();
    scope(|threads| {
        let calculation = threads.spawn(|| database.client().execute(&whole_day, &[]));
        wait_for_a_waiter(&mut watcher);
        writing.batch_execute("INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('d5', 'error', '2024-03-10 10:31+00', 1)").unwrap();
        writing.commit().unwrap();
        calculation.join().unwrap().unwrap();
    });
    check_calculations(&mut watcher);
}

/// Batches overlap and come shuffled; devices are unknown at first.
const SHUFFLED: &str = "
    SELECT iot_kpi.ingest_metrics(array_agg('dev-' || d ORDER BY random()), array_agg(m),
        array_agg(date_trunc('minute', now()) - t * interval '1 min'), array_agg(1::float8))
    FROM (SELECT (random() * 60)::int AS d, (random() * 50)::int AS t, (ARRAY['humidity', 'bytes'])[1 + (random())::int] AS m
          FROM generate_series(1, 300)) batch";
/// Sorted, as a statement must be that inserts keys others insert too.
const SORTED: &str = "
    INSERT INTO iot.device_metrics (device_id, metric, time, value)
    SELECT DISTINCT 'dev-' || d, 'humidity', date_trunc('minute', now()) - t * interval '1 min', 2
    FROM (SELECT (random() * 60)::int AS d, (random() * 50)::int AS t FROM generate_series(1, 100)) batch
    ORDER BY 1, 2, 3 ON CONFLICT DO NOTHING";
const STATUSES: &str = "
    SELECT iot_kpi.ingest_status(array_agg('dev-' || d ORDER BY random()),
        array_agg(date_trunc('minute', now()) - t * interval '1 min'),
        array_agg((ARRAY['online', 'offline', 'error'])[1 + (random() * 2)::int]), array_agg(NULL::text))
    FROM (SELECT (random() * 60)::int AS d, (random() * 50)::int AS t FROM generate_series(1, 100)) batch";
const DEVICE: &str = "
    UPDATE iot.devices SET liveness = (random() * 100 + 10) * interval '1 s', heartbeat_metric = CASE WHEN random() < 0.5 THEN 'bytes' END
    WHERE device_id = 'dev-' || extract(second FROM clock_timestamp())::int";
/// What `calculate_kpis()` does, with a count as the only KPI, so that the result can be checked.
const COUNT: &str = "
    BEGIN;
    SELECT iot_kpi.lock_for_calculation(NULL, now());
    INSERT INTO iot.kpi_calculations (device_id, grain, period, parts, failures)
    SELECT d.device_id, 'hour', tstzrange(h, h + interval '1 hour'), bytea '',
           (SELECT count(*) FROM iot.device_metrics m WHERE m.device_id = d.device_id AND m.time >= h AND m.time < h + interval '1 hour')
    FROM iot.devices d, generate_series(date_trunc('hour', now()) - interval '2 hours', now(), interval '1 hour') h
    ON CONFLICT (device_id, grain, period) DO UPDATE SET failures = excluded.failures, stale = false;
    COMMIT";

#[test]
fn nobody_deadlocks_on_devices_that_nobody_knew() {
    let database = shared().store("concurrency_unknown");
    scope(|threads| {
        for statement in [
            SHUFFLED, SHUFFLED, SHUFFLED, SORTED, SORTED, STATUSES, STATUSES, DEVICE, COUNT,
        ] {
            let mut client = database.client();
            threads.spawn(move || {
                let start = Instant::now();
                while start.elapsed() < Duration::from_secs(4) {
                    client.batch_execute(statement).unwrap();
                }
            });
        }
    });
    let mut client = database.client();
    check_liveness(&mut client);
    // Each counts what is wrong.
    for (what, count) in [
        (
            "devices without a row in device_liveness",
            "SELECT count(*) FROM iot.devices d WHERE NOT EXISTS (SELECT FROM iot.device_liveness l WHERE l.device_id = d.device_id)",
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
    ] {
        let wrong: i64 = client.query_one(count, &[]).unwrap().get(0);
        assert_eq!(wrong, 0, "{what}");
    }
}
