//! The backend of the Grafana data source "IoT KPI": asks pg_iot_kpi's reports and writes Arrow frames.
//!
//! | module | what |
//! |---|---|
//! | [`server`] | the process: handshake with Grafana, log, gRPC services, shutdown |
//! | [`data`] | QueryData: each query of a request answered for itself, in parallel |
//! | [`diagnostics`] | CheckHealth, with a reason to act on, and CollectMetrics |
//! | [`resource`] | CallResource: what the editors offer, and the REST API under `v1/` |
//! | [`stream`] | SubscribeStream and RunStream: live panels |
//! | [`settings`] | what a data source's configuration says |
//! | [`pool`] | connections: one bounded pool a data source |
//! | [`session`] | a connection in use; cancels what nobody waits for |
//! | [`statement`] | SQL with its parameters, and as people paste it |
//! | [`query`] | the query types, one file each |
//! | [`frame`] | PostgreSQL's binary values into Arrow columns into Grafana's frames |
//! | [`error`] | what can go wrong, and what a person can do about it |
//!
//! ```
//! let query = iot_kpi_grafana::query::Query::parse(
//!     br#"{"queryType": "kpi_series", "kpi": "uptime", "devices": ["TEMP_001"], "bucket": "1h"}"#,
//! )?;
//! assert_eq!(query.query_type.name(), "kpi_series");
//! # Ok::<(), iot_kpi_grafana::error::Error>(())
//! ```

mod cancel;
pub mod data;
pub mod diagnostics;
pub mod error;
pub mod frame;
#[cfg(fuzzing)]
pub mod fuzzing;
mod json;
mod manager;
pub mod pool;
pub mod query;
pub mod resource;
pub mod server;
pub mod session;
pub mod settings;
pub mod statement;
pub mod stream;
mod threads;
