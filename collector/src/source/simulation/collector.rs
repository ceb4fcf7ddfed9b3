//! The collector's own beats: one at the end of each round.

use super::device::STATUS_REPEAT;
use super::metric_names::HEARTBEAT;
use super::{ROUND_END, Report, Scenario};
use crate::pipeline::batch::{Batch, Name, Sample, StatusSample};
use crate::runtime::time_grid::TimeGrid;

/// The collector as a device.
#[derive(Clone, Debug)]
pub struct CollectorSim {
    id: Name,
    heartbeat: Name,
    grid: TimeGrid,
}

impl CollectorSim {
    pub(super) fn new(scenario: Scenario, id: Name) -> Self {
        CollectorSim {
            id,
            heartbeat: HEARTBEAT.into(),
            grid: scenario.grid,
        }
    }

    /// The collector's name.
    pub fn id(&self) -> &Name {
        &self.id
    }

    /// Its beat of a tick: there is one for every round that was made.
    pub fn report(&self, tick: i64, opening: bool) -> Report {
        let time = self.grid.within(tick, ROUND_END);
        let sample = Sample {
            device: self.id.clone(),
            metric: self.heartbeat.clone(),
            time,
            value: 1.0,
        };
        let status = StatusSample {
            device: self.id.clone(),
            time,
            status: "online".into(),
            reason: "collects".into(),
        };
        let says = opening || tick.rem_euclid(STATUS_REPEAT) == 0;
        Report {
            time,
            beat: Some(time),
            failures: Vec::new(),
            bytes: 0,
            away_since: None,
            content: Batch {
                samples: vec![sample],
                statuses: says.then_some(status).into_iter().collect(),
            },
            late: 0,
            again: None,
        }
    }
}
