//! Upkeep: by the background worker of a server that preloads the library, and by `maintain()`. What it does, whom it never keeps
//! waiting, and what it survives.

#![allow(
    clippy::unwrap_used,
    reason = "in tests, helpers outside a #[test] included, a panic is the message"
)]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use iot_kpi_tests::postgres::{Postgres, Stop, shared};
use iot_kpi_tests::upkeep::{PATIENCE, after_a_run, ask, healthy, until, with_worker};
use postgres::{Client, fallible_iterator::FallibleIterator};

/// A server with the worker, for the tests that do not stop it.
fn preloaded() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(|| with_worker(&[]))
}

fn payloads(client: &mut Client) -> Vec<serde_json::Value> {
    let mut payloads = Vec::new();
    let mut notifications = client.notifications();
    let mut notifications = notifications.timeout_iter(Duration::from_millis(500));
    while let Some(notification) = notifications.next().unwrap() {
        assert_eq!(notification.channel(), "iot_kpi_deadlines");
        assert!(notification.payload().len() < 8000);
        payloads.push(serde_json::from_str(notification.payload()).unwrap());
    }
    payloads
}

/// Work of every kind: a missing partition, an expired one, a stale day and a missing hour, samples of a metric that are kept for a
/// shorter time, and devices that are silent.
const WORK: &str = "
    INSERT INTO iot.devices (device_id, commissioned_at)
    SELECT d, now() - interval '8 days' FROM unnest(ARRAY['alive', 'silent', 'never seen', E'odd \"\\u0001\\\\ {}']) d;
    UPDATE iot.devices SET liveness = '1 day' WHERE device_id = 'alive';
    UPDATE iot.devices SET commissioned_at = now() - interval '1 hour' WHERE device_id IN ('never seen', E'odd \"\\u0001\\\\ {}');
    INSERT INTO iot.devices (device_id, commissioned_at, decommissioned_at) VALUES ('retired', now() - interval '8 days', now() - interval '1 hour');
    INSERT INTO iot.devices (device_id, commissioned_at, collector_id) VALUES ('unobserved', now() - interval '8 days', 'silent');
    INSERT INTO iot.devices (device_id, commissioned_at) VALUES ('in maintenance', now() - interval '8 days');
    INSERT INTO iot.maintenance_windows (device_id, period) VALUES ('in maintenance', tstzrange(now() - interval '1 hour', NULL));
    SELECT iot_kpi.make_partitions(tstzrange(now() - interval '7 days', now()));
    SELECT iot_kpi.ingest_metrics(array_agg('alive'::text), array_agg('temperature'::text), array_agg(t), array_agg(20::float8))
    FROM generate_series(now() - interval '6 days', now(), '10 min') t;
    SELECT iot_kpi.ingest_metrics(array_agg('silent'::text), array_agg('heartbeat'::text), array_agg(t), array_agg(1::float8))
    FROM generate_series(now() - interval '6 days', now() - interval '2 hours', '1 min') t;
    -- Received when they were measured: of what has just come nobody says that it is silent.
    UPDATE iot.device_metrics SET received_at = \"time\" WHERE device_id = 'silent';
    SELECT iot_kpi.calculate_kpis(tstzrange(now() - interval '6 days', now()));
    DELETE FROM iot.kpi_calculations WHERE upper(period) > now() - interval '3 hours';
    UPDATE iot.metric_types SET retention = '4 days' WHERE metric = 'temperature';
    DO $$ BEGIN EXECUTE format('DROP TABLE iot.device_metrics_p%s', to_char(now() AT TIME ZONE 'UTC' + interval '2 days', 'YYYYMMDD')); END $$;
    UPDATE iot.settings SET value = '5 days' WHERE name = 'retention';
    INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('silent', 'error', now() - interval '4 days', 0)";

/// All of it is done.
fn check_work(client: &mut Client) {
    assert!(
        ask::<bool>(client, "SELECT iot_kpi.has_partition(now() + interval '2 days')"),
        "partition ahead"
    );
    assert_eq!(
        ask::<i64>(client, "SELECT count(*) FROM iot_kpi.expired_partitions()"),
        0
    );
    assert!(
        !ask::<bool>(client, "SELECT iot_kpi.has_partition(now() - interval '7 days')"),
        "expired partition"
    );
    assert_eq!(
        ask::<i64>(client, "SELECT count(*) FROM iot.kpi_calculations WHERE stale"),
        0
    );
    assert_eq!(
        ask::<i64>(
            client,
            "SELECT count(*) FROM iot.devices d, LATERAL iot_kpi.wanted_calculations(
                 tstzrange(now() - interval '24 hours', now()), 'hour', ARRAY[d.device_id], date_trunc('hour', now()))"
        ),
        0,
        "missing hours"
    );
    assert_eq!(
        ask::<i64>(
            client,
            "SELECT count(*) FROM iot.device_metrics WHERE metric = 'temperature' AND time < now() - interval '5 days'"
        ),
        0,
        "samples of a metric with a retention of its own"
    );
    assert!(ask::<bool>(
        client,
        "SELECT count(*) > 1000 FROM iot.device_metrics WHERE metric = 'heartbeat' AND time < now() - interval '4 days'"
    ));
    let told: Vec<(String, String)> = client
        .query(
            "SELECT device_id, status FROM iot.device_status_history ORDER BY 1",
            &[],
        )
        .unwrap()
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    let expected = ["never seen", "odd \"\u{1}\\ {}", "silent"].map(|id| (id.to_owned(), "offline".to_owned()));
    assert_eq!(told, expected);
    healthy(client);
}

/// Every report of the last days as of an hour ago: what upkeep may not change.
const REPORTS: &str = "
    SELECT md5(concat_ws('|',
        (SELECT string_agg(k::text, ';') FROM iot_kpi.device_kpis(w.during, as_of => w.as_of) k),
        (SELECT string_agg(k::text, ';') FROM iot_kpi.fleet_kpis(w.during, as_of => w.as_of) k),
        (SELECT string_agg(k::text, ';') FROM iot_kpi.status_periods(w.during, as_of => w.as_of) k),
        (SELECT string_agg(k::text, ';') FROM iot_kpi.outages(w.during, as_of => w.as_of) k),
        (SELECT string_agg(k::text, ';') FROM iot_kpi.kpi_series('availability', w.during, '1 hour', as_of => w.as_of) k)))
    FROM (SELECT tstzrange($1::text::timestamptz - interval '40 hours', $1::text::timestamptz), $1::text::timestamptz) w (during, as_of)";

#[test]
fn maintain_does_all_the_work_and_changes_no_report() {
    let database = shared().store("upkeep_maintain");
    let mut client = database.client();
    client.batch_execute(WORK).unwrap();
    // A device that sends statuses, degraded when it was last heard of, and then fell silent too.
    client
        .batch_execute(
            "INSERT INTO iot.devices (device_id, commissioned_at) VALUES ('talks', now() - interval '8 days');
             SELECT iot_kpi.ingest_status(array_agg('talks'::text), array_agg(t), array_agg('degraded'::text), array_agg(NULL::text)) FROM generate_series(now() - interval '30 hours', now() - interval '3 hours', '1 hour') t;
             SELECT iot_kpi.ingest_metrics(array_agg('talks'::text), array_agg('heartbeat'::text), array_agg(t), array_agg(1::float8)) FROM generate_series(now() - interval '30 hours', now() - interval '3 hours', '1 min') t;
             UPDATE iot.device_metrics SET received_at = \"time\" WHERE device_id = 'talks'",
        )
        .unwrap();
    let now: String = ask(&mut client, "SELECT now()::text");
    let report = |client: &mut Client| -> String { client.query_one(REPORTS, &[&now]).unwrap().get(0) };
    let before = report(&mut client);
    client.batch_execute("LISTEN iot_kpi_deadlines").unwrap();
    assert_eq!(
        ask::<String>(
            &mut client,
            "SELECT status || ' ' || detail FROM iot_kpi.health() WHERE \"check\" = 'upkeep'"
        ),
        "warn has never run, no error"
    );
    client.batch_execute("CALL iot_kpi.maintain()").unwrap();
    assert_eq!(report(&mut client), before, "reports by evidence");
    client
        .batch_execute("UPDATE iot.kpi_calculations SET stale = true WHERE lower(period) >= iot_kpi.kept_from()")
        .unwrap();
    client.batch_execute("CALL iot_kpi.maintain()").unwrap();
    assert_eq!(report(&mut client), before, "reports from parts made after the records");
    let kept: (String, bool) = {
        let row = client
            .query_one(
                "SELECT last_status, last_status_at < silent_since FROM iot.device_liveness WHERE device_id = 'talks'",
                &[],
            )
            .unwrap();
        (row.get(0), row.get(1))
    };
    assert_eq!(kept, ("degraded".to_owned(), true), "what the device itself said last");
    let mut told: Vec<String> = payloads(&mut client)
        .iter()
        .map(|told| {
            format!(
                "{} {}",
                told["event"].as_str().unwrap(),
                told["device_id"].as_str().unwrap()
            )
        })
        .collect();
    told.sort();
    assert_eq!(
        told,
        [
            "offline never seen",
            "offline odd \"\u{1}\\ {}",
            "offline silent",
            "offline talks"
        ]
    );
    client
        .batch_execute("DELETE FROM iot.device_status_history WHERE device_id = 'talks'")
        .unwrap();
    client.batch_execute("CALL iot_kpi.maintain()").unwrap();
    check_work(&mut client);

    // A sample older than what its metric keeps changes nothing that was calculated of that day.
    let old = "SELECT md5(string_agg(k::text, ';' ORDER BY k::text)) FROM iot.kpi_calculations k WHERE upper(period) < iot_kpi.kept_from()";
    let calculated: String = ask(&mut client, old);
    client.batch_execute("INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('silent', 'error', iot_kpi.kept_from() - interval '1 hour', 0)").unwrap();
    client.batch_execute("CALL iot_kpi.maintain()").unwrap();
    assert_eq!(ask::<String>(&mut client, old), calculated);
}

#[test]
fn what_was_calculated_of_the_day_of_the_cut_stands() {
    let database = shared().store("upkeep_cut");
    let mut client = database.client();
    // The cut lies in the midst of a day. Its first statuses go, its partition stays, and samples of its rest are still taken.
    client
        .batch_execute(
            "CREATE TABLE public.cut AS SELECT now() - interval '5 days' AS time, date_trunc('day', now() - interval '5 days', 'UTC') AS day;
             INSERT INTO iot.devices (device_id, commissioned_at) SELECT 'd', day - interval '2 days' FROM public.cut;
             SELECT iot_kpi.make_partitions(tstzrange(day - interval '2 days', now())) FROM public.cut;
             SELECT iot_kpi.ingest_status('{d,d,d}', ARRAY[day - interval '1 day', day, day + (time - day) / 2], '{online,offline,online}', '{NULL,NULL,NULL}') FROM public.cut;
             SELECT iot_kpi.ingest_metrics(array_agg('d'::text), array_agg('heartbeat'::text), array_agg(t), array_agg(1::float8)) FROM public.cut, generate_series(day - interval '1 day', now(), '1 min') t;
             SELECT iot_kpi.calculate_kpis(tstzrange(day - interval '1 day', now())) FROM public.cut;
             UPDATE iot.settings SET value = '5 days' WHERE name = 'retention'",
        )
        .unwrap();
    let calculated = "SELECT concat_ws(' ', uptime, availability, attempts, md5(parts)) FROM iot.kpi_calculations, public.cut WHERE grain = 'day' AND lower(period) = day";
    let before: String = ask(&mut client, calculated);
    client.batch_execute("CALL iot_kpi.maintain()").unwrap();
    assert!(!ask::<bool>(
        &mut client,
        "SELECT iot_kpi.has_partition(day - interval '1 hour') FROM public.cut"
    ));
    client
        .batch_execute(
            "SELECT iot_kpi.ingest_metrics('{d}', '{error}', ARRAY[time + interval '1 min'], '{0}') FROM public.cut",
        )
        .unwrap();
    assert_eq!(
        ask::<i64>(
            &mut client,
            "SELECT count(*) FROM iot.device_metrics WHERE metric = 'error'"
        ),
        1
    );
    client.batch_execute("CALL iot_kpi.maintain()").unwrap();
    assert_eq!(ask::<String>(&mut client, calculated), before);
}

#[test]
fn a_silence_is_told_once_and_so_is_its_end() {
    let database = shared().store("upkeep_deadlines");
    let mut client = database.client();
    client
        .batch_execute("INSERT INTO iot.devices (device_id, expected_interval, liveness) VALUES ('d', '1 s', '1 hour'); UPDATE iot.devices SET created_at = now() - interval '3 hours'; LISTEN iot_kpi_deadlines")
        .unwrap();
    let beat = |client: &mut Client, ago: &str| {
        client
            .batch_execute(&format!("SELECT iot_kpi.ingest_metrics('{{d}}', '{{heartbeat}}', ARRAY[date_trunc('hour', now()) - interval '{ago}'], '{{1}}');
                              UPDATE iot.device_metrics SET received_at = \"time\""))
            .unwrap();
    };
    let told = |client: &mut Client| -> Vec<String> {
        // Twice: what is told is told once.
        client.batch_execute("CALL iot_kpi.maintain()").unwrap();
        client.batch_execute("CALL iot_kpi.maintain()").unwrap();
        payloads(client)
            .iter()
            .map(|told| told["event"].as_str().unwrap().to_owned())
            .collect()
    };
    beat(&mut client, "5 hours");
    assert_eq!(told(&mut client), ["offline"]);
    assert_eq!(told(&mut client), Vec::<String>::new());
    // The deadline is when the last beat ceases to prove anything.
    assert!(ask::<bool>(
        &mut client,
        "SELECT silent_since = date_trunc('hour', now()) - interval '4 hours' FROM iot.device_liveness"
    ));
    // A sample of the device at that very instant finds its place, by the strict door.
    client.batch_execute("INSERT INTO iot.device_status_history (device_id, time, status) SELECT device_id, silent_since, 'error' FROM iot.device_liveness").unwrap();
    // It was late, not silent; but it is silent since.
    beat(&mut client, "3 hours");
    assert_eq!(told(&mut client), ["online", "offline"]);
    beat(&mut client, "-1 min");
    assert_eq!(told(&mut client), ["online"]);
    let rows: Vec<String> = client
        .query("SELECT status || ' ' || (time - date_trunc('hour', now()))::text || ' ' || coalesce(reason, '-') FROM iot.device_status_history ORDER BY time", &[])
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(rows.len(), 5, "{rows:?}");
    assert_eq!(rows[0], "error -04:00:00 -");
    assert!(
        rows[1].starts_with("offline -03:59:59.999999 iot_kpi: deadline missed, no beat for 01:00:00 since"),
        "{rows:?}"
    );
    assert_eq!(rows[2], "online -02:59:59.999999 iot_kpi: reports again");
    assert!(rows[3].starts_with("offline -01:59:59.999999"), "{rows:?}");
    assert_eq!(rows[4], "online 00:01:00.000001 iot_kpi: reports again");
    assert_eq!(
        ask::<String>(&mut client, "SELECT last_status FROM iot.device_liveness"),
        "error"
    );

    // Where not everybody may see every device, a listener is told no id. With the setting off, nothing.
    client.batch_execute("SELECT iot_kpi.enable_row_security(); DELETE FROM iot.device_metrics; UPDATE iot.devices SET liveness = '1 s'").unwrap();
    client.batch_execute("CALL iot_kpi.maintain()").unwrap();
    let payload = payloads(&mut client);
    assert_eq!(
        (payload.len(), &payload[0]["event"], payload[0].get("device_id")),
        (1, &"changed".into(), None)
    );
    client
        .batch_execute("UPDATE iot.settings SET value = 'off' WHERE name = 'deadlines'")
        .unwrap();
    beat(&mut client, "-1 min");
    assert_eq!(told(&mut client), Vec::<String>::new());
}

#[test]
fn the_worker_does_it_by_itself_as_the_owner_of_the_store() {
    let server = preloaded();
    server
        .database("postgres")
        .client()
        .batch_execute("DROP ROLE IF EXISTS keeper; CREATE ROLE keeper")
        .unwrap();
    // Two databases at once, one with a name that wants quoting, its owner one that cannot log in.
    let names = ["upkeep \"; DROP DATABASE postgres; --", "upkeep_of_a_keeper"];
    scope(|threads| {
        for name in names {
            threads.spawn(move || {
                server.create_database(&name.replace('"', "\"\"")).unwrap();
                let mut client = server.database(name).client();
                client.batch_execute("CREATE EXTENSION pg_iot_kpi; GRANT ALL ON SCHEMA iot_kpi TO keeper").unwrap();
                client.batch_execute(&format!("GRANT CREATE ON DATABASE \"{}\" TO keeper", name.replace('"', "\"\""))).unwrap();
                client.batch_execute("SET ROLE keeper; BEGIN; SELECT iot_kpi.create_store()").unwrap();
                client.batch_execute(WORK).unwrap();
                // Whatever runs on behalf of the store runs as its owner, and cannot become more than that.
                client
                    .batch_execute(
                        "CREATE TABLE iot.seen (who text, escaped boolean);
                         CREATE FUNCTION iot.spy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                             INSERT INTO iot.seen VALUES (current_user, false);
                             BEGIN
                                 SET ROLE postgres;
                                 INSERT INTO iot.seen VALUES (current_user, true);
                             EXCEPTION WHEN OTHERS THEN NULL; END;
                             RETURN NULL; END $$;
                         CREATE TRIGGER spy AFTER INSERT OR UPDATE ON iot.upkeep EXECUTE FUNCTION iot.spy();
                         CREATE TRIGGER spy AFTER INSERT OR UPDATE ON iot.kpi_calculations EXECUTE FUNCTION iot.spy();
                         CREATE CONSTRAINT TRIGGER late_spy AFTER INSERT OR UPDATE ON iot.device_status_history
                             FOR EACH ROW EXECUTE FUNCTION iot.spy();
                         COMMIT",
                    )
                    .unwrap();
                client.batch_execute("RESET ROLE").unwrap();
                after_a_run(&mut client);
                check_work(&mut client);
                assert_eq!(
                    ask::<String>(&mut client, "SELECT string_agg(DISTINCT who || ' ' || escaped, ', ') FROM iot.seen"),
                    "keeper false"
                );
                assert_eq!(
                    ask::<i64>(&mut client, "SELECT count(*) FROM pg_class WHERE relnamespace = 'iot'::regnamespace AND relowner <> 'keeper'::regrole"),
                    0
                );
                assert_eq!(ask::<String>(&mut client, "SELECT run_by FROM iot.upkeep WHERE step = 'run'"), "worker");
            });
        }
    });
    let mut client = server.database("postgres").client();
    assert_eq!(
        ask::<i64>(
            &mut client,
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_iot_kpi launcher'"
        ),
        1
    );
}

#[test]
fn settings_are_read_again_and_nothing_is_visited_in_vain() {
    let server = preloaded();
    let database = server.store("upkeep_settings");
    let mut client = database.client();
    after_a_run(&mut client);
    let mut alter = |sql: &str| {
        client.batch_execute(sql).unwrap();
        client.batch_execute("SELECT pg_reload_conf()").unwrap();
    };
    alter("ALTER SYSTEM SET iot_kpi.databases = 'another, and_another'");
    let mut client = database.client();
    until(
        &mut client,
        "SELECT current_setting('iot_kpi.databases') = 'another, and_another' AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'pg_iot_kpi worker' AND datname = current_database())",
    );
    let state = "SELECT started_at::text FROM iot.upkeep WHERE step = 'run'";
    let before: String = ask(&mut client, state);
    sleep(Duration::from_millis(2500));
    assert_eq!(
        ask::<String>(&mut client, state),
        before,
        "a run in a database that is not listed"
    );
    client
        .batch_execute("ALTER SYSTEM SET iot_kpi.databases = ' another,upkeep_settings '")
        .unwrap();
    client.batch_execute("SELECT pg_reload_conf()").unwrap();
    after_a_run(&mut client);
    client.batch_execute("ALTER SYSTEM RESET iot_kpi.databases").unwrap();
    client.batch_execute("SELECT pg_reload_conf()").unwrap();
    for (name, setting) in [
        ("naptime", "'0s'"),
        ("naptime", "'2 days'"),
        ("max_workers", "0"),
        ("worker", "'maybe'"),
        ("nap", "1"),
    ] {
        let refused = client.batch_execute(&format!("ALTER SYSTEM SET iot_kpi.{name} = {setting}"));
        assert!(refused.is_err(), "iot_kpi.{name} = {setting}");
    }
    // Nothing of it is there where the library is not preloaded, and nothing is missed.
    let mut client = shared().store("upkeep_not_preloaded").client();
    client
        .batch_execute("SELECT iot_kpi.nines(0.9); SHOW iot_kpi.naptime; CALL iot_kpi.maintain()")
        .unwrap_err();
    client.batch_execute("SHOW iot_kpi.naptime").unwrap();
    client.batch_execute("CALL iot_kpi.maintain()").unwrap();
    assert_eq!(
        ask::<i64>(
            &mut client,
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'pg_iot_kpi%'"
        ),
        0
    );
    assert_eq!(
        ask::<String>(
            &mut client,
            "SELECT status FROM iot_kpi.health() WHERE \"check\" = 'upkeep'"
        ),
        "ok"
    );
}

#[test]
fn two_runs_do_not_collide() {
    let database = shared().store("upkeep_twice");
    let (mut first, mut second) = (database.client(), database.client());
    let mut step = first.transaction().unwrap();
    step.batch_execute("SELECT iot_kpi.upkeep('{\"step\": \"partitions\"}')")
        .unwrap();
    second.batch_execute("CALL iot_kpi.maintain()").unwrap();
    assert_eq!(
        ask::<i64>(&mut second, "SELECT count(*) FROM iot.upkeep"),
        0,
        "the second one stood back"
    );
    step.commit().unwrap();
    second.batch_execute("CALL iot_kpi.maintain()").unwrap();
    assert!(ask::<bool>(
        &mut second,
        "SELECT count(finished_at) = 1 + (SELECT count(*) FROM iot_kpi.upkeep_steps()) FROM iot.upkeep"
    ));
    // Many at once, and work enough for all of them; the hours that are looked for once an hour are looked for again.
    first.batch_execute("DELETE FROM iot.upkeep").unwrap();
    first.batch_execute(WORK).unwrap();
    scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                let mut client = database.client();
                for _ in 0..5 {
                    client.batch_execute("CALL iot_kpi.maintain()").unwrap();
                }
            });
        }
    });
    first.batch_execute("CALL iot_kpi.maintain()").unwrap();
    check_work(&mut first);
}

#[test]
fn an_error_is_told_and_hides_no_other_step() {
    let database = shared().store("upkeep_error");
    let mut client = database.client();
    client.batch_execute(WORK).unwrap();
    client
        .batch_execute(
            "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'the disk is full'; END $$;
             CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON iot.kpi_calculations FOR EACH ROW EXECUTE FUNCTION public.refuse()",
        )
        .unwrap();
    let error = client.batch_execute("CALL iot_kpi.maintain()").unwrap_err();
    assert!(error.to_string().contains("db error"), "{error}");
    let message = error.as_db_error().unwrap().message().to_owned();
    assert!(
        message.contains("upkeep is not complete: calculations: the disk is full (P0001)"),
        "{message}"
    );
    assert_eq!(
        ask::<i64>(&mut client, "SELECT count(*) FROM iot_kpi.expired_partitions()"),
        0
    );
    let health = client
        .query_one(
            "SELECT status, detail FROM iot_kpi.health() WHERE \"check\" = 'upkeep'",
            &[],
        )
        .unwrap();
    assert_eq!(health.get::<_, String>(0), "warn");
    assert!(health.get::<_, String>(1).contains("the disk is full"));
    client.batch_execute("DROP FUNCTION public.refuse() CASCADE").unwrap();
    client.batch_execute("CALL iot_kpi.maintain()").unwrap();
    check_work(&mut client);
}

#[test]
fn writers_do_not_wait() {
    let database = shared().store("upkeep_writers");
    let mut client = database.client();
    client.batch_execute(WORK).unwrap();
    // A report that takes its time, and a writer that stays in its transaction with a device.
    let (mut reader, mut writer, mut other) = (database.client(), database.client(), database.client());
    let mut reading = reader.transaction().unwrap();
    reading
        .batch_execute("SELECT count(*) FROM iot.device_metrics")
        .unwrap();
    let mut writing = writer.transaction().unwrap();
    writing.batch_execute("INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('silent', 'error', now() - interval '30 hours', 1)").unwrap();
    let done = AtomicBool::new(false);
    scope(|threads| {
        let inserts = threads.spawn(|| {
            let mut longest = Duration::ZERO;
            while !done.load(Ordering::Relaxed) {
                let start = Instant::now();
                other
                    .batch_execute(
                        "SELECT iot_kpi.ingest_metrics('{alive}', '{error}', ARRAY[clock_timestamp()], '{0}')",
                    )
                    .unwrap();
                longest = longest.max(start.elapsed());
            }
            longest
        });
        client.batch_execute("CALL iot_kpi.maintain()").unwrap();
        assert!(
            ask::<i64>(&mut client, "SELECT count(*) FROM iot_kpi.expired_partitions()") > 0,
            "the report was in the way"
        );
        done.store(true, Ordering::Relaxed);
        // Machines are slow at times; a queue behind a lock would have lasted until the report's end, that is for ever.
        assert!(inserts.join().unwrap() < Duration::from_secs(5));
    });
    reading.commit().unwrap();
    writing.commit().unwrap();
    client.batch_execute("CALL iot_kpi.maintain()").unwrap();
    check_work(&mut client);
}

#[test]
fn it_survives_what_is_dropped_and_is_in_nobodys_way() {
    let server = preloaded();
    let mut postgres = server.database("postgres").client();
    let database = server.store("upkeep_dropped");
    let mut client = database.client();
    after_a_run(&mut client);
    client.batch_execute("DROP SCHEMA iot CASCADE").unwrap();
    sleep(Duration::from_millis(1500));
    client.batch_execute("SELECT iot_kpi.create_store()").unwrap();
    after_a_run(&mut client);
    client.batch_execute("DROP EXTENSION pg_iot_kpi CASCADE").unwrap();
    sleep(Duration::from_millis(1500));
    client
        .batch_execute("CREATE EXTENSION pg_iot_kpi; SELECT iot_kpi.create_store()")
        .unwrap();
    after_a_run(&mut client);
    // Busy for long, in small steps: each day of each device is calculated by itself.
    client
        .batch_execute(
            "INSERT INTO iot.devices (device_id, commissioned_at) SELECT 'd' || i, now() - interval '400 days' FROM generate_series(1, 40) i;
             UPDATE iot.settings SET value = '1' WHERE name = 'upkeep_batch';
             SELECT iot_kpi.make_partitions(tstzrange(now() - interval '4 days', now()));
             SELECT iot_kpi.calculate_kpis(tstzrange(now() - interval '5 days', now()));
             UPDATE iot.kpi_calculations SET stale = true WHERE lower(period) >= iot_kpi.kept_from();",
        )
        .unwrap();
    until(
        &mut client,
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'pg_iot_kpi worker' AND datname = current_database())",
    );
    drop(client);
    postgres
        .batch_execute("CREATE DATABASE upkeep_copy TEMPLATE upkeep_dropped")
        .unwrap();
    postgres
        .batch_execute("ALTER DATABASE upkeep_dropped RENAME TO upkeep_renamed")
        .unwrap();
    let mut client = server.database("upkeep_renamed").client();
    until(
        &mut client,
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'pg_iot_kpi worker' AND datname = current_database())",
    );
    drop(client);
    postgres.batch_execute("DROP DATABASE upkeep_renamed").unwrap();
    postgres
        .batch_execute("DROP DATABASE upkeep_copy WITH (FORCE)")
        .unwrap();
    // The others go on.
    let mut client = server.store("upkeep_other").client();
    after_a_run(&mut client);
}

#[test]
fn it_can_be_cancelled_and_ends_with_the_server() {
    let mut server = with_worker(&[]);
    {
        let database = server.store("upkeep_cancel");
        let mut client = database.client();
        // Something that lasts: a trigger on the way.
        client
            .batch_execute(
                "CREATE FUNCTION public.dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(600); RETURN NULL; END $$;
                 CREATE TRIGGER dawdle AFTER UPDATE ON iot.upkeep FOR EACH STATEMENT EXECUTE FUNCTION public.dawdle()",
            )
            .unwrap();
        let busy = "FROM pg_stat_activity WHERE backend_type = 'pg_iot_kpi worker' AND datname = current_database() AND wait_event = 'PgSleep'";
        for end in ["pg_cancel_backend", "pg_terminate_backend"] {
            until(&mut client, &format!("SELECT EXISTS (SELECT {busy})"));
            let pid: i32 = ask(&mut client, &format!("SELECT pid {busy}"));
            assert!(ask::<bool>(&mut client, &format!("SELECT {end}({pid})")));
            until(
                &mut client,
                &format!("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = {pid})"),
            );
        }
        // So does the launcher, which comes again.
        let launcher: i32 = ask(
            &mut client,
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_iot_kpi launcher'",
        );
        assert!(ask::<bool>(
            &mut client,
            &format!("SELECT pg_terminate_backend({launcher})")
        ));
        until(
            &mut client,
            &format!(
                "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'pg_iot_kpi launcher' AND pid <> {launcher})"
            ),
        );
        until(&mut client, &format!("SELECT EXISTS (SELECT {busy})"));
    }
    for how in [Stop::Fast, Stop::Immediate] {
        let start = Instant::now();
        server.stop(how).unwrap();
        // In the middle of ten minutes of sleep.
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "{how:?} took {:?}",
            start.elapsed()
        );
        server.start().unwrap();
        let mut client = server.database("upkeep_cancel").client();
        until(
            &mut client,
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'pg_iot_kpi worker' AND wait_event = 'PgSleep')",
        );
    }
}

#[test]
fn a_server_without_room_for_workers_is_told_once_and_runs() {
    // One of them is the launcher, the other PostgreSQL's own for logical replication.
    let server = with_worker(&["max_worker_processes=2"]);
    let mut client = server.store("upkeep_no_room").client();
    let launcher = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_iot_kpi launcher'";
    let pid: i32 = ask(&mut client, launcher);
    let told = || server.log().matches("no background worker is free").count();
    let deadline = Instant::now() + PATIENCE;
    while told() == 0 {
        assert!(Instant::now() < deadline, "{}", server.log());
        sleep(Duration::from_millis(20));
    }
    // More turns of the launcher, each in vain.
    sleep(Duration::from_millis(2500));
    assert_eq!(told(), 1);
    assert_eq!(ask::<i32>(&mut client, launcher), pid);
    assert_eq!(ask::<i64>(&mut client, "SELECT count(*) FROM iot.upkeep"), 0);
    client.batch_execute("CALL iot_kpi.maintain()").unwrap();
}

#[test]
fn a_standby_does_nothing_until_it_is_promoted() {
    let server = with_worker(&["wal_level=replica"]);
    let mut primary = server.store("upkeep_standby").client();
    after_a_run(&mut primary);
    let standby = server
        .standby(&["shared_preload_libraries=pg_iot_kpi", "max_worker_processes=16"])
        .unwrap_or_else(|error| panic!("{error:#}"));
    let mut client = standby.database("upkeep_standby").client();
    assert!(ask::<bool>(&mut client, "SELECT pg_is_in_recovery()"));
    // Runs of the primary arrive here; nobody is at work.
    after_a_run(&mut primary);
    let run: String = ask(
        &mut primary,
        "SELECT started_at::text FROM iot.upkeep WHERE step = 'run'",
    );
    until(
        &mut client,
        &format!("SELECT started_at >= '{run}' FROM iot.upkeep WHERE step = 'run'"),
    );
    assert_eq!(
        ask::<i64>(
            &mut client,
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'pg_iot_kpi%'"
        ),
        0
    );
    assert_eq!(
        ask::<String>(
            &mut client,
            "SELECT status FROM iot_kpi.health() WHERE \"check\" = 'upkeep'"
        ),
        "ok"
    );
    drop(primary);
    drop(server);
    assert!(ask::<bool>(&mut client, "SELECT pg_promote()"));
    after_a_run(&mut client);
}

#[test]
fn a_metric_in_use_stays() {
    let database = shared().store("upkeep_metric_in_use");
    let mut client = database.client();
    client
        .batch_execute("SELECT iot_kpi.ingest_metrics('{d}', '{temperature}', ARRAY[now()], '{20}')")
        .unwrap();
    let error = client
        .batch_execute("DELETE FROM iot.metric_types WHERE metric = 'temperature'")
        .unwrap_err();
    assert_eq!(
        error.as_db_error().unwrap().message(),
        "metric 'temperature' still has samples"
    );
    client
        .batch_execute("DELETE FROM iot.metric_types WHERE metric = 'humidity'")
        .unwrap();
    for bad in ["'1 hour'", "'-3 days'"] {
        client
            .batch_execute(&format!("UPDATE iot.metric_types SET retention = {bad}"))
            .unwrap_err();
    }
}
