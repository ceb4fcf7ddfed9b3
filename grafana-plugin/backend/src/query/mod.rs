//! The query types. A query's JSON is written by the front end and kept in dashboards and alert rules, so it has a version.

pub mod anomalies;
pub mod device_kpis;
pub mod devices;
pub mod duration;
pub mod fleet_kpis;
pub mod kpi_series;
mod legend;
pub mod macros;
pub mod metric_series;
mod migrate;
pub mod outages;
pub mod slo_report;
pub mod sql;
pub mod status_timeline;

use crate::error::Error;
use crate::frame::columns::{Cut, MOST_BYTES, Table};
use crate::frame::config;
use crate::frame::{Field, Frame, Labels, Notice, Stat};
use crate::session::Session;
use crate::settings::Settings;
use crate::statement::{Param, Statement};
use chrono::{DateTime, Utc};
use devices::Devices;
pub use migrate::SCHEMA_VERSION;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// Most series of an answer: more than a panel or an alert rule can do anything with.
pub(crate) const MOST_SERIES: usize = 10_000;

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
    pub kind: Kind,
}

/// What is asked, by `queryType`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(tag = "queryType", rename_all = "snake_case")]
pub enum Kind {
    /// A row for each device.
    DeviceKpis(device_kpis::DeviceKpis),
    /// Numbers of the fleet, or of groups of it.
    FleetKpis(fleet_kpis::FleetKpis),
    /// A KPI over time.
    KpiSeries(kpi_series::KpiSeries),
    /// Each device's states.
    StatusTimeline(status_timeline::StatusTimeline),
    /// When devices were down.
    Outages(outages::Outages),
    /// Measured values.
    MetricSeries(metric_series::MetricSeries),
    /// Objectives and what is left of their budgets.
    SloReport(slo_report::SloReport),
    /// Unusual values.
    Anomalies(anomalies::Anomalies),
    /// SQL that a person wrote.
    Sql(sql::Sql),
}

/// What Grafana says beside the query.
#[derive(Clone, Debug)]
pub struct Call {
    /// Start of the panel's time range.
    pub from: DateTime<Utc>,
    /// Its end.
    pub to: DateTime<Utc>,
    /// Time between two pixels, or so.
    pub interval: Duration,
    /// Most points that the panel can show.
    pub max_points: i32,
}

impl Kind {
    /// Its word in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::DeviceKpis(_) => "device_kpis",
            Kind::FleetKpis(_) => "fleet_kpis",
            Kind::KpiSeries(_) => "kpi_series",
            Kind::StatusTimeline(_) => "status_timeline",
            Kind::Outages(_) => "outages",
            Kind::MetricSeries(_) => "metric_series",
            Kind::SloReport(_) => "slo_report",
            Kind::Anomalies(_) => "anomalies",
            Kind::Sql(_) => "sql",
        }
    }

    /// Whether a stream can keep its answer up to date: it is one frame that says how things are now.
    pub(crate) fn is_of_now(&self) -> bool {
        matches!(self, Kind::DeviceKpis(_) | Kind::FleetKpis(_))
    }
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
        let mut ask = Ask {
            query: self,
            session,
            settings,
            call,
            device_ids,
            executed: String::new(),
            rows: 0,
            notices: Vec::new(),
        };
        let mut frames = match &self.kind {
            Kind::DeviceKpis(query) => query.frames(&mut ask).await,
            Kind::FleetKpis(query) => query.frames(&mut ask).await,
            Kind::KpiSeries(query) => query.frames(&mut ask).await,
            Kind::StatusTimeline(query) => query.frames(&mut ask).await,
            Kind::Outages(query) => query.frames(&mut ask).await,
            Kind::MetricSeries(query) => query.frames(&mut ask).await,
            Kind::SloReport(query) => query.frames(&mut ask).await,
            Kind::Anomalies(query) => query.frames(&mut ask).await,
            Kind::Sql(query) => query.frames(&mut ask).await,
        }?;
        devices::tell_of_none(&mut ask).await?;
        ask.dress(&mut frames, started.elapsed());
        Ok(frames)
    }
}

/// A query being asked.
pub(crate) struct Ask<'a> {
    pub(crate) query: &'a Query,
    pub(crate) session: &'a mut Session,
    pub(crate) settings: &'a Settings,
    pub(crate) call: &'a Call,
    /// None: all devices.
    pub(crate) device_ids: Option<Vec<String>>,
    executed: String,
    rows: usize,
    notices: Vec<Notice>,
}

impl Ask<'_> {
    /// Runs the statement that the inspector will show.
    pub(crate) async fn table(&mut self, statement: Statement) -> Result<Table, Error> {
        self.executed = statement.executed();
        let table = self.session.table(&statement, self.settings.row_limit).await?;
        self.count(&table);
        Ok(table)
    }

    /// As [`Ask::table`], for SQL that a person wrote.
    pub(crate) async fn foreign_table(&mut self, sql: String) -> Result<Table, Error> {
        let table = self.session.foreign_table(&sql, self.settings.row_limit).await?;
        self.executed = sql;
        self.count(&table);
        Ok(table)
    }

    /// Grafana's id for the unit of a metric.
    pub(crate) async fn metric_unit(&mut self, metric: &str) -> Result<Option<String>, Error> {
        let params = vec![Param::Text(Some(metric.to_owned()))];
        let statement = Statement::new(include_str!("../../sql/metric_unit.sql"), params);
        let rows = self.session.rows(&statement).await?;
        let unit: Option<String> = rows.first().map(|row| row.try_get(0)).transpose()?.flatten();
        Ok(unit.and_then(|unit| config::metric_unit(&unit)))
    }

    fn count(&mut self, table: &Table) {
        self.rows += table.rows;
        let rows = table.rows;
        match table.cut {
            None => {}
            Some(Cut::Rows) => self.warn(format!(
                "Only the first {rows} rows are shown: the data source's row limit."
            )),
            Some(Cut::Bytes) => self.warn(format!(
                "Only the first {rows} rows are shown: they fill {} MiB. Select fewer or shorter columns.",
                MOST_BYTES >> 20
            )),
        }
    }

    /// How many of the series that were found are shown, with a word about the others.
    pub(crate) fn series_shown(&mut self, found: usize) -> usize {
        if found > MOST_SERIES {
            self.warn(format!(
                "Only the first {MOST_SERIES} of {found} series are shown: choose fewer devices, or groups of them."
            ));
        }
        found.min(MOST_SERIES)
    }

    pub(crate) fn warn(&mut self, text: String) {
        self.notices.push(Notice {
            severity: "warning",
            text,
        });
    }

    pub(crate) fn window(&self) -> [Param; 2] {
        [Param::Time(self.call.from), Param::Time(self.call.to)]
    }

    pub(crate) fn devices(&self) -> Param {
        Param::Texts(self.device_ids.clone())
    }

    pub(crate) fn time_zone(&self) -> Param {
        let zone = self.query.time_zone.as_str();
        // "browser" is what a dashboard says that follows the browser: the front end puts its zone there, others cannot.
        let zone = if matches!(zone, "" | "browser" | "utc") {
            "UTC"
        } else {
            zone
        };
        Param::Text(Some(zone.to_owned()))
    }

    /// The name of a series.
    pub(crate) fn legend(&self, preset: &str, series: &str, subject: &str, labels: &Labels) -> String {
        if self.query.legend.is_empty() {
            return preset.to_owned();
        }
        legend::name(&self.query.legend, |word| match word {
            "device" | "series" => Some(series),
            "kpi" | "metric" => Some(subject),
            label => labels.get(label).map(String::as_str),
        })
    }

    /// What is said of the answer as a whole, in its first frame; an answer without rows is a frame too, so that its SQL can be seen.
    fn dress(self, frames: &mut Vec<Frame>, took: Duration) {
        if frames.is_empty() {
            frames.push(Frame::default());
        }
        // Once: there may be thousands of frames, and in the statement as many devices.
        if let Some(frame) = frames.first_mut() {
            frame.meta.executed_query_string = self.executed;
            frame.meta.notices = self.notices;
            frame.meta.stats = vec![
                Stat {
                    display_name: "Rows",
                    value: self.rows as f64,
                    unit: None,
                },
                Stat {
                    display_name: "Time in the plugin and PostgreSQL",
                    value: took.as_secs_f64() * 1e3,
                    unit: Some("ms"),
                },
            ];
        }
    }
}

/// A report's columns, as a table shows them.
pub(crate) fn table_fields(table: Table) -> Vec<Field> {
    let field = |column: crate::frame::columns::Column| Field {
        config: config::of_column(&column.name, column.kind),
        name: column.name,
        labels: Labels::new(),
        array: column.array,
    };
    table.columns.into_iter().map(field).collect()
}
