//! A random fleet and all that happened to it: what the store is filled with and the oracle judges.

use std::collections::{BTreeMap, BTreeSet};

use crate::dice::Dice;
use crate::objectives::{Objective, objectives};

pub(crate) const SECOND: i64 = 1_000_000;
pub(crate) const MINUTE: i64 = 60 * SECOND;
pub(crate) const HOUR: i64 = 60 * MINUTE;
/// Half of what happens lies on either side of a midnight: 2024-03-10 00:00 UTC, in microseconds from 2000-01-01.
pub(crate) const MIDNIGHT: i64 = 763_344_000 * SECOND;
pub(crate) const FIRST: i64 = MIDNIGHT - 2 * HOUR;
pub(crate) const LAST: i64 = MIDNIGHT + 2 * HOUR;

pub(crate) struct Device {
    pub(crate) id: String,
    pub(crate) device_type: &'static str,
    pub(crate) location: &'static str,
    pub(crate) interval: i64,
    pub(crate) liveness: Option<i64>,
    pub(crate) status_ttl: Option<i64>,
    pub(crate) degraded_counts_up: bool,
    pub(crate) response_target: Option<f64>,
    pub(crate) heartbeat_metric: Option<&'static str>,
    pub(crate) collector: Option<usize>,
    pub(crate) commissioned: Option<i64>,
    pub(crate) decommissioned: Option<i64>,
    /// All samples by metric and time, as the primary key has them.
    pub(crate) samples: BTreeMap<(&'static str, i64), f64>,
    pub(crate) statuses: BTreeMap<i64, &'static str>,
    /// Times are whole multiples of this, so that bounds coincide or nearly do.
    pub(crate) grid: i64,
}

impl Device {
    pub(crate) fn live_for(&self) -> i64 {
        self.liveness.unwrap_or(3 * self.interval)
    }

    /// What a report puts it under when it groups by this column.
    pub(crate) fn group(&self, group_by: &str) -> &'static str {
        if group_by == "location" {
            self.location
        } else {
            self.device_type
        }
    }

    /// The distinct times that count as beats, in order.
    pub(crate) fn beats(&self) -> Vec<i64> {
        let proves = |(metric, _): &(&str, i64), value: f64| match *metric {
            "error" => value == 0.0,
            "heartbeat" => value != 0.0,
            _ => true,
        };
        let beats = self
            .samples
            .iter()
            .filter(|(k, value)| self.heartbeat_metric.is_none_or(|m| m == k.0) && proves(k, **value));
        beats.map(|(k, _)| k.1).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// Time in which a device, or all, are not required: `[start, end)`, without end where it goes on.
pub(crate) struct Maintenance {
    pub(crate) device: Option<usize>,
    pub(crate) start: i64,
    pub(crate) end: Option<i64>,
}

/// A window and the instant at which it is reported on.
pub(crate) type Asked = (i64, i64, i64);

pub(crate) struct World {
    pub(crate) devices: Vec<Device>,
    pub(crate) maintenance: Vec<Maintenance>,
    pub(crate) objectives: Vec<Objective>,
    pub(crate) bytes_is_counter: bool,
}

/// The first devices observe others.
pub(crate) const COLLECTORS: usize = 6;
pub(crate) const TYPES: [&str; 3] = ["camera", "climate", "motion"];
pub(crate) const LOCATIONS: [&str; 2] = ["hall A", "hall B"];
/// What devices are grouped by, and the groups in their order.
pub(crate) type GroupBy = (&'static str, &'static [&'static str]);
pub(crate) const GROUPS: [GroupBy; 2] = [("device_type", &TYPES), ("location", &LOCATIONS)];
pub(crate) const STATUSES: [&str; 6] = ["online", "degraded", "offline", "error", "maintenance", "unknown"];

impl World {
    pub(crate) fn new(dice: &mut Dice, devices: usize, bytes_is_counter: bool) -> Self {
        let mut world = Self {
            devices: (0..devices).map(|n| device(dice, n)).collect(),
            maintenance: Vec::new(),
            objectives: Vec::new(),
            bytes_is_counter,
        };
        for _ in 0..devices / 3 {
            let window = maintenance(dice, devices);
            world.maintenance.push(window);
        }
        world.objectives = objectives(dice, &world);
        world
    }

    /// An instant at which something changes for some device, or one beside it, or any.
    pub(crate) fn instant(&self, dice: &mut Dice) -> i64 {
        let device = &self.devices[dice.between(0, self.devices.len() as i64) as usize];
        let beats = device.beats();
        let at = match dice.between(0, 8) {
            0 | 1 if !beats.is_empty() => dice.pick(&beats),
            2 if !beats.is_empty() => dice.pick(&beats) + device.live_for(),
            // Where it falls silent for good.
            3 if !beats.is_empty() => beats[beats.len() - 1] + device.live_for(),
            4 if !device.statuses.is_empty() => {
                let times: Vec<i64> = device.statuses.keys().copied().collect();
                dice.pick(&times) + device.status_ttl.unwrap_or(0)
            }
            5 => device.commissioned.or(device.decommissioned).unwrap_or(MIDNIGHT),
            6 => dice.between(FIRST / HOUR, LAST / HOUR) * HOUR,
            _ => dice.between(FIRST - HOUR, LAST + HOUR),
        };
        at + dice.pick(&[0, 0, 0, 1, -1, SECOND])
    }

    /// A window with some `as_of` inside, at its end, after it or before it.
    pub(crate) fn window(&self, dice: &mut Dice) -> Asked {
        let (mut start, mut end) = (self.instant(dice), self.instant(dice));
        if dice.chance(15) {
            // Whole days, which calculations have.
            (start, end) = (MIDNIGHT - 24 * HOUR, MIDNIGHT + 24 * HOUR);
        }
        let (start, end) = (start.min(end), start.max(end).max(start.min(end) + 1));
        let as_of = match dice.between(0, 10) {
            0 => start - dice.between(0, HOUR),
            1..=3 => dice.between(start, end + 1),
            4 => self.instant(dice),
            5 | 6 => end,
            _ => end + dice.between(0, 3 * HOUR),
        };
        (start, end, as_of)
    }
}

fn on_grid(at: i64, grid: i64) -> i64 {
    (at / grid).max(1) * grid
}

fn device(dice: &mut Dice, n: usize) -> Device {
    let is_collector = n < COLLECTORS;
    let grid = dice.pick(&[1, SECOND]);
    let interval = on_grid(dice.between(20 * SECOND, 5 * MINUTE), grid);
    let liveness = match dice.between(0, 7) {
        0 => Some(interval / 3),
        1 => Some(interval),
        2 => Some(interval * 3 / 2),
        3 => Some(dice.between(interval / 2, 6 * interval)),
        4 => Some(20 * interval),
        _ => None,
    };
    let span = |dice: &mut Dice, percent| dice.chance(percent).then(|| on_grid(dice.between(FIRST, LAST), grid));
    let commissioned = span(dice, 20);
    let mut device = Device {
        id: if is_collector {
            format!("collector_{n}")
        } else {
            format!("device_{n:03}")
        },
        device_type: dice.pick(&TYPES),
        location: dice.pick(&LOCATIONS),
        interval,
        liveness: liveness.map(|l| on_grid(l, grid)),
        status_ttl: dice
            .chance(50)
            .then(|| on_grid(dice.between(MINUTE, 40 * MINUTE), grid)),
        degraded_counts_up: dice.chance(60),
        response_target: dice.chance(70).then(|| 10.0 + 300.0 * dice.share()),
        heartbeat_metric: dice.chance(30).then_some("heartbeat"),
        // A collector may itself be observed by one with a smaller number.
        collector: (n > 0 && dice.chance(40)).then(|| dice.between(0, n.min(COLLECTORS) as i64) as usize),
        commissioned,
        decommissioned: span(dice, 15).map(|at| at.max(commissioned.unwrap_or(at))),
        samples: BTreeMap::new(),
        statuses: BTreeMap::new(),
        grid,
    };
    if !dice.chance(4) {
        beats(dice, &mut device);
        communications(dice, &mut device);
    }
    statuses(dice, &mut device);
    device
}

/// A stream of beats with gaps that fall on, just under and just over every limit that the definitions know.
fn beats(dice: &mut Dice, device: &mut Device) {
    let (t, live, grid) = (device.interval, device.live_for(), device.grid);
    let mut at = on_grid(FIRST + dice.between(0, HOUR), grid);
    let end = LAST - dice.pick(&[0, 0, HOUR, 2 * HOUR]);
    let jitter = dice.pick(&[0, 1, t / 20, t / 3]);
    while at < end {
        let metric = device.heartbeat_metric.unwrap_or("temperature");
        // Now and then it is asked, and is not there.
        let value = f64::from(u8::from(metric != "heartbeat" || !dice.chance(5)));
        device.samples.insert((metric, at), value);
        if dice.chance(10) {
            // The same instant in another metric: a duplicate beat, or none where the metric is named.
            device.samples.insert(("humidity", at), 40.0);
        }
        let gap = match dice.between(0, 30) {
            0 => t * 3 / 2,
            1 => t * 3 / 2 - grid,
            2 => live,
            3 => live + grid,
            4 => t / 4,
            5 => t / 4 - grid,
            6 => t * dice.between(2, 9),
            7 => dice.between(0, 40 * MINUTE),
            8 => t / 10,
            _ => t + dice.between(-jitter, jitter + 1),
        };
        at += on_grid(gap, grid);
    }
    if device.heartbeat_metric.is_some() {
        for _ in 0..30 {
            device
                .samples
                .insert(("temperature", on_grid(dice.between(FIRST, LAST), grid)), 20.0);
        }
    }
}

fn communications(dice: &mut Dice, device: &mut Device) {
    let beats = device.beats();
    let mut total = 0.0;
    for _ in 0..dice.between(0, 60) {
        // Mostly with a beat, so that what is sent does not disturb the rhythm.
        let at = if dice.chance(80) {
            dice.pick(&beats)
        } else {
            on_grid(dice.between(FIRST, LAST), device.grid)
        };
        let failed = dice.chance(20);
        device.samples.insert(("error", at), f64::from(u8::from(failed)));
        if !failed {
            let ms = if dice.chance(3) {
                0.0
            } else {
                5.0 * (dice.share() * 6.0).exp()
            };
            device
                .samples
                .insert(("response_time", at), if dice.chance(50) { ms.round() } else { ms });
        }
    }
    let mut times: Vec<i64> = (0..dice.between(0, 40)).map(|_| dice.pick(&beats)).collect();
    times.sort_unstable();
    for at in times {
        // As a counter it grows and is sometimes reset; as amounts any of these will do.
        total = if dice.chance(8) {
            0.0
        } else {
            total + 1000.0 * dice.share()
        };
        device.samples.insert(("bytes", at), total);
    }
}

fn statuses(dice: &mut Dice, device: &mut Device) {
    for _ in 0..dice.pick(&[0, 0, 1, 5, 30]) {
        let at = on_grid(dice.between(FIRST - 12 * HOUR, LAST), device.grid);
        let at = if dice.chance(80) {
            at.max(FIRST + dice.between(0, 4 * HOUR) / device.grid * device.grid)
        } else {
            at
        };
        let status = if dice.chance(50) {
            "online"
        } else {
            dice.pick(&STATUSES)
        };
        device.statuses.insert(at, status);
    }
}

pub(crate) fn maintenance(dice: &mut Dice, devices: usize) -> Maintenance {
    let everybody = dice.chance(4);
    let start = dice.between(FIRST / SECOND, LAST / SECOND) * SECOND;
    let length = if everybody {
        dice.between(1, 5 * MINUTE)
    } else {
        dice.between(1, HOUR) / SECOND * SECOND + 1
    };
    Maintenance {
        device: (!everybody).then(|| dice.between(0, devices as i64) as usize),
        start,
        end: (everybody || !dice.chance(5)).then_some(start + length),
    }
}
