//! The REST API, and who may write by it.

use super::caller::Caller;
use super::host::{Host, Source};
use super::store;
use iot_kpi_grafana::resource::routes::ROUTES;
use serde_json::{Value, json};

const DAY: &str = "from=2026-01-01T00:00:00Z&to=2026-01-01T06:00:00Z";

#[test]
fn every_route_answers() {
    store::make("plugin_rest");
    let host = Host::start();
    let rest = Caller::new(&host, &Source::of(store::server(), "plugin_rest"));
    reads(&rest);
    writes_devices(&rest);
    writes_samples(&rest);
    refuses(&rest);
}

fn reads(rest: &Caller<'_>) {
    let page = rest.get("v1/devices?limit=2&offset=1");
    assert_eq!(
        (&page["total"], page["items"].as_array().unwrap().len()),
        (&json!(4), 2)
    );
    assert_eq!(page["items"][0]["device_id"], "TEMP_001");
    assert_eq!(page["items"][0]["expected_interval"], 60.0);
    assert_eq!(page["items"][0]["metadata"], json!({"floor": "1"}));
    assert_eq!(rest.get("v1/devices?device_type=camera")["total"], 1);
    assert_eq!(rest.get("v1/devices?location=hall")["total"], 2);
    assert_eq!(rest.get("v1/devices?location=hall&device_type=camera")["total"], 1);
    assert_eq!(rest.get("v1/devices/CAM%5F001")["device_id"], "CAM_001");
    let samples = rest.get(&format!(
        "v1/devices/TEMP_001/metrics?metric_type=temperature&{DAY}&limit=3"
    ));
    assert_eq!(
        samples["items"][0],
        json!({"timestamp": "2026-01-01T00:00:00Z", "metric_type": "temperature", "value": 20.0, "unit": "°C"})
    );
    let kpis = rest.get(&format!("v1/devices/TEMP_001/kpis?{DAY}"));
    assert_eq!(kpis["kpis"]["down_time"], 1_680.0);
    assert_eq!(
        rest.get(&format!("v1/kpis/summary?{DAY}&group_by=device_type"))["items"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let bytes = |more: &str| {
        let summary = rest.get(&format!("v1/metrics/summary?{DAY}{more}"));
        let mut items = summary["items"].as_array().unwrap().iter();
        let bytes = items.find(|metric| metric["metric_type"] == "bytes").unwrap();
        ["samples", "devices"].map(|name| bytes[name].as_i64().unwrap())
    };
    // One of three is silent for half an hour.
    assert_eq!(bytes(""), [3 * 360 - 30, 3]);
    assert_eq!(bytes("&device_id=TEMP_001"), [360 - 30, 1]);
    assert!(rest.get("v1/health")["status"].is_string());
    assert!(rest.get("v1/health/detailed")["checks"].as_array().unwrap().len() > 2);
    let options = rest.get("options");
    assert_eq!(options["device_types"], json!(["camera", "collector", "temperature"]));
    assert_eq!(options["metadata_keys"], json!(["floor"]));
    assert_eq!(rest.get("options?type=camera")["devices"][0]["value"], "CAM_001");
    let roof = &rest.get("options?location=roof&location=nowhere")["devices"];
    assert_eq!(
        (roof[0]["value"].as_str(), roof.as_array().unwrap().len()),
        (Some("TEMP_002"), 1)
    );
    assert_eq!(rest.get("options/values?key=floor"), json!(["1", "2"]));
    assert!(rest.get("options/schema").to_string().contains("iot.devices"));
}

fn writes_devices(rest: &Caller<'_>) {
    let device =
        json!({"device_id": "NEW/1", "device_type": "temperature", "expected_interval": 30, "metadata": {"a": 1}});
    let (code, made) = rest.call("POST", "v1/devices", &device);
    assert_eq!(
        (code, &made["name"], &made["expected_interval"]),
        (201, &json!("NEW/1"), &json!(30.0))
    );
    assert_eq!(rest.call("POST", "v1/devices", &device).0, 409);
    let (code, changed) = rest.call(
        "PUT",
        "v1/devices/NEW%2F1",
        &json!({"name": "Hall", "commissioned_at": "2026-01-01T00:00:00+01:00"}),
    );
    assert_eq!(
        (code, &changed["name"], &changed["device_type"]),
        (200, &json!("Hall"), &Value::Null)
    );
    assert_eq!(changed["commissioned_at"], "2025-12-31T23:00:00Z");
    assert_eq!(rest.call("PUT", "v1/devices/nobody", &json!({})).0, 404);
    let room = json!({"name": "Hall", "location": "engine room", "device_type": "a+b"});
    assert_eq!(rest.call("PUT", "v1/devices/NEW%2F1", &room).0, 200);
    for address in [
        "v1/devices?location=engine+room",
        "v1/devices?location=engine%20room&device_type=a%2Bb",
    ] {
        assert_eq!(rest.get(address)["items"][0]["device_id"], "NEW/1", "{address}");
    }
}

fn writes_samples(rest: &Caller<'_>) {
    let sample =
        json!({"timestamp": "2024-01-01T12:00:00Z", "metric_type": "uptime", "value": 0.95, "unit": "percentage"});
    let (code, result) = rest.call("POST", "v1/devices/TEMP_001/metrics", &sample);
    assert_eq!((code, &result["stored"]), (200, &json!(1)), "{result}");
    assert_eq!(
        rest.call("POST", "v1/devices/TEMP_001/metrics", &sample).1["duplicates"],
        1
    );
    let new = json!({"timestamp": "2024-01-01T12:00:00Z", "metric_type": "never heard of", "value": 1});
    let (code, problem) = rest.call("POST", "v1/devices/TEMP_001/metrics", &new);
    assert_eq!(
        (code, &problem["result"]["refusals"][0]["field"]),
        (422, &json!("metric")),
        "{problem}"
    );
    let mut with_unit = new.clone();
    with_unit["unit"] = json!("V");
    assert_eq!(
        rest.call("POST", "v1/devices/TEMP_001/metrics", &json!([with_unit, sample]))
            .1["stored"],
        1
    );
    let window = json!({"from": "2026-01-01T00:00:00Z", "to": "2026-01-01T06:00:00Z"});
    let (code, result) = rest.call("POST", "v1/devices/TEMP_001/kpis/calculate", &window);
    assert_eq!(code, 200, "{result}");
    assert!(result["calculated"].as_i64().unwrap() >= 6, "{result}");
    assert_eq!((&result["from"], &result["to"]), (&window["from"], &window["to"]));
}

fn refuses(rest: &Caller<'_>) {
    let metrics = "v1/devices/TEMP_001/metrics";
    for (method, address, body, code, field) in [
        (
            "POST",
            metrics,
            json!({"metric_type": "bytes", "value": 1}),
            400,
            "timestamp",
        ),
        (
            "POST",
            metrics,
            json!({"timestamp": "yesterday", "metric_type": "bytes", "value": 1}),
            400,
            "timestamp",
        ),
        (
            "POST",
            metrics,
            json!([{"timestamp": "2026-01-01T00:00:00Z", "metric_type": "bytes", "value": "x"}]),
            400,
            "[0].value",
        ),
        ("POST", metrics, json!({"colour": "red"}), 400, "colour"),
        ("POST", "v1/devices", json!({}), 400, "device_id"),
        (
            "POST",
            "v1/devices",
            json!({"device_id": "X", "metadata": []}),
            400,
            "metadata",
        ),
        (
            "POST",
            "v1/devices",
            json!({"device_id": "X", "expected_interval": -1}),
            422,
            "",
        ),
        (
            "POST",
            "v1/devices",
            json!({"device_id": "X", "collector_id": "nobody"}),
            422,
            "",
        ),
        (
            "PUT",
            "v1/devices/TEMP_001",
            json!({"device_id": "TEMP_002"}),
            400,
            "device_id",
        ),
        ("POST", "v1/devices/nobody/metrics", json!([]), 404, ""),
        ("POST", metrics, json!(vec![0; 10_001]), 413, ""),
        ("GET", "v1/devices?limit=0", Value::Null, 400, "limit"),
        ("GET", "v1/devices/TEMP_001/kpis?from=x", Value::Null, 400, "from"),
        ("GET", "v1/devices/nobody", Value::Null, 404, ""),
        ("GET", "v1/devices/nobody/kpis", Value::Null, 404, ""),
        ("GET", "v1/nothing", Value::Null, 404, ""),
        ("PATCH", "v1/devices", Value::Null, 405, ""),
        ("GET", "v1/kpis/summary?group_by=nonsense", Value::Null, 400, ""),
    ] {
        let (found, problem) = rest.call(method, address, &body);
        assert_eq!(found, code, "{method} {address}: {problem}");
        assert_eq!(problem["field"].as_str().unwrap_or_default(), field, "{problem}");
        assert_eq!(problem["status"], code);
    }
    assert_eq!(rest.raw("POST", metrics, b"{".to_vec()).0, 400);
    assert_eq!(rest.raw("POST", metrics, vec![b' '; 5 << 20]).0, 413);
}

#[test]
fn a_store_that_fails_is_no_healthy_one_and_its_schema_is_for_those_who_may_ask_by_sql() {
    let database = store::make("plugin_rest_health");
    let host = Host::start();
    let source = Source::of(store::server(), "plugin_rest_health");
    let rest = Caller::new(&host, &source);
    let health = |address: &str| {
        let (code, body) = rest.call("GET", address, &Value::Null);
        (code, body["status"].as_str().unwrap().to_owned())
    };
    for address in ["v1/health", "v1/health/detailed"] {
        assert_eq!(health(address).0, 200);
    }
    let ahead = "ALTER TABLE iot.device_metrics DETACH PARTITION";
    let partitions =
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'iot.device_metrics'::regclass";
    let mut client = database.client();
    for partition in client.query(partitions, &[]).unwrap() {
        client
            .batch_execute(&format!("{ahead} {}", partition.get::<_, String>(0)))
            .unwrap();
    }
    for address in ["v1/health", "v1/health/detailed"] {
        assert_eq!(health(address), (503, "fail".to_owned()));
    }
    let closed = Caller::new(&host, &source.clone().with("allowSql", json!(false)));
    assert_eq!(closed.raw("GET", "options/schema", "").0, 403);
}

#[test]
fn only_editors_and_admins_write_and_only_where_it_is_allowed() {
    store::make("plugin_roles");
    let host = Host::start();
    let source = Source::of(store::server(), "plugin_roles");
    let closed = source.clone().with("allowWrites", json!(false));
    let writes: Vec<_> = ROUTES.iter().filter(|route| route.method != "GET").collect();
    assert_eq!(writes.len(), 4);
    for route in writes {
        assert!(route.writes, "{}", route.path);
        let address = route.path.replace("{id}", "TEMP_001");
        let code = |caller: Caller<'_>| caller.call(route.method, &address, &json!({"device_id": "TEMP_001"})).0;
        let new = |source: &Source| Caller::new(&host, source);
        for role in ["Viewer", "None", "", "editor", "of the future"] {
            assert_eq!(code(Caller { role, ..new(&source) }), 403, "{role} {}", route.path);
        }
        for role in ["Editor", "Admin"] {
            assert_ne!(code(Caller { role, ..new(&source) }), 403, "{role} {}", route.path);
            assert_eq!(code(Caller { role, ..new(&closed) }), 403);
            assert_eq!(
                code(Caller {
                    role,
                    headers: vec!["FromAlert"],
                    ..new(&source)
                }),
                403
            );
            for login in ["", "grafana_scheduler"] {
                assert_eq!(
                    code(Caller {
                        role,
                        login,
                        ..new(&source)
                    }),
                    403
                );
            }
        }
    }
}
