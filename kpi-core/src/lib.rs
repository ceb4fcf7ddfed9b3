//! The mathematics of IoT device KPIs: plain values in, plain values out.
//!
//! No database, no clock, no input or output; instants are microseconds, windows half-open, ratios in [0, 1] or none.
//! Every state merges in any order to the same bits. What a number means is written in `docs/kpis.md`.
//!
//! | module | what it is for |
//! |---|---|
//! | [`time`], [`spans`] | instants, windows, sets of time |
//! | [`classes`], [`outages`] | a window in up, down, unknown and excluded time; its outages |
//! | [`silence`] | how long a device that sends nothing could have been heard |
//! | [`heartbeats`], [`status`] | the two kinds of evidence |
//! | [`times`], [`cadence`] | beats as they came; how consistently they came |
//! | [`runs`] | what beats amount to, once it is known how they are judged |
//! | [`response`], [`throughput`], [`rates`] | communication: how fast, how much, how often it failed |
//! | [`scores`] | what is unusual |
//! | [`evidence`], [`report`] | all samples of a device in one pass; every KPI from them |
//! | [`catalogue`], [`pool`] | every KPI: its name, what it means, how it is told; a group's, put together from its devices' |
//! | [`exact_sum`], [`codec`] | sums and binary forms that do not depend on order |
//! | [`interrupts`] | how a loop that takes long is ended from outside |
//! | [`error`], [`memory`] | what can be wrong, with a remedy; memory that may not be there |
//!
//! ```
//! use kpi_core::{classes::Exemptions, heartbeats::Heartbeats, time::{SECOND, Window}};
//!
//! let mut beats = Heartbeats::default();
//! for minute in [0, 1, 2, 7, 8, 9] {
//!     beats.beat(minute * 60 * SECOND, 90 * SECOND)?;
//! }
//! let window = Window::new(0, 600 * SECOND)?;
//! let outage = beats.outages(window, &Exemptions::default(), 0)[0];
//! assert_eq!(outage.started_at, 210 * SECOND);
//! assert_eq!(outage.ended_at, Some(420 * SECOND));
//! assert_eq!(beats.times(window, &Exemptions::default()).ratio(), Some(390.0 / 600.0));
//! # Ok::<(), kpi_core::error::KpiError>(())
//! ```

pub mod cadence;
pub mod catalogue;
pub mod classes;
pub mod codec;
pub mod error;
pub mod evidence;
pub mod exact_sum;
pub mod heartbeats;
pub mod interrupts;
pub mod memory;
pub mod outages;
pub mod pool;
pub mod rates;
pub mod report;
pub mod response;
pub mod runs;
mod samples;
pub mod scores;
pub mod silence;
pub mod spans;
pub mod status;
pub mod throughput;
pub mod time;
pub mod times;
