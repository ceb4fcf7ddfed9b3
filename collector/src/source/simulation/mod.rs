//! Devices that behave like real ones, and whose every report is a pure function of (seed, device, round).
//!
//! Rounds may be asked for in any order and by any program: history and live data of one seed are the same data. The
//! time of a report lies in the first [`REPORT_SPAN`] of its round, so that
//! - one lost report leaves a gap of at most `2 + REPORT_SPAN` intervals, which liveness (three intervals) bridges;
//! - an outage misses three reports or more and leaves at least `4 - REPORT_SPAN` intervals, which it does not.
//!
//! So every outage of the simulation, and nothing else, is an outage to whoever only sees the beats.

mod air;
mod camera;
mod climate;
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
mod settings;
mod source;
mod time_of_day;

pub use device::{DeviceSim, Report};
pub use settings::Settings;
pub use source::Simulation;

use crate::runtime::time_grid::{Micros, TimeGrid};
use crate::source::simulation::fleet::Fleet;
use crate::source::{Description, DeviceDescription, Kind};
use std::time::Duration;

/// How settings ask for it.
pub const KIND: Kind = Kind {
    name: "simulation",
    make: source::make,
};

/// The part of a round in which its reports are made, retries included.
pub const REPORT_SPAN: f64 = 0.27;
/// When in a round the collector has looked at all devices: after the last report, so that it never vouches for a round it
/// has not finished.
pub const ROUND_END: f64 = 0.30;

/// What shapes a simulation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scenario {
    /// Same seed, same data.
    pub seed: u64,
    /// The rounds.
    pub grid: TimeGrid,
    /// How eventful the devices' lives are: 1 is normal, 10 crowds ten times as many episodes into the same time.
    pub trouble: f64,
}

/// All devices of a fleet.
#[derive(Clone, Debug)]
pub struct Simulator {
    /// In the fleet's order.
    pub devices: Vec<DeviceSim>,
}

impl Simulator {
    /// Nothing happens until a round is asked for.
    pub fn new(scenario: Scenario, fleet: &Fleet) -> Self {
        let devices = fleet.devices.iter();
        Simulator {
            devices: devices.map(|device| DeviceSim::new(scenario, device)).collect(),
        }
    }
}

/// What the store is told of a simulated fleet whose first round begins at `since`.
pub fn describe(fleet: &Fleet, grid: TimeGrid, since: Micros) -> Description {
    let devices = fleet.devices.iter().map(|device| DeviceDescription {
        id: device.id.clone(),
        name: device.name.clone(),
        device_type: device.kind.device_type().to_owned(),
        location: Some(device.location.clone()),
    });
    Description {
        devices: devices.collect(),
        metrics: metric_names::METRIC_TYPES.to_vec(),
        interval: Duration::from_micros(grid.interval().unsigned_abs()),
        since,
        first_observed: since + (grid.interval() as f64 * ROUND_END) as Micros,
    }
}

#[cfg(test)]
mod tests;
