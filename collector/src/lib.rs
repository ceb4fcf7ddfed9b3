//! The collector: feeds the store of pg_iot_kpi from its sources, of which simulated devices are the first.
//!
//! It knows the database by its SQL interface alone: it writes by its ingest functions (`iot_kpi.ingest_metrics` and
//! `iot_kpi.ingest_status`), registers its devices in `iot.devices`, and has KPIs calculated.
//!
//! ```text
//! source ─▶ pipeline ─▶ sink            runtime: what all three stand on
//! ```
//!
//! | room | what is in it |
//! |---|---|
//! | [`source`] | where samples come from; simulated devices are the first |
//! | [`pipeline`] | batches, the [`spool`](pipeline::spool) they wait in while the database is away, and who delivers them |
//! | [`sink`] | the store: connections, its ingest functions, registration, and what its errors mean |
//! | [`runtime`] | time, an orderly end, metrics and the pages that show them |
//! | [`database`] | which database, and how to reach it |
//! | [`settings`] | by flag, environment, file; each source has a table of its own |
//! | `commands/` | one file a command |
//!
//! ```
//! use iot_kpi_collector::runtime::time_grid::TimeGrid;
//! use iot_kpi_collector::source::simulation::{Scenario, Simulator, fleet::Fleet};
//! use std::time::Duration;
//!
//! let scenario = Scenario { seed: 42, grid: TimeGrid::new(Duration::from_secs(60)), trouble: 1.0 };
//! let simulator = Simulator::new(scenario, &Fleet::new(5));
//! let report = simulator.devices[0].report(29_000_000, false);
//! assert_eq!(report, simulator.devices[0].report(29_000_000, false));
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "in a test, a panic is the message"))]

mod commands;
pub mod database;
pub mod error;
pub mod pipeline;
pub mod runtime;
pub mod settings;
pub mod sink;
pub mod source;

use error::Error;
use settings::{Command, Settings};

/// Does what the settings say.
pub async fn run(mut settings: Settings) -> Result<(), Error> {
    let _instance = runtime::instance::take(&mut settings)?;
    let settings = &settings;
    match &settings.command {
        Command::Run(wanted) => commands::run::run(settings, wanted).await,
        Command::Simulate(wanted) => commands::run::run(settings, &wanted.run).await,
        Command::Backfill(wanted) => commands::backfill::run(settings, wanted).await,
        Command::Devices(wanted) => commands::devices::run(settings, wanted).await,
        Command::Check => commands::check::run(settings),
        Command::Resend(wanted) => commands::resend::run(settings, wanted).await,
        Command::Health(wanted) => commands::health::run(wanted).await,
    }
}
