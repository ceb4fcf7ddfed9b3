//! Status samples as they are read: what status held when, in a window or at an instant.

use super::{Status, StatusRules};
use crate::classes::{Class, ClassTimes, Exemptions, Timeline};
use crate::interrupts::interruptible;
use crate::samples::steps::Row;
use crate::spans::Spans;
use crate::time::{Duration, Instant, Window, span};

/// A stretch of one status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// Its first instant.
    pub start: Instant,
    /// The first instant after it.
    pub end: Instant,
    /// The status; none where the device was not required to work for a reason outside its samples.
    pub status: Option<Status>,
}

/// Samples of one status in equal steps; one alone has none.
#[derive(Debug, Clone, Copy)]
struct Series {
    first: Instant,
    step: Duration,
    /// How many steps there are, one fewer than samples.
    steps: u32,
    status: Status,
}

impl Series {
    fn last(&self) -> Instant {
        // In bounds: it is the time of a sample.
        self.first.wrapping_add(self.step.wrapping_mul(self.steps.into()))
    }

    /// Adds the next samples, where they go on in the same way.
    fn goes_on_with(&mut self, first: Instant, step: Duration, count: u32, status: Status) -> bool {
        let Some(distance) = first.checked_sub(self.last()) else {
            return false;
        };
        let steps = self.steps.checked_add(count).filter(|_| status == self.status);
        let is_even = (self.steps == 0 || distance == self.step) && (count == 1 || distance == step);
        let Some(steps) = steps.filter(|_| is_even) else {
            return false;
        };
        (self.step, self.steps) = (distance, steps);
        true
    }

    /// The number of the last sample that is not after an instant, which must not be before the first.
    fn number_at(&self, t: Instant) -> u32 {
        match self.steps {
            0 => 0,
            steps => u32::try_from(span(self.first, t) / self.step)
                .unwrap_or(steps)
                .min(steps),
        }
    }

    fn at(&self, number: u32) -> Instant {
        self.first.wrapping_add(self.step.wrapping_mul(number.into()))
    }
}

/// The status samples of a device, in an order in which any instant is quickly found.
#[derive(Debug, Clone, Default)]
pub struct StatusHistory(Vec<Series>);

impl StatusHistory {
    /// From the times of samples in order, one an instant, and from what they say, each with how often in a row.
    pub(super) fn of(times: impl Iterator<Item = Row>, mut kinds: impl Iterator<Item = (u8, u64)>) -> Self {
        let mut history: Vec<Series> = Vec::new();
        let (mut kind, mut left) = (0, 0);
        for Row { mut first, step, count } in interruptible(times) {
            let mut count = u64::from(count);
            while count > 0 {
                if left == 0 {
                    (kind, left) = kinds.next().unwrap_or((kind, count));
                }
                let together = count.min(left);
                let (status, steps) = (Status::of_kind(kind), together as u32 - 1);
                let last = history.last_mut();
                if !last.is_some_and(|series| series.goes_on_with(first, step, steps + 1, status)) {
                    history.push(Series {
                        first,
                        step,
                        steps,
                        status,
                    });
                }
                first = first.wrapping_add(step.wrapping_mul(together as i64));
                count -= together;
                left -= together;
            }
        }
        Self(history)
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The status at an instant.
    pub fn status_at(&self, t: Instant, ttl: Option<Duration>) -> Status {
        let after = self.0.partition_point(|series| series.first <= t);
        let held = after.checked_sub(1).map(|i| self.0[i]);
        held.filter(|series| ttl.is_none_or(|ttl| span(series.at(series.number_at(t)), t) < ttl))
            .map_or(Status::Unknown, |series| series.status)
    }

    /// What of some stretches in which nobody observed the device no sample tells either: of each what lies before the first
    /// sample that was measured in it.
    pub fn untold(&self, unobserved: &Spans) -> Spans {
        let stretches = interruptible(unobserved.as_slice());
        Spans::from_sorted(
            stretches.map(|&(start, end)| (start, self.next_sample(start).map_or(end, |told| told.min(end)))),
        )
    }

    /// The first sample at an instant or after it.
    fn next_sample(&self, t: Instant) -> Option<Instant> {
        let begun = self.0.partition_point(|series| series.first < t);
        let within = begun
            .checked_sub(1)
            .map(|i| self.0[i])
            .filter(|series| series.last() >= t);
        within
            .map(|series| {
                let number = series.number_at(t);
                let at = series.at(number);
                if at < t { series.at(number + 1) } else { at }
            })
            .or_else(|| self.0.get(begun).map(|series| series.first))
    }

    /// Takes each period of the window in turn, without gap or overlap, neighbours always of different status.
    pub fn each_period(&self, window: Window, ttl: Option<Duration>, mut take: impl FnMut(Period)) {
        let mut open = Period {
            start: window.start,
            end: window.start,
            status: Some(Status::Unknown),
        };
        let mut say = |until: Instant, status: Status| {
            let until = until.min(window.end);
            if until > open.end {
                if open.status != Some(status) && open.end > open.start {
                    take(open);
                    open.start = open.end;
                }
                open.status = Some(status);
                open.end = until;
            }
        };
        let first = self
            .0
            .partition_point(|series| series.first <= window.start)
            .saturating_sub(1);
        let reaching = self.0.iter().enumerate().skip(first);
        for (i, series) in interruptible(reaching.take_while(|s| s.1.first < window.end)) {
            say(series.first, Status::Unknown);
            let next = self.0.get(i + 1).map_or(Instant::MAX, |next| next.first);
            if let Some(ttl) = ttl.filter(|ttl| *ttl < series.step) {
                // Between its samples nothing is known.
                let begun = series.number_at(window.start.max(series.first));
                for number in interruptible(begun..series.steps) {
                    if series.at(number) >= window.end {
                        break;
                    }
                    say(series.at(number).saturating_add(ttl), series.status);
                    say(series.at(number + 1), Status::Unknown);
                }
            }
            say(
                ttl.map_or(next, |ttl| series.last().saturating_add(ttl).min(next)),
                series.status,
            );
            say(next, Status::Unknown);
        }
        say(window.end, Status::Unknown);
        take(open);
    }

    /// The window in periods, as [`Self::each_period`] gives them.
    pub fn periods(&self, window: Window, ttl: Option<Duration>) -> Vec<Period> {
        let mut periods = Vec::new();
        self.each_period(window, ttl, |period| periods.push(period));
        periods
    }

    /// How much of the window each class takes.
    pub fn times(&self, window: Window, rules: StatusRules, exempt: &Exemptions) -> ClassTimes {
        let unobserved = without(&exempt.unknown.clip(window), &exempt.excluded);
        let mut times = ClassTimes::default();
        self.each_period(window, rules.ttl, |period| {
            let length = span(period.start, period.end);
            let excluded = exempt.excluded.overlap(period.start, period.end);
            let unknown = unobserved.overlap(period.start, period.end);
            let rest = length - excluded - unknown;
            match period.status {
                None | Some(Status::Maintenance) => {
                    times.excluded += length;
                    return;
                }
                Some(Status::Unknown) => times.unknown += rest,
                Some(Status::Degraded) if !rules.degraded_counts_up => times.down += rest,
                Some(Status::Online | Status::Degraded) => times.up += rest,
                Some(Status::Offline | Status::Error) => times.down += rest,
            }
            times.excluded += excluded;
            times.unknown += unknown;
        });
        times
    }

    /// The time of the window spent in a status.
    pub fn duration_in(&self, status: Status, window: Window, ttl: Option<Duration>) -> Duration {
        let mut total = 0;
        self.each_period(window, ttl, |period| {
            if period.status == Some(status) {
                total += span(period.start, period.end);
            }
        });
        total
    }

    /// How often the status changed inside the window.
    pub fn transitions(&self, window: Window, ttl: Option<Duration>) -> u64 {
        let mut periods = 0u64;
        self.each_period(window, ttl, |_| periods += 1);
        periods.saturating_sub(1)
    }
}

/// What of one set is not in another.
fn without(spans: &Spans, others: &Spans) -> Spans {
    let mut left = Spans::empty();
    for &(start, end) in interruptible(spans.as_slice()) {
        let gaps = others.gaps(Window { start, end });
        gaps.as_slice().iter().for_each(|gap| left.append(gap.0, gap.1));
    }
    left
}

/// Lays what is exempt over periods: excluded time has no status, unobserved time is unknown.
pub fn overlay(periods: &[Period], window: Window, exempt: &Exemptions) -> Vec<Period> {
    let mut laid = Vec::new();
    // Judged as if never up: what is neither excluded nor unknown comes out as down.
    let classes = Timeline::judge(window, &Spans::empty(), &Spans::empty(), exempt);
    let mut rest = periods;
    for stretch in classes.stretches() {
        while let Some(p) = rest.first().filter(|p| p.start < stretch.end) {
            let status = match stretch.class {
                Class::Excluded => None,
                Class::Unknown => Some(Status::Unknown),
                Class::Down | Class::Up => p.status,
            };
            add(&mut laid, p.start.max(stretch.start), p.end.min(stretch.end), status);
            if p.end > stretch.end {
                break;
            }
            rest = &rest[1..];
        }
    }
    laid
}

/// The periods that a judged timeline of beats amounts to, for a device that sends no status.
pub fn periods_of(timeline: &Timeline) -> Vec<Period> {
    let period = |class| match class {
        Class::Excluded => None,
        Class::Unknown => Some(Status::Unknown),
        Class::Down => Some(Status::Offline),
        Class::Up => Some(Status::Online),
    };
    timeline
        .stretches()
        .iter()
        .map(|s| Period {
            start: s.start,
            end: s.end,
            status: period(s.class),
        })
        .collect()
}

fn add(periods: &mut Vec<Period>, start: Instant, end: Instant, status: Option<Status>) {
    match periods.last_mut() {
        _ if start >= end => {}
        Some(last) if last.status == status => last.end = end,
        _ => periods.push(Period { start, end, status }),
    }
}
