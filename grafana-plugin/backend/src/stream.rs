//! Live panels: a query asked again every few seconds for as long as somebody looks, once for all who look at the same.
//!
//! Between two questions a stream holds no connection; it waits for one of the pool's like any panel.

use crate::error::Error;
use crate::pool::Pools;
use crate::settings::Settings;
pub(crate) use channel::Channel;
use futures_util::stream::unfold;
use grafana_plugin_sdk::pluginv2::stream_server::Stream;
use grafana_plugin_sdk::pluginv2::{
    PublishStreamRequest, PublishStreamResponse, RunStreamRequest, StreamPacket, SubscribeStreamRequest,
    SubscribeStreamResponse, publish_stream_response, subscribe_stream_response,
};
use live::LiveQuery;
pub(crate) use running::Running;
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

mod channel;
mod live;
mod running;

/// Time between two questions.
const PERIOD: Duration = Duration::from_secs(5);
/// Most streams of a data source at once.
const MOST: usize = 50;

/// The service.
pub struct StreamService {
    pub(crate) pools: Pools,
    pub(crate) stopped: watch::Receiver<bool>,
    pub(crate) running: Running,
}

/// What a caller did wrong.
fn unusable(error: Error) -> Status {
    Status::invalid_argument(error.message())
}

#[tonic::async_trait]
impl Stream for StreamService {
    type RunStreamStream = Pin<Box<dyn tokio_stream::Stream<Item = Result<StreamPacket, Status>> + Send>>;

    async fn subscribe_stream(
        &self,
        request: Request<SubscribeStreamRequest>,
    ) -> Result<Response<SubscribeStreamResponse>, Status> {
        use subscribe_stream_response::Status as Word;
        let request = request.into_inner();
        let settings = Settings::from_context(request.plugin_context.as_ref()).map_err(unusable)?;
        let word = match Channel::parse(&request.data) {
            Ok(channel) if channel.path(&settings.id) != request.path => Word::NotFound,
            Ok(_) if self.running.count(&settings.id) >= MOST => {
                tracing::warn!(
                    most = MOST,
                    "too many streams of one data source; its panels refresh instead"
                );
                Word::PermissionDenied
            }
            Ok(_) => Word::Ok,
            Err(error) => {
                tracing::info!(error = error.message(), "a subscription was refused");
                Word::NotFound
            }
        };
        Ok(Response::new(SubscribeStreamResponse {
            status: word.into(),
            data: Vec::new(),
        }))
    }

    async fn run_stream(&self, request: Request<RunStreamRequest>) -> Result<Response<Self::RunStreamStream>, Status> {
        let request = request.into_inner();
        let settings = Settings::from_context(request.plugin_context.as_ref()).map_err(unusable)?;
        let channel = Channel::parse(&request.data).map_err(unusable)?;
        if channel.path(&settings.id) != request.path {
            return Err(Status::not_found("the path is not that of this query"));
        }
        let slot = self.running.begin(&settings.id);
        let slot = slot.ok_or_else(|| Status::resource_exhausted(format!("{MOST} streams of one data source run")))?;
        let live = LiveQuery {
            channel,
            settings,
            pools: self.pools.clone(),
            stopped: self.stopped.clone(),
            sent: None,
            _slot: slot,
        };
        // Dropped when Grafana sees nobody listening any more; what it asks just then is cancelled in PostgreSQL.
        Ok(Response::new(Box::pin(unfold(live, LiveQuery::next))))
    }

    async fn publish_stream(
        &self,
        _: Request<PublishStreamRequest>,
    ) -> Result<Response<PublishStreamResponse>, Status> {
        Ok(Response::new(PublishStreamResponse {
            status: publish_stream_response::Status::PermissionDenied.into(),
            data: Vec::new(),
        }))
    }
}
