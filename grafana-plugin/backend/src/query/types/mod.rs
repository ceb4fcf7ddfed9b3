//! The query types, a file and a line each; the front end lists them in `src/queryTypes.ts`.

pub mod anomalies;
pub mod device_kpis;
pub mod fleet_kpis;
pub mod kpi_series;
pub mod metric_series;
pub mod outages;
pub mod slo_report;
pub mod sql;
pub mod status_timeline;

use super::ask::Ask;
use crate::error::Error;
use crate::frame::Frame;
use serde::{Deserialize, Serialize};

/// How a query of a type is answered; its fields are what it asks beside the devices.
pub(crate) trait Answer {
    /// Whether a stream can keep the answer up to date: it is one frame that says how things are now.
    const LIVE: bool = false;
    /// What the answer's rows stand for.
    const ROWS: Rows = Rows::Devices;

    /// Asks the database.
    async fn frames(&self, ask: &mut Ask<'_>) -> Result<Vec<Frame>, Error>;
}

/// What the rows of an answer stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rows {
    /// Devices, or what happened to them: without devices there are none.
    Devices,
    /// Groups of devices: an empty one has a row too.
    Groups,
    /// Whatever the SQL says.
    Anything,
}

macro_rules! query_types {
    ($($(#[$doc:meta])* $module:ident::$Type:ident,)*) => {
        /// What is asked, by `queryType`.
        #[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
        #[serde(tag = "queryType", rename_all = "snake_case")]
        pub enum QueryType {
            $($(#[$doc])* $Type($module::$Type),)*
        }

        impl QueryType {
            /// All of them, as in JSON.
            pub const NAMES: &[&str] = &[$(stringify!($module)),*];

            /// Its word in JSON.
            pub fn name(&self) -> &'static str {
                match self {
                    $(QueryType::$Type(_) => stringify!($module),)*
                }
            }

            pub(crate) fn is_live(&self) -> bool {
                match self {
                    $(QueryType::$Type(_) => $module::$Type::LIVE,)*
                }
            }

            pub(super) fn rows(&self) -> Rows {
                match self {
                    $(QueryType::$Type(_) => $module::$Type::ROWS,)*
                }
            }

            pub(super) async fn frames(&self, ask: &mut Ask<'_>) -> Result<Vec<Frame>, Error> {
                match self {
                    $(QueryType::$Type(query) => query.frames(ask).await,)*
                }
            }
        }
    };
}

query_types! {
    /// A row for each device.
    device_kpis::DeviceKpis,
    /// Numbers of the fleet, or of groups of it.
    fleet_kpis::FleetKpis,
    /// A KPI over time.
    kpi_series::KpiSeries,
    /// Each device's states.
    status_timeline::StatusTimeline,
    /// When devices were down.
    outages::Outages,
    /// Measured values.
    metric_series::MetricSeries,
    /// Objectives and what is left of their budgets.
    slo_report::SloReport,
    /// Unusual values.
    anomalies::Anomalies,
    /// SQL that a person wrote.
    sql::Sql,
}
