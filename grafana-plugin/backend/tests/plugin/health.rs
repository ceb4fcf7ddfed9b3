//! The reason a person can act on.

use super::caller::Caller;
use super::host::{Host, Source};
use super::store;
use iot_kpi_tests::postgres::shared;
use postgres::Client;
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
        (stranger, "no right to read", "grant_reader('plugin_stranger')"),
    ] {
        let (status, message, found) = verdict(&host, &source);
        assert_eq!((status, found.as_str()), (2, reason), "{message}");
        assert!(message.contains(word), "{message}");
        assert!(!message.contains(server.password()), "{message}");
    }
}

/// A role, what is said of it, and what it really can do.
struct Reader<'a> {
    host: &'a Host,
    source: Source,
    owner: Client,
}

impl<'a> Reader<'a> {
    fn new(host: &'a Host, database: &str, role: &str) -> Self {
        let mut owner = store::make(database).client();
        let quoted = format!("\"{}\"", role.replace('"', "\"\""));
        let made = format!("DROP ROLE IF EXISTS {quoted}; CREATE ROLE {quoted} LOGIN PASSWORD 'a reader'");
        owner.batch_execute(&made).unwrap();
        let mut source = Source::of(store::server(), database).with("user", json!(role));
        source.secrets.insert("password".to_owned(), "a reader".to_owned());
        Reader { host, source, owner }
    }

    fn run(&mut self, sql: &str) {
        self.owner
            .batch_execute(sql)
            .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// The rights that are missing, all of them, and the message.
    fn lacks(&self) -> (Vec<String>, String) {
        let response = self.host.health(&self.source);
        assert_eq!(response.status, 2, "{}", response.message);
        let details: Value = serde_json::from_slice(&response.json_details).unwrap();
        assert_eq!(details["reason"], "no right to read", "{}", response.message);
        let missing = details["missing"].as_array().unwrap().iter();
        let missing = missing.map(|right| right.as_str().unwrap().to_owned()).collect();
        (missing, response.message)
    }

    /// Healthy, and every report and reading route answers.
    fn reads_everything(&self) -> String {
        let response = self.host.health(&self.source);
        assert_eq!(response.status, 1, "{}", response.message);
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
            let answer = self.host.ask(
                &self.source,
                &json!({"queryType": kind, "deviceTypes": ["temperature"]}),
            );
            assert_eq!(answer.error, "", "{kind}");
        }
        let rest = Caller::new(self.host, &self.source);
        for route in iot_kpi_grafana::resource::routes::ROUTES {
            let address = route.path.replace("{id}", "TEMP_001") + "?key=floor";
            if route.method == "GET" {
                let (code, _, answer) = rest.raw("GET", &address, "");
                // The health of the store is what it is.
                assert!(
                    code == 200 || answer.contains("\"status\":\"fail\""),
                    "{address}: {answer}"
                );
            }
        }
        response.message
    }
}

#[test]
fn each_right_that_reports_need_is_named_where_it_is_missing() {
    let host = Host::start();
    let mut reader = Reader::new(&host, "plugin_rights", "plugin_reader");
    let (missing, message) = reader.lacks();
    assert_eq!(missing, ["USAGE ON SCHEMA iot", "USAGE ON SCHEMA iot_kpi"]);
    assert!(message.contains("USAGE ON SCHEMA iot_kpi"), "{message}");

    reader.run("GRANT USAGE ON SCHEMA iot, iot_kpi TO plugin_reader");
    let (missing, message) = reader.lacks();
    assert!(
        missing.iter().all(|right| right.starts_with("SELECT ON TABLE iot.")),
        "{missing:?}"
    );
    assert!(
        message.contains(&format!("{} and {} more", missing[..5].join(", "), missing.len() - 5)),
        "{message}"
    );
    // What it says to run is run as it stands.
    let remedy = message.split("run: ").nth(1).unwrap();
    assert_eq!(remedy, "SELECT iot_kpi.grant_reader('plugin_reader');");
    reader.run(remedy);
    reader.reads_everything();

    // Any of them alone is missed, also those that only some reports read.
    for table in ["settings", "kpi_calculations", "upkeep", "device_metrics"] {
        let right = format!("SELECT ON TABLE iot.{table}");
        assert!(missing.contains(&right), "{missing:?}");
        reader.run(&format!("REVOKE SELECT ON iot.{table} FROM plugin_reader"));
        assert_eq!(reader.lacks().0, [right]);
        reader.run(&format!("GRANT SELECT ON iot.{table} TO plugin_reader"));
    }
    // A partition more or less is none of its business.
    reader
        .run("REVOKE ALL ON ALL TABLES IN SCHEMA iot FROM plugin_reader; SELECT iot_kpi.grant_reader('plugin_reader')");
    reader.reads_everything();
}

#[test]
fn functions_that_were_taken_from_everybody_are_named() {
    let host = Host::start();
    let mut reader = Reader::new(&host, "plugin_functions", "plugin_caller");
    reader.run("SELECT iot_kpi.grant_reader('plugin_caller')");
    // One that other functions call, not people.
    reader.run("REVOKE EXECUTE ON FUNCTION iot_kpi.require_store() FROM PUBLIC");
    let (missing, message) = reader.lacks();
    assert_eq!(missing, ["EXECUTE ON FUNCTION iot_kpi.require_store()"]);
    assert!(
        message.contains("GRANT EXECUTE") && !message.contains("grant_reader"),
        "{message}"
    );

    reader.run(
        "REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA iot_kpi FROM PUBLIC; SELECT iot_kpi.revoke_reader('plugin_caller')",
    );
    let (missing, message) = reader.lacks();
    assert!(missing.len() > 50, "{missing:?}");
    assert!(missing.contains(&"USAGE ON SCHEMA iot".to_owned()), "{missing:?}");
    for remedy in message.split("run: ").skip(1) {
        reader.run(&remedy[..=remedy.find(';').unwrap()]);
    }
    reader.reads_everything();

    // Those that only read are enough.
    reader.run(
        "REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA iot_kpi FROM plugin_caller;
         DO $$ DECLARE f regprocedure; BEGIN
             FOR f IN SELECT oid FROM pg_proc WHERE pronamespace = 'iot_kpi'::regnamespace AND prokind <> 'p' AND provolatile <> 'v' LOOP
                 EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO plugin_caller', f);
             END LOOP;
         END $$",
    );
    reader.reads_everything();
}

#[test]
fn partitions_that_no_policy_guards_are_told_of() {
    let host = Host::start();
    let role = "o'brien\"s";
    let mut reader = Reader::new(&host, "plugin_partitions", role);
    let owner = "SELECT iot_kpi.enable_row_security(); CREATE POLICY temperatures ON iot.devices USING (device_type = 'temperature'); \
                 GRANT USAGE ON SCHEMA iot, iot_kpi TO \"o'brien\"\"s\"";
    reader.run(owner);
    let (_, message) = reader.lacks();
    assert!(
        message.ends_with("run: SELECT iot_kpi.grant_reader('o''brien\"s');"),
        "{message}"
    );
    reader.run("GRANT SELECT ON ALL TABLES IN SCHEMA iot TO \"o'brien\"\"s\"");
    // Closed ones show nothing.
    assert!(reader.reads_everything().ends_with(": 2 devices"));
    reader.run(
        "DO $$ DECLARE p regclass; BEGIN
             FOR p IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'iot.device_metrics'::regclass LOOP
                 EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', p);
             END LOOP;
         END $$",
    );
    let message = reader.reads_everything();
    assert!(message.contains("2 devices. Beware"), "{message}");
    let remedy = message.split("run: ").nth(1).unwrap();
    reader.run(remedy);
    let message = reader.reads_everything();
    assert!(message.ends_with(": 2 devices"), "{message}");
}
