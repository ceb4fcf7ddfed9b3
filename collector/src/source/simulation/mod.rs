//! Devices that behave like real ones, and whose every report is a pure function of (seed, device, tick).
//!
//! Ticks may be asked for in any order and by any program: history and live data of one seed are the same data. The
//! time of a report lies in the first [`REPORT_SPAN`] of its tick, so that
//! - one lost report leaves a gap of at most `2 + REPORT_SPAN` intervals, which liveness (three intervals) bridges;
//! - an outage misses three reports or more and leaves at least `4 - REPORT_SPAN` intervals, which it does not.
//!
//! So every outage of the simulation, and nothing else, is an outage to whoever only sees the beats.

mod air;
mod camera;
mod climate;
mod collector;
mod device;
pub mod fleet;
pub mod ground_truth;
pub mod history;
pub mod live;
pub mod metric_names;
mod motion;
mod reliability;
mod response;
mod rng;
mod time_of_day;

pub use collector::CollectorSim;
pub use device::{DeviceSim, Report};

use crate::runtime::time_grid::TimeGrid;
use crate::source::simulation::fleet::Fleet;

/// The part of a tick in which its reports are made, retries included.
pub const REPORT_SPAN: f64 = 0.27;
/// When in a tick the collector makes its own beat: after the last report, so that it never vouches for a round it
/// has not finished.
pub const ROUND_END: f64 = 0.30;

/// What shapes a simulation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scenario {
    /// Same seed, same data.
    pub seed: u64,
    /// The ticks.
    pub grid: TimeGrid,
    /// How eventful the devices' lives are: 1 is normal, 10 crowds ten times as many episodes into the same time.
    pub trouble: f64,
}

/// All devices of a fleet and its collector.
#[derive(Clone, Debug)]
pub struct Simulator {
    /// The watched devices, in the fleet's order.
    pub devices: Vec<DeviceSim>,
    /// The collector itself.
    pub collector: CollectorSim,
}

impl Simulator {
    /// Nothing happens until a tick is asked for.
    pub fn new(scenario: Scenario, fleet: &Fleet) -> Self {
        Simulator {
            devices: fleet
                .devices
                .iter()
                .map(|device| DeviceSim::new(scenario, device))
                .collect(),
            collector: CollectorSim::new(scenario, fleet.collector.clone()),
        }
    }
}

#[cfg(test)]
mod tests;
