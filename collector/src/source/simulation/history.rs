//! A stretch of the past, as batches: day by day, and within a day a few devices at a time.
//!
//! By device, because the store keeps rows that way; a few, so that several connections can write a batch, each for
//! devices of its own. Only when all of a day is made is it said that somebody has looked: a device whose collector was not there
//! is unknown and not down, so that a half-written day accuses nobody.

use super::fleet::Fleet;
use super::ground_truth::{GroundTruth, Run};
use super::{ROUND_END, Report, Scenario, Simulator};
use crate::error::Error;
use crate::pipeline::batch::Batch;
use crate::pipeline::output::Output;
use crate::runtime::shutdown::Shutdown;
use crate::runtime::time_grid::Micros;
use crate::source::{Description, Running, Source};
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::runtime::Handle;

const DAY: i64 = 86_400_000_000;
/// Devices whose reports are made in turn.
const ABREAST: usize = 8;
/// Reports that a device makes in its turn.
const TURN: usize = 60;

/// What is made of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// Samples and statuses.
    Batch(Batch),
    /// The ends of rounds whose reports have all been made.
    Observed(Vec<Micros>),
}

/// What to make.
#[derive(Clone, Copy, Debug)]
pub struct History {
    /// Seed and rounds.
    pub scenario: Scenario,
    /// First round.
    pub first: i64,
    /// The round after the last.
    pub end: i64,
    /// Most rows in a batch.
    pub rows: usize,
}

impl History {
    /// The last whole rounds before `until`, as many as `span` holds.
    pub fn before(scenario: Scenario, until: Micros, span: Micros, rows: usize) -> Self {
        let end = scenario.grid.round_of(until);
        History {
            scenario,
            first: end - span / scenario.grid.interval(),
            end,
            rows,
        }
    }

    /// How many reports there will be.
    pub fn reports(&self, simulator: &Simulator) -> u64 {
        simulator.devices.len() as u64 * self.end.abs_diff(self.first)
    }

    /// Makes it; `give` takes each piece, and how many reports have been made, and may stop it all.
    pub fn make(
        &self,
        simulator: &Simulator,
        mut ground_truth: GroundTruth,
        give: impl FnMut(Piece, u64) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let mut press = Press {
            open: Batch::default(),
            rows: self.rows.max(1),
            reports: 0,
            give,
        };
        let mut day = self.first;
        while day < self.end {
            let grid = self.scenario.grid;
            let tomorrow = (grid.start(day).div_euclid(DAY) + 1) * DAY;
            let next = grid.round_of(tomorrow + grid.interval() - 1).clamp(day + 1, self.end);
            let indices: Vec<usize> = (0..simulator.devices.len()).collect();
            for abreast in indices.chunks(ABREAST) {
                let mut stretches: Vec<_> = abreast.iter().map(|index| Stretch::of(*index, day..next)).collect();
                while !stretches.is_empty() {
                    for stretch in &mut stretches {
                        let index = stretch.index;
                        let report = |round| {
                            let report = simulator.devices[index].report(round, round == self.first);
                            ground_truth.note(index, &report).map(|()| report)
                        };
                        if press.turn(stretch, report)?.is_break() {
                            return Ok(());
                        }
                    }
                    stretches.retain(|stretch| !stretch.is_over());
                }
            }
            let ends = (day..next).map(|round| grid.within(round, ROUND_END)).collect();
            if press.emit().is_break() || press.observed(ends).is_break() {
                return Ok(());
            }
            day = next;
        }
        let grid = self.scenario.grid;
        ground_truth.end(Run {
            from: grid.start(self.first),
            to: grid.start(self.end),
            interval: grid.interval(),
            seed: self.scenario.seed,
        })
    }
}

/// A history as a source: it ends when all is made.
#[derive(Debug)]
pub struct Past {
    history: History,
    fleet: Fleet,
    simulator: Simulator,
    ground_truth: GroundTruth,
    made: Arc<AtomicU64>,
}

impl Past {
    /// Nothing is made yet.
    pub fn new(history: History, fleet: Fleet, ground_truth: GroundTruth) -> Self {
        Past {
            simulator: Simulator::new(history.scenario, &fleet),
            history,
            fleet,
            ground_truth,
            made: Arc::default(),
        }
    }

    /// Counts the reports as they are made; how many there will be.
    pub fn progress(&self) -> (Arc<AtomicU64>, u64) {
        (self.made.clone(), self.history.reports(&self.simulator))
    }
}

impl Source for Past {
    fn describe(&self) -> Description {
        let grid = self.history.scenario.grid;
        super::describe(&self.fleet, grid, grid.start(self.history.first))
    }

    fn run(self: Box<Self>, out: Output, shutdown: Shutdown) -> Running {
        let runtime = Handle::current();
        // Making it is work for a thread of its own, which waits where the store is slower.
        let making = tokio::task::spawn_blocking(move || {
            let mut failed = Ok(());
            let give = |piece, reports| {
                self.made.store(reports, Relaxed);
                failed = runtime.block_on(async {
                    match piece {
                        // It waits for all of it in the end.
                        Piece::Batch(batch) => out.send(batch).await.map(|_| ()),
                        Piece::Observed(times) => out.observed(times).await,
                    }
                });
                match failed.is_err() || shutdown.is_requested() {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            };
            self.history.make(&self.simulator, self.ground_truth, give)?;
            failed
        });
        Box::pin(async { making.await.unwrap_or(Err(Error::Ended("simulation"))) })
    }

    /// The past waits.
    fn acknowledges(&self) -> bool {
        true
    }
}

/// A device's part of a day.
struct Stretch {
    index: usize,
    rounds: Range<i64>,
    /// What arrives later, and when.
    held: Vec<(i64, Batch)>,
}

impl Stretch {
    fn of(index: usize, rounds: Range<i64>) -> Self {
        Stretch {
            index,
            rounds,
            held: Vec::new(),
        }
    }

    fn is_over(&self) -> bool {
        self.rounds.is_empty() && self.held.is_empty()
    }
}

/// Presses reports into batches.
struct Press<G> {
    open: Batch,
    rows: usize,
    reports: u64,
    give: G,
}

impl<G: FnMut(Piece, u64) -> ControlFlow<()>> Press<G> {
    /// A device's next reports, the late ones later and some of them twice; at the end all that is still held.
    fn turn(
        &mut self,
        stretch: &mut Stretch,
        mut report: impl FnMut(i64) -> Result<Report, Error>,
    ) -> Result<ControlFlow<()>, Error> {
        for round in stretch.rounds.by_ref().take(TURN) {
            let Report {
                content, late, again, ..
            } = report(round)?;
            self.reports += 1;
            if let Some(again) = again {
                stretch.held.push((round + i64::from(again), content.clone()));
            }
            if late > 0 {
                stretch.held.push((round + i64::from(late), content));
            } else if self.put(content).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            while let Some(due) = stretch.held.iter().position(|(when, _)| *when <= round) {
                if self.put(stretch.held.remove(due).1).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        if stretch.rounds.is_empty() {
            for (_, content) in stretch.held.drain(..) {
                if self.put(content).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn put(&mut self, content: Batch) -> ControlFlow<()> {
        if self.open.len() + content.len() > self.rows {
            self.emit()?;
        }
        self.open.append(content);
        ControlFlow::Continue(())
    }

    fn emit(&mut self) -> ControlFlow<()> {
        for part in std::mem::take(&mut self.open).split(self.rows) {
            (self.give)(Piece::Batch(part), self.reports)?;
        }
        ControlFlow::Continue(())
    }

    fn observed(&mut self, ends: Vec<Micros>) -> ControlFlow<()> {
        (self.give)(Piece::Observed(ends), self.reports)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::time_grid::TimeGrid;
    use crate::source::simulation::fleet::Fleet;
    use proptest::prelude::*;
    use std::time::Duration;

    fn made(seed: u64, first: i64, end: i64, rows: usize) -> (Batch, usize) {
        let scenario = Scenario {
            seed,
            grid: TimeGrid::new(Duration::from_secs(600)),
            trouble: 5.0,
        };
        let fleet = Fleet::new(6);
        let simulator = Simulator::new(scenario, &fleet);
        let history = History {
            scenario,
            first,
            end,
            rows,
        };
        let (mut all, mut largest, mut reports) = (Batch::default(), 0, 0);
        let ground_truth = GroundTruth::new(None, fleet.devices.iter().map(|d| &*d.id)).unwrap();
        let give = |piece, so_far| {
            if let Piece::Batch(batch) = piece {
                assert!(!batch.is_empty());
                largest = largest.max(batch.len());
                all.append(batch);
            }
            reports = so_far;
            ControlFlow::Continue(())
        };
        history.make(&simulator, ground_truth, give).unwrap();
        assert_eq!(reports, history.reports(&simulator));
        (all, largest)
    }

    fn identities(batch: &Batch) -> std::collections::BTreeSet<(String, String, i64, u64)> {
        let key = |s: &crate::pipeline::batch::Sample| {
            (s.device.to_string(), s.metric.to_string(), s.time, s.value.to_bits())
        };
        batch.samples.iter().map(key).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn the_size_of_batches_changes_nothing(seed: u64, rows in 1usize..300) {
            let (small, largest) = made(seed, 2_900_000, 2_900_300, rows);
            prop_assert!(largest <= rows);
            prop_assert_eq!(small, made(seed, 2_900_000, 2_900_300, 100_000).0);
        }

        /// What live rounds or two shorter runs would send is the same set of samples.
        #[test]
        fn two_runs_are_one(seed: u64, cut in 2_900_001i64..2_900_299) {
            let mut parts = identities(&made(seed, 2_900_000, cut, 100).0);
            parts.extend(identities(&made(seed, cut, 2_900_300, 100).0));
            let whole = identities(&made(seed, 2_900_000, 2_900_300, 100).0);
            // A run's first reports are never lost; but for those the two are the same.
            prop_assert!(parts.symmetric_difference(&whole).count() <= 6 * 8);
            prop_assert!(parts.len().abs_diff(whole.len()) <= 6 * 8);
        }
    }

    #[test]
    fn a_history_has_whole_rounds() {
        let scenario = Scenario {
            seed: 1,
            grid: TimeGrid::new(Duration::from_secs(60)),
            trouble: 1.0,
        };
        let minute = 60_000_000;
        let history = History::before(scenario, 20 * minute + 5, 10 * minute, 10);
        assert_eq!((history.first, history.end), (10, 20));
        let empty = History::before(scenario, 20 * minute, minute - 1, 10);
        assert_eq!((empty.first, empty.end), (20, 20));
    }
}
