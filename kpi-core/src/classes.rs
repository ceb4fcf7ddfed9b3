//! The four classes of time. Every instant of a window is in exactly one, so they add up to the microsecond.

use crate::error::{KpiError, Result};
use crate::interrupts::{Pace, interruptible};
use crate::spans::Spans;
use crate::time::{Duration, Instant, Window, span};

/// What a stretch of time is judged to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Not required to work.
    Excluded,
    /// Required, but nobody was looking, or has not looked for long enough to tell.
    Unknown,
    /// Required, observed for long enough and not working.
    Down,
    /// Required and working.
    Up,
}

impl Class {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Excluded => "excluded",
            Self::Unknown => "unknown",
            Self::Down => "down",
            Self::Up => "up",
        }
    }

    /// The class of a word.
    pub fn named(word: &str) -> Result<Self> {
        let all = [Self::Excluded, Self::Unknown, Self::Down, Self::Up];
        all.into_iter().find(|class| class.as_str() == word).ok_or_else(|| {
            KpiError::parameter(
                format!("class \"{}\" is not known", word.chars().take(63).collect::<String>()),
                "Use one of: excluded, unknown, down, up.",
            )
        })
    }
}

/// A stretch of one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Its first instant.
    pub start: Instant,
    /// The first instant after it.
    pub end: Instant,
    /// Its class.
    pub class: Class,
}

/// The time of a window that does not count for or against a device.
#[derive(Debug, Clone, Default)]
pub struct Exemptions {
    /// Time in which the device is not required to work.
    pub excluded: Spans,
    /// Time in which nobody was looking.
    pub unknown: Spans,
}

/// How much of a window each class takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClassTimes {
    /// Time that was required and working.
    pub up: Duration,
    /// Time that was required, observed for long enough and not working.
    pub down: Duration,
    /// Time that was required and of which nobody can tell.
    pub unknown: Duration,
    /// Time that was not required.
    pub excluded: Duration,
}

impl Exemptions {
    /// What of them lies in the window.
    pub fn clip(&self, window: Window) -> Self {
        Self {
            excluded: self.excluded.clip(window),
            unknown: self.unknown.clip(window),
        }
    }
}

impl ClassTimes {
    /// `up / (up + down)`, none where nothing was observed.
    pub fn ratio(&self) -> Option<f64> {
        let judged = self.eligible();
        (judged > 0).then(|| self.up as f64 / judged as f64)
    }

    /// Time that is up or down.
    pub fn eligible(&self) -> Duration {
        self.up + self.down
    }

    /// Time in which the device had to work, observed or not.
    pub fn required(&self) -> Duration {
        self.up + self.down + self.unknown
    }
}

/// A window cut into stretches that follow each other without gap or overlap, neighbours always of different class.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timeline(Vec<Stretch>);

impl Timeline {
    /// Judges a window by when the device was proven to work. `undecided` is time in which nobody has looked for long enough.
    pub fn judge(window: Window, up: &Spans, undecided: &Spans, exempt: &Exemptions) -> Self {
        let mut timeline = Self::default();
        let mut layers = [
            Layer::new(&exempt.excluded, window),
            Layer::new(up, window),
            Layer::new(&exempt.unknown, window),
            Layer::new(undecided, window),
        ];
        let mut at = window.start;
        let mut pace = Pace::default();
        while at < window.end {
            pace.step();
            let mut next = window.end;
            let mut inside = [false; 4];
            for (layer, inside) in layers.iter_mut().zip(&mut inside) {
                let (covered, until) = layer.at(at);
                *inside = covered;
                next = next.min(until);
            }
            let class = match inside {
                [true, ..] => Class::Excluded,
                // Proof beats ignorance.
                [_, true, ..] => Class::Up,
                [_, _, true, _] | [.., true] => Class::Unknown,
                _ => Class::Down,
            };
            timeline.append(at, next, class);
            at = next;
        }
        timeline
    }

    /// The stretches in order.
    pub fn stretches(&self) -> &[Stretch] {
        &self.0
    }

    /// Adds up each class.
    pub fn times(&self) -> ClassTimes {
        let mut times = ClassTimes::default();
        for s in interruptible(&self.0) {
            let length = span(s.start, s.end);
            match s.class {
                Class::Excluded => times.excluded += length,
                Class::Unknown => times.unknown += length,
                Class::Down => times.down += length,
                Class::Up => times.up += length,
            }
        }
        times
    }

    /// Whether all of the window is up or down.
    pub fn is_eligible(&self) -> bool {
        self.judged().count() == self.0.len()
    }

    /// The judged stretches, excluded and unknown ones skipped.
    pub fn judged(&self) -> impl DoubleEndedIterator<Item = &Stretch> {
        self.0.iter().filter(|s| matches!(s.class, Class::Up | Class::Down))
    }

    /// Changes between up and down, excluded and unknown skipped.
    pub fn transitions(&self) -> u64 {
        let mut judged = interruptible(self.judged()).map(|s| s.class);
        let Some(mut class) = judged.next() else { return 0 };
        judged
            .filter(|next| std::mem::replace(&mut class, *next) != *next)
            .count() as u64
    }

    /// The time that is up or down, as a set.
    pub fn eligible(&self) -> Spans {
        Spans::from_sorted(self.judged().map(|s| (s.start, s.end)))
    }

    fn append(&mut self, start: Instant, end: Instant, class: Class) {
        match self.0.last_mut() {
            Some(last) if last.class == class => last.end = end,
            _ => self.0.push(Stretch { start, end, class }),
        }
    }
}

/// A cursor over one set while a window is swept from left to right.
struct Layer<'a> {
    rest: &'a [(Instant, Instant)],
}

impl<'a> Layer<'a> {
    fn new(spans: &'a Spans, window: Window) -> Self {
        let all = spans.as_slice();
        Self {
            rest: &all[all.partition_point(|s| s.1 <= window.start)..],
        }
    }

    /// Whether the instant is inside, and the next instant at which that changes.
    fn at(&mut self, t: Instant) -> (bool, Instant) {
        while self.rest.first().is_some_and(|s| s.1 <= t) {
            self.rest = &self.rest[1..];
        }
        match self.rest.first() {
            Some(s) if s.0 <= t => (true, s.1),
            Some(s) => (false, s.0),
            None => (false, Instant::MAX),
        }
    }
}
