//! The process: handshake with Grafana, log, gRPC services, shutdown.

use crate::data::DataService;
use crate::diagnostics::DiagnosticsService;
use crate::diagnostics::metrics::QueryCounters;
use crate::error::Error;
use crate::pool::Pools;
use crate::resource::ResourceService;
use crate::stream::{Running, StreamService};
use futures_util::TryStreamExt;
use grafana_plugin_sdk::backend;
use grafana_plugin_sdk::pluginv2::data_server::DataServer;
use grafana_plugin_sdk::pluginv2::diagnostics_server::DiagnosticsServer;
use grafana_plugin_sdk::pluginv2::resource_server::ResourceServer;
use grafana_plugin_sdk::pluginv2::stream_server::StreamServer;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::wrappers::TcpListenerStream;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

mod controller;

/// What Grafana sets, so that nobody starts this program by hand and wonders.
const COOKIE: (&str, &str) = ("grafana_plugin_type", "datasource");
/// The limit of Grafana's own SDK.
const INBOUND_LIMIT: usize = 16 * 1024 * 1024;
/// Answers may be long: a million points are 16 MB.
const OUTBOUND_LIMIT: usize = 1024 * 1024 * 1024;
/// Grafana kills a plugin two seconds after asking it to end.
const GRACE: Duration = Duration::from_millis(1_200);
const CANCELLING: Duration = Duration::from_millis(500);
const TIDY_EVERY: Duration = Duration::from_secs(60);
/// Connections unused for so long are closed.
const IDLE: Duration = Duration::from_secs(300);
/// Data sources that were not asked for so long lose their pool.
const FORGOTTEN: Duration = Duration::from_secs(3_600);

/// Serves Grafana until it asks for the end.
///
/// # Errors
/// When this process was not started by Grafana, or cannot listen on loopback.
pub async fn run() -> Result<(), Error> {
    if std::env::var(COOKIE.0).as_deref() != Ok(COOKIE.1) {
        return Err(Error::Server(
            "this is the backend of the Grafana data source \"IoT KPI\"; Grafana starts it, people do not".to_owned(),
        ));
    }
    start_log();
    let listener = backend::initialize()
        .await
        .map_err(|error| Error::Server(format!("cannot listen: {error}")))?;
    serve(listener).await
}

async fn serve(listener: TcpListener) -> Result<(), Error> {
    let pools = Pools::default();
    let queries = QueryCounters::default();
    let (stop, stopped) = watch::channel(false);
    let stop = Arc::new(stop);

    let (mut health, health_service) = tonic_health::server::health_reporter();
    // The name under which go-plugin asks.
    health
        .set_service_status("plugin", tonic_health::ServingStatus::Serving)
        .await;
    let streams = Running::default();
    let data = DataServer::new(DataService {
        pools: pools.clone(),
        queries: queries.clone(),
        stopped: stopped.clone(),
    });
    let diagnostics = DiagnosticsServer::new(DiagnosticsService {
        pools: pools.clone(),
        queries,
        streams: streams.clone(),
    });
    let resource = ResourceServer::new(ResourceService::new(pools.clone()));
    let stream = StreamServer::new(StreamService {
        pools: pools.clone(),
        stopped: stopped.clone(),
        running: streams,
    });
    let tidy = tokio::spawn({
        let pools = pools.clone();
        async move {
            loop {
                tokio::time::sleep(TIDY_EVERY).await;
                pools.tidy(IDLE, FORGOTTEN);
            }
        }
    });
    let server = tonic::transport::Server::builder()
        .add_service(health_service)
        .add_service(
            data.max_decoding_message_size(INBOUND_LIMIT)
                .max_encoding_message_size(OUTBOUND_LIMIT),
        )
        .add_service(
            resource
                .max_decoding_message_size(INBOUND_LIMIT)
                .max_encoding_message_size(OUTBOUND_LIMIT),
        )
        .add_service(stream.max_decoding_message_size(INBOUND_LIMIT))
        .add_service(diagnostics.max_decoding_message_size(INBOUND_LIMIT))
        .add_service(controller::Controller::new(Arc::clone(&stop)));
    let incoming = TcpListenerStream::new(listener).inspect_ok(|stream| {
        // Without this a small answer waits 40 ms for the acknowledgement of the one before. It works without, too.
        let _ = stream.set_nodelay(true);
    });
    let (mut asked, mut asked_too) = (stopped.clone(), stopped);
    let graceful = server.serve_with_incoming_shutdown(incoming, async move {
        // An error would mean that nobody can ask any more.
        let _ = asked.wait_for(|stop| *stop).await;
    });
    let overdue = async {
        let _ = asked_too.wait_for(|stop| *stop).await;
        tokio::time::sleep(GRACE).await;
    };
    let ended = tokio::select! {
        ended = graceful => ended.map_err(|error| Error::Server(error.to_string())),
        () = overdue => Ok(()),
    };
    tidy.abort();
    // Statements that were cut off are being cancelled in PostgreSQL.
    let _ = tokio::time::timeout(CANCELLING, pools.quiet()).await;
    pools.close();
    ended
}

/// Log lines as Grafana reads them, on stderr; stdout is for the handshake.
fn start_log() {
    let wanted = std::env::var("RUST_LOG")
        .ok()
        .and_then(|level| level.parse::<Targets>().ok());
    let wanted = wanted.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    // The libraries below log what passes through them, secrets too, at their lower levels.
    let ours = |level: LevelFilter| {
        Targets::new()
            .with_target("iot_kpi_grafana", level)
            .with_default(LevelFilter::WARN)
    };
    tracing_subscriber::registry()
        .with(backend::layer())
        .with(wanted)
        .with(ours(LevelFilter::TRACE))
        .init();
}
