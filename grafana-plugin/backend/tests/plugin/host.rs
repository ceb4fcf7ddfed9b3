//! A host that starts the plugin as Grafana does: cookie, handshake line, gRPC.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::frames::Answer;
use grafana_plugin_sdk::pluginv2::data_client::DataClient;
use grafana_plugin_sdk::pluginv2::diagnostics_client::DiagnosticsClient;
use grafana_plugin_sdk::pluginv2::{
    CheckHealthRequest, CheckHealthResponse, CollectMetricsRequest, DataQuery, DataSourceInstanceSettings,
    PluginContext, QueryDataRequest, QueryDataResponse, TimeRange, User,
};
use iot_kpi_tests::postgres::{Database, Postgres};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_gpx_iot_kpi");
/// As much as Grafana allows itself to receive.
const LARGEST_ANSWER: usize = 1 << 30;

/// A running plugin.
pub(crate) struct Host {
    child: Child,
    pub(crate) runtime: Runtime,
    channel: Channel,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Host {
    pub(crate) fn start() -> Self {
        Self::start_with("RUST_LOG", "info")
    }

    pub(crate) fn start_with(variable: &str, value: &str) -> Self {
        let mut child = Command::new(BINARY)
            .env("grafana_plugin_type", "datasource")
            .env(variable, value)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start the plugin");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .expect("read the handshake");
        let parts: Vec<&str> = line.trim().split('|').collect();
        assert_eq!(
            (parts[0], parts[1], parts[2], parts[4]),
            ("1", "2", "tcp", "grpc"),
            "{line}"
        );
        let (log, mut stderr) = (Arc::new(Mutex::new(String::new())), child.stderr.take().unwrap());
        let reader = std::thread::spawn({
            let log = Arc::clone(&log);
            move || {
                let mut buffer = [0_u8; 8_192];
                while let Ok(length @ 1..) = stderr.read(&mut buffer) {
                    log.lock()
                        .unwrap()
                        .push_str(&String::from_utf8_lossy(&buffer[..length]));
                }
            }
        });
        let runtime = Runtime::new().unwrap();
        let endpoint = Endpoint::from_shared(format!("http://{}", parts[3])).unwrap();
        let channel = runtime.block_on(endpoint.connect()).expect("connect to the plugin");
        Host {
            child,
            runtime,
            channel,
            log,
            reader: Some(reader),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    pub(crate) fn data(&self) -> DataClient<Channel> {
        DataClient::new(self.channel()).max_decoding_message_size(LARGEST_ANSWER)
    }

    pub(crate) fn query_data(&self, source: &Source, queries: Vec<DataQuery>) -> Result<QueryDataResponse, Status> {
        let request = source.request(queries);
        let mut client = self.data();
        self.runtime
            .block_on(async { client.query_data(request).await })
            .map(tonic::Response::into_inner)
    }

    /// The answer to one query.
    pub(crate) fn ask(&self, source: &Source, query: &Value) -> Answer {
        let response = self
            .query_data(source, vec![panel("A", query)])
            .expect("a whole answer");
        Answer::of(response.responses["A"].clone())
    }

    pub(crate) fn health(&self, source: &Source) -> CheckHealthResponse {
        let request = CheckHealthRequest {
            plugin_context: Some(source.context("Admin")),
            headers: HashMap::new(),
        };
        let mut client = DiagnosticsClient::new(self.channel());
        self.runtime
            .block_on(async { client.check_health(request).await })
            .expect("an answer")
            .into_inner()
    }

    pub(crate) fn metrics(&self) -> String {
        let mut client = DiagnosticsClient::new(self.channel());
        let request = CollectMetricsRequest { plugin_context: None };
        let response = self
            .runtime
            .block_on(async { client.collect_metrics(request).await })
            .expect("an answer");
        String::from_utf8(response.into_inner().metrics.unwrap().prometheus).unwrap()
    }

    /// Asks it to end, as Grafana does; how it ended, how long that took, and its whole log.
    pub(crate) fn end(mut self) -> (ExitStatus, Duration, String) {
        let started = Instant::now();
        let path = tonic::codegen::http::uri::PathAndQuery::from_static("/plugin.GRPCController/Shutdown");
        let mut grpc = tonic::client::Grpc::new(self.channel());
        self.runtime.block_on(async {
            grpc.ready().await.unwrap();
            let codec = tonic::codec::ProstCodec::<(), ()>::default();
            grpc.unary(tonic::Request::new(()), path, codec)
                .await
                .expect("shutdown");
        });
        let status = self.child.wait().unwrap();
        let took = started.elapsed();
        self.reader.take().unwrap().join().unwrap();
        let log = self.log.lock().unwrap().clone();
        (status, took, log)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Already ended, or no longer needed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A data source's configuration.
#[derive(Clone)]
pub(crate) struct Source {
    /// Grafana's number of the organisation that it belongs to.
    pub(crate) organisation: i64,
    pub(crate) uid: String,
    pub(crate) updated: i64,
    pub(crate) json: Value,
    pub(crate) secrets: HashMap<String, String>,
}

impl Source {
    pub(crate) fn of(server: &Postgres, database: &str) -> Self {
        Source {
            organisation: 1,
            uid: database.to_owned(),
            updated: 1,
            json: json!({
                "host": "127.0.0.1", "port": server.port(), "database": database, "user": "postgres", "tlsMode": "disable",
                "poolSize": 5, "allowSql": true, "allowWrites": true,
            }),
            secrets: HashMap::from([("password".to_owned(), server.password().to_owned())]),
        }
    }

    /// As another organisation has one, which knows nothing of this one: a uid is taken in one organisation only.
    pub(crate) fn of_organisation(mut self, organisation: i64, uid: &str) -> Self {
        self.organisation = organisation;
        self.uid = uid.to_owned();
        self
    }

    /// With another setting, under another id.
    pub(crate) fn with(mut self, setting: &str, value: Value) -> Self {
        self.uid = format!("{}-{setting}", self.uid);
        self.json[setting] = value;
        self
    }

    pub(crate) fn context(&self, role: &str) -> PluginContext {
        PluginContext {
            org_id: self.organisation,
            plugin_id: "iotkpi-postgres-datasource".to_owned(),
            user: Some(User {
                login: "someone".to_owned(),
                name: "Someone".to_owned(),
                email: String::new(),
                role: role.to_owned(),
            }),
            app_instance_settings: None,
            data_source_instance_settings: Some(DataSourceInstanceSettings {
                uid: self.uid.clone(),
                name: "IoT KPI".to_owned(),
                json_data: self.json.to_string().into_bytes(),
                decrypted_secure_json_data: self.secrets.clone(),
                last_updated_ms: self.updated,
                ..DataSourceInstanceSettings::default()
            }),
        }
    }

    pub(crate) fn request(&self, queries: Vec<DataQuery>) -> QueryDataRequest {
        QueryDataRequest {
            plugin_context: Some(self.context("Viewer")),
            headers: HashMap::new(),
            queries,
        }
    }
}

/// A panel's query over the test store's six hours.
pub(crate) fn panel(ref_id: &str, query: &Value) -> DataQuery {
    DataQuery {
        ref_id: ref_id.to_owned(),
        max_data_points: 1_000,
        interval_ms: 60_000,
        time_range: Some(TimeRange {
            from_epoch_ms: super::store::FROM,
            to_epoch_ms: super::store::TO,
        }),
        json: query.to_string().into_bytes(),
        query_type: String::new(),
    }
}

/// Waits for something to become true.
pub(crate) fn eventually(what: &str, mut is_true: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_true() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether some session of the database runs a statement with this text in it.
pub(crate) fn runs(database: &Database<'_>, text: &str) -> bool {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%' || $1 || '%' \
               AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
    let running: i64 = database.client().query_one(sql, &[&text]).unwrap().get(0);
    running > 0
}

/// The most memory that the plugin ever used, in bytes.
pub(crate) fn peak_memory(host: &Host) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", host.pid())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok())
        .unwrap_or(0.0)
        * 1024.0
}
