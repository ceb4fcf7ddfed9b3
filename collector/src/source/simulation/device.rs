//! One device's report of one round.

use super::metric_names::{BYTES, ERROR, HEARTBEAT, RESPONSE_TIME};
use super::reliability::{Character, Condition, Trouble};
use super::rng::{Dice, Purpose, key};
use super::time_of_day::{Moment, occupancy, traffic};
use super::{ROUND_END, Scenario, air, camera, climate, motion, response};
use crate::pipeline::batch::{Batch, Name, Sample, StatusSample};
use crate::runtime::time_grid::{Micros, TimeGrid};
use crate::source::simulation::fleet::{Device, Kind};

/// A status is said again after this many rounds even when it has not changed.
pub(super) const STATUS_REPEAT: i64 = 60;
/// When after the first attempt the retries come, in parts of a round.
const RETRIES: [f64; 3] = [0.0, 0.03, 0.07];

/// What one device did in one round, and what becomes of it on the way.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// When it is complete: the time of its last sample, or of the call that stayed without an answer.
    pub time: Micros,
    /// The successful contact.
    pub beat: Option<Micros>,
    /// The attempts that failed.
    pub failures: Vec<Micros>,
    /// Bytes the device delivered.
    pub bytes: u64,
    /// The instant in which the device fell silent, while it is away.
    pub away_since: Option<Micros>,
    /// What is delivered.
    pub content: Batch,
    /// How many rounds later it arrives.
    pub late: u32,
    /// How many rounds later it arrives once more.
    pub again: Option<u32>,
}

/// A simulated device.
#[derive(Clone, Debug)]
pub struct DeviceSim {
    id: Name,
    kind: Kind,
    seed: u64,
    key: u64,
    grid: TimeGrid,
    character: Character,
    /// Where in a round it reports, in parts of one.
    phase: f64,
    names: Names,
}

/// Metric names, made once.
#[derive(Clone, Debug)]
struct Names {
    heartbeat: Name,
    response_time: Name,
    error: Name,
    bytes: Name,
    own: [Name; 2],
}

impl DeviceSim {
    pub(super) fn new(scenario: Scenario, device: &Device) -> Self {
        let (seed, key) = (scenario.seed, key(&device.id));
        let own = match device.kind {
            Kind::Temperature => ["temperature", ""],
            Kind::Humidity => ["humidity", ""],
            Kind::Motion => ["motion", ""],
            Kind::AirQuality => ["air_quality", "co2"],
            Kind::Camera => ["vehicles", "frame_rate"],
        };
        DeviceSim {
            id: device.id.clone(),
            kind: device.kind,
            seed,
            key,
            grid: scenario.grid,
            character: Character::new(seed, key, device.kind, scenario.trouble),
            phase: Dice::new(seed, key, Purpose::Clock, i64::MIN).between(0.0, 0.10),
            names: Names {
                heartbeat: HEARTBEAT.into(),
                response_time: RESPONSE_TIME.into(),
                error: ERROR.into(),
                bytes: BYTES.into(),
                own: own.map(Name::from),
            },
        }
    }

    /// The device's name.
    pub fn id(&self) -> &Name {
        &self.id
    }

    /// What happens in a round. A run's first round is `opening`: it says the status even if it is an old one, and it is
    /// never lost, because a first report that is missing could not be told from an outage.
    pub fn report(&self, round: i64, opening: bool) -> Report {
        let condition = self.character.condition(round);
        let mut report = match condition {
            Condition::Away { first, .. } => self.silence(round, first),
            Condition::Working { strain, failure, .. } => self.contact(round, strain, failure, opening),
        };
        if opening
            || round.rem_euclid(STATUS_REPEAT) == 0
            || says(condition) != says(self.character.condition(round - 1))
        {
            report
                .content
                .statuses
                .push(self.status(condition, report.beat.unwrap_or(report.time)));
        }
        report
    }

    fn silence(&self, round: i64, first: i64) -> Report {
        // It fell silent after the report before the first missed one, and before that one was due.
        let moment = self.dice(Purpose::Clock, first).between(ROUND_END, 0.99);
        Report {
            time: self.at(round, self.call(round)),
            beat: None,
            failures: Vec::new(),
            bytes: 0,
            away_since: Some(self.at(first - 1, moment)),
            content: Batch::default(),
            late: 0,
            again: None,
        }
    }

    fn contact(&self, round: i64, strain: f64, failure: f64, opening: bool) -> Report {
        let call = self.call(round);
        let mut dice = self.dice(Purpose::Attempt, round);
        let mut failures = Vec::new();
        let mut beat = None;
        for (attempt, retry) in RETRIES.iter().enumerate() {
            let time = self.at(round, call + retry);
            let last = attempt + 1 == RETRIES.len();
            if dice.chance(failure) && !(last && (opening || !self.may_be_lost(round))) {
                failures.push(time);
            } else {
                beat = Some(time);
                break;
            }
        }
        let mut samples = Vec::with_capacity(8);
        samples.extend(failures.iter().map(|&time| self.sample(&self.names.error, time, 1.0)));
        let mut bytes = 0;
        if let Some(time) = beat {
            bytes = self.answer(round, time, strain, &mut samples);
        }
        let (late, again) = self.delivery(round);
        Report {
            time: beat
                .or(failures.last().copied())
                .unwrap_or_else(|| self.at(round, call)),
            beat,
            failures,
            bytes,
            away_since: None,
            content: Batch {
                samples,
                statuses: Vec::new(),
            },
            late,
            again,
        }
    }

    /// The samples of a successful contact; returns the bytes.
    fn answer(&self, round: i64, time: Micros, strain: f64, samples: &mut Vec<Sample>) -> u64 {
        let moment = Moment::from_micros(time);
        let minutes = self.grid.interval() as f64 / 6e7;
        let mut dice = self.dice(Purpose::Measurement, round);
        let values = match self.kind {
            Kind::Temperature => [climate::temperature(self.seed, self.key, moment, &mut dice), f64::NAN],
            Kind::Humidity => [climate::humidity(self.seed, self.key, moment, &mut dice), f64::NAN],
            Kind::Motion => [motion::movements(moment, minutes, &mut dice), f64::NAN],
            Kind::AirQuality => [
                air::index(self.seed, self.key, moment, &mut dice),
                air::co2(moment, &mut dice),
            ],
            Kind::Camera => [
                camera::vehicles(moment, minutes, &mut dice),
                camera::frame_rate(strain, &mut dice),
            ],
        };
        let load = if self.kind == Kind::Camera {
            traffic(moment)
        } else {
            occupancy(moment)
        };
        let response = response::time(self.kind, load, strain, &mut self.dice(Purpose::Response, round));
        let bytes = self.bytes(round, values, minutes);
        samples.push(self.sample(&self.names.heartbeat, time, 1.0));
        samples.push(self.sample(&self.names.error, time, 0.0));
        samples.push(self.sample(&self.names.response_time, time, hundredths(response)));
        samples.push(self.sample(&self.names.bytes, time, bytes as f64));
        for (name, value) in self.names.own.iter().zip(values) {
            if !name.is_empty() {
                samples.push(self.sample(name, time, hundredths(value)));
            }
        }
        bytes
    }

    fn bytes(&self, round: i64, values: [f64; 2], minutes: f64) -> u64 {
        let mut dice = self.dice(Purpose::Bytes, round);
        let envelope = 180.0 + dice.between(0.0, 60.0);
        let content = match self.kind {
            Kind::Temperature | Kind::Humidity => 24.0,
            Kind::AirQuality => 96.0,
            Kind::Motion => 40.0 * values[0],
            Kind::Camera => camera::video(values[0], values[1], minutes),
        };
        (envelope + content) as u64
    }

    /// Whether a round may pass without any contact although the device is there. Never two in a row, and never beside
    /// an outage: a gap that liveness does not bridge is an outage, and outages are the reliability's to decide.
    fn may_be_lost(&self, round: i64) -> bool {
        let turn = (round.wrapping_add(self.key as u32 as i64)).rem_euclid(3) == 0;
        turn && !self.character.is_away(round - 1) && !self.character.is_away(round + 1)
    }

    /// How late a report arrives, and when it arrives again, in rounds.
    fn delivery(&self, round: i64) -> (u32, Option<u32>) {
        let mut dice = self.dice(Purpose::Delivery, round);
        let late = if dice.chance(self.character.late) {
            dice.whole(1, 10) as u32
        } else {
            0
        };
        let again = dice
            .chance(self.character.late / 2.0)
            .then(|| late + dice.whole(0, 3) as u32);
        (late, again)
    }

    /// When in a round the device is called: its own phase, a slow drift of its clock, and jitter; in all below 0.20.
    fn call(&self, round: i64) -> f64 {
        let jitter = self.dice(Purpose::Clock, round).log_normal(0.012, 0.5).min(0.05);
        let drift = 0.025 + 0.025 * (round as f64 / 500.0 + self.phase * 60.0).sin();
        self.phase + drift + jitter
    }

    fn status(&self, condition: Condition, time: Micros) -> StatusSample {
        let (status, reason) = says(condition);
        StatusSample {
            device: self.id.clone(),
            time,
            status: status.into(),
            reason: reason.into(),
        }
    }

    fn sample(&self, metric: &Name, time: Micros, value: f64) -> Sample {
        Sample {
            device: self.id.clone(),
            metric: metric.clone(),
            time,
            value,
        }
    }

    fn at(&self, round: i64, fraction: f64) -> Micros {
        self.grid.within(round, fraction)
    }

    fn dice(&self, purpose: Purpose, round: i64) -> Dice {
        Dice::new(self.seed, self.key, purpose, round)
    }
}

/// The status that a condition is called by, and the reason.
fn says(condition: Condition) -> (&'static str, &'static str) {
    match condition {
        Condition::Away { fault: false, .. } => ("offline", "no contact"),
        Condition::Away { fault: true, .. } => ("error", "device fault"),
        Condition::Working {
            trouble: Trouble::Degraded,
            ..
        } => ("degraded", "slow and failing answers"),
        Condition::Working {
            trouble: Trouble::Burst,
            ..
        } => ("degraded", "burst of errors"),
        Condition::Working {
            trouble: Trouble::None, ..
        } => ("online", "answers"),
    }
}

/// No sensor is more precise, and what is written as text comes back as it was.
fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
