//! The process: handshake, health service, log, end.

use super::host::{BINARY, Host, Source, eventually, panel, runs};
use super::store;
use grafana_plugin_sdk::pluginv2::CheckHealthRequest;
use grafana_plugin_sdk::pluginv2::diagnostics_client::DiagnosticsClient;
use serde_json::json;
use std::process::Command;
use std::time::Duration;

#[test]
fn without_the_cookie_it_says_what_it_is() {
    let output = Command::new(BINARY).env_remove("grafana_plugin_type").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert!(String::from_utf8_lossy(&output.stderr).contains("Grafana starts it"));
}

#[test]
fn it_is_healthy_as_go_plugin_asks() {
    let host = Host::start();
    let mut client = tonic_health::pb::health_client::HealthClient::new(host.channel());
    let request = tonic_health::pb::HealthCheckRequest {
        service: "plugin".to_owned(),
    };
    let response = host.runtime.block_on(async { client.check(request).await }).unwrap();
    assert_eq!(
        response.into_inner().status,
        tonic_health::pb::health_check_response::ServingStatus::Serving as i32
    );
    assert!(host.metrics().contains("iot_kpi_queries_total"));
}

#[test]
fn no_secret_reaches_the_log_and_each_line_is_json() {
    store::make("plugin_log");
    let host = Host::start_with("RUST_LOG", "trace");
    let mut source = Source::of(store::server(), "plugin_log");
    source.secrets.insert("tlsKey".to_owned(), "a key's content".to_owned());
    host.health(&source);
    host.ask(&source, &json!({"queryType": "device_kpis"})).well();
    host.ask(&source, &json!({"queryType": "nonsense"}));
    let mut wrong = source.clone();
    wrong.uid = "wrong".to_owned();
    wrong
        .secrets
        .insert("password".to_owned(), "my-secret-guess".to_owned());
    host.health(&wrong);
    host.ask(&wrong, &json!({"queryType": "device_kpis"}));
    wrong.json["tlsMode"] = json!("require");
    host.health(&wrong);
    let (status, _, log) = host.end();
    assert!(status.success());
    for secret in [store::server().password(), "my-secret-guess", "a key's content"] {
        assert!(!log.contains(secret), "{log}");
    }
    assert!(log.lines().count() > 2, "{log}");
    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
        let level = line["@level"].as_str().unwrap().to_lowercase();
        let target = line["target"].as_str().unwrap_or_default();
        // The libraries below log what passes through them at their lower levels, whatever somebody wants to see of the plugin.
        let is_ours = target.starts_with("iot_kpi_grafana");
        assert!(
            is_ours || !matches!(level.as_str(), "trace" | "debug" | "info"),
            "{line}"
        );
    }
}

#[test]
fn it_ends_within_two_seconds_whatever_does_not_answer() {
    // It takes connections, and says nothing.
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let host = Host::start();
    let mut source = Source::of(store::server(), "plugin_silent");
    source.json["port"] = json!(silent.local_addr().unwrap().port());
    let request = CheckHealthRequest {
        plugin_context: Some(source.context("Admin")),
        ..CheckHealthRequest::default()
    };
    let mut client = DiagnosticsClient::new(host.channel());
    let call = host.runtime.spawn(async move { client.check_health(request).await });
    let (_connection, _) = silent.accept().unwrap();
    let (status, took, _) = host.end();
    assert!(status.success());
    assert!(took < Duration::from_secs(2), "{took:?}");
    drop(call);
}

#[test]
fn it_ends_within_two_seconds_and_cancels_what_runs() {
    let database = store::make("plugin_end");
    let host = Host::start();
    let source = Source::of(store::server(), "plugin_end");
    let query = json!({"queryType": "sql", "rawSql": "SELECT pg_sleep(600)::text AS plugin_end"});
    let (mut client, request) = (host.data(), source.request(vec![panel("A", &query)]));
    let call = host.runtime.spawn(async move { client.query_data(request).await });
    eventually("the statement runs", || runs(&database, "AS plugin_end"));
    let (status, took, _) = host.end();
    assert!(status.success());
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(!runs(&database, "AS plugin_end"));
    drop(call);
}
