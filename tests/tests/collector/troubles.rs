//! A database that is there and takes nothing, or not all: it is told apart from one that is away, and nothing is lost.

use super::simulation::{Simulation, collector, durable, folder, spooled, stored, totals};
use iot_kpi_tests::postgres::{Database, Stop, shared};
use postgres::Client;
use postgres::error::SqlState;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// A store with a user of its own who may write, and that user's URI.
fn store_with_feeder(name: &str) -> (Database<'static>, String) {
    let database = shared().store(name);
    let role = format!("feeder_{name}");
    let sql = format!(
        "DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN PASSWORD 'geheim'; SELECT iot_kpi.grant_writer('{role}')"
    );
    database.client().batch_execute(&sql).unwrap();
    let uri = format!("postgresql://{role}:geheim@127.0.0.1:{}/{name}", shared().port());
    (database, uri)
}

/// Changes the store under writers, whose locks a change of a whole table may meet in another order: then it is tried again, as a
/// person would.
fn change(client: &mut Client, sql: &str) {
    while let Err(error) = client.batch_execute(sql) {
        assert_eq!(error.code(), Some(&SqlState::T_R_DEADLOCK_DETECTED), "{error}");
    }
}

/// Breaks something under a running collector, sees what it says, mends it, and sees that all has arrived.
fn broken_and_mended(name: &str, kind: &str, says: &str, breaks: &str, mends: &str) {
    let folder = folder(&format!("collector_{name}"));
    let (database, uri) = store_with_feeder(name);
    let mut client = database.client();
    let role = format!("feeder_{name}");
    let simulation = Simulation::start(&folder, 1, &uri);
    simulation.wait_until("storing", |s| s.metric("stored_total") > 500.0);
    assert_eq!(simulation.health().0, 200);
    assert_eq!(simulation.metric(&format!("problem{{kind=\"{kind}\"}}")), 0.0);

    change(&mut client, &breaks.replace("ROLE", &role));
    simulation.wait_until("refused", |s| s.health().1["status"] == "refused");
    let (status, health) = simulation.health();
    assert_eq!(status, 503);
    assert_eq!(health["problem"]["kind"], kind, "{health}");
    assert!(
        health["problem"]["message"].as_str().unwrap().contains(says),
        "{health}"
    );
    assert_eq!(simulation.metric(&format!("problem{{kind=\"{kind}\"}}")), 1.0);
    simulation.wait_until_log_has("the database takes nothing");
    simulation.wait_until_log_has(says);
    simulation.wait_until("spooling", |s| s.metric("spool_batches") > 2.0);

    change(&mut client, &mends.replace("ROLE", &role));
    simulation.wait_until_log_has("everything that waited is delivered");
    simulation.wait_until("well", |s| s.health().0 == 200);
    assert_eq!(simulation.health().1["problem"], Value::Null);
    assert_eq!(simulation.metric(&format!("problem{{kind=\"{kind}\"}}")), 0.0);
    assert!(
        !simulation.log().contains("the database is away"),
        "{}",
        simulation.log()
    );
    let truth = simulation.terminate();
    assert_eq!(stored(&database), totals(&truth));
    assert_eq!(spooled(&folder), 0);
}

#[test]
fn a_right_that_is_missing_is_named() {
    broken_and_mended(
        "denied",
        "permission",
        "grant_writer",
        "SELECT iot_kpi.revoke_writer('ROLE')",
        "SELECT iot_kpi.grant_writer('ROLE')",
    );
}

#[test]
fn a_function_that_is_missing_is_named() {
    broken_and_mended(
        "unfit",
        "store",
        "create_store()",
        "ALTER FUNCTION iot_kpi.ingest_status RENAME TO ingest_status_gone",
        "ALTER FUNCTION iot_kpi.ingest_status_gone RENAME TO ingest_status",
    );
}

/// Every row fails, for a reason that no SQLSTATE tells: it is not the rows.
#[test]
fn what_fails_for_every_row_is_no_row() {
    broken_and_mended(
        "unexpected",
        "unexpected",
        "no more",
        "CREATE FUNCTION public.mind() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no more'; END $$;
         CREATE TRIGGER mind BEFORE INSERT ON iot.device_metrics FOR EACH ROW EXECUTE FUNCTION public.mind();
         CREATE TRIGGER mind BEFORE INSERT ON iot.device_status_history FOR EACH ROW EXECUTE FUNCTION public.mind()",
        "DROP FUNCTION public.mind() CASCADE",
    );
}

/// Minds one metric of three devices, each with another SQLSTATE, and lets the store itself refuse a fourth.
const MINDING: &str = "
    CREATE FUNCTION public.mind() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'not % of %', NEW.metric, NEW.device_id
            USING ERRCODE = CASE NEW.device_id WHEN 'TEMP_001' THEN '22003' WHEN 'HUMID_001' THEN 'P0001' ELSE '54000' END;
    END $$;
    CREATE TRIGGER mind BEFORE INSERT ON iot.device_metrics FOR EACH ROW
        WHEN (NEW.metric = 'bytes' AND NEW.device_id IN ('TEMP_001', 'HUMID_001', 'MOTION_001')) EXECUTE FUNCTION public.mind();
    UPDATE iot.metric_types SET minimum = NULL, maximum = -1 WHERE metric = 'air_quality'";

#[test]
fn rows_that_are_refused_are_kept_and_sent_again() {
    let folder = folder("collector_dead_letters");
    let database = shared().store("dead_letters");
    let mut client = database.client();
    client.batch_execute(MINDING).unwrap();
    let simulation = Simulation::start_with_grace(&folder, 1, &database.uri(), "60s");
    let dead = ["TEMP_001", "HUMID_001", "MOTION_001", "AIR_001"];
    simulation.wait_until("storing", |s| s.metric("stored_total") > 3000.0);
    let (status, health) = simulation.health();
    assert_eq!(
        (status, &health["status"]),
        (200, &Value::from("ok")),
        "the others go on: {health}"
    );
    assert!(health["dead_letters"].as_u64().unwrap() > 0, "{health}");
    let file = folder.join("spool/dead-letters.jsonl");
    assert_eq!(health["dead_letter_file"], file.to_str().unwrap());
    let truth = simulation.terminate();

    let text = fs::read_to_string(&file).unwrap();
    let letters: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of: BTreeSet<&str> = letters
        .iter()
        .map(|letter| letter["device_id"].as_str().unwrap())
        .collect();
    assert!(dead.iter().all(|device| of.contains(device)), "{of:?}");
    for letter in &letters {
        let error = letter["error"].as_str().unwrap();
        let expected = match letter["device_id"].as_str().unwrap() {
            "TEMP_001" => "22003",
            "HUMID_001" => "P0001",
            "MOTION_001" => "54000",
            _ => "value is above the maximum",
        };
        assert!(error.contains(expected), "{letter}");
    }
    let complete = totals(&truth);
    let missing = stored(&database);
    assert_ne!(missing, complete);
    for (device, counts) in &complete {
        // Only what was minded is missing, and of others nothing.
        let minded = dead[..3].contains(&device.as_str());
        assert_eq!(missing[device][..3], counts[..3], "{device}");
        assert_eq!(missing[device][3], if minded { 0 } else { counts[3] }, "{device}");
    }

    // Still minded: what is refused once more is printed, to be mended.
    let again = resend(&file, &database);
    assert_eq!(again.status.code(), Some(1));
    let printed = String::from_utf8(again.stdout).unwrap();
    assert_eq!(printed.lines().count(), letters.len());
    let said = String::from_utf8(again.stderr).unwrap();
    assert!(
        said.contains("still not taken") && said.contains("dead-letters.jsonl"),
        "{said}"
    );

    client
        .batch_execute("DROP FUNCTION public.mind() CASCADE; UPDATE iot.metric_types SET maximum = NULL, minimum = 0 WHERE metric = 'air_quality'")
        .unwrap();
    for _ in 0..2 {
        let sent = resend(&file, &database);
        assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
        assert!(sent.stdout.is_empty());
        assert_eq!(stored(&database), complete);
    }
    let air = |client: &mut Client| -> i64 {
        let sql = "SELECT count(*) FILTER (WHERE metric = 'heartbeat') - count(*) FILTER (WHERE metric = 'air_quality')
                   FROM iot.device_metrics WHERE device_id LIKE 'AIR%'";
        client.query_one(sql, &[]).unwrap().get(0)
    };
    assert_eq!(air(&mut client), 0, "each contact has its value");
}

fn resend(file: &Path, database: &Database<'_>) -> Output {
    let mut command = collector();
    command
        .arg("resend")
        .arg(file)
        .env("IOT_KPI_DATABASE_URL", database.uri());
    command.output().unwrap()
}

#[test]
fn a_bad_line_is_named_and_the_others_are_sent() {
    let folder = folder("collector_bad_letter");
    let database = shared().store("bad_letter");
    let file = folder.join("letters");
    let good = r#"{"device_id":"D1","metric":"temperature","time":"2026-11-01T00:00:00Z","value":21.5}"#;
    fs::write(&file, format!("{good}\n{{\"device_id\": 7}}\n")).unwrap();
    let sent = resend(&file, &database);
    assert_eq!(sent.status.code(), Some(1));
    let said = String::from_utf8(sent.stderr).unwrap();
    assert!(said.contains("line=2"), "{said}");
    let count: i64 = database
        .client()
        .query_one("SELECT count(*) FROM iot.device_metrics WHERE device_id = 'D1'", &[])
        .unwrap()
        .get(0);
    assert_eq!(count, 1);
}

/// By its name, and where that is the same by its cluster.
#[test]
fn what_waits_for_one_database_reaches_no_other() {
    let folder = folder("collector_other");
    let mut server = durable();
    let uri = server.store("waits").uri();
    let other_name = shared().store("another");
    let other_cluster = shared().store("waits");
    let first = Simulation::start(&folder, 1, &uri);
    first.wait_until("storing", |s| s.metric("stored_total") > 500.0);
    server.stop(Stop::Immediate).unwrap();
    first.wait_until("spooling", |s| s.metric("spool_batches") > 2.0);
    assert_eq!(first.health().1["status"], "spooling");
    assert_eq!(first.metric("problem{kind=\"away\"}"), 1.0);
    first.terminate();
    for other in [&other_name, &other_cluster] {
        let refused = finished(Simulation::command(&folder, &other.uri()));
        let text = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{text}");
        for part in ["\"waits\"", "--spool-dir", "--spool-adopt"] {
            assert!(text.contains(part), "{text}");
        }
        let sql = "SELECT (SELECT count(*) FROM iot.device_metrics) + (SELECT count(*) FROM iot.devices)";
        let rows: i64 = other.client().query_one(sql, &[]).unwrap().get(0);
        assert_eq!(rows, 0, "nothing of it reached {}", other.name());
    }
    assert_ne!(spooled(&folder), 0);
    // The other one takes its place.
    let mut client = other_cluster.client();
    client
        .batch_execute("CREATE TABLE public.adopted AS SELECT clock_timestamp() AS at")
        .unwrap();
    let mut command = Simulation::command(&folder, &other_cluster.uri());
    let log = fs::File::create(folder.join("adopted")).unwrap();
    let child = command.arg("--spool-adopt").stderr(log).spawn().unwrap();
    let adopted = Simulation::watch(child, folder.join("adopted"));
    adopted.wait_until_log_has("everything that waited is delivered");
    adopted.kill();
    let waited = "SELECT count(*) FROM iot.device_metrics, public.adopted WHERE time < at - interval '250 ms'";
    let waited: i64 = client.query_one(waited, &[]).unwrap().get(0);
    assert!(waited > 0);
}

fn finished(mut command: Command) -> Output {
    command.output().unwrap()
}
