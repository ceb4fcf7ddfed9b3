//! A filled store is dumped and restored into another server, in every format: the same answers, and it goes on from there.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the message, outside a #[test] function too"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use iot_kpi_tests::answers::{self, Answers};
use iot_kpi_tests::installation::target;
use iot_kpi_tests::postgres::{Database, Postgres, shared};

/// The store that all tests here dump.
struct Source {
    database: Database<'static>,
    answers: Answers,
    tables: BTreeMap<String, String>,
}

#[test]
fn a_plain_dump() {
    let file = dump("plain", &["--format=plain"]);
    let restored = elsewhere().create_database("plain").unwrap();
    run(restored
        .psql()
        .args(["--quiet", "--set=ON_ERROR_STOP=1", "--file"])
        .arg(&file));
    as_it_was(&restored);
}

#[test]
fn a_custom_dump() {
    let file = dump("custom", &["--format=custom"]);
    let restored = elsewhere().create_database("custom").unwrap();
    restore(&restored, &file, &[]);
    as_it_was(&restored);
}

#[test]
fn a_directory_by_two_at_once() {
    let file = dump("directory", &["--format=directory", "--jobs=2"]);
    let restored = elsewhere().create_database("directory").unwrap();
    restore(&restored, &file, &["--jobs=2"]);
    as_it_was(&restored);
}

/// Into a database that has the extension already.
#[test]
fn the_store_alone() {
    let file = dump("store_alone", &["--format=custom", "--schema=iot"]);
    let restored = elsewhere().extension("store_alone");
    restore(&restored, &file, &[]);
    restored.client().batch_execute(answers::FILL_STATES).unwrap();
    as_it_was(&restored);
}

/// Rows into a store that create_store() made: only without its triggers and its own settings.
#[test]
fn the_rows_alone() {
    let file = dump("rows_alone", &["--format=custom", "--data-only", "--table=iot.*"]);
    let restored = elsewhere().store("rows_alone");
    let mut client = restored.client();
    client
        .batch_execute("DELETE FROM iot.settings; DELETE FROM iot.metric_types")
        .unwrap();
    client
        .batch_execute("SELECT iot_kpi.make_partitions('[2026-02-28 00:00+00, 2026-03-01 04:00+00]')")
        .unwrap();
    restore(&restored, &file, &["--disable-triggers"]);
    client.batch_execute(answers::FILL_STATES).unwrap();
    as_it_was(&restored);
}

fn as_it_was(restored: &Database<'_>) {
    let source = source();
    let mut client = restored.client();
    assert_eq!(answers::tables(&mut client).unwrap(), source.tables);
    let is = answers::ask(&mut client).unwrap();
    assert_eq!(is.keys().collect::<Vec<_>>(), source.answers.keys().collect::<Vec<_>>());
    let differences = answers::differences(&source.answers, &is);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    goes_on(restored);
}

/// The rules are applied, marks are set, and numbers go on where they were.
fn goes_on(restored: &Database<'_>) {
    let mut client = restored.client();
    let ingested = client
        .query_one(
            "SELECT stored, refused FROM iot_kpi.ingest_metrics('{CAM_001,CAM_001}', '{heartbeat,nonsense}',
                        '{2026-02-28 22:01:01+00,2026-02-28 22:01:01+00}', '{1,1}')",
            &[],
        )
        .unwrap();
    assert_eq!((ingested.get::<_, i64>(0), ingested.get::<_, i64>(1)), (1, 1));
    let stale = "SELECT array_agg(period::text ORDER BY grain DESC, period) FROM iot.kpi_calculations WHERE stale AND device_id = 'CAM_001'";
    let stale: Vec<String> = client.query_one(stale, &[]).unwrap().get(0);
    assert_eq!(
        stale.first().unwrap(),
        "[\"2026-02-28 22:00:00+00\",\"2026-02-28 23:00:00+00\")"
    );
    let next = "INSERT INTO iot.maintenance_windows (device_id, period) VALUES ('CAM_001', '[2026-03-01, 2026-03-02)') RETURNING id";
    assert_eq!(client.query_one(next, &[]).unwrap().get::<_, i64>(0), 3);
    let next = "INSERT INTO iot.slo_targets (scope_kind, scope_value, kpi, objective) VALUES ('device', 'CAM_001', 'uptime', 0.9) RETURNING id";
    assert_eq!(client.query_one(next, &[]).unwrap().get::<_, i64>(0), 3);
    let failed = "SELECT count(*) FROM iot_kpi.health() WHERE status = 'fail'";
    client.batch_execute("SELECT iot_kpi.make_partitions()").unwrap();
    assert_eq!(client.query_one(failed, &[]).unwrap().get::<_, i64>(0), 0);
}

/// One for all tests: each only reads it.
fn source() -> &'static Source {
    static SOURCE: OnceLock<Source> = OnceLock::new();
    SOURCE.get_or_init(|| {
        let database = shared().store("backup");
        let mut client = database.client();
        client.batch_execute(answers::FILL).unwrap();
        Source {
            answers: answers::ask(&mut client).unwrap(),
            tables: answers::tables(&mut client).unwrap(),
            database,
        }
    })
}

/// Another server.
fn elsewhere() -> &'static Postgres {
    static ELSEWHERE: OnceLock<Postgres> = OnceLock::new();
    ELSEWHERE.get_or_init(|| Postgres::temporary(&[]).unwrap())
}

fn dump(name: &str, options: &[&str]) -> PathBuf {
    let folder = target().join("tests/backup");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join(name);
    let _ = fs::remove_file(&file);
    let _ = fs::remove_dir_all(&file);
    let source = &source().database;
    run(source
        .client_program("pg_dump")
        .args(options)
        .arg("--file")
        .arg(&file)
        .arg(source.name()));
    file
}

fn restore(database: &Database<'_>, file: &Path, options: &[&str]) {
    let mut command = database.client_program("pg_restore");
    run(command
        .arg("--exit-on-error")
        .arg("--dbname")
        .arg(database.name())
        .args(options)
        .arg(file));
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
