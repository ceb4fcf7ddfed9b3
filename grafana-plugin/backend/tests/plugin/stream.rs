//! Live panels: who may subscribe, what is sent, that it ends with the listener.

use super::host::{Host, Source, eventually, panel};
use super::store;
use grafana_plugin_sdk::pluginv2::stream_client::StreamClient;
use grafana_plugin_sdk::pluginv2::subscribe_stream_response::Status as Word;
use grafana_plugin_sdk::pluginv2::{
    PublishStreamRequest, RunStreamRequest, StreamPacket, SubscribeStreamRequest, TimeRange, publish_stream_response,
};
use serde_json::{Value, json};
use tokio_stream::StreamExt;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

pub(crate) struct Listener<'a> {
    pub(crate) host: &'a Host,
    pub(crate) source: Source,
}

impl Listener<'_> {
    fn client(&self) -> StreamClient<Channel> {
        StreamClient::new(self.host.channel())
    }

    pub(crate) fn subscribe(&self, path: &str, data: &Value) -> Word {
        let request = SubscribeStreamRequest {
            plugin_context: Some(self.source.context("Viewer")),
            path: path.to_owned(),
            data: data.to_string().into_bytes().into(),
        };
        let mut client = self.client();
        let response = self
            .host
            .runtime
            .block_on(async { client.subscribe_stream(request).await });
        response.unwrap().into_inner().status()
    }

    pub(crate) fn run(&self, path: &str, data: &Value) -> Result<Streaming<StreamPacket>, Status> {
        let request = RunStreamRequest {
            plugin_context: Some(self.source.context("Viewer")),
            path: path.to_owned(),
            data: data.to_string().into_bytes().into(),
        };
        let mut client = self.client();
        let response = self.host.runtime.block_on(async { client.run_stream(request).await });
        response.map(tonic::Response::into_inner)
    }

    pub(crate) fn next(&self, stream: &mut Streaming<StreamPacket>) -> Value {
        let packet = async { tokio::time::timeout(std::time::Duration::from_secs(30), stream.next()).await };
        let packet = self.host.runtime.block_on(packet).expect("a packet within 30 s");
        serde_json::from_slice(&packet.expect("a packet").expect("no error").data).unwrap()
    }

    /// The path that the panel's own answer names, over a window that ends now.
    pub(crate) fn path(&self, query: &Value, seconds: i64) -> Option<String> {
        let now = chrono::Utc::now().timestamp_millis();
        let mut query = panel("A", query);
        query.time_range = Some(TimeRange {
            from_epoch_ms: now - seconds * 1_000 - 1,
            to_epoch_ms: now,
        });
        let response = self.host.query_data(&self.source, vec![query]).unwrap();
        let frame = super::frames::Answer::of(response.responses["A"].clone()).frame();
        frame.meta["custom"]["stream"].as_str().map(str::to_owned)
    }
}

#[test]
fn a_live_panel_is_kept_up_to_date_as_long_as_somebody_looks() {
    let database = store::make("plugin_stream");
    // Its collector ended in January; without one, its status is what it says.
    let own = "UPDATE iot.devices SET collector_id = NULL WHERE device_id = 'CAM_001'";
    database.client().batch_execute(own).unwrap();
    let host = Host::start();
    let listener = Listener {
        host: &host,
        source: Source::of(store::server(), "plugin_stream"),
    };
    let mut client = database.client();
    // Of the last hour, not of the last second.
    let response = "SELECT iot_kpi.make_partitions(tstzrange(now() - interval '1 day', now() + interval '1 day'));
                    INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('CAM_001', 'response_time', now() - interval '30 min', 7)";
    client.batch_execute(response).unwrap();
    let query = json!({"queryType": "device_kpis", "live": true, "columns": ["device_id", "status", "response_count"]});
    let path = listener.path(&query, 3_600).expect("a path");
    assert!(
        path.len() <= 100 && path.bytes().all(|byte| byte.is_ascii_alphanumeric()),
        "{path}"
    );
    let data = json!({"query": query, "seconds": 3_600});
    assert_eq!(listener.subscribe(&path, &data), Word::Ok);

    let mut stream = listener.run(&path, &data).unwrap();
    let first = listener.next(&mut stream);
    assert_eq!(first["schema"]["fields"][1]["name"], "status");
    assert_eq!(first["schema"]["fields"][0]["config"]["displayNameFromDS"], "Device");
    assert_eq!(
        first["data"]["values"][0],
        json!(["CAM_001", "TEMP_001", "TEMP_002", "collector-1"])
    );
    assert_ne!(first["data"]["values"][1][0], "error");
    assert_eq!(first["data"]["values"][2][0], 1);
    // It is asked every five seconds, not all the time, and what has not changed is not sent again.
    let asked = "SELECT max(query_start)::text FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'iot-kpi-grafana'";
    let mut questions = std::collections::BTreeSet::new();
    let started = std::time::Instant::now();
    while started.elapsed() < std::time::Duration::from_millis(7_500) {
        questions.insert(client.query_one(asked, &[]).unwrap().get::<_, Option<String>>(0));
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!((2..=4).contains(&questions.len()), "{questions:?}");
    let insert = "INSERT INTO iot.device_status_history (device_id, time, status) VALUES ('CAM_001', now(), 'error')";
    client.batch_execute(insert).unwrap();
    let second = listener.next(&mut stream);
    assert_eq!(second["data"]["values"][1][0], "error");

    // The database goes away for a moment: what was seen last stays, with a word about it.
    client
        .batch_execute("ALTER TABLE iot.devices RENAME TO elsewhere")
        .unwrap();
    let third = listener.next(&mut stream);
    assert_eq!(third["data"], second["data"]);
    let notice = third["schema"]["meta"]["notices"][0]["text"].as_str().unwrap();
    assert!(notice.starts_with("No longer up to date"), "{notice}");
    client
        .batch_execute("ALTER TABLE iot.elsewhere RENAME TO devices")
        .unwrap();
    assert_eq!(listener.next(&mut stream), second);

    let streams = || {
        host.metrics()
            .contains("iot_kpi_streams{datasource=\"plugin_stream\",organisation=\"1\"} 1\n")
    };
    assert!(streams(), "{}", host.metrics());
    drop(stream);
    eventually("it ended", || !streams());
}

#[test]
fn nobody_listens_to_what_another_query_hashes_to() {
    store::make("plugin_stream_paths");
    let host = Host::start();
    let listener = Listener {
        host: &host,
        source: Source::of(store::server(), "plugin_stream_paths"),
    };
    let query = json!({"queryType": "fleet_kpis", "live": true});
    let path = listener.path(&query, 60).expect("a path");
    let data = |query: &Value| json!({"query": query, "seconds": 60});
    // Written otherwise, it is the same.
    let written_out = json!({"live": true, "queryType": "fleet_kpis", "kpis": ["device_availability"], "refId": "B"});
    assert_eq!(listener.subscribe(&path, &data(&written_out)), Word::Ok);
    let other = json!({"queryType": "fleet_kpis", "live": true, "devices": ["CAM_001"]});
    assert_ne!(listener.path(&other, 60), Some(path.clone()));
    assert_ne!(listener.path(&query, 61), Some(path.clone()));
    for wrong in [
        data(&other),
        json!({"query": query}),
        json!({"query": query, "seconds": 0}),
        json!(null),
    ] {
        assert_eq!(listener.subscribe(&path, &wrong), Word::NotFound, "{wrong}");
        let refused = listener.run(&path, &wrong).expect_err("a refusal").code();
        assert!(
            matches!(refused, Code::NotFound | Code::InvalidArgument),
            "{wrong}: {refused:?}"
        );
    }
    for still in [
        json!({"queryType": "fleet_kpis"}),
        json!({"queryType": "sql", "live": true, "rawSql": "SELECT 1"}),
    ] {
        assert_eq!(listener.path(&still, 60), None, "{still}");
    }
    // The panel's window ends in January.
    let past = host.ask(&listener.source, &query).frame();
    assert_eq!(past.meta["custom"], Value::Null);

    let request = PublishStreamRequest {
        plugin_context: Some(listener.source.context("Admin")),
        path: path.clone(),
        data: b"{}".to_vec(),
    };
    let mut client = listener.client();
    let response = host
        .runtime
        .block_on(async { client.publish_stream(request).await })
        .unwrap();
    assert_eq!(
        response.into_inner().status(),
        publish_stream_response::Status::PermissionDenied
    );

    // Fifty at once, then no more; they share the pool and end with the plugin.
    let streams: Vec<_> = (1..=50)
        .map(|seconds| {
            let data = json!({"query": query, "seconds": seconds});
            let path = listener.path(&query, seconds).unwrap();
            listener.run(&path, &data).unwrap()
        })
        .collect();
    assert_eq!(listener.subscribe(&path, &data(&query)), Word::PermissionDenied);
    let refused = listener.run(&path, &data(&query)).expect_err("a refusal");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let (status, took, _) = host.end();
    assert!(status.success() && took.as_secs() < 2, "{took:?}");
    drop(streams);
}
