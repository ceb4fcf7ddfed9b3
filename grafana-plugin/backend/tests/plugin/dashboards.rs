//! Every query of every dashboard, through the real process, over what the demo shows: it must give what its panel needs.

use super::frames::{Answer, Decoded};
use super::host::{Host, Source, panel};
use super::store;
use arrow_array::Array;
use grafana_plugin_sdk::pluginv2::{DataQuery, TimeRange};
use iot_kpi_tests::postgres::shared;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

const DASHBOARDS: [&str; 5] = [
    "status-overview",
    "uptime-trends",
    "response-times",
    "data-throughput",
    "error-analysis",
];

fn dashboard(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../dashboards/{name}.json"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The collector beside the plugin; a test run of this crate alone does not build it.
fn collector() -> PathBuf {
    let program = Path::new(super::host::BINARY).with_file_name("iot-kpi-collector");
    if !program.exists() {
        let built = Command::new(env!("CARGO"))
            .args(["build", "--package", "iot-kpi-collector"])
            .status()
            .unwrap();
        assert!(built.success());
    }
    program
}

/// The demo's five devices with a day of history.
fn demo(name: &str) {
    let database = shared().store(name);
    let filled = Command::new(collector())
        .args(["backfill", "--span", "86400s"])
        .env("IOT_KPI_DATABASE_URL", database.uri())
        .output()
        .unwrap();
    assert!(filled.status.success(), "{}", String::from_utf8_lossy(&filled.stderr));
    iot_kpi_tests::demo::promises::make(&mut database.client()).unwrap();
}

/// A query as the front end sends it, with the variables' values in it; the last 24 hours.
fn sent(target: &Value, device_type: &str, device: &str, now: i64) -> DataQuery {
    let text = target
        .to_string()
        .replace("$device", device)
        .replace("$type", device_type);
    let mut query = panel("A", &serde_json::from_str(&text).unwrap());
    query.interval_ms = 300_000;
    query.time_range = Some(TimeRange {
        from_epoch_ms: now - 86_400_000,
        to_epoch_ms: now,
    });
    query
}

fn has_value(frame: &Decoded, from: usize) -> bool {
    frame.fields[from..]
        .iter()
        .any(|field| field.array.null_count() < field.array.len())
}

/// Numbers that a day without a failure does not have.
const OF_FAILURES: [&str; 3] = ["mttr", "mtbf", "longest_outage"];

/// Whether frames are what a panel of this type draws.
fn check(kind: &str, frames: &[Decoded], what: &str) {
    let shape = |frame: &Decoded| frame.meta["type"].as_str().unwrap_or_default().to_owned();
    assert!(!frames.is_empty(), "{what}");
    match kind {
        "timeseries" => {
            assert!(
                frames.iter().all(|frame| shape(frame).starts_with("timeseries-")),
                "{what}"
            );
            assert!(
                frames.iter().any(|frame| frame.rows > 1 && has_value(frame, 1)),
                "{what}: no points"
            );
            assert!(frames.iter().all(|frame| frame.fields[0].name == "time"), "{what}");
            // Alert rules refuse a series whose times may be NULL.
            assert!(frames.iter().all(|frame| !frame.fields[0].nullable), "{what}");
        }
        "stat" | "bargauge" | "gauge" => {
            assert_eq!(shape(&frames[0]), "numeric-wide", "{what}");
            assert_eq!(frames[0].rows, 1, "{what}");
            let of_failures = frames[0].names().iter().all(|name| OF_FAILURES.contains(name));
            assert!(of_failures || has_value(&frames[0], 0), "{what}: no number");
        }
        "state-timeline" => {
            assert!(
                frames
                    .iter()
                    .all(|frame| frame.names() == ["time", "status"] && frame.rows > 1),
                "{what}"
            );
        }
        "table" => assert!(frames[0].rows > 0, "{what}: no rows"),
        other => panic!("{what}: no rule for panels of type {other}"),
    }
}

#[test]
fn every_query_of_every_dashboard_gives_its_panel_what_it_needs() {
    demo("plugin_dashboards");
    let host = Host::start();
    let source = Source::of(store::server(), "plugin_dashboards");
    let now = chrono::Utc::now().timestamp_millis();
    let mut queries = 0;
    for name in DASHBOARDS {
        for panel in dashboard(name)["panels"].as_array().unwrap() {
            let kind = panel["type"].as_str().unwrap();
            for target in panel["targets"].as_array().unwrap() {
                let what = format!("{name}: {}", panel["title"]);
                let ask = |device_type: &str, device: &str| {
                    let response = host
                        .query_data(&source, vec![sent(target, device_type, device, now)])
                        .unwrap();
                    let answer = Answer::of(response.responses["A"].clone());
                    assert_eq!(answer.error, "", "{what}");
                    answer.frames
                };
                check(kind, &ask("$__all", "$__all"), &what);
                // A choice of one type and one device works too, with whatever there is to see of it.
                ask("temperature", "$__all");
                ask("$__all", "TEMP_001");
                queries += 1;
            }
        }
    }
    assert!(queries >= 40, "{queries}");
}

#[test]
fn dashboards_are_explained_linked_and_fit_their_grid() {
    let plugin: Value = serde_json::from_str(include_str!("../../../src/plugin.json")).unwrap();
    let uids: Vec<String> = DASHBOARDS
        .iter()
        .map(|name| dashboard(name)["uid"].as_str().unwrap().to_owned())
        .collect();
    for (name, uid) in DASHBOARDS.iter().zip(&uids) {
        let dashboard = dashboard(name);
        let included = plugin["includes"].as_array().unwrap().iter();
        let included = included.filter(|include| include["path"] == format!("dashboards/{name}.json"));
        assert_eq!(
            included.map(|include| &include["name"]).collect::<Vec<_>>(),
            [&dashboard["title"]]
        );
        let links: Vec<&str> = dashboard["links"]
            .as_array()
            .unwrap()
            .iter()
            .map(|link| link["url"].as_str().unwrap())
            .collect();
        for other in uids.iter().filter(|other| *other != uid) {
            assert!(
                links.contains(&format!("/d/{other}").as_str()),
                "{name} has no link to {other}"
            );
        }
        let variables = dashboard["templating"]["list"].as_array().unwrap().iter();
        let variables: Vec<&str> = variables.map(|variable| variable["name"].as_str().unwrap()).collect();
        assert_eq!(variables, ["datasource", "type", "device", "filter"]);
        let panels = dashboard["panels"].as_array().unwrap();
        for panel in panels {
            assert!(
                panel["description"].as_str().unwrap().len() > 10,
                "{name}: {}",
                panel["title"]
            );
            let at = |key: &str| panel["gridPos"][key].as_i64().unwrap();
            assert!(at("x") + at("w") <= 24);
        }
        let cells = |panel: &Value| {
            let at = |key: &str| panel["gridPos"][key].as_i64().unwrap();
            let (x, y, w, h) = (at("x"), at("y"), at("w"), at("h"));
            (x..x + w)
                .flat_map(move |column| (y..y + h).map(move |row| (column, row)))
                .collect::<Vec<_>>()
        };
        let all: Vec<_> = panels.iter().flat_map(cells).collect();
        let distinct: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(all.len(), distinct.len(), "{name}: panels overlap");
    }
}
