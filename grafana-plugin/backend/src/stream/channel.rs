//! What a stream shows: a query and the length of its window. Its path is a hash of both and of the data source, so that nobody can
//! put another query, or another organisation's, under a path that others listen to.

use super::PERIOD;
use crate::error::Error;
use crate::frame::Frame;
use crate::pool::Pools;
use crate::query::{Call, Query};
use crate::settings::{Settings, SourceId};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// The longest window, in seconds: ten years.
const LONGEST: i64 = 3_660 * 86_400;

/// A query over the last so many seconds.
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
    pub(super) fn parse(data: &[u8]) -> Result<Self, Error> {
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

    pub(super) async fn frame(&self, pools: &Pools, settings: &Arc<Settings>) -> Result<Frame, Error> {
        let source = pools.source(settings)?;
        let mut session = source.session().await?;
        let to = Utc::now();
        let call = Call {
            from: to - TimeDelta::seconds(self.seconds),
            to,
            interval: PERIOD,
            max_points: 1_000,
            is_alert: false,
        };
        let frames = self.query.frames(&mut session, &source.settings, &call).await?;
        let mut frame = frames.into_iter().next().unwrap_or_default();
        // These differ each time, and would make each answer look new.
        frame.meta.stats.clear();
        frame.meta.executed_query_string.clear();
        Ok(frame)
    }
}
