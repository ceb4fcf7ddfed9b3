//! Each query type, and what Grafana needs to find in its frames.

use super::host::{Answer, Decoded, Host, Source, panel};
use super::store;
use grafana_plugin_sdk::pluginv2::TimeRange;
use serde_json::{Value, json};

fn with_store(name: &str, test: impl FnOnce(&Host, &Source)) {
    store::make(name);
    test(&Host::start(), &Source::of(store::server(), name));
}

fn notices(frame: &Decoded) -> String {
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
        devices_are_chosen(host, source);
        sql_tables(host, source);
        sql_series(host, source);
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
    assert_eq!(states, [Some("online"), Some("offline"), Some("online"), None]);
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

fn devices_are_chosen(host: &Host, source: &Source) {
    let chosen = |more: Value| {
        let mut query = json!({"queryType": "device_kpis", "columns": ["device_id"]});
        query.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let ids = host.ask(source, &query).frame().field("device_id").texts();
        ids.into_iter().flatten().collect::<Vec<_>>().join(" ")
    };
    let filter = |key: &str, operator: &str, value: &str| json!({"adhocFilters": [{"key": key, "operator": operator, "value": value}]});
    assert_eq!(
        chosen(json!({"devices": ["$__all"]})),
        "CAM_001 TEMP_001 TEMP_002 collector-1"
    );
    assert_eq!(chosen(json!({"devices": []})), "CAM_001 TEMP_001 TEMP_002 collector-1");
    assert_eq!(chosen(json!({"devices": ["TEMP_002"]})), "TEMP_002");
    // A dashboard remembers devices that are gone.
    assert_eq!(chosen(json!({"devices": ["TEMP_002", "gone"]})), "TEMP_002");
    for kind in [
        "device_kpis",
        "fleet_kpis",
        "kpi_series",
        "status_timeline",
        "outages",
        "metric_series",
        "slo_report",
        "anomalies",
    ] {
        let told = |more: Value| {
            let mut query = json!({"queryType": kind});
            query.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            notices(&host.ask(source, &query).well()[0])
        };
        let gone = told(json!({"devices": ["gone", "gone too"]}));
        assert!(
            gone.contains("None of the devices chosen is registered: gone, gone too."),
            "{kind}: {gone}"
        );
        assert!(
            told(json!({"locations": ["nowhere"]})).contains("No device has the types"),
            "{kind}"
        );
        assert_eq!(told(json!({"devices": ["TEMP_001", "gone"]})), "null", "{kind}");
        assert_eq!(told(json!({})), "null", "{kind}");
    }
    assert_eq!(chosen(json!({"deviceTypes": ["temperature"]})), "TEMP_001 TEMP_002");
    assert_eq!(
        chosen(json!({"deviceTypes": ["temperature"], "locations": ["hall"]})),
        "TEMP_001"
    );
    assert_eq!(chosen(filter("floor", "=", "1")), "CAM_001 TEMP_001");
    assert_eq!(chosen(filter("floor", "!=", "1")), "TEMP_002 collector-1");
    assert_eq!(chosen(filter("device_id", "=~", "^TEMP")), "TEMP_001 TEMP_002");
    assert_eq!(chosen(filter("device_type", "!~", "^(temp|coll)")), "CAM_001");
    assert_eq!(chosen(json!({"deviceTypes": ["none of these"]})), "");
    let many = json!({"adhocFilters": [{"key": "device_id", "operator": "=|", "value": "", "values": ["CAM_001", "TEMP_001"]}]});
    assert_eq!(chosen(many), "CAM_001 TEMP_001");
    let injection = "x'); DROP TABLE iot.devices; --";
    assert_eq!(chosen(json!({"devices": [injection]})), "");
    assert_eq!(chosen(filter("device_id", "=", injection)), "");
    let wrong = filter("device_id", "LIKE", "x");
    let mut query = json!({"queryType": "device_kpis"});
    query
        .as_object_mut()
        .unwrap()
        .extend(wrong.as_object().unwrap().clone());
    assert!(host.ask(source, &query).error.contains("LIKE"));
}

fn sql(text: &str, format: &str) -> Value {
    json!({"queryType": "sql", "rawSql": text, "format": format})
}

fn sql_tables(host: &Host, source: &Source) {
    let every_type = "SELECT true b, 1::int2 i2, 2::int4 i4, 3::int8 i8, 1.5::float4 f4, 2.5::float8 f8, 12.25::numeric n, \
        'x'::text t, 'y'::varchar v, '{\"a\": 1}'::jsonb j, '{}'::json js, date '2026-01-01' d, timestamptz '2026-01-01Z' tz, \
        interval '1 day 2 s' iv, 'a1b2c3d4-0000-0000-0000-000000000001'::uuid u, NULL::float8 e, 'c'::\"char\"::text c";
    let frame = host.ask(source, &sql(every_type, "table")).frame();
    assert_eq!(frame.rows, 1);
    assert_eq!(frame.field("n").floats(), [Some(12.25)]);
    assert_eq!(frame.field("iv").floats(), [Some(86_402.0)]);
    assert_eq!(frame.field("j").texts()[0].as_deref(), Some("{\"a\": 1}"));
    assert_eq!(
        frame.field("u").texts()[0].as_deref(),
        Some("a1b2c3d4-0000-0000-0000-000000000001")
    );
    assert_eq!(frame.field("d").times(), [store::FROM]);
    assert_eq!(frame.field("e").floats(), [None]);

    for (text, word) in [
        ("SELECT", "no columns"),
        ("", "empty"),
        ("SELECT '{1}'::int[] AS many", "many::text"),
        ("SELECT timestamptz 'infinity' AS late", "infinity"),
        ("SELECT timestamptz '3000-01-01Z' AS late", "3000-01-01"),
        ("SELECT nonsense", "nonsense"),
        ("SELECT 1; SELECT 2", "multiple commands"),
        ("DELETE FROM iot.devices RETURNING device_id", "read-only"),
        ("CREATE TABLE iot.mine ()", "no columns"),
        ("COPY (SELECT 1) TO PROGRAM 'true'", "no columns"),
        ("SET TRANSACTION READ WRITE", "no columns"),
        (
            "SELECT set_config('transaction_read_only', 'off', false)",
            "read-write mode",
        ),
        ("SELECT $__nonsense(time)", "nonsense"),
    ] {
        let answer = host.ask(source, &sql(text, "table"));
        assert!(answer.error.contains(word), "{text}: {}", answer.error);
    }
    // What one person sets, another does not find.
    host.ask(
        source,
        &sql("SELECT set_config('statement_timeout', '1', false)", "table"),
    )
    .frame();
    host.ask(source, &sql("SELECT pg_advisory_lock(1)::text", "table"))
        .well();
    let mut other = store::server().database(&source.uid).client();
    let free: bool = other.query_one("SELECT pg_try_advisory_lock(1)", &[]).unwrap().get(0);
    assert!(free, "a lock outlives the question");
    for _ in 0..6 {
        let frame = host
            .ask(source, &sql("SELECT current_setting('statement_timeout') s", "table"))
            .frame();
        assert_eq!(frame.field("s").texts()[0].as_deref(), Some("1min"));
    }
    let forbidden = host.ask(
        &source.clone().with("allowSql", json!(false)),
        &sql("SELECT 1", "table"),
    );
    assert_eq!(forbidden.status, 403);
    let limited = source.clone().with("rowLimit", json!(10));
    let frame = host
        .ask(&limited, &sql("SELECT generate_series(1, 1000000) AS n", "table"))
        .frame();
    assert_eq!(frame.rows, 10);
    assert!(notices(&frame).contains("first 10 rows"), "{}", notices(&frame));
}

fn sql_series(host: &Host, source: &Source) {
    let text = "SELECT $__timeGroupAlias(time, 1h), device_id, avg(value) AS value FROM iot.device_metrics \
                WHERE $__timeFilter(time) AND metric = 'temperature' GROUP BY 1, 2 ORDER BY 1";
    let frame = host.ask(source, &sql(text, "time_series")).frame();
    assert_eq!(frame.meta["type"], "timeseries-wide");
    let titles: Vec<&str> = frame.fields.iter().map(|field| field.title()).collect();
    assert_eq!(titles, ["time", "CAM_001", "TEMP_001", "TEMP_002"]);
    assert_eq!(frame.fields[1].labels, json!({"device_id": "CAM_001"}));
    assert_eq!(frame.rows, 6);
    let text = "SELECT $__timeGroupAlias(t, 30m, 0), count(*) AS n FROM (VALUES (timestamptz '2026-01-01 01:10Z')) AS v (t) GROUP BY 1";
    let frame = host.ask(source, &sql(text, "time_series")).frame();
    assert_eq!(frame.rows, 12);
    assert_eq!(frame.field("n").floats().iter().flatten().sum::<f64>(), 1.0);
    let frame = host
        .ask(source, &sql(&text.replace(", 0)", ", previous)"), "time_series"))
        .frame();
    let filled = [vec![None; 2], vec![Some(1.0); 10]].concat();
    assert_eq!(frame.field("n").floats(), filled);
    let many = host.ask(source, &sql(&text.replace("30m", "1ms"), "time_series"));
    assert!(many.error.contains("choose a longer interval"), "{}", many.error);
    let no_instant = host.ask(source, &sql("SELECT NULL::timestamptz AS time, 1 AS n", "time_series"));
    assert!(no_instant.error.contains("has NULL in it"), "{}", no_instant.error);
    let no_time = host.ask(source, &sql("SELECT 1 AS n", "time_series"));
    assert!(no_time.error.contains("timestamp column"), "{}", no_time.error);
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
