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
use tonic::transport::Server;
use tonic::transport::server::Router;

mod controller;
mod log;

/// What Grafana sets in a plugin's environment; a person who starts this program by hand is told what it is instead.
const COOKIE: (&str, &str) = ("grafana_plugin_type", "datasource");
/// Longest message that is received: the limit of Grafana's own SDK.
const INBOUND_LIMIT: usize = 16 * 1024 * 1024;
/// Longest answer: a million points are 16 MB.
const OUTBOUND_LIMIT: usize = 1024 * 1024 * 1024;
/// How long running calls may take to end. Grafana kills a plugin two seconds after it asked it to end.
const GRACE: Duration = Duration::from_millis(1_200);
/// How long PostgreSQL may take to cancel the statements of calls that did not end by then.
const CANCELLING: Duration = Duration::from_millis(500);
/// Time between two looks for connections and pools that nobody uses.
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
    log::start();
    let listener = backend::initialize()
        .await
        .map_err(|error| Error::Server(format!("cannot listen: {error}")))?;
    serve(listener).await
}

async fn serve(listener: TcpListener) -> Result<(), Error> {
    let pools = Pools::default();
    let (stop, stopped) = watch::channel(false);
    let tidy = tokio::spawn(tidy(pools.clone()));
    let services = services(&pools, stop, &stopped).await;
    let incoming = TcpListenerStream::new(listener).inspect_ok(|stream| {
        // By default TCP holds a small answer back, up to 40 ms, until the one before is acknowledged. If this fails, answers are slower.
        let _ = stream.set_nodelay(true);
    });
    let overdue = async {
        asked_to_end(stopped.clone()).await;
        tokio::time::sleep(GRACE).await;
    };
    let ended = tokio::select! {
        ended = services.serve_with_incoming_shutdown(incoming, asked_to_end(stopped.clone())) => {
            ended.map_err(|error| Error::Server(error.to_string()))
        }
        () = overdue => Ok(()),
    };
    tidy.abort();
    // The statements of calls that were cut off would run on in PostgreSQL if this process ended before it had them cancelled.
    let _ = tokio::time::timeout(CANCELLING, pools.until_idle()).await;
    pools.close();
    ended
}

/// The services of Grafana's protocol, and go-plugin's two: health, and the one that ends this process.
async fn services(pools: &Pools, stop: watch::Sender<bool>, stopped: &watch::Receiver<bool>) -> Router {
    let queries = QueryCounters::default();
    let streams = Running::default();
    let (mut health, health_service) = tonic_health::server::health_reporter();
    // go-plugin asks for the health of "plugin".
    health
        .set_service_status("plugin", tonic_health::ServingStatus::Serving)
        .await;
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
    Server::builder()
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
        .add_service(controller::Controller::new(Arc::new(stop)))
}

async fn asked_to_end(mut stopped: watch::Receiver<bool>) {
    // It fails only when the service that ends this process is gone, and that is an end too.
    let _ = stopped.wait_for(|stop| *stop).await;
}

async fn tidy(pools: Pools) {
    loop {
        tokio::time::sleep(TIDY_EVERY).await;
        pools.tidy(IDLE, FORGOTTEN);
    }
}
