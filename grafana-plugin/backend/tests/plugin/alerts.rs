//! What alert rules ask: Grafana compares numbers that labels tell apart, and nothing else.

use super::frames::{Answer, Decoded};
use super::host::{Host, Source, panel};
use super::store;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};

fn alert(host: &Host, source: &Source, query: &Value) -> Answer {
    let mut request = source.request(vec![panel("A", query)]);
    request.headers = HashMap::from([("FromAlert".to_owned(), "true".to_owned())]);
    let mut client = host.data();
    let response = host.runtime.block_on(async { client.query_data(request).await });
    Answer::of(response.unwrap().into_inner().responses["A"].clone())
}

/// The labels of each number; as Grafana does, it takes no frame of another shape, no text, and no two of the same labels.
fn labels(frames: &[Decoded]) -> BTreeSet<String> {
    let mut labels = BTreeSet::new();
    for frame in frames {
        let shape = frame.meta["type"].as_str().unwrap();
        assert!(
            ["timeseries-wide", "timeseries-multi", "numeric-wide"].contains(&shape),
            "{shape}"
        );
        for field in frame.fields.iter().filter(|field| field.name != "time") {
            let _ = field.floats();
            assert!(labels.insert(field.labels.to_string()), "twice: {}", field.labels);
        }
    }
    labels
}

#[test]
fn each_query_type_gives_what_an_alert_rule_compares_or_says_what_does() {
    store::make("plugin_alerts");
    let host = Host::start();
    let source = Source::of(store::server(), "plugin_alerts");
    let devices = |query: Value| {
        let frames = alert(&host, &source, &query).well();
        let of = |device: &str| labels(&frames).iter().any(|labels| labels.contains(device));
        assert!(of("TEMP_001") && of("CAM_001"), "{query}: {:?}", labels(&frames));
        frames
    };
    // What "New alert rule" sends before a field is touched.
    for new in [json!({}), json!({"queryType": ""}), json!({"queryType": null})] {
        assert_eq!(devices(new)[0].fields[1].name, "uptime");
    }
    devices(json!({"queryType": "kpi_series", "kpi": "availability", "bucket": "1h"}));
    devices(json!({"queryType": "metric_series", "metric": "temperature"}));
    let frames = devices(json!({"queryType": "device_kpis", "columns": ["name", "status", "failures"]}));
    let first = frames[0]
        .fields
        .iter()
        .find(|field| field.labels["device_id"] == "TEMP_001")
        .unwrap();
    assert_eq!(
        first.labels,
        json!({"device_id": "TEMP_001", "name": "TEMP_001", "device_type": "temperature", "location": "hall"})
    );
    assert_eq!(first.floats(), [Some(1.0)]);
    assert_eq!(
        devices(json!({"queryType": "device_kpis", "columns": ["live"]}))[0].rows,
        1
    );

    let fleet = json!({"queryType": "fleet_kpis", "kpis": ["failures"], "groupBy": "device_type", "format": "table"});
    let types = labels(&alert(&host, &source, &fleet).well());
    assert!(types.contains(r#"{"device_type":"temperature"}"#), "{types:?}");
    let objectives = alert(&host, &source, &json!({"queryType": "slo_report"})).well();
    assert_eq!(objectives[0].names(), ["burn_rate"]);
    assert_eq!(objectives[0].fields[0].labels["scope_value"], "temperature");
    labels(&objectives);

    let sql = |text: &str, format: &str| json!({"queryType": "sql", "rawSql": text, "format": format});
    let by_time =
        "SELECT time, device_id, value FROM iot.device_metrics WHERE metric = 'temperature' AND $__timeFilter(time)";
    devices(sql(by_time, "time_series"));
    assert_eq!(
        alert(&host, &source, &sql("SELECT 'a' AS device, 1 AS n", "table"))
            .frame()
            .rows,
        1
    );
    for (query, word) in [
        (
            json!({"queryType": "device_kpis"}),
            "compares one number, and uptime, availability",
        ),
        (
            json!({"queryType": "device_kpis", "columns": ["name"]}),
            "none is chosen",
        ),
        (
            json!({"queryType": "fleet_kpis", "kpis": ["live", "failures"]}),
            "live, failures",
        ),
        (json!({"queryType": "status_timeline"}), "KPI over time"),
        (json!({"queryType": "outages"}), "longest_outage"),
        (json!({"queryType": "anomalies"}), "counts them"),
        (sql(by_time, "table"), "format time series"),
        (sql("SELECT 1 AS a, 2 AS b", "table"), "2 columns of numbers"),
        (sql("SELECT 'a' AS a", "table"), "0 columns of numbers"),
    ] {
        let answer = alert(&host, &source, &query);
        assert!(answer.error.contains(word), "{query}: {}", answer.error);
        assert_eq!(answer.status, 400);
        // A panel may ask it all the same.
        host.ask(&source, &query).well();
    }
    let wrong = json!({"queryType": "device_kpis", "columns": ["uptimes"]});
    assert!(alert(&host, &source, &wrong).error.contains("no column \"uptimes\""));
}
