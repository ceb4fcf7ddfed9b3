//! Outages: from the first instant of down to the next instant of up, excluded and unknown time not counted.

use crate::classes::{Class, ClassTimes, Timeline};
use crate::interrupts::interruptible;
use crate::spans::Spans;
use crate::time::{Duration, Instant, span};

/// One outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    /// The first instant of down.
    pub started_at: Instant,
    /// The end of the last stretch of down before the next instant of up; none while the outage goes on.
    pub ended_at: Option<Instant>,
    /// The down time inside it.
    pub duration: Duration,
    /// Whether it lasts to the end of the window.
    pub ongoing: bool,
    /// Whether it began before the window, so that it is not one of the window's failures.
    pub began_before: bool,
    /// The last beat seen before it, where beats are the evidence.
    pub last_beat: Option<Instant>,
}

/// The outages of a judged window. `live` tells whether the device was up just before the window.
pub fn outages(timeline: &Timeline, live: &Spans, min_outage: Duration) -> Vec<Outage> {
    let Some((window_start, window_end)) = bounds(timeline) else {
        return Vec::new();
    };
    // Down from the very first instant is a failure of this window only where live time ends exactly there.
    let mut up_before = live.as_slice().binary_search_by_key(&window_start, |s| s.1).is_ok();
    let mut found: Vec<Outage> = Vec::new();
    let mut open: Option<(Outage, Instant)> = None;
    let mut seen_up = false;
    for stretch in interruptible(timeline.judged()) {
        match (stretch.class, &mut open) {
            (Class::Down, Some((outage, last_end))) => {
                outage.duration += span(stretch.start, stretch.end);
                *last_end = stretch.end;
            }
            (Class::Down, None) => {
                up_before &= stretch.start == window_start;
                let outage = Outage {
                    started_at: stretch.start,
                    ended_at: None,
                    duration: span(stretch.start, stretch.end),
                    ongoing: false,
                    began_before: !(seen_up || up_before),
                    last_beat: None,
                };
                open = Some((outage, stretch.end));
            }
            _ => {
                seen_up = true;
                if let Some((outage, last_end)) = open.take() {
                    found.push(Outage {
                        ended_at: Some(last_end),
                        ..outage
                    });
                }
            }
        }
    }
    if let Some((outage, last_end)) = open {
        let ongoing = last_end == window_end;
        found.push(Outage {
            ended_at: (!ongoing).then_some(last_end),
            ongoing,
            ..outage
        });
    }
    found.retain(|o| o.duration >= min_outage);
    found
}

/// How many of them are failures of the window: those that begin inside it.
pub fn failures(found: &[Outage]) -> u64 {
    found.iter().filter(|o| !o.began_before).count() as u64
}

/// What a judged window amounts to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Availability {
    /// How much of the window each class takes.
    pub times: ClassTimes,
    /// Outages that began inside it.
    pub failures: u64,
    /// The longest outage.
    pub longest_outage: Option<Duration>,
}

impl Availability {
    /// Mean up time between failures, `up / failures`; none without failures.
    pub fn mtbf(&self) -> Option<Duration> {
        per_failure(self.times.up, self.failures)
    }

    /// Mean down time of a failure, `down / failures`; none without failures.
    pub fn mttr(&self) -> Option<Duration> {
        per_failure(self.times.down, self.failures)
    }
}

/// Rounded to the microsecond, halves up.
fn per_failure(time: Duration, failures: u64) -> Option<Duration> {
    let n = i128::from(failures);
    (n > 0).then(|| ((2 * i128::from(time) + n) / (2 * n)) as Duration)
}

fn bounds(timeline: &Timeline) -> Option<(Instant, Instant)> {
    let stretches = timeline.stretches();
    Some((stretches.first()?.start, stretches.last()?.end))
}
