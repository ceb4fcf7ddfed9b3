//! The routes as HTTP has them, and as `openapi.json` describes them.

use super::caller::Caller;
use super::host::{Host, Source};
use super::store;
use grafana_plugin_sdk::pluginv2::CallResourceRequest;
use iot_kpi_grafana::resource::routes::ROUTES;
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[test]
fn addresses_and_methods_are_those_of_http() {
    store::make("plugin_rest_http");
    let host = Host::start();
    let rest = Caller::new(&host, &Source::of(store::server(), "plugin_rest_http"));
    // Grafana finds the headers of an answer by their usual spelling alone.
    let other = rest.response("PATCH", "v1/devices", "");
    assert_eq!(
        (other.code, &other.headers["Allow"].values[..]),
        (405, &["GET,HEAD,POST".to_owned()][..])
    );
    let problem: Value = serde_json::from_slice(&other.body).unwrap();
    assert_eq!(problem["detail"], "v1/devices knows GET, POST");
    for (address, code) in [("v1/devices", 200), ("v1/docs", 200), ("v1/devices/nobody", 404)] {
        let head = rest.response("HEAD", address, "");
        assert_eq!((head.code, head.body.len()), (code, 0), "{address}");
        assert!(head.headers.contains_key("Content-Type"), "{address}");
    }
    assert_eq!(rest.raw("get", "v1/devices", "").0, 200);
    let named = json!({"device_id": "pump 1 <ö>?#{%"});
    assert_eq!(rest.call("POST", "v1/devices", &named).0, 201);
    // Grafana takes the escapes out of a path, and leaves them in what stands behind the question mark.
    let decoded = CallResourceRequest {
        plugin_context: Some(rest.source.context("Viewer")),
        path: "/v1/devices/pump 1 <ö>?#{%/".to_owned(),
        url: "v1/devices/pump%201%20%3C%C3%B6%3E%3F%23%7B%25/?limit=1".to_owned(),
        method: "GET".to_owned(),
        ..CallResourceRequest::default()
    };
    for (path, code) in [
        ("v1/devices/pump 1 <ö>?#{%", 200),
        ("v1/devices/pump%201 <%C3%B6>?#{%25", 200),
        ("v1/devices/%FF", 400),
        ("v1/devices//kpis", 404),
        ("V1/devices", 404),
        ("", 404),
    ] {
        let asked = CallResourceRequest {
            path: path.to_owned(),
            ..decoded.clone()
        };
        assert_eq!(rest.send(asked).code, code, "{path}");
    }
    assert_eq!(rest.send(decoded).code, 200);
}

#[test]
fn the_description_names_every_route_and_no_other() {
    let host = Host::start();
    let mut nowhere = Source::of(store::server(), "plugin_nowhere");
    nowhere.json = json!({});
    let rest = Caller::new(&host, &nowhere);
    let (code, _, text) = rest.raw("GET", "v1/openapi.json", "");
    assert_eq!(code, 200);
    let api: Value = serde_json::from_str(&text).unwrap();
    let described: BTreeSet<String> = api["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            methods
                .as_object()
                .unwrap()
                .keys()
                .map(move |method| format!("{} {}", method.to_uppercase(), &path[1..]))
        })
        .collect();
    let served: BTreeSet<String> = ROUTES
        .iter()
        .filter(|route| route.path.starts_with("v1/"))
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    assert_eq!(described, served);
    for reference in text.split("\"$ref\": \"#").skip(1) {
        let pointer = &reference[..reference.find('"').unwrap()];
        assert!(api.pointer(pointer).is_some(), "{pointer}");
    }
    let (code, content_type, page) = rest.raw("GET", "v1/docs", "");
    assert_eq!((code, content_type.as_str()), (200, "text/html; charset=utf-8"));
    // It works offline, and in a sandbox without scripts.
    assert!(!page.contains("https://") && !page.contains("<script") && !page.contains("{{"));
    for (path, methods) in api["paths"].as_object().unwrap() {
        for (method, route) in methods.as_object().unwrap() {
            let summary = route["summary"].as_str().unwrap();
            let line = format!("{}</span> <code>{path}</code> {summary}", method.to_uppercase());
            assert!(page.contains(&line), "{line}");
        }
    }
    for word in ["<code>limit</code>", "&quot;percentage", "<td>413<td>"] {
        assert!(page.replace('"', "&quot;").contains(word), "{word}: {page}");
    }
}
