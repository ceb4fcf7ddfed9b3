//! The collector's own heartbeats, from what its sources say they have looked at: one says that every device was looked at up to
//! its instant, so it is as old as the slowest source, and stays away where one does.

use super::batch::{Batch, Name, Sample, StatusSample};
use crate::runtime::time_grid::{Micros, TimeGrid};

/// The metric that a heartbeat is a sample of.
pub const METRIC: &str = "heartbeat";
/// The status is said again after this many intervals.
const STATUS_REPEAT: i64 = 60;

/// Makes them.
#[derive(Debug)]
pub struct Heartbeats {
    collector: Name,
    metric: Name,
    grid: TimeGrid,
    /// Up to when each source has looked.
    observed: Vec<Option<Micros>>,
    last: Option<Micros>,
}

impl Heartbeats {
    /// For so many sources.
    pub fn new(collector: Name, grid: TimeGrid, sources: usize) -> Self {
        Heartbeats {
            collector,
            metric: METRIC.into(),
            grid,
            observed: vec![None; sources],
            last: None,
        }
    }

    /// The collector's id.
    pub fn collector(&self) -> &Name {
        &self.collector
    }

    /// A source has looked at all its devices up to these instants: the heartbeats that follow from it.
    pub fn observed(&mut self, source: usize, times: &[Micros]) -> Batch {
        let mut made = Batch::default();
        for &time in times {
            if let Some(observed) = self.observed.get_mut(source) {
                *observed = Some(observed.map_or(time, |before| before.max(time)));
            }
            let all: Option<Vec<Micros>> = self.observed.iter().copied().collect();
            let Some(slowest) = all.and_then(|all| all.into_iter().min()) else {
                continue;
            };
            if self.last.is_none_or(|last| slowest > last) {
                self.make(slowest, &mut made);
            }
        }
        made
    }

    fn make(&mut self, time: Micros, made: &mut Batch) {
        made.samples.push(Sample {
            device: self.collector.clone(),
            metric: self.metric.clone(),
            time,
            value: 1.0,
        });
        let round = self.grid.round_of(time);
        let is_new = self
            .last
            .is_none_or(|last| self.grid.round_of(last) < round && round.rem_euclid(STATUS_REPEAT) == 0);
        if is_new {
            made.statuses.push(StatusSample {
                device: self.collector.clone(),
                time,
                status: "online".into(),
                reason: "collects".into(),
            });
        }
        self.last = Some(time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn times(batch: &Batch) -> Vec<Micros> {
        batch.samples.iter().map(|sample| sample.time).collect()
    }

    #[test]
    fn the_slowest_source_sets_the_pace() {
        let grid = TimeGrid::new(Duration::from_micros(10));
        let mut heartbeats = Heartbeats::new("c".into(), grid, 2);
        assert!(
            heartbeats.observed(0, &[3, 13]).is_empty(),
            "the other has not looked yet"
        );
        assert_eq!(times(&heartbeats.observed(1, &[4])), [4]);
        assert_eq!(times(&heartbeats.observed(1, &[14])), [13]);
        assert!(heartbeats.observed(1, &[24]).is_empty());
        assert_eq!(times(&heartbeats.observed(0, &[23, 33])), [23, 24]);
        assert!(heartbeats.observed(0, &[20]).is_empty(), "time does not go back");
    }

    #[test]
    fn the_status_is_said_first_and_then_now_and_then() {
        let mut heartbeats = Heartbeats::new("c".into(), TimeGrid::new(Duration::from_micros(10)), 1);
        let all: Vec<Micros> = (7..200).map(|round| round * 10 + 3).collect();
        let made = heartbeats.observed(0, &all);
        assert_eq!(times(&made), all);
        let said: Vec<Micros> = made.statuses.iter().map(|status| status.time).collect();
        assert_eq!(said, [73, 603, 1203, 1803]);
    }
}
