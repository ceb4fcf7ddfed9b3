//! The simulated world in real time: what happens is noted as ground truth when it happens, and arrives when it arrives.

use super::fleet::Fleet;
use super::ground_truth::{GroundTruth, Run};
use super::{ROUND_END, Report, Scenario, Simulator};
use crate::error::Error;
use crate::pipeline::batch::Batch;
use crate::runtime::time_grid::Micros;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// A collector that was held up longer than this (or two rounds) has not looked meanwhile; it makes nothing up.
const HELD_UP: Micros = 10_000_000;

/// What has come since the time before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Arrived {
    /// Samples and statuses.
    pub batch: Batch,
    /// When rounds ended, whose reports are in it or came before.
    pub observed: Vec<Micros>,
}

/// The world from a first round on.
#[derive(Debug)]
pub struct Live {
    simulator: Simulator,
    scenario: Scenario,
    ground_truth: GroundTruth,
    first_round: i64,
    next_round: i64,
    /// What is still to come, the earliest on top.
    ahead: BinaryHeap<Reverse<Event>>,
    events: u64,
}

#[derive(Debug)]
struct Event {
    due: Micros,
    /// Keeps the order of events that are due together.
    number: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    /// A report is complete; the device's index in the fleet.
    Happens(usize, Report),
    /// All devices have been called.
    RoundEnds,
    /// A late or second delivery arrives.
    Arrives(Batch),
}

impl Live {
    /// Begins with the round that holds `now`.
    pub fn new(scenario: Scenario, fleet: &Fleet, ground_truth: GroundTruth, now: Micros) -> Self {
        let round = scenario.grid.round_of(now);
        let ahead = BinaryHeap::new();
        Live {
            simulator: Simulator::new(scenario, fleet),
            scenario,
            ground_truth,
            first_round: round,
            next_round: round,
            ahead,
            events: 0,
        }
    }

    /// Start of the first round.
    pub fn since(&self) -> Micros {
        self.scenario.grid.start(self.first_round)
    }

    /// Everything that has arrived by `now` since the call before.
    pub fn advance(&mut self, now: Micros) -> Result<Arrived, Error> {
        self.make_rounds(now)?;
        let mut arrived = Arrived::default();
        while let Some(Reverse(event)) = self.ahead.peek()
            && event.due <= now
        {
            let Some(Reverse(event)) = self.ahead.pop() else { break };
            match event.what {
                What::Arrives(batch) => arrived.batch.append(batch),
                What::Happens(index, report) => {
                    self.ground_truth.note(index, &report)?;
                    self.deliver(report, &mut arrived.batch);
                }
                What::RoundEnds => arrived.observed.push(event.due),
            }
        }
        self.ground_truth.flush()?;
        Ok(arrived)
    }

    /// When there is something to do again.
    pub fn next(&self) -> Micros {
        let start = self.scenario.grid.start(self.next_round);
        self.ahead.peek().map_or(start, |Reverse(event)| event.due.min(start))
    }

    /// The end: what has happened arrives now, what has not happened never will.
    pub fn end(mut self, now: Micros) -> Result<Arrived, Error> {
        let mut arrived = self.advance(now)?;
        for Reverse(event) in std::mem::take(&mut self.ahead).into_sorted_vec().into_iter().rev() {
            if let What::Arrives(batch) = event.what {
                arrived.batch.append(batch);
            }
        }
        let grid = self.scenario.grid;
        let run = Run {
            from: self.since(),
            to: now,
            interval: grid.interval(),
            seed: self.scenario.seed,
        };
        self.ground_truth.end(run)?;
        Ok(arrived)
    }

    fn make_rounds(&mut self, now: Micros) -> Result<(), Error> {
        let grid = self.scenario.grid;
        let missed = now - grid.start(self.next_round);
        if missed > HELD_UP.max(2 * grid.interval()) {
            let (from, to) = (grid.start(self.next_round), grid.start(grid.round_of(now)));
            let held_up = Duration::from_micros(missed.unsigned_abs());
            tracing::warn!(
                ?held_up,
                "the process was held up; nobody looked at the devices meanwhile"
            );
            self.ground_truth.unobserved(from, to)?;
            self.next_round = grid.round_of(now);
        }
        while grid.start(self.next_round) <= now {
            let (round, opening) = (self.next_round, self.next_round == self.first_round);
            for index in 0..self.simulator.devices.len() {
                let report = self.simulator.devices[index].report(round, opening);
                self.plan(report.time, What::Happens(index, report));
            }
            self.plan(grid.within(round, ROUND_END), What::RoundEnds);
            self.next_round += 1;
        }
        Ok(())
    }

    fn deliver(&mut self, report: Report, arrived: &mut Batch) {
        let Report {
            time,
            content,
            late,
            again,
            ..
        } = report;
        let interval = self.scenario.grid.interval();
        let after = |rounds: u32| time + i64::from(rounds) * interval;
        if let Some(again) = again {
            self.plan(after(again.max(1)), What::Arrives(content.clone()));
        }
        match late {
            0 => arrived.append(content),
            late => self.plan(after(late), What::Arrives(content)),
        }
    }

    fn plan(&mut self, due: Micros, what: What) {
        self.events += 1;
        self.ahead.push(Reverse(Event {
            due,
            number: self.events,
            what,
        }));
    }
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Event {}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Event {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::time_grid::TimeGrid;
    use crate::source::simulation::fleet::Fleet;
    use crate::source::simulation::history::{History, Piece};
    use std::collections::BTreeSet;
    use std::ops::ControlFlow;

    const SECOND: Micros = 1_000_000;
    const START: Micros = 1_700_000_000 * SECOND;

    fn world(ground_truth: GroundTruth) -> (Scenario, Fleet, GroundTruth) {
        let scenario = Scenario {
            seed: 11,
            grid: TimeGrid::new(Duration::from_secs(1)),
            trouble: 5.0,
        };
        (scenario, Fleet::new(7), ground_truth)
    }

    fn set(batch: &Batch) -> BTreeSet<String> {
        let samples = batch.samples.iter().map(|sample| format!("{sample:?}"));
        samples
            .chain(batch.statuses.iter().map(|status| format!("{status:?}")))
            .collect()
    }

    #[test]
    fn live_data_are_the_same_as_history() {
        let (scenario, fleet, ground_truth) = world(GroundTruth::new(None, std::iter::empty()).unwrap());
        let mut live = Live::new(scenario, &fleet, ground_truth, START);
        let (mut all, mut rounds) = (Batch::default(), Vec::new());
        let (mut now, end) = (START, START + 600 * SECOND - 1);
        while now < end {
            let arrived = live.advance(now).unwrap();
            assert!(
                arrived.batch.span().is_none_or(|(_, last)| last <= now),
                "nothing arrives before it happens"
            );
            all.append(arrived.batch);
            rounds.extend(arrived.observed);
            assert!(live.next() > now);
            now = (live.next() + 1000).min(end);
        }
        let last = live.end(end).unwrap();
        all.append(last.batch);
        rounds.extend(last.observed);

        let history = History {
            scenario,
            first: START / SECOND,
            end: START / SECOND + 600,
            rows: 1000,
        };
        let (mut past, mut past_rounds) = (Batch::default(), Vec::new());
        let give = |piece, _| {
            match piece {
                Piece::Batch(batch) => past.append(batch),
                Piece::Observed(times) => past_rounds.extend(times),
            }
            ControlFlow::Continue(())
        };
        let simulator = Simulator::new(scenario, &fleet);
        history
            .make(&simulator, GroundTruth::new(None, std::iter::empty()).unwrap(), give)
            .unwrap();
        assert_eq!(set(&all), set(&past));
        assert_eq!(rounds, past_rounds);
        assert_eq!(rounds.len(), 600);
    }

    #[test]
    fn what_was_missed_is_not_made_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ground_truth");
        let (scenario, fleet, ground_truth) = world(GroundTruth::new(Some(&path), std::iter::empty()).unwrap());
        let mut live = Live::new(scenario, &fleet, ground_truth, START);
        live.advance(START + SECOND / 2).unwrap();
        let late = live.advance(START + 3600 * SECOND + SECOND / 2).unwrap();
        assert_eq!(late.observed.len(), 1);
        live.end(START + 3601 * SECOND).unwrap();
        assert!(std::fs::read_to_string(path).unwrap().contains("unobserved"));
    }
}
