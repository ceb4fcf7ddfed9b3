//! A database that dies and comes back, and a collector that does.

use super::simulation::{Simulation, collector, durable, folder, spooled, stored, totals};
use chrono::{DateTime, Utc};
use iot_kpi_tests::postgres::{Database, Stop, shared};
use serde_json::Value;
use std::fs;
use std::ops::Range;
use std::thread::sleep;
use std::time::{Duration, Instant};

#[test]
fn a_crash_of_the_database_loses_and_doubles_nothing() {
    let folder = folder("collector_crash");
    let mut server = durable();
    let uri = server.store("crash").uri();
    let simulation = Simulation::start(&folder, 1, &uri);
    sleep(Duration::from_millis(1500));
    server.stop(Stop::Immediate).unwrap();
    simulation.wait_until_log_has("the database is away");
    sleep(Duration::from_millis(1500));
    server.start().unwrap();
    simulation.wait_until_log_has("everything that waited is delivered");
    sleep(Duration::from_millis(500));
    let truth = simulation.terminate();
    let database = server.database("crash");
    assert_eq!(stored(&database), totals(&truth));
    assert_eq!(outages_seen(&database, &truth), outages_that_ended(&truth));
    assert!(!outages_that_ended(&truth).is_empty(), "too quiet to tell");
}

#[test]
fn a_crash_under_a_history_loses_and_doubles_nothing() {
    let folder = folder("collector_history");
    let mut server = durable();
    let uri = server.store("history").uri();
    let truth = folder.join("truth");
    let mut child = collector()
        .args([
            "backfill",
            "--span",
            "12h",
            "--until",
            "2026-03-01T12:00:00Z",
            "--devices",
            "60",
        ])
        // Small batches over three connections, so that the crash finds some on their way.
        .args([
            "--batch",
            "500",
            "--writers",
            "3",
            "--retry-max",
            "500ms",
            "--no-calculate",
        ])
        .arg("--ground-truth")
        .arg(&truth)
        .env("IOT_KPI_DATABASE_URL", &uri)
        .stderr(fs::File::create(folder.join("log")).unwrap())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while stored(&server.database("history")).len() < 20 {
        assert!(Instant::now() < deadline, "no rows come");
    }
    server.stop(Stop::Immediate).unwrap();
    assert!(
        child.try_wait().unwrap().is_none(),
        "the history was written before the crash"
    );
    server.start().unwrap();
    let status = child.wait().unwrap();
    let log = fs::read_to_string(folder.join("log")).unwrap();
    assert!(status.success() && log.contains("trying again"), "{log}");
    let truth = fs::read_to_string(truth).unwrap();
    let truth: Vec<Value> = truth.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(stored(&server.database("history")), totals(&truth));
}

#[test]
fn what_waits_in_the_spool_survives_the_collector() {
    let folder = folder("collector_spool");
    let mut server = durable();
    let uri = server.store("spool").uri();
    let first = Simulation::start(&folder, 1, &uri);
    sleep(Duration::from_millis(800));
    server.stop(Stop::Immediate).unwrap();
    first.wait_until_log_has("the database is away");
    sleep(Duration::from_millis(800));
    let mut expected = totals(&first.terminate());
    assert_ne!(spooled(&folder), 0);
    server.start().unwrap();

    let second = Simulation::start(&folder, 2, &uri);
    second.wait_until_log_has("everything that waited is delivered");
    sleep(Duration::from_millis(800));
    for (device, counts) in totals(&second.terminate()) {
        let sums = expected.entry(device).or_default();
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    assert_eq!(stored(&server.database("spool")), expected);
    assert_eq!(spooled(&folder), 0);
}

/// Killed again and again while the database is away: what it had put into its spool is all there.
#[test]
fn what_waits_in_the_spool_survives_kills() {
    let folder = folder("collector_kills");
    let mut server = durable();
    let uri = server.store("kills").uri();
    let first = Simulation::start(&folder, 1, &uri);
    first.wait_until("storing", |s| s.metric("stored_total") > 500.0);
    server.stop(Stop::Immediate).unwrap();
    first.wait_until("spooling", |s| s.metric("spool_batches") > 3.0);
    let mut waiting = first.metric("spool_batches");
    first.kill();
    for run in 2..5 {
        let again = Simulation::start(&folder, run, &uri);
        again.wait_until_log_has("collecting");
        assert!(again.metric("spool_batches") >= waiting, "{}", again.log());
        let more = waiting + 8.0;
        again.wait_until("spooling", |s| s.metric("spool_batches") > more);
        waiting = again.metric("spool_batches");
        again.kill();
    }
    server.start().unwrap();
    let last = Simulation::start(&folder, 5, &uri);
    last.wait_until_log_has("everything that waited is delivered");
    for name in ["lost_total", "spool_damaged_total", "refused_total", "spool_bytes"] {
        assert_eq!(last.metric(name), 0.0, "{name}");
    }
    last.terminate();
    assert_eq!(spooled(&folder), 0);
    // Each has left its mark, but one that was killed with its first words in hand.
    let rounds = "SELECT count(*) FROM iot.device_status_history WHERE device_id = 'collector-1'";
    let rounds: i64 = server.database("kills").client().query_one(rounds, &[]).unwrap().get(0);
    assert!(rounds >= 4, "{rounds}");
}

#[test]
fn a_missing_store_is_named_with_its_remedy_and_made_on_demand() {
    let database = shared().create_database("collector_no_store").unwrap();
    let run = |flag: &[&str]| {
        let mut command = collector();
        command
            .arg("devices")
            .args(flag)
            .env("IOT_KPI_DATABASE_URL", database.uri());
        command.output().unwrap()
    };
    let refused = run(&[]);
    let text = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(text.contains("SELECT iot_kpi.create_store()"), "{text}");
    assert!(!text.contains(shared().password()), "{text}");

    let listed = run(&["--create-store"]);
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let text = String::from_utf8(listed.stdout).unwrap();
    for device in [
        "TEMP_001",
        "HUMID_001",
        "MOTION_001",
        "AIR_001",
        "CAM_001",
        "collector-1",
    ] {
        assert!(text.contains(device), "{text}");
    }
}

#[test]
fn the_collector_watches_over_its_devices() {
    let database = shared().store("collector_watches");
    let mut command = collector();
    command.args(["backfill", "--span", "1h", "--until", "2026-03-01T00:00:00Z"]);
    let output = command.env("IOT_KPI_DATABASE_URL", database.uri()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // An hour after the last report: the collector is down, and of its devices nobody knows.
    let sql = "SELECT device_type, up_time + unknown_time = interval '2 hours' AND down_time = interval '0' AND failures = 0
               FROM iot_kpi.device_kpis(tstzrange('2026-02-28 23:00+00', '2026-03-01 01:00+00'), as_of => '2026-03-01 01:00+00')
               WHERE device_id IN ('TEMP_001', 'collector-1') ORDER BY 1";
    let rows = database.client().query(sql, &[]).unwrap();
    let seen: Vec<(String, bool)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(
        seen,
        [("collector".to_owned(), false), ("temperature".to_owned(), true)]
    );
}

fn outages_that_ended(truth: &[Value]) -> Vec<(String, DateTime<Utc>)> {
    let outages = truth
        .iter()
        .filter(|line| line["kind"] == "outage" && line["ongoing"] == false);
    let text = |line: &Value, name: &str| line[name].as_str().unwrap().to_owned();
    let settled = settled(truth);
    let mut ended: Vec<(String, DateTime<Utc>)> = outages
        .map(|line| (text(line, "device_id"), text(line, "ended_at").parse().unwrap()))
        .filter(|outage| settled.contains(&outage.1))
        .collect();
    ended.sort();
    ended
}

fn instant(line: &Value, name: &str) -> DateTime<Utc> {
    line[name].as_str().unwrap().parse().unwrap()
}

/// When the ends of all outages are seen to the microsecond. One that is silent from the start has its liveness first, from when the
/// collector looks; and of one that ends after the collector has beaten last nobody saw the end.
fn settled(truth: &[Value]) -> Range<DateTime<Utc>> {
    let end = truth.last().unwrap();
    instant(end, "from") + Duration::from_millis(1500)..instant(end, "to") - Duration::from_secs(1)
}

fn outages_seen(database: &Database<'_>, truth: &[Value]) -> Vec<(String, DateTime<Utc>)> {
    let end = truth.last().unwrap();
    let settled = settled(truth);
    let sql = "SELECT device_id, ended_at FROM iot_kpi.outages(tstzrange($1, $2), as_of => $2)
               WHERE device_id <> 'collector-1' AND NOT ongoing ORDER BY device_id COLLATE \"C\", ended_at";
    let rows = database
        .client()
        .query(sql, &[&instant(end, "from"), &instant(end, "to")])
        .unwrap();
    let ended = rows.iter().map(|row| (row.get(0), row.get(1)));
    ended
        .filter(|outage: &(String, DateTime<Utc>)| settled.contains(&outage.1))
        .collect()
}
