//! QueryData: each query of a request is answered for itself, in parallel, as far as the pool has connections.

use crate::diagnostics::metrics::QueryCounters;
use crate::error::Error;
use crate::frame::Custom;
use crate::pool::Pools;
use crate::query::{Call, Query};
use crate::settings::Settings;
use crate::stream::Channel;
use chrono::{DateTime, Utc};
use grafana_plugin_sdk::pluginv2::data_server::Data;
use grafana_plugin_sdk::pluginv2::{DataQuery, DataResponse, QueryDataRequest, QueryDataResponse};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::{Request, Response, Status};

/// Most queries of a request: a panel has a dozen, and each takes memory while it waits for its turn.
const MOST_QUERIES: usize = 1_000;

/// The service.
#[derive(Clone)]
pub struct DataService {
    pub(crate) pools: Pools,
    pub(crate) queries: QueryCounters,
    pub(crate) stopped: watch::Receiver<bool>,
}

#[tonic::async_trait]
impl Data for DataService {
    async fn query_data(&self, request: Request<QueryDataRequest>) -> Result<Response<QueryDataResponse>, Status> {
        let request = request.into_inner();
        if request.queries.len() > MOST_QUERIES {
            let problem = format!("{} queries at once; send {MOST_QUERIES} at most", request.queries.len());
            return Err(Status::invalid_argument(problem));
        }
        let settings = Settings::from_context(request.plugin_context.as_ref());
        let mut responses = HashMap::new();
        let settings = match settings {
            Ok(settings) => settings,
            Err(error) => {
                for query in &request.queries {
                    responses.insert(query.ref_id.clone(), refusal(&error));
                }
                return Ok(Response::new(QueryDataResponse { responses }));
            }
        };
        let is_alert = is_alert_rule(request.headers.keys());
        // Dropped when Grafana cancels the call: each task ends, and its session has PostgreSQL cancel the statement.
        let mut tasks = JoinSet::new();
        for query in request.queries {
            let (service, settings) = (self.clone(), Arc::clone(&settings));
            tasks.spawn(async move { (query.ref_id.clone(), service.answer(settings, query, is_alert).await) });
        }
        let mut stopped = self.stopped.clone();
        loop {
            let answered = tokio::select! {
                answered = tasks.join_next() => answered,
                _ = stopped.wait_for(|stop| *stop) => return Err(Status::unavailable("the plugin is ending")),
            };
            let Some(answered) = answered else { break };
            let (ref_id, response) = answered.map_err(|error| Status::internal(error.to_string()))?;
            responses.insert(ref_id, response);
        }
        Ok(Response::new(QueryDataResponse { responses }))
    }
}

impl DataService {
    async fn answer(&self, settings: Arc<Settings>, query: DataQuery, is_alert: bool) -> DataResponse {
        let answer = self.frames(settings, &query, is_alert).await;
        self.queries.count(answer.is_ok());
        match answer {
            Ok(frames) => DataResponse {
                frames,
                status: 200,
                ..DataResponse::default()
            },
            Err(error) => {
                tracing::info!(
                    ref_id = query.ref_id,
                    status = error.status().as_u16(),
                    error = error.message(),
                    "query failed"
                );
                refusal(&error)
            }
        }
    }

    async fn frames(&self, settings: Arc<Settings>, query: &DataQuery, is_alert: bool) -> Result<Vec<Vec<u8>>, Error> {
        let parsed = Arc::new(Query::parse(&query.json)?);
        let call = call(query, is_alert)?;
        let channel = Channel::of_panel(&parsed, &call, Utc::now());
        let mut second_try = false;
        loop {
            let source = self.pools.source(&settings)?;
            let frames = match source.session().await {
                Ok(session) => {
                    let (parsed, call) = (Arc::clone(&parsed), call.clone());
                    let asked = session.on_its_thread(|mut session| async move {
                        parsed.frames(&mut session, &source.settings, &call).await
                    });
                    asked.await
                }
                Err(error) => Err(error),
            };
            match frames {
                // Reading again does no harm, and a connection of the pool may have died since it was used last.
                Err(error) if error.wants_new_connection() && !second_try => second_try = true,
                Err(error) => return Err(error),
                Ok(mut frames) => {
                    if let (Some(channel), Some(first)) = (&channel, frames.first_mut()) {
                        first.meta.custom = Some(Custom {
                            stream: channel.path(&settings.id),
                        });
                    }
                    return frames.into_iter().map(|frame| frame.encode(&query.ref_id)).collect();
                }
            }
        }
    }
}

/// Whether the headers of a call say that an alert rule makes it; Grafana puts `http_` before those that came by HTTP.
pub(crate) fn is_alert_rule<'a>(headers: impl IntoIterator<Item = &'a String>) -> bool {
    let mut names = headers
        .into_iter()
        .map(|name| name.strip_prefix("http_").unwrap_or(name));
    names.any(|name| name.eq_ignore_ascii_case("FromAlert"))
}

/// What Grafana says beside the query's JSON.
fn call(query: &DataQuery, is_alert: bool) -> Result<Call, Error> {
    let range = query.time_range.as_ref();
    let range = range.ok_or_else(|| Error::Query("the query has no time range".to_owned()))?;
    let time = |ms: i64| {
        DateTime::from_timestamp_millis(ms).ok_or_else(|| Error::Query(format!("{ms} ms is no time that can be shown")))
    };
    let (from, to) = (time(range.from_epoch_ms)?, time(range.to_epoch_ms)?);
    if from >= to {
        return Err(Error::Query(format!("the time range from {from} to {to} is empty")));
    }
    Ok(Call {
        from,
        to,
        interval: Duration::from_millis(query.interval_ms.clamp(1, i64::from(i32::MAX)).unsigned_abs()),
        max_points: query.max_data_points.clamp(1, 1_000_000) as i32,
        is_alert,
    })
}

fn refusal(error: &Error) -> DataResponse {
    DataResponse {
        error: error.message(),
        status: error.status().as_u16().into(),
        ..DataResponse::default()
    }
}
