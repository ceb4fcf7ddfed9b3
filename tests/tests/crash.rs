//! What `kill -9` leaves behind: workers, sessions and whole servers die at random moments, while upkeep calculates, drops and deletes
//! and writers write. Afterwards nothing is lost, nothing is doubled, and the next run ends what was begun.

#![allow(
    clippy::unwrap_used,
    reason = "in tests, helpers outside a #[test] included, a panic is the message"
)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use iot_kpi_tests::postgres::{Database, Postgres, Stop, is_broken};
use iot_kpi_tests::upkeep::{PATIENCE, after_a_run, ask, healthy, until, with_worker};
use postgres::error::SqlState;
use postgres::{Client, NoTls};
use rustix::process::{Pid, Signal, kill_process};

/// Kills at random moments of a seed: `IOT_KPI_SEED`, or this one.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        Self(
            std::env::var("IOT_KPI_SEED")
                .ok()
                .and_then(|seed| seed.parse().ok())
                .unwrap_or(20_251_123),
        )
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// Until it is done: a connection that breaks is made anew, and what was sent is sent again, as it is where a run of upkeep read the
/// samples while a partition was to be made. Any other error is one.
fn insist(database: &Database<'_>, sql: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let Err(error) = database
            .try_client()
            .and_then(|mut client| Ok(client.batch_execute(sql)?))
        else {
            return;
        };
        let may_go_again = error
            .downcast_ref()
            .is_some_and(|error| is_broken(error) || is_locked_out(error));
        assert!(may_go_again && Instant::now() < deadline, "{sql}: {error:#}");
        sleep(Duration::from_millis(20));
    }
}

fn is_locked_out(error: &postgres::Error) -> bool {
    error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE)
}

const DEVICES: u32 = 30;

/// Device `d` sends a minute of samples: ten seconds apart, some of them two days late.
fn minute(minute: u32) -> String {
    let age = if minute.is_multiple_of(3) {
        "26 hours"
    } else {
        "2 hours"
    };
    format!(
        "SELECT iot_kpi.ingest_metrics(array_agg('d' || d), array_agg(CASE s % 2 WHEN 0 THEN 'error' ELSE 'response_time' END), array_agg(t), array_agg(((d + s) % 2)::float8))
         FROM generate_series(1, {DEVICES}) d, generate_series(0, 5) s,
              LATERAL (SELECT date_trunc('hour', '2000-01-01'::timestamptz + (SELECT value FROM public.epoch)) - interval '{age}' + {minute} * interval '1 min' + s * interval '10 s') x (t)"
    )
}

#[test]
fn kills_lose_nothing_and_double_nothing() {
    // Killed without a word, a process of the server takes all others with it, and what was committed must still be there.
    let server = with_worker(&["synchronous_commit=on"]);
    let mut dice = Dice::new();
    let stores = ["upkeep_killed", "upkeep_calm"].map(|name| {
        let database = server.store(name);
        insist(
            &database,
            &format!(
                "CREATE TABLE public.epoch AS SELECT date_trunc('hour', now()) - '2000-01-01'::timestamptz AS value;
                 UPDATE iot.settings SET value = '3' WHERE name = 'upkeep_batch';
                 INSERT INTO iot.devices (device_id, commissioned_at) SELECT 'd' || d, date_trunc('hour', now()) - interval '30 hours' FROM generate_series(1, {DEVICES}) d;
                 SELECT iot_kpi.make_partitions(tstzrange(now() - interval '2 days', now()));
                 -- Where a run has already seen the hour without any device, it is to look at it once more.
                 DELETE FROM iot.upkeep WHERE step = 'calculations'"
            ),
        );
        database
    });
    // Runs come without a pause, and meet no rest between two of them.
    let kills = 8;
    let done = AtomicBool::new(false);
    let mut killed = 0;
    scope(|threads| {
        let writer = threads.spawn(|| {
            for m in 0.. {
                for store in &stores {
                    insist(store, &minute(m % 60));
                }
                if done.load(Ordering::Relaxed) && m >= 60 {
                    return;
                }
            }
        });
        let deadline = Instant::now() + PATIENCE;
        while killed < kills {
            assert!(Instant::now() < deadline, "only {killed} kills");
            let Ok(mut client) = stores[0].try_client() else {
                sleep(Duration::from_millis(20));
                continue;
            };
            let pid = client.query_opt(
                "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_iot_kpi worker' AND datname = current_database()",
                &[],
            );
            if let Ok(Some(row)) = pid {
                sleep(Duration::from_millis(dice.below(120)));
                if kill_process(Pid::from_raw(row.get(0)).unwrap(), Signal::KILL).is_ok() {
                    killed += 1;
                }
            }
            sleep(Duration::from_millis(20));
        }
        done.store(true, Ordering::Relaxed);
        writer.join().unwrap();
    });

    let [mut killed, mut calm] = stores.map(|store| {
        insist(&store, "SELECT 1");
        let mut client = store.client();
        after_a_run(&mut client);
        until(
            &mut client,
            "SELECT NOT EXISTS (SELECT FROM iot_kpi.deadlines() WHERE missed OR returned)",
        );
        client
    });
    for query in [
        "SELECT md5(string_agg(concat_ws(',', device_id, metric, time, value), ';' ORDER BY device_id, metric, time)) || count(*) FROM iot.device_metrics",
        "SELECT md5(string_agg((to_jsonb(k) - 'last_received')::text, ';')) FROM iot_kpi.device_kpis(tstzrange((SELECT '2000-01-01'::timestamptz + value - interval '30 hours' FROM public.epoch), (SELECT '2000-01-01'::timestamptz + value FROM public.epoch)), as_of => (SELECT '2000-01-01'::timestamptz + value FROM public.epoch)) k",
        "SELECT string_agg(concat_ws(',', device_id, time, status), ';' ORDER BY device_id, time) FROM iot.device_status_history WHERE status = 'offline' AND time = (SELECT max(time) FROM iot.device_status_history)",
        "SELECT count(*)::text FROM iot.device_liveness WHERE silent_since IS NOT NULL",
    ] {
        let (left, right): (Option<String>, Option<String>) = (ask(&mut killed, query), ask(&mut calm, query));
        assert_eq!(left, right, "{query}");
    }
    for client in [&mut killed, &mut calm] {
        // Every silence has one record, and one return between two of them.
        assert_eq!(
            ask::<i64>(
                client,
                "SELECT count(*) FROM (SELECT status, lag(status, 1, 'online') OVER (PARTITION BY device_id ORDER BY time) AS before FROM iot.device_status_history) h WHERE status = before"
            ),
            0
        );
        assert_eq!(
            ask::<i64>(client, "SELECT count(*) FROM iot.kpi_calculations WHERE stale"),
            0
        );
        if !ask::<bool>(client, "SELECT EXISTS (SELECT FROM iot.kpi_calculations)") {
            client
                .batch_execute("DELETE FROM iot.upkeep WHERE step = 'calculations'")
                .unwrap();
            until(client, "SELECT EXISTS (SELECT FROM iot.kpi_calculations)");
            after_a_run(client);
        }
        // What passes for calculated comes out the same when it is calculated anew.
        let calculations = "SELECT md5(string_agg((to_jsonb(k) - 'calculated_at')::text, ';' ORDER BY device_id, grain, period)) FROM iot.kpi_calculations k";
        let before: String = ask(client, calculations);
        client
            .batch_execute("UPDATE iot.kpi_calculations SET stale = true")
            .unwrap();
        until(
            client,
            "SELECT NOT EXISTS (SELECT FROM iot.kpi_calculations WHERE stale)",
        );
        assert_eq!(ask::<String>(client, calculations), before);
    }
}

/// Three weeks of six devices, in which something is missing here and there, with a status every six hours. Every device with an odd number counts
/// temperatures as beats, so that calculations must be made before those are deleted. A device a transaction: upkeep takes many.
const THREE_WEEKS: &str = "
    UPDATE iot.settings SET value = '1' WHERE name = 'upkeep_batch';
    CREATE TABLE public.epoch AS SELECT date_trunc('day', now(), 'UTC') AS today;
    INSERT INTO iot.devices (device_id, commissioned_at, liveness, heartbeat_metric)
    SELECT 'd' || d, today - interval '21 days', '30 min', CASE WHEN d % 2 = 0 THEN 'heartbeat' END FROM public.epoch, generate_series(1, 6) d;
    SELECT iot_kpi.make_partitions(tstzrange(today - interval '21 days', now())) FROM public.epoch;
    SELECT iot_kpi.ingest_metrics(array_agg('d' || d), array_agg(m), array_agg(t), array_agg(20::float8))
    FROM public.epoch, generate_series(1, 6) d, unnest(ARRAY['heartbeat', 'temperature']) m, generate_series(today - interval '21 days', today, '20 min') t
    WHERE (extract(epoch FROM t)::bigint / 1200 + d) % 17 > 2 OR m = 'temperature' AND d % 3 = 0;
    SELECT iot_kpi.ingest_status(array_agg('d' || d), array_agg(t), array_agg((ARRAY['online', 'degraded', 'offline'])[1 + (d + extract(day FROM t)::int) % 3]), array_agg(NULL::text))
    FROM public.epoch, generate_series(1, 6) d, generate_series(today - interval '21 days', today, '6 hours') t;
    -- What is calculated in peace. Upkeep has to do every third day again, but for those whose rows go before it comes to them.
    SELECT iot_kpi.calculate_kpis(tstzrange(today - interval '21 days', today - interval '4 days')) FROM public.epoch;
    CREATE TABLE public.calculated AS
    SELECT device_id, grain, period, to_jsonb(k) - 'calculated_at' - 'stale' AS kpis FROM iot.kpi_calculations k WHERE lower(period) >= (SELECT today - interval '20 days' FROM public.epoch);
    DELETE FROM iot.kpi_calculations WHERE lower(period) >= (SELECT today - interval '16 days' FROM public.epoch) AND extract(day FROM lower(period))::int % 3 = 0;
    -- Deleting takes its time, or few would die of it.
    CREATE FUNCTION public.dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.03); RETURN NULL; END $$;
    CREATE TRIGGER dawdle AFTER DELETE ON iot.device_metrics EXECUTE FUNCTION public.dawdle();
    CREATE TABLE public.written AS SELECT device_id, metric, time, value FROM iot.device_metrics";

/// What each writer writes in a turn: by the forgiving door, by the strict one, and late, all over the weeks.
const WRITERS: [(&str, &str); 3] = [
    (
        "SELECT 'd' || d, 'humidity', today - interval '1 day' + {turn} * interval '1 s', {turn} % 100 FROM public.epoch, generate_series(1, 6) d",
        "SELECT iot_kpi.ingest_metrics(array_agg(d), array_agg(m), array_agg(t), array_agg(v::float8)) FROM ({batch}) b (d, m, t, v)",
    ),
    (
        "SELECT 'd' || d, 'pressure', today - interval '1 day' + {turn} * interval '1 s', {turn} FROM public.epoch, generate_series(1, 6) d",
        "INSERT INTO iot.device_metrics (device_id, metric, time, value) {batch}",
    ),
    (
        "SELECT 'd' || d, 'light', today - (1 + {turn} % 20) * interval '1 day' + {turn} % 23 * interval '1 hour' + {turn} * interval '1 ms', {turn} FROM public.epoch, generate_series(2, 6, 2) d",
        "SELECT iot_kpi.ingest_metrics(array_agg(d), array_agg(m), array_agg(t), array_agg(v::float8)) FROM ({batch}) b (d, m, t, v)",
    ),
];

/// Turn after turn, beginning with the one that may or may not have been written before.
fn write_on(uri: &str, writer: usize, turn: &mut u32, done: &AtomicBool) {
    while !done.load(Ordering::Relaxed) {
        let Ok(mut client) = Client::connect(uri, NoTls) else {
            sleep(Duration::from_millis(20));
            continue;
        };
        while !done.load(Ordering::Relaxed) {
            match write_turn(&mut client, writer, *turn) {
                Ok(()) => *turn += 1,
                Err(error) if is_broken(&error) => break,
                // It was written when the connection broke, and whole: the others of the turn would be missed afterwards.
                Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => *turn += 1,
                Err(error) => panic!("writer {writer}, turn {turn}: {error:?}"),
            }
        }
    }
}

fn write_turn(client: &mut Client, writer: usize, turn: u32) -> Result<(), postgres::Error> {
    let (batch, statement) = WRITERS[writer];
    let batch = batch.replace("{turn}", &turn.to_string());
    client.batch_execute(&statement.replace("{batch}", &batch))
}

/// Whether a run is at retention, and has something to do.
const RETAINING: &str = "(SELECT c.finished_at > r.started_at FROM iot.upkeep c, iot.upkeep r WHERE c.step = 'calculations' AND r.step = 'run')
    AND (EXISTS (SELECT FROM iot_kpi.expired_partitions()) OR (SELECT day IS NOT NULL FROM iot_kpi.expired_metrics()))";

/// Kills a process that serves this database, twice of three times one that does upkeep. Only while a run is at retention.
fn kill_somebody(uri: &str, dice: &mut Dice) -> bool {
    let only_upkeep = dice.below(3) > 0;
    let victims = Client::connect(uri, NoTls).and_then(|mut client| {
        client.query(
            &format!(
                "SELECT pid FROM pg_stat_activity
                 WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type IN ('client backend', 'pg_iot_kpi worker')
                   AND (NOT {only_upkeep} OR backend_type = 'pg_iot_kpi worker' OR query LIKE 'CALL iot_kpi.maintain%') AND ({RETAINING})"
            ),
            &[],
        )
    });
    let Ok(victims) = victims else { return false };
    if victims.is_empty() {
        return false;
    }
    let victim = victims[usize::try_from(dice.below(victims.len() as u64)).unwrap()].get(0);
    sleep(Duration::from_millis(dice.below(400)));
    kill_process(Pid::from_raw(victim).unwrap(), Signal::KILL).is_ok()
}

/// Writers, a session that does upkeep besides the worker, and death among them; at last the server's own.
fn a_round_of_kills(server: &mut Postgres, turns: &mut [u32; WRITERS.len()], dice: &mut Dice) -> u32 {
    let uri = server.database("crash_retention").uri();
    let done = AtomicBool::new(false);
    let mut killed = 0;
    scope(|threads| {
        for (writer, turn) in turns.iter_mut().enumerate() {
            let (uri, done) = (&uri, &done);
            threads.spawn(move || write_on(uri, writer, turn, done));
        }
        threads.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let done =
                    Client::connect(&uri, NoTls).and_then(|mut client| client.batch_execute("CALL iot_kpi.maintain()"));
                assert!(
                    done.as_ref().err().is_none_or(is_broken),
                    "CALL iot_kpi.maintain(): {done:?}"
                );
                sleep(Duration::from_millis(20));
            }
        });
        let deadline = Instant::now() + Duration::from_secs(12);
        while killed < 3 && Instant::now() < deadline {
            if kill_somebody(&uri, dice) {
                killed += 1;
            }
            sleep(Duration::from_millis(20));
        }
        sleep(Duration::from_millis(dice.below(1000)));
        // The postmaster itself. Its children find out by and by.
        server.stop(Stop::Kill).unwrap();
        done.store(true, Ordering::Relaxed);
    });
    killed + 1
}

/// Starts a killed server again, once the last of its children has gone.
fn revive(server: &mut Postgres) {
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = server.start() {
        assert!(Instant::now() < deadline, "{error:#}");
    }
}

/// Nothing that is kept is lost, nothing is there twice or out of nowhere, nothing is left of what had to go.
fn check_retention(client: &mut Client, must_be_gone: &str) {
    assert_eq!(ask::<i64>(client, must_be_gone), 0, "samples beyond retention");
    for (what, count) in [
        (
            "lost, of what is kept",
            "SELECT count(*) FROM (
                 SELECT * FROM public.written WHERE time >= iot_kpi.earliest_sample() AND NOT (metric = 'temperature'
                     AND date_trunc('day', time, 'UTC') + interval '24 hours' <= now() - (SELECT retention FROM iot.metric_types WHERE metric = 'temperature'))
                 EXCEPT ALL SELECT device_id, metric, time, value FROM iot.device_metrics) x",
        ),
        (
            "twice, or never written",
            "SELECT count(*) FROM (SELECT device_id, metric, time, value FROM iot.device_metrics EXCEPT ALL SELECT * FROM public.written) x",
        ),
        (
            "tables of a day that are no partitions",
            "SELECT count(*) FROM pg_class c WHERE c.relnamespace = 'iot'::regnamespace AND c.relkind = 'r' AND c.relname ~ '^device_metrics_p'
                AND NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid AND NOT i.inhdetachpending)",
        ),
        (
            "days between two partitions without one",
            "SELECT max(day) - min(day) + 1 - count(*) FROM (SELECT right(c.relname, 8)::date AS day FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                 WHERE i.inhparent = 'iot.device_metrics'::regclass AND c.relkind = 'r') x",
        ),
        (
            "partitions without a sound index",
            "SELECT count(*) FROM pg_inherits i WHERE i.inhparent IN ('iot.device_metrics'::regclass, 'iot.device_metrics_years'::regclass)
                AND NOT EXISTS (SELECT FROM pg_index x WHERE x.indrelid = i.inhrelid AND x.indisprimary AND x.indisvalid)",
        ),
        (
            "statuses that still hold",
            "SELECT count(*) FROM iot.devices d WHERE NOT EXISTS (SELECT FROM iot.device_status_history h WHERE h.device_id = d.device_id AND h.time <= iot_kpi.earliest_sample())",
        ),
    ] {
        assert_eq!(ask::<i64>(client, count), 0, "{what}");
    }
    // What was calculated of days whose rows are gone, in part or as a whole, is what it was.
    let changed: Vec<String> = client
        .query(
            "SELECT format(E'%s, %s %s\n  was %s\n  is  %s', c.device_id, c.grain, c.period, c.kpis, k.kpis)
             FROM public.calculated c LEFT JOIN (SELECT device_id, grain, period, to_jsonb(k) - 'calculated_at' - 'stale' AS kpis FROM iot.kpi_calculations k) k
                 USING (device_id, grain, period)
             WHERE upper(c.period) <= now() - (SELECT retention FROM iot.metric_types WHERE metric = 'temperature')
               AND c.kpis IS DISTINCT FROM k.kpis ORDER BY c.period LIMIT 3",
            &[],
        )
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert!(changed.is_empty(), "{}", changed.join("\n"));
    healthy(client);
}

#[test]
fn kills_in_the_midst_of_retention_leave_no_half_of_it() {
    let mut server = with_worker(&["synchronous_commit=on"]);
    let mut dice = Dice::new();
    let mut turns = [0; WRITERS.len()];
    let mut killed = 0;
    insist(&server.store("crash_retention"), THREE_WEEKS);
    // Days are dropped that have lost their temperatures in the round before.
    for (keep, temperatures) in [(18, 14), (14, 8), (8, 4)] {
        server
            .database("crash_retention")
            .client()
            .batch_execute(&format!(
                "UPDATE iot.metric_types SET retention = '{temperatures} days' WHERE metric = 'temperature'; UPDATE iot.settings SET value = '{keep} days' WHERE name = 'retention'"
            ))
            .unwrap();
        killed += a_round_of_kills(&mut server, &mut turns, &mut dice);
        revive(&mut server);

        let database = server.database("crash_retention");
        let mut client = database.client();
        // As of now: a day may end while the last run is under way.
        let must_be_gone: String = ask(
            &mut client,
            "SELECT format('SELECT count(*) FROM iot.device_metrics WHERE time < %L OR metric = ''temperature'' AND time < %L',
                 date_trunc('day', iot_kpi.earliest_sample(), 'UTC'), date_trunc('day', now() - (SELECT retention FROM iot.metric_types WHERE metric = 'temperature'), 'UTC'))",
        );
        for (writer, turn) in turns.iter_mut().enumerate() {
            // What was under way when the server died is sent again.
            write_turn(&mut client, writer, *turn)
                .or_else(|error| {
                    if error.code() == Some(&SqlState::UNIQUE_VIOLATION) {
                        Ok(())
                    } else {
                        Err(error)
                    }
                })
                .unwrap();
            *turn += 1;
            let batch = WRITERS[writer].0.replace("{turn}", "turn");
            client
                .batch_execute(&format!(
                    "DELETE FROM public.written w USING iot.metric_types t WHERE w.metric = '{metric}' AND t.metric = w.metric;
                     INSERT INTO public.written SELECT b.* FROM generate_series(0, {turn} - 1) turn, LATERAL ({batch}) b",
                    metric = ["humidity", "pressure", "light"][writer]
                ))
                .unwrap();
        }
        after_a_run(&mut client);
        until(&mut client, &format!("SELECT NOT ({RETAINING})"));
        check_retention(&mut client, &must_be_gone);
    }
    // A round whose work was done before is no proof.
    assert!(killed > 5, "only {killed} kills");
    assert!(turns.iter().all(|turn| *turn > 20), "writers took {turns:?} turns");
}

#[test]
fn kills_while_samples_move_leave_each_once() {
    const YEARS: i64 = 30;
    const SAMPLES: i64 = 4000;
    let server = Postgres::temporary(&["synchronous_commit=on"]).unwrap();
    let database = server.store("crash_move");
    let mut dice = Dice::new();
    // Thirty years that have no partition: each is a transaction of upkeep.
    database
        .client()
        .batch_execute(&format!(
            "UPDATE iot.settings SET value = '1975-01-01' WHERE name = 'earliest_time';
             UPDATE iot.settings SET value = 'off' WHERE name IN ('calculations', 'deadlines');
             INSERT INTO iot.device_metrics (device_id, metric, time, value)
             SELECT 'd' || n % 9, 'pressure', make_timestamptz(1975 + year, 1, 1, 0, 0, 0, 'UTC') + n * interval '2 hours', n
             FROM generate_series(0, {YEARS} - 1) AS year, generate_series(1, {SAMPLES}) AS n"
        ))
        .unwrap();
    // How many years are left to move; how many samples there are, and of what sum; tables that belong to nothing.
    let look = "SELECT (SELECT count(DISTINCT date_trunc('year', time, 'UTC')) FROM iot.device_metrics_default), count(*), sum(value)::bigint,
            (SELECT count(*) FROM pg_class c WHERE c.relnamespace = 'iot'::regnamespace AND c.relkind = 'r' AND c.relname ~ '^device_metrics_'
                AND NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid)), pg_backend_pid()
        FROM iot.device_metrics";
    let (mut killed, mut cut_off) = (0, 0);
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "only {killed} kills");
        // Until the server is back, and the last that it ended has gone.
        let looked = database
            .try_client()
            .and_then(|mut client| Ok((client.query_one(look, &[])?, client)));
        let Ok((row, mut client)) = looked else {
            sleep(Duration::from_millis(20));
            continue;
        };
        let found: (i64, i64, i64) = (row.get(1), row.get(2), row.get(3));
        assert_eq!(found, (YEARS * SAMPLES, YEARS * SAMPLES * (SAMPLES + 1) / 2, 0));
        if row.get::<_, i64>(0) == 0 {
            break;
        }
        let pid = Pid::from_raw(row.get(4)).unwrap();
        let upkeep = std::thread::spawn(move || client.batch_execute("CALL iot_kpi.maintain()"));
        sleep(Duration::from_millis(dice.below(200)));
        if killed < 8 && kill_process(pid, Signal::KILL).is_ok() {
            killed += 1;
            cut_off += u32::from(upkeep.join().unwrap().is_err());
        } else {
            upkeep.join().unwrap().unwrap();
        }
    }
    // A run that was through before it was killed is no proof.
    assert!(cut_off > 3, "only {cut_off} runs were cut off");
    let mut client = database.client();
    let years = "SELECT count(DISTINCT tableoid) FROM iot.device_metrics";
    assert_eq!(ask::<i64>(&mut client, years), YEARS);
    healthy(&mut client);
}
