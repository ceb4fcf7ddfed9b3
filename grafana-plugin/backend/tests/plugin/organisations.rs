//! Organisations of one Grafana: a data source's uid is unique within one of them only, and one plugin process serves them all.
//! Nobody may be answered from another's database, whatever is asked, in whatever order, or at the same time.

use super::caller::Caller;
use super::host::{Host, Source, eventually};
use super::store;
use super::stream::Listener;
use grafana_plugin_sdk::pluginv2::subscribe_stream_response::Status as Word;
use serde_json::{Value, json};
use tonic::Code;

/// The uid that both organisations gave their source.
const UID: &str = "same";
const ROUNDS: usize = 10;

/// A data source, and the ids of the devices behind it.
#[derive(Clone)]
struct Tenant {
    source: Source,
    devices: Vec<&'static str>,
}

/// Two organisations with a source of the same uid: of two databases that each has devices of its own, and with roles that
/// may not enter the other's.
fn tenants(name: &str) -> [Tenant; 2] {
    let (ours, theirs) = (format!("{name}_ours"), format!("{name}_theirs"));
    let first = store::make(&ours);
    let second = store::server().store(&theirs);
    let device = "INSERT INTO iot.devices (device_id, device_type, location, commissioned_at) \
                  VALUES ('THEIR_001', 'pump', 'cellar', '2025-12-31')";
    second.client().batch_execute(device).unwrap();
    let tenant = |organisation: i64, database: &str, devices: &[&'static str]| {
        let role = format!(
            "DROP ROLE IF EXISTS {database}; CREATE ROLE {database} LOGIN PASSWORD 'secret of {database}'; \
             REVOKE CONNECT ON DATABASE {database} FROM PUBLIC; GRANT CONNECT ON DATABASE {database} TO {database}; \
             SELECT iot_kpi.grant_admin('{database}')"
        );
        store::server()
            .database(database)
            .client()
            .batch_execute(&role)
            .unwrap();
        let mut source = Source::of(store::server(), database).of_organisation(organisation, UID);
        source.json["user"] = json!(database);
        source.json["poolSize"] = json!(2);
        let password = ("password".to_owned(), format!("secret of {database}"));
        source.secrets = [password].into();
        Tenant {
            source,
            devices: devices.to_vec(),
        }
    };
    // The second one's settings are the older ones: that too must not make a difference.
    let mut tenants = [
        tenant(1, first.name(), &["CAM_001", "TEMP_001", "TEMP_002", "collector-1"]),
        tenant(2, second.name(), &["THEIR_001"]),
    ];
    tenants[0].source.updated = 7;
    tenants
}

impl Tenant {
    fn database(&self) -> &str {
        self.source.json["database"].as_str().unwrap()
    }

    /// Asks in every way in which there is something to ask.
    fn finds_its_own_alone(&self, host: &Host) {
        let ids = |answer: &Value| -> Vec<String> {
            let items = answer.as_array().unwrap().iter();
            let id = |item: &Value| {
                item["device_id"]
                    .as_str()
                    .or(item["value"].as_str())
                    .unwrap()
                    .to_owned()
            };
            items.map(id).collect()
        };
        let frame = host.ask(&self.source, &json!({"queryType": "device_kpis"})).frame();
        let devices: Vec<String> = frame.field("device_id").texts().into_iter().flatten().collect();
        assert_eq!(devices, self.devices);
        let who = json!({"queryType": "sql", "rawSql": "SELECT current_database() || ' ' || current_user AS who"});
        let who = host.ask(&self.source, &who).frame().field("who").texts();
        assert_eq!(who, [Some(format!("{0} {0}", self.database()))]);

        let rest = Caller::new(host, &self.source);
        assert_eq!(ids(&rest.get("v1/devices")["items"]), self.devices);
        assert_eq!(ids(&rest.get("options")["devices"]), self.devices);
        let values = rest.get("options/values?key=device_id");
        let mut values: Vec<&str> = values.as_array().unwrap().iter().filter_map(Value::as_str).collect();
        values.sort_unstable();
        let mut expected = self.devices.clone();
        expected.sort_unstable();
        assert_eq!(values, expected);

        let health = host.health(&self.source);
        let count = format!(": {} devices", self.devices.len());
        assert!(health.message.ends_with(&count), "{}", health.message);
    }
}

#[test]
fn two_organisations_with_the_same_uid_are_each_answered_from_their_own_database() {
    let tenants = tenants("plugin_two");
    let host = Host::start();
    for _ in 0..ROUNDS {
        tenants.iter().for_each(|tenant| tenant.finds_its_own_alone(&host));
    }
    std::thread::scope(|scope| {
        for tenant in tenants.iter().chain(&tenants) {
            scope.spawn(|| (0..ROUNDS).for_each(|_| tenant.finds_its_own_alone(&host)));
        }
    });
    let metrics = host.metrics();
    for organisation in [1, 2] {
        let line =
            format!("iot_kpi_connections{{datasource=\"{UID}\",organisation=\"{organisation}\",state=\"limit\"}} 2\n");
        assert_eq!(metrics.matches(&line).count(), 1, "{metrics}");
    }
}

#[test]
fn writes_go_to_the_callers_own_database() {
    let tenants = tenants("plugin_two_writes");
    let host = Host::start();
    for tenant in &tenants {
        let device = json!({"device_id": format!("new of {}", tenant.database())});
        let (code, made) = Caller::new(&host, &tenant.source).call("POST", "v1/devices", &device);
        assert_eq!(code, 201, "{made}");
    }
    for tenant in &tenants {
        let sql = "SELECT device_id FROM iot.devices WHERE device_id LIKE 'new of %'";
        let rows = store::server()
            .database(tenant.database())
            .client()
            .query(sql, &[])
            .unwrap();
        let made: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(made, [format!("new of {}", tenant.database())]);
    }
}

#[test]
fn streams_show_each_organisation_its_own() {
    let tenants = tenants("plugin_two_streams");
    let host = Host::start();
    let query = json!({"queryType": "device_kpis", "live": true, "columns": ["device_id"]});
    let data = |seconds: i64| json!({"query": query, "seconds": seconds});
    let listeners = tenants.clone().map(|tenant| Listener {
        host: &host,
        source: tenant.source,
    });
    let [ours, theirs] = [&listeners[0], &listeners[1]].map(|listener| listener.path(&query, 60).expect("a path"));
    // What one may listen to is nothing that the other knows.
    assert_ne!(ours, theirs);
    assert_eq!(listeners[1].subscribe(&ours, &data(60)), Word::NotFound);
    assert_eq!(listeners[1].run(&ours, &data(60)).unwrap_err().code(), Code::NotFound);

    let mut streams: Vec<_> = listeners
        .iter()
        .zip([&ours, &theirs])
        .map(|(listener, path)| {
            assert_eq!(listener.subscribe(path, &data(60)), Word::Ok);
            listener.run(path, &data(60)).unwrap()
        })
        .collect();
    for ((listener, stream), tenant) in listeners.iter().zip(&mut streams).zip(&tenants) {
        let first = listener.next(stream);
        assert_eq!(first["data"]["values"][0], json!(tenant.devices));
    }
    for organisation in [1, 2] {
        let line = format!("iot_kpi_streams{{datasource=\"{UID}\",organisation=\"{organisation}\"}} 1\n");
        assert!(host.metrics().contains(&line), "{}", host.metrics());
    }

    // One that has as many streams as it may have keeps nobody out but itself.
    let many: Vec<_> = (1..50)
        .map(|seconds| {
            let path = listeners[0].path(&query, seconds).unwrap();
            listeners[0].run(&path, &data(seconds)).unwrap()
        })
        .collect();
    assert_eq!(listeners[0].subscribe(&ours, &data(60)), Word::PermissionDenied);
    assert_eq!(listeners[1].subscribe(&theirs, &data(60)), Word::Ok);
    assert!(listeners[1].run(&theirs, &data(60)).is_ok());
    drop((many, streams));
    eventually("they ended", || !host.metrics().contains("iot_kpi_streams{"));
}

#[test]
fn changed_settings_of_one_organisation_leave_the_others_connections_alone() {
    let [ours, theirs] = tenants("plugin_two_changed");
    let host = Host::start();
    let one = |tenant: &Tenant| {
        let mut source = tenant.source.clone();
        source.json["poolSize"] = json!(1);
        source
    };
    let (mut ours, theirs) = (one(&ours), one(&theirs));
    let ask = |source: &Source| {
        let sql = "SELECT pg_backend_pid()::text AS pid, current_setting('statement_timeout') AS patience";
        let frame = host.ask(source, &json!({"queryType": "sql", "rawSql": sql})).frame();
        ["pid", "patience"].map(|name| frame.field(name).texts()[0].clone().unwrap())
    };
    let ([our_pid, _], [their_pid, _]) = (ask(&ours), ask(&theirs));
    assert_eq!(
        (ask(&ours)[0].as_str(), ask(&theirs)[0].as_str()),
        (our_pid.as_str(), their_pid.as_str())
    );
    ours.updated += 1;
    ours.json["statementTimeout"] = json!(7);
    let [new_pid, patience] = ask(&ours);
    assert_eq!(patience, "7s");
    assert_ne!(new_pid, our_pid);
    // The other one's connection is the same, its settings are its own, and it is older than those that changed.
    assert_eq!(ask(&theirs), [their_pid, "1min".to_owned()]);
}
