//! The collector's simulated day goes in, the reports come out, and they say what truly happened.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the message, outside a #[test] function too"
)]

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use chrono::{DateTime, TimeDelta, Utc};
use iot_kpi_tests::collector;
use iot_kpi_tests::installation::target;
use iot_kpi_tests::postgres::{Database, shared};
use postgres::Client;
use serde_json::Value;

const UNTIL: &str = "2026-03-01T00:00:00Z";
const INTERVAL: TimeDelta = TimeDelta::minutes(1);
const LIVENESS: TimeDelta = TimeDelta::minutes(3);

type Instant = DateTime<Utc>;

/// One run of the collector and what it says about it.
struct Truth {
    from: Instant,
    to: Instant,
    outages: Vec<Value>,
    totals: Vec<Value>,
}

#[test]
fn reports_agree_with_what_happened() {
    let database = shared().store("end_to_end");
    let truth = backfill(&database, "24h");
    let mut client = database.client();
    outages_agree(&mut client, &truth);
    counts_agree(&mut client, &truth);
    classes_add_up(&mut client, &truth);
    series_add_up(&mut client, &truth);
}

#[test]
fn history_sent_again_changes_nothing() {
    let database = shared().store("end_to_end_again");
    let digest = "SELECT count(*), md5(string_agg(m::text, ',' ORDER BY device_id, metric, time))
                  FROM (SELECT device_id, metric, time, value FROM iot.device_metrics) m";
    let digests: Vec<(i64, String)> = (0..2)
        .map(|_| {
            backfill(&database, "2h");
            let row = database.client().query_one(digest, &[]).unwrap();
            (row.get(0), row.get(1))
        })
        .collect();
    assert!(digests[0].0 > 0);
    assert_eq!(digests[0], digests[1]);
}

/// Runs the collector as a user would, five times as eventful as by default.
fn backfill(database: &Database<'_>, span: &str) -> Truth {
    let file = target().join(format!("{}.truth", database.name()));
    let output = Command::new(collector::program().unwrap())
        .args([
            "backfill",
            "--span",
            span,
            "--until",
            UNTIL,
            "--interval",
            "60s",
            "--trouble",
            "5",
            "--ground-truth",
        ])
        .arg(&file)
        .env("IOT_KPI_DATABASE_URL", database.uri())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    read_truth(&fs::read_to_string(&file).unwrap())
}

fn read_truth(text: &str) -> Truth {
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let end = lines.last().unwrap();
    assert_eq!(end["kind"], "end");
    Truth {
        from: instant(&end["from"]).unwrap(),
        to: instant(&end["to"]).unwrap(),
        totals: end["devices"].as_array().unwrap().clone(),
        outages: lines.into_iter().filter(|line| line["kind"] == "outage").collect(),
    }
}

fn instant(value: &Value) -> Option<Instant> {
    value.as_str().map(|text| text.parse().unwrap())
}

/// Every outage ends at the first beat after it, exactly, and is seen one liveness after the last beat before it, exactly.
fn outages_agree(client: &mut Client, truth: &Truth) {
    let sql = "SELECT device_id, started_at, ended_at FROM iot_kpi.outages(tstzrange($1, $2), as_of => $2)
               WHERE device_id <> 'collector-1' ORDER BY device_id, started_at";
    let mut seen: BTreeMap<String, Vec<(Instant, Option<Instant>)>> = BTreeMap::new();
    for row in client.query(sql, &[&truth.from, &truth.to]).unwrap() {
        seen.entry(row.get(0)).or_default().push((row.get(1), row.get(2)));
    }
    let mut expected: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for outage in &truth.outages {
        // One that began in the last minutes cannot be seen yet.
        if instant(&outage["last_beat"]).is_none_or(|last_beat| last_beat + LIVENESS < truth.to) {
            expected
                .entry(outage["device_id"].as_str().unwrap().to_owned())
                .or_default()
                .push(outage);
        }
    }
    assert!(
        expected.values().flatten().count() >= 5,
        "too quiet a day to tell: {expected:?}"
    );
    assert_eq!(seen.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (device, outages) in &expected {
        assert_eq!(
            seen[device].len(),
            outages.len(),
            "{device}: {:#?} instead of {outages:#?}",
            seen[device]
        );
        for ((started_at, ended_at), outage) in seen[device].iter().zip(outages) {
            assert_eq!(*ended_at, instant(&outage["ended_at"]), "{device}: {outage}");
            if let Some(last_beat) = instant(&outage["last_beat"]) {
                let silent = instant(&outage["started_at"]).unwrap();
                assert_eq!(*started_at, last_beat + LIVENESS, "{device}: {outage}");
                assert!(
                    silent <= *started_at && *started_at < silent + LIVENESS,
                    "{device}: {outage}"
                );
            }
        }
    }
}

fn counts_agree(client: &mut Client, truth: &Truth) {
    let sql = "SELECT attempts::float8, failed::float8,
                      bytes_per_second * extract(epoch FROM up_time + down_time + unknown_time)::float8
               FROM iot_kpi.device_kpis(tstzrange($1, $2), ARRAY[$3::text], as_of => $2)";
    for device in &truth.totals {
        let id = device["device_id"].as_str().unwrap();
        let row = client.query_one(sql, &[&truth.from, &truth.to, &id]).unwrap();
        let (attempts, failed, bytes): (f64, f64, f64) = (row.get(0), row.get(1), row.get(2));
        assert_eq!(Some(attempts), device["attempts"].as_f64(), "attempts of {id}");
        assert_eq!(Some(failed), device["failed"].as_f64(), "failed attempts of {id}");
        let sent = device["bytes"].as_f64().unwrap();
        assert!(
            (bytes - sent).abs() <= sent * 1e-9,
            "{id} sent {sent} bytes, not {bytes}"
        );
    }
}

fn classes_add_up(client: &mut Client, truth: &Truth) {
    let sql = "SELECT device_id, up_time + down_time + unknown_time + excluded_time = $2::timestamptz - $1::timestamptz
               FROM iot_kpi.device_kpis(tstzrange($1, $2), as_of => $2)";
    let rows = client.query(sql, &[&truth.from, &truth.to]).unwrap();
    assert_eq!(rows.len(), truth.totals.len() + 1, "the devices and their collector");
    for row in rows {
        assert!(
            row.get::<_, bool>(1),
            "the classes of {} are not the window",
            row.get::<_, String>(0)
        );
    }
}

/// The half-hours of a series are the day.
fn series_add_up(client: &mut Client, truth: &Truth) {
    assert_eq!(truth.to - truth.from, INTERVAL * 1440);
    let sql = "SELECT device_id, extract(epoch FROM down_time)::float8,
                      (SELECT sum(value) FROM iot_kpi.kpi_series('down_time', tstzrange($1, $2), interval '30 min', as_of => $2)
                       WHERE series = device_id)
               FROM iot_kpi.device_kpis(tstzrange($1, $2), as_of => $2)";
    for row in client.query(sql, &[&truth.from, &truth.to]).unwrap() {
        let (device, whole, parts): (String, f64, f64) = (row.get(0), row.get(1), row.get(2));
        assert!(
            (whole - parts).abs() < 1e-6,
            "{device} was down for {whole} s, or {parts} s by half-hours"
        );
    }
}
