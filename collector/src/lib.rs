//! The collector: feeds the store of pg_iot_kpi, simulated devices first.
//!
//! It knows the database by its SQL interface alone: it writes by the forgiving door (`iot_kpi.ingest_metrics` and
//! `iot_kpi.ingest_status`), registers its devices in `iot.devices`, and has KPIs calculated.
//!
//! | what comes | where |
//! |---|---|
//! | settings by flag, environment, file | [`settings`] |
//! | the devices and where they are | [`fleet`] |
//! | which of several collectors this one is | `place` |
//! | the grid of time | [`ticks`] |
//! | what a device does in a tick | [`simulator`] |
//! | what truly happened, for comparison | [`truth`] |
//! | samples on their way | [`batch`] |
//! | a stretch of the past | [`history`] |
//! | the same in real time | [`live`] |
//! | which database, and how to reach it | [`database`] |
//! | store and devices made sure of | [`store`] |
//! | one batch, one statement | [`door`] |
//! | the connection that comes back | [`link`], [`backoff`] |
//! | several of them for a history | [`lanes`] |
//! | what an error of it means | [`trouble`] |
//! | batches on disk while it is away | [`spool`] |
//! | rows it will never take | [`dead_letters`] |
//! | who decides between the two | [`courier`] |
//! | parts of the program that must not end | `parts` |
//! | what it counts about itself, and two pages of it | [`counters`], [`http`] |
//! | SIGTERM and SIGINT | [`stop`] |
//! | one file a command | `commands/` |
//!
//! ```
//! use iot_kpi_collector::{fleet::Fleet, simulator::{Scenario, Simulator}, ticks::Grid};
//! use std::time::Duration;
//!
//! let scenario = Scenario { seed: 42, grid: Grid::new(Duration::from_secs(60)), trouble: 1.0 };
//! let simulator = Simulator::new(scenario, &Fleet::new("collector-1", 5));
//! let report = simulator.devices[0].report(29_000_000, false);
//! assert_eq!(report, simulator.devices[0].report(29_000_000, false));
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "in a test, a panic is the message"))]

pub mod backoff;
pub mod batch;
mod commands;
pub mod counters;
pub mod courier;
pub mod database;
pub mod dead_letters;
pub mod door;
pub mod error;
pub mod fleet;
pub mod history;
pub mod http;
pub mod lanes;
pub mod link;
pub mod live;
mod parts;
mod place;
pub mod settings;
pub mod simulator;
pub mod spool;
pub mod stop;
pub mod store;
pub mod ticks;
pub mod trouble;
pub mod truth;

use error::Error;
use settings::{Command, Settings};

/// Does what the settings say.
pub async fn run(mut settings: Settings) -> Result<(), Error> {
    let _place = place::take(&mut settings)?;
    let settings = &settings;
    match &settings.command {
        Command::Simulate(wanted) => commands::simulate::run(settings, wanted).await,
        Command::Backfill(wanted) => commands::backfill::run(settings, wanted).await,
        Command::Devices(wanted) => commands::devices::run(settings, wanted).await,
        Command::Resend(wanted) => commands::resend::run(settings, wanted).await,
        Command::Health(wanted) => commands::health::run(wanted).await,
    }
}
