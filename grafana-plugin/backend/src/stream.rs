//! Live panels: a query asked again every few seconds for as long as somebody looks, once for all who look at the same.
//!
//! The channel's path is a hash of the data source and the query, so nobody can slip another query, or another organisation's,
//! under a path that others listen to. Between two questions a stream holds no connection; it waits for one of the pool's like
//! any panel.

use crate::error::Error;
use crate::frame::Frame;
use crate::pool::Pools;
use crate::query::{Call, Query};
use crate::settings::{Settings, SourceId};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::stream::unfold;
use grafana_plugin_sdk::pluginv2::stream_server::Stream;
use grafana_plugin_sdk::pluginv2::{
    PublishStreamRequest, PublishStreamResponse, RunStreamRequest, StreamPacket, SubscribeStreamRequest,
    SubscribeStreamResponse, publish_stream_response, subscribe_stream_response,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

/// Time between two questions.
const PERIOD: Duration = Duration::from_secs(5);
/// Most streams of a data source at once.
const MOST: usize = 50;
/// The longest window, in seconds: ten years.
const LONGEST: i64 = 3_660 * 86_400;

/// What a stream shows: a query over the last so many seconds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Channel {
    query: Query,
    seconds: i64,
}

impl Channel {
    /// The channel of a panel's query; none where the query is not live, or its window does not end now.
    pub(crate) fn of_panel(query: &Query, call: &Call, now: DateTime<Utc>) -> Option<Self> {
        let ends_now = (now - call.to).abs() < TimeDelta::minutes(1);
        let channel = Channel {
            query: query.clone(),
            seconds: ((call.to - call.from).num_milliseconds() + 500) / 1_000,
        };
        (query.live && ends_now && channel.check().is_ok()).then_some(channel)
    }

    /// From what a browser sends when it subscribes: `{"query": …, "seconds": …}`.
    fn parse(data: &[u8]) -> Result<Self, Error> {
        let malformed = |what: &str| Error::Query(format!("the subscription cannot be read: {what}"));
        let data = crate::json::parse(data).map_err(|problem| malformed(&problem))?;
        let seconds = data["seconds"].as_i64().ok_or_else(|| malformed("no seconds"))?;
        let query = Query::parse(data["query"].to_string().as_bytes())?;
        let channel = Channel { query, seconds };
        channel.check()?;
        Ok(channel)
    }

    fn check(&self) -> Result<(), Error> {
        if !self.query.query_type.is_live() {
            let query_type = self.query.query_type.name();
            return Err(Error::Query(format!(
                "{query_type} has no stream; device_kpis and fleet_kpis have"
            )));
        }
        if !(1..=LONGEST).contains(&self.seconds) {
            return Err(Error::Query(format!(
                "{} seconds are no window for a stream",
                self.seconds
            )));
        }
        Ok(())
    }

    /// The channel's path at a data source: the same for the same query, however it was written.
    pub(crate) fn path(&self, source: &SourceId) -> String {
        let source = (source.organisation, source.uid.as_str());
        let text = json!({"source": source, "query": self.query, "seconds": self.seconds}).to_string();
        let hash = Sha256::digest(text.as_bytes());
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    async fn frame(&self, pools: &Pools, settings: &Arc<Settings>) -> Result<Frame, Error> {
        let source = pools.source(settings)?;
        let mut session = source.session().await?;
        let to = Utc::now();
        let call = Call {
            from: to - TimeDelta::seconds(self.seconds),
            to,
            interval: PERIOD,
            max_points: 1_000,
        };
        let frames = self.query.frames(&mut session, &source.settings, &call).await?;
        let mut frame = frames.into_iter().next().unwrap_or_default();
        // Of this one question; the panel's own says the same about itself.
        frame.meta.stats.clear();
        frame.meta.executed_query_string.clear();
        Ok(frame)
    }
}

/// The service.
pub struct StreamService {
    pub(crate) pools: Pools,
    pub(crate) stopped: watch::Receiver<bool>,
    pub(crate) running: Running,
}

/// How many streams run, by data source.
#[derive(Clone, Default)]
pub(crate) struct Running(Arc<Mutex<HashMap<SourceId, usize>>>);

/// One of them, as long as this lives.
struct Place {
    running: Running,
    source: SourceId,
}

impl Running {
    /// All of them, for CollectMetrics.
    pub(crate) fn counts(&self) -> HashMap<SourceId, usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn count(&self, source: &SourceId) -> usize {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.get(source).copied().unwrap_or(0)
    }

    fn begin(&self, source: &SourceId) -> Option<Place> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = running.entry(source.clone()).or_default();
        (*count < MOST).then(|| {
            *count += 1;
            Place {
                running: self.clone(),
                source: source.clone(),
            }
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut running = self.running.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = running.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                running.remove(&self.source);
            }
        }
    }
}

/// A stream in progress.
struct Tail {
    channel: Channel,
    settings: Arc<Settings>,
    pools: Pools,
    stopped: watch::Receiver<bool>,
    sent: Option<Value>,
    _place: Place,
}

impl Tail {
    /// The next thing to send, when there is something new; none when the plugin ends.
    async fn next(mut self) -> Option<(Result<StreamPacket, Status>, Self)> {
        loop {
            let mut stopped = self.stopped.clone();
            let frame = tokio::select! {
                frame = self.ask() => frame,
                _ = stopped.wait_for(|stop| *stop) => return None,
            };
            if self.sent.as_ref() != Some(&frame) {
                let data = frame.to_string().into_bytes();
                self.sent = Some(frame);
                return Some((Ok(StreamPacket { data }), self));
            }
        }
    }

    /// The query's answer now; where there is none, the last one with the reason.
    async fn ask(&self) -> Value {
        if self.sent.is_some() {
            tokio::time::sleep(PERIOD).await;
        }
        match self.channel.frame(&self.pools, &self.settings).await {
            Ok(frame) => frame.to_json(),
            Err(error) => {
                let problem = error.message();
                tracing::info!(error = problem, "a stream's query failed");
                let mut last = self.sent.clone().unwrap_or_else(|| Frame::default().to_json());
                last["schema"]["meta"]["notices"] =
                    json!([{"severity": "warning", "text": format!("No longer up to date: {problem}")}]);
                last
            }
        }
    }
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
        let place = self.running.begin(&settings.id);
        let place =
            place.ok_or_else(|| Status::resource_exhausted(format!("{MOST} streams of one data source run")))?;
        let tail = Tail {
            channel,
            settings,
            pools: self.pools.clone(),
            stopped: self.stopped.clone(),
            sent: None,
            _place: place,
        };
        // Dropped when Grafana sees nobody listening any more; what it asks just then is cancelled in PostgreSQL.
        Ok(Response::new(Box::pin(unfold(tail, Tail::next))))
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
