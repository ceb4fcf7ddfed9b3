//! The reason a person can act on.

use super::host::{Host, Source};
use super::store;
use iot_kpi_tests::postgres::shared;
use serde_json::{Value, json};

fn verdict(host: &Host, source: &Source) -> (i32, String, String) {
    let response = host.health(source);
    let details: Value = serde_json::from_slice(&response.json_details).unwrap();
    let reason = details["reason"].as_str().unwrap_or_default().to_owned();
    (response.status, response.message, reason)
}

#[test]
fn health_says_what_to_do() {
    let server = shared();
    store::make("plugin_health");
    server.extension("plugin_no_store");
    server.create_database("plugin_empty").unwrap();
    let age = "UPDATE pg_extension SET extversion = '0.0.9' WHERE extname = 'pg_iot_kpi'";
    server.extension("plugin_too_old").client().execute(age, &[]).unwrap();
    let mut client = server.database("plugin_health").client();
    client
        .batch_execute("DROP ROLE IF EXISTS plugin_stranger; CREATE ROLE plugin_stranger LOGIN PASSWORD 'stranger'")
        .unwrap();
    let host = Host::start();
    let good = Source::of(server, "plugin_health");
    let (status, message, _) = verdict(&host, &good);
    assert_eq!(status, 1, "{message}");
    assert!(
        message.contains("4 devices") && message.contains("pg_iot_kpi"),
        "{message}"
    );

    let password = |source: Source, password: &str| {
        let mut source = source;
        source.uid.push_str(password);
        source.secrets.insert("password".to_owned(), password.to_owned());
        source
    };
    let stranger = password(good.clone().with("user", json!("plugin_stranger")), "stranger");
    let mut pem = good.clone().with("tlsMode", json!("verify-ca"));
    pem.secrets.insert("tlsCa".to_owned(), "rubbish".to_owned());
    for (source, reason, word) in [
        (good.clone().with("host", json!("")), "settings", "host"),
        (good.clone().with("port", json!(1)), "cannot reach host", "127.0.0.1:1"),
        (good.clone().with("port", json!(99_999)), "settings", "port"),
        (
            good.clone().with("host", json!("no-such-host.invalid")),
            "cannot reach host",
            "no-such-host.invalid",
        ),
        (good.clone().with("poolSize", json!(0)), "settings", "poolSize"),
        (
            good.clone().with("tlsMode", json!("sometimes")),
            "settings",
            "sometimes",
        ),
        (good.clone().with("tlsMode", json!("require")), "TLS refused", "require"),
        (pem, "TLS refused", "CA certificate"),
        (password(good.clone(), "wrong"), "password refused", "password"),
        (
            good.clone().with("user", json!("nobody-here")),
            "password refused",
            "nobody-here",
        ),
        (
            good.clone().with("database", json!("plugin_nowhere")),
            "database missing",
            "plugin_nowhere",
        ),
        (
            good.clone().with("database", json!("plugin_empty")),
            "extension missing",
            "CREATE EXTENSION",
        ),
        (
            good.clone().with("database", json!("plugin_too_old")),
            "extension too old",
            "ALTER EXTENSION pg_iot_kpi UPDATE",
        ),
        (
            good.clone().with("database", json!("plugin_no_store")),
            "store missing",
            "create_store",
        ),
        (stranger, "no right to read", "GRANT"),
    ] {
        let (status, message, found) = verdict(&host, &source);
        assert_eq!((status, found.as_str()), (2, reason), "{message}");
        assert!(message.contains(word), "{message}");
        assert!(!message.contains(server.password()), "{message}");
    }
}
