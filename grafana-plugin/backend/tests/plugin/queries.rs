//! Each query type, and what Grafana needs to find in its frames.

use super::frames::{Answer, Decoded};
use super::host::{Host, Source, panel};
use super::store;
use grafana_plugin_sdk::pluginv2::TimeRange;
use serde_json::{Value, json};

/// Runs a test over a store of its own.
pub(crate) fn with_store(name: &str, test: impl FnOnce(&Host, &Source)) {
    store::make(name);
    test(&Host::start(), &Source::of(store::server(), name));
}

pub(crate) fn notices(frame: &Decoded) -> String {
    frame.meta["notices"].to_string()
}

#[test]
fn every_query_type_answers_in_the_shape_that_its_panels_need() {
    with_store("plugin_types", |host, source| {
        device_kpis(host, source);
        fleet_kpis(host, source);
        kpi_series(host, source);
        status_timeline(host, source);
        outages(host, source);
        metric_series(host, source);
        objectives_and_anomalies(host, source);
    });
}

fn device_kpis(host: &Host, source: &Source) {
    let frame = host
        .ask(source, &json!({"queryType": "device_kpis", "schemaVersion": 1}))
        .frame();
    assert_eq!(frame.rows, 4);
    let ids = frame.field("device_id").texts();
    let temp_1 = ids.iter().position(|id| id.as_deref() == Some("TEMP_001")).unwrap();
    let uptime = frame.field("uptime");
    // Silent for 30 minutes, of which three are forgiven (the liveness); its last beat was at 01:59.
    let expected = 1.0 - 28.0 / 360.0;
    assert!(
        (uptime.floats()[temp_1].unwrap() - expected).abs() < 1e-9,
        "{:?}",
        uptime.floats()
    );
    assert_eq!(uptime.config["unit"], "percentunit");
    assert_eq!(uptime.title(), "Uptime");
    assert_eq!(
        frame.field("status").config["mappings"][0]["options"]["online"]["color"],
        "green"
    );
    assert_eq!(frame.meta["preferredVisualisationType"], "table");
    let executed = frame.meta["executedQueryString"].as_str().unwrap();
    assert_eq!(
        executed,
        "SELECT * FROM iot_kpi.device_kpis(tstzrange(timestamptz '2026-01-01T00:00:00.000Z', \
         timestamptz '2026-01-01T06:00:00.000Z'), NULL::text[])"
    );
    assert_eq!(frame.meta["stats"][0], json!({"displayName": "Rows", "value": 4.0}));

    let query = json!({"queryType": "device_kpis", "columns": ["name", "mttr", "live"]});
    let frame = host.ask(source, &query).frame();
    assert_eq!(frame.names(), ["name", "mttr", "live"]);
    assert_eq!(frame.field("mttr").floats()[temp_1], Some(28.0 * 60.0));
    assert_eq!(frame.field("mttr").config["unit"], "s");
    let wrong = host.ask(source, &json!({"queryType": "device_kpis", "columns": ["uptimes"]}));
    assert!(wrong.error.contains("uptimes"), "{}", wrong.error);
}

fn fleet_kpis(host: &Host, source: &Source) {
    let query = json!({"queryType": "fleet_kpis", "kpis": ["mean_uptime", "failures"]});
    let frame = host.ask(source, &query).frame();
    assert_eq!(frame.meta["type"], "numeric-wide");
    assert_eq!(frame.meta["typeVersion"], json!([0, 1]));
    assert_eq!(frame.names(), ["mean_uptime", "failures"]);
    assert_eq!(frame.field("failures").floats(), [Some(1.0)]);

    let query = json!({"queryType": "fleet_kpis", "kpis": ["mean_uptime"], "groupBy": "device_type"});
    let frame = host.ask(source, &query).frame();
    let titles: Vec<&str> = frame.fields.iter().map(|field| field.title()).collect();
    assert_eq!(titles, ["camera", "temperature"]);
    assert_eq!(frame.fields[0].labels, json!({"device_type": "camera"}));

    let query =
        json!({"queryType": "fleet_kpis", "kpis": ["error_rate", "devices"], "groupBy": "floor", "format": "table"});
    let frame = host.ask(source, &query).frame();
    assert_eq!(frame.names(), ["group_value", "error_rate", "devices"]);
    assert_eq!(frame.field("devices").floats(), [Some(2.0), Some(1.0)]);
    let error_rate = &frame.field("error_rate").config;
    assert_eq!((&error_rate["min"], &error_rate["max"]), (&json!(0.0), &Value::Null));
}

fn kpi_series(host: &Host, source: &Source) {
    let query =
        json!({"queryType": "kpi_series", "kpi": "uptime", "bucket": "1h", "devices": ["TEMP_001", "TEMP_002"]});
    let frame = host.ask(source, &query).frame();
    assert_eq!(frame.meta["type"], "timeseries-wide");
    assert_eq!(frame.names(), ["time", "uptime", "uptime"]);
    let first = &frame.fields[1];
    assert_eq!(
        (first.title(), &first.labels),
        ("TEMP_001", &json!({"device_id": "TEMP_001"}))
    );
    assert_eq!(first.config["unit"], "percentunit");
    // A wider gap than a bucket is shown as one.
    assert_eq!(first.config["interval"], 3_600_000.0);
    assert_eq!(
        frame.field("time").times(),
        (0..6).map(|hour| store::FROM + hour * 3_600_000).collect::<Vec<_>>()
    );
    let ups = first.floats();
    assert_eq!((ups[0], ups[5]), (Some(1.0), Some(1.0)));
    assert!((ups[2].unwrap() - 32.0 / 60.0).abs() < 1e-9, "{ups:?}");

    let query = json!({"queryType": "kpi_series", "kpi": "response_p95", "groupBy": "device_type", "bucket": "auto",
                       "legend": "{{kpi}} of {{device_type}}"});
    let frame = host.ask(source, &query).frame();
    assert_eq!(frame.fields[1].title(), "Response p95 of camera");
    // $__interval of a minute is a bucket of a minute.
    assert_eq!(frame.rows, 360);
    // Midnight in New York is at 05:00 in the window; a day there is two buckets, and one in London or where nobody says.
    let days = |zone: &str| {
        let query = json!({"queryType": "kpi_series", "bucket": "1d", "devices": ["TEMP_001"], "timeZone": zone});
        host.ask(source, &query).frame().field("time").times()
    };
    assert_eq!(days("America/New_York").last(), Some(&(store::FROM + 5 * 3_600_000)));
    for zone in ["Europe/London", "", "utc", "browser"] {
        assert_eq!(days(zone), [store::FROM], "{zone}");
    }
    // A day is as long as the clocks there say: that of 2026-03-08 has 23 hours.
    let query =
        json!({"queryType": "kpi_series", "bucket": "1d", "devices": ["TEMP_001"], "timeZone": "America/New_York"});
    let mut spring = panel("A", &query);
    let hours = |count: i64| store::FROM + count * 3_600_000;
    let edges = [65 * 24 + 5, 66 * 24 + 5, 67 * 24 + 4, 68 * 24 + 4].map(hours);
    spring.time_range = Some(TimeRange {
        from_epoch_ms: edges[0],
        to_epoch_ms: edges[3],
    });
    let response = host.query_data(source, vec![spring]).unwrap();
    let frame = Answer::of(response.responses["A"].clone()).frame();
    assert_eq!(frame.field("time").times(), edges[..3]);
    let wrong = host.ask(source, &json!({"queryType": "kpi_series", "kpi": "nonsense"}));
    assert!(
        wrong.error.contains("nonsense") && wrong.error.contains("Use one of"),
        "{}",
        wrong.error
    );
    assert_eq!(wrong.status, 400);
}

fn status_timeline(host: &Host, source: &Source) {
    let frames = host
        .ask(
            source,
            &json!({"queryType": "status_timeline", "devices": ["TEMP_001"]}),
        )
        .well();
    assert_eq!(frames.len(), 1);
    let states = frames[0].field("status").texts();
    let states: Vec<_> = states.iter().map(|state| state.as_deref()).collect();
    // The collector beat last a minute before the end: nobody has looked since.
    let expected = [Some("online"), Some("offline"), Some("online"), Some("unknown"), None];
    assert_eq!(states, expected);
    assert_eq!(frames[0].field("time").times()[1], store::FROM + 121 * 60_000);
    assert_eq!(frames[0].field("status").title(), "TEMP_001");
    assert_eq!(frames[0].meta["preferredVisualisationPluginId"], "state-timeline");
}

fn outages(host: &Host, source: &Source) {
    let frame = host.ask(source, &json!({"queryType": "outages"})).frame();
    assert_eq!(frame.rows, 1);
    assert_eq!(frame.field("duration").floats(), [Some(28.0 * 60.0)]);
    let frame = host
        .ask(source, &json!({"queryType": "outages", "minOutage": "1h"}))
        .frame();
    assert_eq!(frame.rows, 0);
    let frame = host
        .ask(source, &json!({"queryType": "outages", "format": "annotations"}))
        .frame();
    assert_eq!(frame.names(), ["time", "timeEnd", "title", "text", "tags"]);
    assert_eq!(
        frame.field("text").texts()[0].as_deref(),
        Some("TEMP_001 was down for 00:28:00")
    );
}

fn metric_series(host: &Host, source: &Source) {
    let query = json!({"queryType": "metric_series", "metric": "temperature", "devices": ["TEMP_001", "CAM_001"]});
    let frames = host.ask(source, &query).well();
    assert_eq!(frames.len(), 2);
    let (time, value) = (frames[0].field("time"), frames[0].field("temperature"));
    assert_eq!(frames[0].meta["type"], "timeseries-multi");
    assert_eq!(
        (value.title(), value.config["unit"].as_str()),
        ("CAM_001", Some("celsius"))
    );
    assert_eq!(
        time.times()[0],
        store::FROM - 60_000,
        "the last value before the window"
    );
    assert_eq!(time.times().len(), 361);
    let mut alone = query.clone();
    alone["valueBefore"] = json!(false);
    let alone = host.ask(source, &alone).well();
    assert_eq!((alone[0].field("time").times()[0], alone[0].rows), (store::FROM, 360));

    let mut thin = panel("A", &query);
    thin.max_data_points = 40;
    let response = host.query_data(source, vec![thin]).unwrap();
    let frames = Answer::of(response.responses["A"].clone()).well();
    assert!(frames[0].rows <= 41, "{}", frames[0].rows);
    let peak = |frame: &Decoded| {
        frame
            .field("temperature")
            .floats()
            .into_iter()
            .flatten()
            .fold(0.0, f64::max)
    };
    assert_eq!(peak(&frames[0]), 90.0, "no spike is lost");
}

fn objectives_and_anomalies(host: &Host, source: &Source) {
    let frame = host.ask(source, &json!({"queryType": "slo_report"})).frame();
    assert_eq!(frame.field("objective").floats(), [Some(0.99)]);
    assert_eq!(frame.field("value").config["unit"], "percentunit");
    assert!(frame.field("remaining").floats()[0].unwrap() < 0.0);
    let query = json!({"queryType": "anomalies", "metric": "temperature", "devices": ["CAM_001"]});
    let frame = host.ask(source, &query).frame();
    assert!(frame.rows > 0);
    assert!(frame.field("value").floats().iter().all(|value| *value == Some(90.0)));
    let more = |name: &str, value: Value| {
        let mut query = query.clone();
        query[name] = value;
        host.ask(source, &query).frame()
    };
    assert_eq!(more("cutOff", json!(1_000)).rows, 0);
    let seasonal = more("seasonal", json!(true));
    let executed = seasonal.meta["executedQueryString"].as_str().unwrap();
    assert!(executed.contains("seasonal => 1 = 1"), "{executed}");
    for name in ["value", "expected"] {
        assert_eq!(frame.field(name).config["unit"], "celsius", "{name}");
    }
}

#[test]
fn one_bad_query_leaves_the_others_alone() {
    with_store("plugin_bad", |host, source| {
        let mut malformed = panel("B", &json!({}));
        malformed.json = b"{\"queryType\": ".to_vec();
        let mut no_range = panel("E", &json!({"queryType": "slo_report"}));
        no_range.time_range = None;
        let mut empty_range = panel("F", &json!({"queryType": "slo_report"}));
        if let Some(range) = &mut empty_range.time_range {
            range.to_epoch_ms = range.from_epoch_ms;
        }
        let queries = vec![
            panel("A", &json!({"queryType": "device_kpis"})),
            malformed,
            panel("C", &json!({"queryType": "of the future"})),
            panel("D", &json!({"queryType": "device_kpis", "schemaVersion": 99})),
            no_range,
            empty_range,
        ];
        let response = host.query_data(source, queries).unwrap();
        let answer = |ref_id: &str| Answer::of(response.responses[ref_id].clone());
        assert_eq!(answer("A").frame().rows, 4);
        for (ref_id, word) in [
            ("B", "cannot be read"),
            ("C", "of the future"),
            ("D", "version 99"),
            ("E", "no time range"),
            ("F", "is empty"),
        ] {
            assert!(
                answer(ref_id).error.contains(word),
                "{ref_id}: {}",
                answer(ref_id).error
            );
            assert_eq!(answer(ref_id).status, 400);
        }
    });
}
