//! Retention, cut off wherever that is possible: after each of its transactions, and by `kill -9` in the midst of each of its
//! statements. The next run ends what was begun, and what was calculated stays what it was.

#![allow(
    clippy::unwrap_used,
    reason = "in tests, helpers outside a #[test] included, a panic is the message"
)]

use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use iot_kpi_tests::postgres::{Database, Postgres, shared};
use iot_kpi_tests::upkeep::{PATIENCE, ask, healthy};
use postgres::Client;
use rustix::process::{Pid, Signal, kill_process};

/// Twelve days of three devices, in which something is missing here and there, with a status every six hours. Two count temperatures
/// as beats, so that calculations must be made before those are deleted; one of them observes the third, which before midnight shows itself
/// by temperatures alone: without them the next day would begin otherwise. A device a transaction.
const DAYS: &str = "
    UPDATE iot.settings SET value = '1' WHERE name = 'upkeep_batch';
    CREATE TABLE public.epoch AS SELECT date_trunc('day', now(), 'UTC') AS today;
    INSERT INTO iot.devices (device_id, commissioned_at, liveness, heartbeat_metric, collector_id)
    SELECT 'd' || d, today - interval '12 days', '30 min', CASE WHEN d = 2 THEN 'heartbeat' END, CASE WHEN d = 3 THEN 'd1' END
    FROM public.epoch, generate_series(1, 3) d;
    SELECT iot_kpi.make_partitions(tstzrange(today - interval '12 days', now())) FROM public.epoch;
    SELECT iot_kpi.ingest_metrics(array_agg('d' || d), array_agg(m), array_agg(t + d / 3 * interval '10 min'), array_agg(20::float8))
    FROM public.epoch, generate_series(1, 3) d, unnest(ARRAY['heartbeat', 'temperature']) m,
         generate_series(today - interval '12 days', today - interval '20 min', '20 min') t
    WHERE CASE WHEN d = 3 THEN m = 'temperature' OR extract(hour FROM t AT TIME ZONE 'UTC') < 23
               ELSE (extract(epoch FROM t)::bigint / 1200 + d) % 17 > 2 END;
    SELECT iot_kpi.ingest_status(array_agg('d' || d), array_agg(t), array_agg((ARRAY['online', 'degraded', 'offline'])[1 + (d + extract(day FROM t)::int) % 3]), array_agg(NULL::text))
    FROM public.epoch, generate_series(1, 3) d, generate_series(today - interval '12 days', today, '6 hours') t;
    -- What is calculated in peace; of some days retention has to do it again before it deletes.
    SELECT iot_kpi.calculate_kpis(tstzrange(today - interval '12 days', today - interval '1 day')) FROM public.epoch;
    CREATE TABLE public.calculated AS SELECT device_id, grain, period, to_jsonb(k) - 'calculated_at' - 'stale' AS kpis FROM iot.kpi_calculations k;
    DELETE FROM iot.kpi_calculations WHERE lower(period) >= (SELECT today - interval '8 days' FROM public.epoch) AND extract(day FROM lower(period))::int % 2 = 0;
    CREATE TABLE public.written AS SELECT device_id, metric, time, value FROM iot.device_metrics";

/// Samples are kept for so many days, and temperatures for so many.
fn keep(client: &mut Client, days: u32, temperatures: u32) {
    client
        .batch_execute(&format!(
            "UPDATE iot.metric_types SET retention = '{temperatures} days' WHERE metric = 'temperature';
             UPDATE iot.settings SET value = '{days} days' WHERE name = 'retention'"
        ))
        .unwrap();
}

/// Upkeep up to its end, or until retention has taken so many transactions: then whoever did it is gone. True at its end.
fn run(client: &mut Client, transactions: u32) -> bool {
    let mut place = serde_json::json!({"step": "partitions", "by": "session"});
    let mut taken = 0;
    while taken < transactions {
        taken += u32::from(place["step"] == "retention");
        let next: Option<serde_json::Value> = client.query_one("SELECT iot_kpi.upkeep($1)", &[&place]).unwrap().get(0);
        match next {
            Some(next) => place = next,
            None => return true,
        }
    }
    false
}

/// No figure is another than it was calculated in peace; but where one has not been calculated again yet.
fn figures_stand(client: &mut Client, when: &str) {
    let changed: Option<String> = ask(
        client,
        "SELECT string_agg(format(E'%s, %s %s\\n  was %s\\n  is  %s', device_id, grain, period, c.kpis, k.kpis), E'\\n')
         FROM public.calculated c
         JOIN (SELECT device_id, grain, period, stale, to_jsonb(k) - 'calculated_at' - 'stale' AS kpis FROM iot.kpi_calculations k) k USING (device_id, grain, period)
         WHERE NOT k.stale AND c.kpis IS DISTINCT FROM k.kpis",
    );
    assert!(changed.is_none(), "{when}: {}", changed.unwrap_or_default());
}

/// All that had to go is gone, and nothing else.
fn check(client: &mut Client) {
    figures_stand(client, "at the end");
    for (what, count) in [
        (
            "figures that are gone, or cannot be made any more",
            "SELECT count(*) FROM public.calculated c WHERE upper(c.period) <= now() - (SELECT retention FROM iot.metric_types WHERE metric = 'temperature')
                AND NOT EXISTS (SELECT FROM iot.kpi_calculations k WHERE (k.device_id, k.grain, k.period) = (c.device_id, c.grain, c.period)
                    -- Of the day that the cut goes through, the first hours wait until the day is dropped.
                    AND (NOT k.stale OR lower(k.period) < iot_kpi.earliest_sample() AND upper(k.period) > date_trunc('day', iot_kpi.earliest_sample(), 'UTC')))",
        ),
        (
            "samples beyond retention",
            "SELECT count(*) FROM iot.device_metrics WHERE time < date_trunc('day', iot_kpi.earliest_sample(), 'UTC')
                OR metric = 'temperature' AND time < date_trunc('day', now() - (SELECT retention FROM iot.metric_types WHERE metric = 'temperature'), 'UTC')",
        ),
        (
            "samples lost, of those that are kept",
            "SELECT count(*) FROM (
                 SELECT * FROM public.written WHERE time >= iot_kpi.earliest_sample() AND NOT (metric = 'temperature'
                     AND date_trunc('day', time, 'UTC') + interval '24 hours' <= now() - (SELECT retention FROM iot.metric_types WHERE metric = 'temperature'))
                 EXCEPT ALL SELECT device_id, metric, time, value FROM iot.device_metrics) x",
        ),
        (
            "statuses beyond retention that hold no longer",
            "SELECT count(*) FROM iot.device_status_history h WHERE time < iot_kpi.earliest_sample()
                AND EXISTS (SELECT FROM iot.device_status_history l WHERE l.device_id = h.device_id AND l.time > h.time AND l.time <= iot_kpi.earliest_sample())",
        ),
        (
            "devices without the status that held when the kept time began",
            "SELECT count(*) FROM iot.devices d WHERE NOT EXISTS (SELECT FROM iot.device_status_history h WHERE h.device_id = d.device_id AND h.time <= iot_kpi.earliest_sample())",
        ),
    ] {
        assert_eq!(ask::<i64>(client, count), 0, "{what}");
    }
    healthy(client);
}

/// What a late sample does: of all that can be calculated again, the earliest.
const STALE: &str = "UPDATE iot.kpi_calculations SET stale = true
    WHERE lower(period) >= iot_kpi.kept_from() AND lower(period) < iot_kpi.kept_from() + interval '2 days'";

#[test]
fn cut_off_after_any_of_its_transactions() {
    cut_off("retention_cut", DAYS);
}

/// Samples of days that have no partition of their own go out of that of their year.
#[test]
fn cut_off_where_days_lie_in_years() {
    let (before, after) = DAYS.split_once("SELECT iot_kpi.make_partitions").unwrap();
    let (_, after) = after.split_once(';').unwrap();
    cut_off("retention_cut_years", &format!("{before}{after}"));
}

fn cut_off(name: &str, days: &str) {
    let database = shared().store(name);
    let mut client = database.client();
    client.batch_execute(days).unwrap();
    // All metrics alike; then a day, then several, of which less is kept.
    for (days, temperatures, least) in [(11, 30, 2), (10, 9, 8), (9, 7, 8)] {
        // What is stale when its samples go stands as it is.
        client.batch_execute(STALE).unwrap();
        keep(&mut client, days, temperatures);
        // Each run gets one transaction further than the one before, and sees what that has left.
        let mut transactions = 1;
        while !run(&mut client, transactions) {
            figures_stand(&mut client, &format!("cut off after {transactions} transactions"));
            client.batch_execute(STALE).unwrap();
            transactions += 1;
            assert!(transactions < 1000, "it comes to no end");
        }
        assert!(
            transactions >= least,
            "only {transactions} transactions: nothing was cut off"
        );
        client.batch_execute(STALE).unwrap();
        run(&mut client, u32::MAX);
        check(&mut client);
    }
}

#[test]
fn days_go_out_of_years() {
    let database = shared().store("retention_years");
    let mut client = database.client();
    // Two months that have no partitions of days, more than one transaction takes.
    client
        .batch_execute(
            "UPDATE iot.settings SET value = 'off' WHERE name = 'calculations';
             INSERT INTO iot.devices (device_id, commissioned_at) SELECT 'd', now() - interval '70 days';
             INSERT INTO iot.device_metrics (device_id, metric, time, value)
             SELECT 'd', m, t, 1 FROM unnest('{temperature, light}'::text[]) m, generate_series(now() - interval '60 days', now() - interval '3 days', '1 min') t;
             CREATE TABLE public.written AS SELECT metric, time FROM iot.device_metrics",
        )
        .unwrap();
    let large = "SELECT max(pg_relation_size(partition)) > 1000 * 8192 FROM iot_kpi.partitions() WHERE NOT of_days";
    assert!(ask::<bool>(&mut client, large));
    let check = |client: &mut Client, all: u32, light: u32| {
        client.batch_execute("CALL iot_kpi.maintain()").unwrap();
        let wrong: i64 = ask(
            client,
            &format!(
                "WITH should_be AS (
                     SELECT * FROM public.written WHERE time >= date_trunc('day', now() - interval '{all} days', 'UTC')
                         AND (metric <> 'light' OR time >= date_trunc('day', now() - interval '{light} days', 'UTC')))
                 SELECT count(*) FROM should_be s FULL JOIN iot.device_metrics m ON (m.metric, m.time) = (s.metric, s.time) WHERE s.time IS NULL OR m.time IS NULL"
            ),
        );
        assert_eq!(wrong, 0, "samples that are kept for {all} days, light for {light}");
        let noted = format!(
            "SELECT deleted_until = date_trunc('day', now() - interval '{all} days', 'UTC') FROM iot.upkeep WHERE step = 'retention'"
        );
        assert!(ask::<bool>(client, &noted));
        healthy(client);
    };
    client
        .batch_execute(
            "UPDATE iot.settings SET value = '40 days' WHERE name = 'retention'; UPDATE iot.metric_types SET retention = '50 days' WHERE metric = 'light'",
        )
        .unwrap();
    check(&mut client, 40, 40);
    client
        .batch_execute("UPDATE iot.metric_types SET retention = '20 days' WHERE metric = 'light'")
        .unwrap();
    check(&mut client, 40, 20);
    client
        .batch_execute("UPDATE iot.settings SET value = '10 days' WHERE name = 'retention'")
        .unwrap();
    check(&mut client, 10, 10);
    // Longer again: what is gone is known.
    client
        .batch_execute("UPDATE iot.settings SET value = '40 days' WHERE name = 'retention'")
        .unwrap();
    client.batch_execute("CALL iot_kpi.maintain()").unwrap();
    let stands = "SELECT iot_kpi.kept_from() = date_trunc('day', now() - interval '10 days', 'UTC')";
    assert!(ask::<bool>(&mut client, stands));
}

/// Where a run is held up to be killed: statements of retention, in the order in which it comes to them.
const STATEMENTS: [(&str, &str); 6] = [
    (
        "a partition is dropped",
        "CREATE EVENT TRIGGER halt ON sql_drop EXECUTE FUNCTION public.halt_drop()",
    ),
    (
        "statuses are deleted",
        "CREATE TRIGGER halt AFTER DELETE ON iot.device_status_history EXECUTE FUNCTION public.halt()",
    ),
    (
        "a day is calculated",
        "CREATE TRIGGER halt AFTER INSERT ON iot.kpi_calculations EXECUTE FUNCTION public.halt()",
    ),
    (
        "samples are deleted",
        "CREATE TRIGGER halt AFTER DELETE ON iot.device_metrics EXECUTE FUNCTION public.halt()",
    ),
    (
        "evidence is noted as gone",
        "CREATE TRIGGER halt AFTER UPDATE ON iot.settings EXECUTE FUNCTION public.halt()",
    ),
    (
        "a day is noted as done",
        "CREATE TRIGGER halt AFTER UPDATE ON iot.metric_types EXECUTE FUNCTION public.halt()",
    ),
];
const HALT: &str = "
    CREATE FUNCTION public.halt() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(600); RETURN NULL; END $$;
    CREATE FUNCTION public.halt_drop() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(600); END $$";
const GO_ON: &str = "
    DROP EVENT TRIGGER IF EXISTS halt;
    DO $$ DECLARE t record; BEGIN
        FOR t IN SELECT tgrelid::regclass AS of FROM pg_trigger WHERE tgname = 'halt' AND tgparentid = 0 LOOP EXECUTE format('DROP TRIGGER halt ON %s', t.of); END LOOP;
    END $$";

/// Starts a run, and kills its process when it is held up.
fn kill_where_it_halts(database: &Database<'_>, what: &str) {
    scope(|threads| {
        let mut client = database.client();
        let run = threads.spawn(|| database.client().batch_execute("CALL iot_kpi.maintain()"));
        let deadline = Instant::now() + PATIENCE;
        let halted = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()";
        let pid: i32 = loop {
            if let Some(row) = client.query_opt(halted, &[]).unwrap() {
                break row.get(0);
            }
            assert!(!run.is_finished(), "{what}: a run did not come to it");
            assert!(Instant::now() < deadline, "{what}: no run halted");
            sleep(Duration::from_millis(20));
        };
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
        run.join().unwrap().unwrap_err();
        // All sessions end with it, once the server has noticed: a new one that was sooner would end as well.
        while client.simple_query("SELECT").is_ok() {
            assert!(Instant::now() < deadline, "{what}: the server goes on");
        }
    });
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = database
        .try_client()
        .and_then(|mut client| Ok(client.batch_execute(GO_ON)?))
    {
        assert!(Instant::now() < deadline, "{what}: {error:#}");
        sleep(Duration::from_millis(50));
    }
}

#[test]
fn killed_in_any_of_its_statements() {
    let server = Postgres::temporary(&["synchronous_commit=on"]).unwrap();
    let database = server.store("retention_killed");
    database.client().batch_execute(DAYS).unwrap();
    database.client().batch_execute(HALT).unwrap();
    keep(&mut database.client(), 10, 6);
    for (what, halt) in STATEMENTS {
        database.client().batch_execute(halt).unwrap();
        kill_where_it_halts(&database, what);
        let mut client = database.client();
        figures_stand(&mut client, what);
        client.batch_execute(STALE).unwrap();
    }
    let mut client = database.client();
    client.batch_execute("CALL iot_kpi.maintain()").unwrap();
    client.batch_execute(STALE).unwrap();
    client.batch_execute("CALL iot_kpi.maintain()").unwrap();
    check(&mut client);
}
