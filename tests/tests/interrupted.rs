//! Errors that PostgreSQL raises while a function of the extension runs: they end it at once, wherever it is, and nothing that it
//! held stays behind.

#![allow(
    clippy::unwrap_used,
    reason = "in tests, helpers outside a #[test] included, a panic is the message"
)]

use std::fs;
use std::time::Instant;

use iot_kpi_tests::installation::Installation;
use iot_kpi_tests::postgres::{Database, Postgres, Stop, shared};
use postgres::Client;
use postgres::error::SqlState;

/// So many of everything, each outage, period and slot ten seconds long.
const BIG: &str = "
    CREATE TABLE big (
        beats iot_kpi.heartbeats, cadence iot_kpi.cadence, evidence iot_kpi.evidence, edges timestamptz[],
        spans tstzmultirange, whole tstzrange, dossier iot_kpi.dossier, slots iot_kpi.dossier);
    ALTER TABLE big ALTER beats SET STORAGE EXTERNAL, ALTER cadence SET STORAGE EXTERNAL, ALTER evidence SET STORAGE EXTERNAL,
        ALTER edges SET STORAGE EXTERNAL, ALTER spans SET STORAGE EXTERNAL, ALTER dossier SET STORAGE EXTERNAL,
        ALTER slots SET STORAGE EXTERNAL;
    WITH many AS (
        SELECT array_agg(t ORDER BY t) AS edges, iot_kpi.heartbeat_agg(t, '1 s') AS beats, iot_kpi.cadence_agg(t) AS cadence,
               range_agg(tstzrange(t + '3 s', t + '4 s')) AS spans, tstzrange(min(t), max(t)) AS whole
        FROM generate_series(timestamptz '2020-01-01 00:00+00', timestamptz '2020-01-01 00:00+00' + COUNT * interval '10 s', '10 s') AS t),
    gathered AS (
        SELECT iot_kpi.evidence_agg(t, 'm', 1, NULL, false, ARRAY['2020-01-01 00:00+00', '2021-01-01 00:00+00']::timestamptz[]) AS whole,
               iot_kpi.evidence_agg(t, 'm', 1, NULL, false, (SELECT edges FROM many)) AS slots
        FROM generate_series(timestamptz '2020-01-01 00:00+00', timestamptz '2020-01-01 00:00+00' + COUNT * interval '10 s', '10 s') AS t)
    INSERT INTO big
    SELECT m.beats, m.cadence, g.whole, m.edges, m.spans, m.whole,
           ROW (ARRAY[lower(m.whole), upper(m.whole)], '1 s', '1 s', NULL, NULL, NULL, g.whole, NULL, m.spans, NULL, NULL, NULL)::iot_kpi.dossier,
           ROW (m.edges, '1 s', '1 s', NULL, NULL, NULL, g.slots, NULL, m.spans, NULL, NULL, NULL)::iot_kpi.dossier
    FROM many AS m, gathered AS g;
    CREATE SEQUENCE before; CREATE SEQUENCE after;";

/// Functions with a value.
const VALUES: &[&str] = &[
    "iot_kpi.uptime(beats, whole, spans)",
    "iot_kpi.live_ranges(beats)",
    "iot_kpi.live_at(beats, upper(whole))",
    "iot_kpi.consistency(cadence, '1 s', whole, spans)",
    "iot_kpi.missed_beats(cadence, '1 s', whole)",
    "iot_kpi.evidence_summary(evidence, '1 s', '1 s')",
    "iot_kpi.unobserved_ranges(dossier)",
    "(SELECT iot_kpi.pool(ARRAY['uptime'], d, NULL) FROM (SELECT slots) AS s (d))",
];

/// Functions with rows.
const ROWS: &[&str] = &[
    "iot_kpi.outages(beats, whole, spans)",
    "iot_kpi.evidence_parts((slots).evidence)",
    "iot_kpi.device_report(slots)",
    "iot_kpi.device_values(slots, 'uptime')",
    "iot_kpi.device_values(slots, 'response_p95')",
    "iot_kpi.device_outages(dossier, '0')",
    "iot_kpi.device_periods(dossier)",
];

/// Enough that every function takes some ten milliseconds at least.
const LONG: u32 = 1_000_000;
/// Enough that what is left behind shows.
const LARGE: u32 = 300_000;

fn fill(client: &mut Client, count: u32) {
    client.batch_execute(&BIG.replace("COUNT", &count.to_string())).unwrap();
}

fn big(name: &str, count: u32) -> Database<'static> {
    let database = shared().extension(name);
    fill(&mut database.client(), count);
    database
}

/// The statement that runs one function between two others, in which each is called after the one before has ended. They take a
/// step of a sequence, which no error takes back, and give how long the statement has been running then.
fn between(function: &str) -> String {
    let step = |sequence| {
        format!("nextval('{sequence}') * 0 + extract(epoch FROM clock_timestamp() - statement_timestamp())::float8")
    };
    let (before, after) = (step("before"), step("after"));
    if VALUES.contains(&function) {
        format!("SELECT {before}, {function} IS NULL, {after} FROM big")
    } else {
        format!(
            "SELECT min(r.unnest), count(*), max(r.string_to_table::float8)
             FROM big, LATERAL ROWS FROM (unnest(ARRAY[{before}]), {function}, string_to_table(({after})::text, ' ')) AS r"
        )
    }
}

/// Whether the function began and whether it ended.
fn steps(client: &mut Client) -> (bool, bool) {
    let row = client
        .query_one(
            "SELECT (SELECT is_called FROM before), (SELECT is_called FROM after)",
            &[],
        )
        .unwrap();
    (row.get(0), row.get(1))
}

#[test]
fn a_function_ends_where_it_is_when_its_time_is_over() {
    for (name, functions, count) in [("interrupted_values", VALUES, LONG), ("interrupted_rows", ROWS, LARGE)] {
        let mut client = big(name, count).client();
        functions
            .iter()
            .for_each(|function| ends_in_time(&mut client, function));
    }
}

fn ends_in_time(client: &mut Client, function: &str) {
    let statement = between(function);
    let row = client.query_one(&statement, &[]).unwrap();
    let (begins, ends): (f64, f64) = (row.get(0), row.get(2));
    // What it reads is read by PostgreSQL, which can be interrupted: so not at the beginning. What it gives may be put together by
    // PostgreSQL, which cannot: so not at the end alone. The machine may be quicker or slower the next time, therefore several times.
    let parts = [0.5, 0.6, 0.4, 0.7, 0.3, 0.8];
    let seen = parts.into_iter().cycle().take(2 * parts.len()).any(|part| {
        client
            .batch_execute("ALTER SEQUENCE before RESTART; ALTER SEQUENCE after RESTART")
            .unwrap();
        let timeout = ((begins + part * (ends - begins)) * 1e3) as u64;
        client
            .batch_execute(&format!("SET statement_timeout = {}", timeout.max(1)))
            .unwrap();
        let result = client.batch_execute(&statement);
        client.batch_execute("SET statement_timeout = 0").unwrap();
        let code = result.err().and_then(|error| error.code().cloned());
        assert!(
            matches!(code, None | Some(SqlState::QUERY_CANCELED)),
            "{function}: {code:?}"
        );
        let (has_begun, has_ended) = steps(client);
        code.is_some() && has_begun && !has_ended
    });
    assert!(
        seen,
        "{function}, from {begins} s to {ends} s, went on to its end each time"
    );
}

/// Bytes that the session's process has for itself.
fn memory(client: &mut Client) -> i64 {
    let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<i64>().unwrap() * 1024
}

/// Runs what fails again and again: after some times it has all the memory that it will ever have, give or take what one call holds.
fn leaves_nothing_behind(client: &mut Client, what: &str, mut fail: impl FnMut(&mut Client)) {
    (0..5).for_each(|_| fail(client));
    let before = memory(client);
    (0..20).for_each(|_| fail(client));
    let more = memory(client) - before;
    // A single list of so many instants has more than two million bytes.
    assert!(more < 20_000_000, "{what}: {more} bytes more after 20 errors");
}

#[test]
fn what_a_function_held_is_freed() {
    let mut client = big("interrupted_memory", LARGE).client();
    // No room for the rows.
    client
        .batch_execute("SET work_mem = '64kB'; SET temp_file_limit = '1MB'")
        .unwrap();
    for function in [
        "iot_kpi.device_report(slots)",
        "iot_kpi.outages(beats, whole)",
        "iot_kpi.evidence_parts((slots).evidence)",
    ] {
        let statement = format!("SELECT count(*) FROM big, {function} AS r");
        leaves_nothing_behind(&mut client, function, |client| {
            let error = client.batch_execute(&statement).unwrap_err();
            assert_eq!(
                error.code(),
                Some(&SqlState::CONFIGURATION_LIMIT_EXCEEDED),
                "{function}: {error}"
            );
        });
    }
    client.batch_execute("RESET temp_file_limit; RESET work_mem").unwrap();
    // No time.
    let statement = between("iot_kpi.unobserved_ranges(dossier)");
    let began = Instant::now();
    client.batch_execute(&statement).unwrap();
    let half = began.elapsed().as_millis() / 2;
    client
        .batch_execute(&format!("SET statement_timeout = {half}"))
        .unwrap();
    leaves_nothing_behind(&mut client, "cancelled", |client| {
        drop(client.batch_execute(&statement))
    });
}

/// Takes a server's disk for what it is: bytes that may be wrong.
#[test]
fn a_damaged_set_of_time_is_an_error_that_frees_what_was_read_before_it() {
    let settings = ["ignore_checksum_failure=on", "autovacuum=off"];
    let mut server = Postgres::stopped(Installation::for_tests().unwrap(), &[], &settings).unwrap();
    server.start().unwrap();
    let (folder, file) = {
        let database = server.extension("damaged");
        let mut client = database.client();
        fill(&mut client, LARGE);
        client
            .batch_execute(
                "CREATE TABLE damaged (spans tstzmultirange);
                 INSERT INTO damaged VALUES ('{[2020-01-01, 2020-01-02), [2020-02-01, 2020-02-02), [2020-03-01, 2020-03-02)}');
                 CHECKPOINT",
            )
            .unwrap();
        let path: String = client
            .query_one("SELECT pg_relation_filepath('damaged')", &[])
            .unwrap()
            .get(0);
        (server.data(), path)
    };
    server.stop(Stop::Fast).unwrap();
    let file = folder.join(file);
    let mut bytes = fs::read(&file).unwrap();
    // The type, and behind it how many ranges there are.
    let multirange = 4534u32.to_ne_bytes();
    let at = bytes
        .windows(8)
        .position(|w| w[..4] == multirange && w[4..] == 3u32.to_ne_bytes())
        .unwrap();
    bytes[at + 4..at + 8].copy_from_slice(&0x0fff_ffff_u32.to_ne_bytes());
    fs::write(&file, bytes).unwrap();
    server.start().unwrap();

    let mut client = server.database("damaged").client();
    leaves_nothing_behind(&mut client, "damaged", |client| {
        let error = client
            .batch_execute("SELECT iot_kpi.uptime(b.beats, b.whole, d.spans) FROM big AS b, damaged AS d")
            .unwrap_err();
        assert!(error.to_string().contains("db error"), "{error}");
        let message = error.as_db_error().unwrap().message().to_owned();
        assert!(message.contains("invalid memory alloc request size"), "{message}");
    });
    let alive: i64 = client.query_one("SELECT count(*) FROM big", &[]).unwrap().get(0);
    assert_eq!(alive, 1);
}
