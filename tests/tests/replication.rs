//! A store is read elsewhere: from a streaming standby, and from a second server that gets its tables by logical replication.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the message, outside a #[test] function too"
)]

use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use iot_kpi_tests::answers;
use iot_kpi_tests::postgres::{Database, Postgres};
use postgres::Client;

/// What happens to a store in the middle of its life: late and corrected samples, changed settings, calculations.
const CHANGES: &str = "
    INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('CAM_001', 'heartbeat', '2026-02-28 22:01:01+00', 1);
    UPDATE iot.device_metrics SET value = value + 1 WHERE metric = 'response_time' AND device_id = 'TEMP_001';
    DELETE FROM iot.device_metrics WHERE device_id = 'AIR_001' AND time > '2026-03-01 03:00+00';
    UPDATE iot.device_status_history SET status = 'offline' WHERE device_id = 'AIR_001' AND status = 'error';
    UPDATE iot.devices SET liveness = '25 min', metadata = '{\"moved\": true}' WHERE device_id = 'TEMP_001';
    DELETE FROM iot.maintenance_windows WHERE device_id IS NULL;
    SELECT iot_kpi.calculate_kpis('[2026-02-28 00:00+00, 2026-03-01 02:00+00)', as_of => '2026-03-01 04:00+00');
    UPDATE iot.device_metrics SET value = 0 WHERE device_id = 'CAM_001' AND time = '2026-02-28 22:01:01+00'";

#[test]
fn a_standby_serves_every_report() {
    let primary = Postgres::temporary(&[]).unwrap();
    let source = primary.store("iot");
    source.client().batch_execute(answers::FILL).unwrap();
    let standby = primary.standby(&[]).unwrap();
    let copy = standby.database("iot");
    let replayed = |lsn: &str| format!("SELECT pg_last_wal_replay_lsn() >= '{lsn}'");
    await_true(&mut copy.client(), &replayed(&position(&source)), || standby.log());
    same(&source, &copy);
    source.client().batch_execute(CHANGES).unwrap();
    await_true(&mut copy.client(), &replayed(&position(&source)), || standby.log());
    same(&source, &copy);

    let refused = copy
        .client()
        .batch_execute("INSERT INTO iot.settings VALUES ('retention', '1 day')");
    assert_eq!(refused.unwrap_err().code().unwrap().code(), "25006");
    copy.client().batch_execute("SELECT * FROM iot_kpi.health()").unwrap();

    // When it becomes the primary, it goes on.
    let mut client = copy.client();
    assert!(client.query_one("SELECT pg_promote()", &[]).unwrap().get::<_, bool>(0));
    client
        .batch_execute("INSERT INTO iot.device_metrics VALUES ('CAM_001', 'heartbeat', '2026-02-28 22:02:02+00', 1)")
        .unwrap();
    client.batch_execute("CALL iot_kpi.maintain()").unwrap();
}

#[test]
fn logical_replication_gives_the_same_reports() {
    let publisher = Postgres::temporary(&["wal_level=logical"]).unwrap();
    let subscriber = Postgres::temporary(&["wal_retrieve_retry_interval=100ms"]).unwrap();
    let source = publisher.store("iot");
    source.client().batch_execute(answers::FILL).unwrap();
    let copy = subscriber.create_database("iot").unwrap();
    copy_schema(&source, &copy);
    // The user's table with states is replicated beside the store.
    source
        .client()
        .batch_execute(
            "CREATE PUBLICATION iot FOR TABLES IN SCHEMA iot, TABLE public.states WITH (publish_via_partition_root = true)",
        )
        .unwrap();
    let mut client = copy.client();
    client
        .batch_execute(&format!(
            "CREATE SUBSCRIPTION iot CONNECTION 'host={} port={} user=postgres dbname=iot' PUBLICATION iot",
            publisher.socket_folder().display(),
            publisher.port()
        ))
        .unwrap();
    let synced = "SELECT count(*) > 0 AND bool_and(srsubstate = 'r') FROM pg_subscription_rel";
    await_true(&mut client, synced, || subscriber.log());
    same(&source, &copy);
    source.client().batch_execute(CHANGES).unwrap();
    caught_up(&source, &subscriber);
    same(&source, &copy);

    // A day that has a partition there and none here goes into that of its year, one of a year that has none into the default one.
    source
        .client()
        .batch_execute(
            "SELECT iot_kpi.make_partitions('[2026-03-05 00:00+00, 2026-03-05 12:00+00]');
             UPDATE iot.settings SET value = '1999-01-01' WHERE name = 'earliest_time';
             SELECT iot_kpi.make_partitions();
             INSERT INTO iot.device_metrics VALUES ('CAM_001', 'heartbeat', '2026-03-05 01:00+00', 1), ('CAM_001', 'heartbeat', '1999-03-05 01:00+00', 1)",
        )
        .unwrap();
    caught_up(&source, &subscriber);
    same(&source, &copy);
    // Upkeep there makes it a home: the rows that are moved are no change that anybody hears of.
    client.batch_execute("SELECT iot_kpi.make_partitions()").unwrap();
    let rest = "SELECT count(*) FROM iot.device_metrics_default";
    assert_eq!(client.query_one(rest, &[]).unwrap().get::<_, i64>(0), 0);
    same(&source, &copy);
    client.batch_execute("DROP SUBSCRIPTION iot").unwrap();
}

/// As docs/operations.md has it: extension, tables, partitions and triggers, and no row, not even the default settings.
fn copy_schema(source: &Database<'_>, copy: &Database<'_>) {
    let mut dump = source.client_program("pg_dump");
    let mut dump = dump
        .args(["--schema-only", source.name()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let restored = copy
        .psql()
        .args(["--quiet", "--set=ON_ERROR_STOP=1"])
        .stdin(dump.stdout.take().unwrap())
        .output()
        .unwrap();
    assert!(dump.wait().unwrap().success());
    assert!(
        restored.status.success(),
        "{}",
        String::from_utf8_lossy(&restored.stderr)
    );
}

fn same(source: &Database<'_>, copy: &Database<'_>) {
    let [mut source, mut copy] = [source, copy].map(Database::client);
    assert_eq!(
        answers::tables(&mut copy).unwrap(),
        answers::tables(&mut source).unwrap()
    );
    let [expected, is] = [&mut source, &mut copy].map(|client| answers::ask(client).unwrap());
    let differences = answers::differences(&expected, &is);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn position(database: &Database<'_>) -> String {
    let sql = "SELECT pg_current_wal_flush_lsn()::text";
    // Transactions that do not wait for their flush are flushed a little later.
    database.client().batch_execute("CHECKPOINT").unwrap();
    database.client().query_one(sql, &[]).unwrap().get(0)
}

fn caught_up(source: &Database<'_>, subscriber: &Postgres) {
    let sql = format!(
        "SELECT bool_and(flush_lsn >= '{}') FROM pg_stat_replication",
        position(source)
    );
    await_true(&mut source.client(), &sql, || subscriber.log());
}

fn await_true(client: &mut Client, sql: &str, log: impl Fn() -> String) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while client.query_one(sql, &[]).unwrap().get::<_, Option<bool>>(0) != Some(true) {
        assert!(Instant::now() < deadline, "{sql}\n{}", log());
        sleep(Duration::from_millis(20));
    }
}
