//! Queries: which devices ([`devices`]), and what about them ([`types`]). A query's JSON is written by the front end
//! and kept in dashboards and alert rules, so it has a version.

mod alert;
mod ask;
pub mod devices;
pub mod duration;
mod legend;
pub mod macros;
mod migrate;
pub mod types;

use crate::error::Error;
use crate::frame::Frame;
use crate::session::Session;
use crate::settings::Settings;
use ask::Ask;
use chrono::{DateTime, Utc};
use devices::Devices;
pub use migrate::SCHEMA_VERSION;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};
pub use types::QueryType;

/// A query as the front end writes it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Query {
    /// Version of this JSON: always [`SCHEMA_VERSION`], whatever was saved.
    pub schema_version: u32,
    /// Whether the answer is to be kept up to date by a stream.
    #[serde(default)]
    pub live: bool,
    /// The name of each series, with `{{device}}`, `{{kpi}}`, `{{metric}}` or any label in it; empty for the default.
    #[serde(default)]
    pub legend: String,
    /// The time zone whose days count; empty for UTC.
    #[serde(default)]
    pub time_zone: String,
    /// Which devices.
    #[serde(flatten)]
    pub devices: Devices,
    /// What about them.
    #[serde(flatten)]
    pub query_type: QueryType,
}

/// What Grafana says beside the query.
#[derive(Clone, Debug)]
pub struct Call {
    /// Start of the panel's time range.
    pub from: DateTime<Utc>,
    /// Its end.
    pub to: DateTime<Utc>,
    /// The time that a pixel of the panel covers, about: `$__interval`.
    pub interval: Duration,
    /// Most points that the panel can show.
    pub max_points: i32,
    /// Whether an alert rule asks, and no panel.
    pub is_alert: bool,
}

impl Query {
    /// From a query's JSON.
    ///
    /// # Errors
    /// When it is malformed, of an unknown type, or written by a newer version.
    pub fn parse(json: &[u8]) -> Result<Self, Error> {
        let malformed = |problem: String| Error::Query(format!("the query cannot be read: {problem}"));
        let saved = crate::json::parse(json).map_err(malformed)?;
        serde_json::from_value(migrate::migrate(saved)?).map_err(|error| malformed(error.to_string()))
    }

    /// Asks it.
    ///
    /// # Errors
    /// As PostgreSQL says, and when the query makes no sense.
    pub async fn frames(&self, session: &mut Session, settings: &Settings, call: &Call) -> Result<Vec<Frame>, Error> {
        let started = Instant::now();
        legend::check(&self.legend)?;
        let device_ids = self.devices.resolve(session).await?;
        let mut ask = Ask::new(self, session, settings, call, device_ids);
        let mut frames = self.query_type.frames(&mut ask).await?;
        devices::tell_of_none(&mut ask).await?;
        ask.add_metadata(&mut frames, started.elapsed());
        Ok(frames)
    }
}
