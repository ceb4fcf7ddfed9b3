//! Partitions are made, and samples move into them, while readers and writers go on: nobody waits for long, fails, or misses a sample.

#![allow(
    clippy::unwrap_used,
    reason = "in tests, helpers outside a #[test] included, a panic is the message"
)]

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use iot_kpi_tests::postgres::{Database, shared};
use postgres::{Client, GenericClient, IsolationLevel};

/// The years that have no partition, and how many samples of `pressure` each had from the beginning.
const YEARS: std::ops::Range<i32> = 1990..2005;
const SAMPLES: i64 = 600;

/// What a session does over and over, and how often it has done it.
type Turn = Box<dyn FnMut(&mut Client, usize) + Send>;

/// A store with samples of those years in its default partition.
fn unplaced(name: &str) -> Database<'static> {
    let database = shared().store(name);
    database
        .client()
        .batch_execute(&format!(
            "UPDATE iot.settings SET value = '{}-01-01' WHERE name = 'earliest_time';
             UPDATE iot.settings SET value = 'off' WHERE name IN ('calculations', 'deadlines');
             INSERT INTO iot.device_metrics (device_id, metric, time, value)
             SELECT 'd' || n % 20, 'pressure', make_timestamptz(year, 1, 1, 0, 0, 0, 'UTC') + n * interval '14 hours', n
             FROM generate_series({}, {}) AS year, generate_series(1, {SAMPLES}) AS n",
            YEARS.start,
            YEARS.start,
            YEARS.end - 1
        ))
        .unwrap();
    assert_eq!(
        unplaced_samples(&mut database.client()),
        i64::from(YEARS.end - YEARS.start) * SAMPLES
    );
    database
}

fn unplaced_samples(client: &mut Client) -> i64 {
    let sql = "SELECT count(*) FROM iot.device_metrics_default";
    client.query_one(sql, &[]).unwrap().get(0)
}

/// Every year has the samples of `pressure` that it had.
fn check_years(client: &mut impl GenericClient) {
    let sql = "SELECT count(*), sum(value)::bigint, count(DISTINCT date_trunc('year', time, 'UTC')) FROM iot.device_metrics WHERE metric = 'pressure'";
    let row = client.query_one(sql, &[]).unwrap();
    let years = i64::from(YEARS.end - YEARS.start);
    let found: (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    assert_eq!(found, (years * SAMPLES, years * SAMPLES * (SAMPLES + 1) / 2, years));
}

#[test]
fn samples_move_to_their_year_while_all_go_on() {
    let database = unplaced("partitions_move");
    let done = AtomicBool::new(false);
    let goes_on = |mut turn: Turn| {
        let mut client = database.client();
        let done = &done;
        move || {
            for n in 0.. {
                turn(&mut client, n);
                if done.load(Ordering::Relaxed) {
                    return n;
                }
            }
            0
        }
    };
    // Of a writer's turn: a year, and an instant of its own in it.
    let at = |n: usize, writer: usize| {
        let year = YEARS.start as usize + n % YEARS.len();
        format!("make_timestamptz({year}, 7, 1, 0, 0, 0, 'UTC') + {n} * interval '1 s' + {writer} * interval '1 us'")
    };
    let turns = scope(|threads| {
        for _ in 0..2 {
            threads.spawn(goes_on(Box::new(|client, _| check_years(client))));
        }
        threads.spawn(goes_on(Box::new(|client, n| {
            let level = IsolationLevel::RepeatableRead;
            let mut snapshot = client.build_transaction().isolation_level(level).start().unwrap();
            if n % 2 == 0 {
                // A snapshot that is older than its first look at the table.
                snapshot.batch_execute("SELECT FROM iot.settings").unwrap();
                sleep(Duration::from_millis(30));
            }
            check_years(&mut snapshot);
        })));
        let writers = [
            threads.spawn(goes_on(Box::new(move |client, n| {
                let sql = format!("INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('d1', 'humidity', {}, 1)", at(n, 1));
                client.batch_execute(&sql).unwrap();
            }))),
            // Sent twice, the second time with another value for one of them.
            threads.spawn(goes_on(Box::new(move |client, n| {
                for (value, expected) in [(1, (2, 0, 0)), (2, (0, 1, 1))] {
                    let row = client.query_one(&format!("SELECT stored, duplicates, conflicts FROM iot_kpi.ingest_metrics('{{d2,d3}}', '{{humidity,humidity}}', ARRAY[{t}, {t}], '{{1,{value}}}')", t = at(n, 2)), &[]).unwrap();
                    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1), row.get::<_, i64>(2)), expected);
                }
            }))),
            threads.spawn(goes_on(Box::new(move |client, n| {
                let sql = format!("INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('d4', 'light', {t}, 1);
                     UPDATE iot.device_metrics SET value = 2 WHERE device_id = 'd4' AND metric = 'light' AND time = {t};
                     DELETE FROM iot.device_metrics WHERE device_id = 'd4' AND metric = 'light' AND time = {t}", t = at(n, 3));
                client.batch_execute(&sql).unwrap();
            }))),
        ];
        let mut upkeep = database.client();
        let deadline = Instant::now() + Duration::from_secs(60);
        while unplaced_samples(&mut upkeep) > 0 {
            assert!(Instant::now() < deadline, "upkeep never had its turn");
            upkeep.batch_execute("CALL iot_kpi.maintain()").unwrap();
        }
        done.store(true, Ordering::Relaxed);
        writers.map(|writer| writer.join().unwrap() as i64 + 1)
    });
    let mut client = database.client();
    check_years(&mut client);
    for (device, metric, expected) in [
        ("d1", "humidity", turns[0]),
        ("d2", "humidity", turns[1]),
        ("d3", "humidity", turns[1]),
        ("d4", "light", 0),
    ] {
        let sql =
            format!("SELECT count(*) FROM iot.device_metrics WHERE device_id = '{device}' AND metric = '{metric}'");
        assert_eq!(
            client.query_one(&sql, &[]).unwrap().get::<_, i64>(0),
            expected,
            "{device} {metric}"
        );
    }
    let misplaced = "SELECT count(*) FROM iot.device_metrics m WHERE m.tableoid::regclass::text <> 'iot.device_metrics_y' || extract(year FROM time AT TIME ZONE 'UTC')";
    assert_eq!(client.query_one(misplaced, &[]).unwrap().get::<_, i64>(0), 0);
}

#[test]
fn a_partition_is_not_waited_for() {
    let database = shared().store("partitions_attach");
    let (mut owner, mut other) = (database.client(), database.client());
    let make = "SELECT iot_kpi.make_partitions('[2024-05-05, 2024-05-06)')";
    let is_made = "SELECT iot_kpi.has_partition(now() + interval '2 days')";
    let count = |client: &mut Client, sql: &str| -> i32 { client.query_one(sql, &[]).unwrap().get(0) };
    let sample = "INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('d2', 'error', '2024-05-05 10:00+00', 1)";
    // Somebody reads the year, or writes to it, to that very day.
    for busy in ["SELECT FROM iot.device_metrics WHERE time < '2024-05-05'", sample] {
        owner
            .batch_execute("DO $$ BEGIN EXECUTE format('DROP TABLE iot.device_metrics_p%s', to_char(now() AT TIME ZONE 'UTC' + interval '2 days', 'YYYYMMDD')); END $$")
            .unwrap();
        let mut transaction = other.transaction().unwrap();
        transaction.batch_execute(busy).unwrap();
        let error = owner.execute(make, &[]).unwrap_err();
        let error = error.as_db_error().unwrap();
        assert_eq!(error.code().code(), "55P03", "{error:?}");
        assert!(error.hint().unwrap().contains("Try again"), "{error:?}");
        // Upkeep leaves it for the next run, and says nothing.
        owner.batch_execute("CALL iot_kpi.maintain()").unwrap();
        assert!(!owner.query_one(is_made, &[]).unwrap().get::<_, bool>(0), "{busy}");
        transaction.rollback().unwrap();
        owner.batch_execute("CALL iot_kpi.maintain()").unwrap();
        assert!(owner.query_one(is_made, &[]).unwrap().get::<_, bool>(0), "{busy}");
    }
    // What is there stays there.
    owner.batch_execute(sample).unwrap();
    assert_eq!(count(&mut owner, make), 0);
    owner.batch_execute("DELETE FROM iot.device_metrics").unwrap();
    assert_eq!(count(&mut owner, make), 1);
    owner.batch_execute(sample).unwrap();
    let partition = "SELECT tableoid::regclass::text FROM iot.device_metrics";
    let partition: String = owner.query_one(partition, &[]).unwrap().get(0);
    assert_eq!(partition, "iot.device_metrics_p20240505");
}

#[test]
fn nobody_fails_while_partitions_are_made() {
    const DAYS: i32 = 40;
    let database = shared().store("partitions_days");
    let made = AtomicI32::new(0);
    let deadline = Instant::now() + Duration::from_secs(120);
    scope(|threads| {
        for writer in 0..2 {
            let (mut client, made) = (database.client(), &made);
            threads.spawn(move || {
                for n in 0.. {
                    let at = format!(
                        "'2024-01-01 00:00+00'::timestamptz + {} * interval '24 hours' + {writer} * interval '1 s'",
                        n * 7 % DAYS
                    );
                    let write = if writer == 0 {
                        format!(
                            "INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('d1', 'humidity', {at}, 1)"
                        )
                    } else {
                        format!("SELECT iot_kpi.ingest_metrics('{{d2}}', '{{humidity}}', ARRAY[{at}], '{{1}}')")
                    };
                    // A day that has samples would get no partition.
                    let take_back = format!("DELETE FROM iot.device_metrics WHERE time = {at}");
                    client.batch_execute(&format!("{write}; {take_back}")).unwrap();
                    if made.load(Ordering::Relaxed) == DAYS || Instant::now() > deadline {
                        return;
                    }
                }
            });
        }
        let mut owner = database.client();
        while made.load(Ordering::Relaxed) < DAYS && Instant::now() < deadline {
            for day in 0..DAYS {
                let day = format!(
                    "SELECT iot_kpi.make_partitions(tstzrange(d, d, '[]')) FROM (SELECT '2024-01-01 00:00+00'::timestamptz + {day} * interval '24 hours') AS x (d)"
                );
                match owner.query_one(&day, &[]) {
                    Ok(row) => drop(made.fetch_add(row.get(0), Ordering::Relaxed)),
                    Err(error) => assert_eq!(error.code().unwrap().code(), "55P03", "{error:?}"),
                }
            }
        }
    });
    assert_eq!(made.into_inner(), DAYS);
}
