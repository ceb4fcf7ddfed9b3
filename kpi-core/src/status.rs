//! Status samples: each holds until the next one, at most as long as its time-to-live.

use std::fmt;
use std::str::FromStr;

use crate::classes::{Class, ClassTimes, Exemptions, Timeline};
use crate::codec::{Codec, Reader, Writer};
use crate::error::{KpiError, Result};
use crate::spans::Spans;
use crate::time::{Duration, Instant, LATEST, Window, check_instant, span};

/// What a device says of itself. Ordered from what loses to what wins where two samples have the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Status {
    /// Nothing is known.
    Unknown,
    /// Working.
    Online,
    /// Working, with difficulty.
    Degraded,
    /// Not working.
    Offline,
    /// Not working, with a fault.
    Error,
    /// Not required to work.
    Maintenance,
}

impl Status {
    /// All of them, in their order.
    pub const ALL: [Status; 6] = [
        Self::Unknown,
        Self::Online,
        Self::Degraded,
        Self::Offline,
        Self::Error,
        Self::Maintenance,
    ];

    /// The status that a word stands for.
    #[inline]
    pub fn of(word: &[u8]) -> Result<Self> {
        Self::known(word).ok_or_else(|| not_known(word))
    }

    /// The same; none for any other word.
    #[inline]
    pub fn known(word: &[u8]) -> Option<Self> {
        match word {
            b"unknown" => Some(Self::Unknown),
            b"online" => Some(Self::Online),
            b"degraded" => Some(Self::Degraded),
            b"offline" => Some(Self::Offline),
            b"error" => Some(Self::Error),
            b"maintenance" => Some(Self::Maintenance),
            _ => None,
        }
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Online => "online",
            Self::Degraded => "degraded",
            Self::Offline => "offline",
            Self::Error => "error",
            Self::Maintenance => "maintenance",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Status {
    type Err = KpiError;

    fn from_str(word: &str) -> Result<Self> {
        Self::of(word.as_bytes())
    }
}

#[cold]
fn not_known(word: &[u8]) -> KpiError {
    let shown: String = String::from_utf8_lossy(word).chars().take(40).collect();
    KpiError::parameter(
        format!("status \"{shown}\" is not known"),
        "Use one of online, degraded, offline, error, maintenance, unknown.",
    )
}

/// How status samples are read.
#[derive(Debug, Clone, Copy)]
pub struct StatusRules {
    /// How long a sample holds at most; none: until the next one.
    pub ttl: Option<Duration>,
    /// Whether a degraded device counts as working.
    pub degraded_counts_up: bool,
}

impl Default for StatusRules {
    fn default() -> Self {
        Self {
            ttl: None,
            degraded_counts_up: true,
        }
    }
}

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

/// The status samples of a device. Samples stay samples: a merge of joined runs would lie.
#[derive(Debug, Clone)]
pub struct StatusTimeline {
    samples: Vec<(Instant, Status)>,
    /// When the last one in the list was: it is asked for every sample, and the list's end lies far away.
    latest: Instant,
    unsorted: bool,
}

impl Default for StatusTimeline {
    fn default() -> Self {
        Self {
            samples: Vec::new(),
            latest: Instant::MIN,
            unsorted: false,
        }
    }
}

impl StatusTimeline {
    /// Adds a sample. Where two have the same time, the worse status wins, in whatever order they come.
    #[inline]
    pub fn sample(&mut self, at: Instant, status: Status) -> Result<()> {
        check_instant(at)?;
        if at == self.latest
            && let Some(last) = self.samples.last_mut()
        {
            last.1 = last.1.max(status);
            return Ok(());
        }
        self.unsorted |= at < self.latest;
        self.latest = at;
        self.samples.push((at, status));
        Ok(())
    }

    /// Adds a sample that comes after all others, where there is room for it: nearly always. False, and nothing done, for any
    /// other; it neither allocates nor panics.
    #[inline(always)]
    pub fn sample_in_place(&mut self, at: Instant, status: Status) -> bool {
        let has_room = self.samples.len() < self.samples.capacity();
        // Such an instant lies after one that was accepted.
        let in_order = self.latest != Instant::MIN && self.latest < at && at < LATEST;
        let done = has_room && in_order;
        if done {
            self.latest = at;
            self.samples.push((at, status));
        }
        done
    }

    /// Adds all samples of another.
    pub fn merge(&mut self, other: &StatusTimeline) {
        if let Some(first) = other.samples.first() {
            self.unsorted |= other.unsorted || first.0 <= self.latest;
            self.latest = other.latest;
            self.samples.extend_from_slice(&other.samples);
        }
    }

    /// The samples in order, one an instant.
    pub fn samples(&self) -> std::borrow::Cow<'_, [(Instant, Status)]> {
        if !self.unsorted {
            return std::borrow::Cow::Borrowed(&self.samples);
        }
        let mut sorted = self.samples.clone();
        sorted.sort();
        // Sorted by time and then by rank: of equal times the last is the worst.
        sorted.reverse();
        sorted.dedup_by_key(|s| s.0);
        sorted.reverse();
        std::borrow::Cow::Owned(sorted)
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// The status at an instant.
    pub fn status_at(&self, t: Instant, ttl: Option<Duration>) -> Status {
        let samples = self.samples();
        let after = samples.partition_point(|s| s.0 <= t);
        let held = after.checked_sub(1).map(|i| samples[i]);
        match held {
            Some((at, status)) if ttl.is_none_or(|ttl| span(at, t) < ttl) => status,
            _ => Status::Unknown,
        }
    }

    /// The window in periods without gap or overlap, neighbours always of different status.
    pub fn periods(&self, window: Window, ttl: Option<Duration>) -> Vec<Period> {
        let mut periods = Vec::new();
        let samples = self.samples();
        let first = samples.partition_point(|s| s.0 <= window.start).saturating_sub(1);
        let mut at = window.start;
        for (i, &(from, status)) in samples.iter().enumerate().skip(first) {
            if from >= window.end {
                break;
            }
            let next = samples.get(i + 1).map_or(window.end, |s| s.0.min(window.end));
            let holds_until = ttl.map_or(next, |ttl| from.saturating_add(ttl).min(next));
            add(&mut periods, at, from, Some(Status::Unknown));
            add(&mut periods, from.max(window.start), holds_until, Some(status));
            add(&mut periods, holds_until.max(window.start), next, Some(Status::Unknown));
            at = next.max(at);
        }
        add(&mut periods, at, window.end, Some(Status::Unknown));
        periods
    }

    /// The window in its four classes.
    pub fn judge(&self, window: Window, rules: StatusRules, exempt: &Exemptions) -> Timeline {
        let periods = self.periods(window, rules.ttl);
        let of = |wanted: &[Status]| {
            let chosen = periods.iter().filter(|p| p.status.is_some_and(|s| wanted.contains(&s)));
            Spans::from_sorted(chosen.map(|p| (p.start, p.end)))
        };
        let up = if rules.degraded_counts_up {
            of(&[Status::Online, Status::Degraded])
        } else {
            of(&[Status::Online])
        };
        let mut excluded = of(&[Status::Maintenance]).as_slice().to_vec();
        excluded.extend_from_slice(exempt.excluded.as_slice());
        let exempt = Exemptions {
            excluded: Spans::union_of(excluded),
            unknown: exempt.unknown.clone(),
        };
        Timeline::judge(window, &up, &of(&[Status::Unknown]), &exempt)
    }

    /// How much of the window each class takes.
    pub fn times(&self, window: Window, rules: StatusRules, exempt: &Exemptions) -> ClassTimes {
        self.judge(window, rules, exempt).times()
    }

    /// The time of the window spent in a status.
    pub fn duration_in(&self, status: Status, window: Window, ttl: Option<Duration>) -> Duration {
        let of = self
            .periods(window, ttl)
            .into_iter()
            .filter(|p| p.status == Some(status));
        of.map(|p| span(p.start, p.end)).sum()
    }

    /// How often the status changed inside the window.
    pub fn transitions(&self, window: Window, ttl: Option<Duration>) -> u64 {
        self.periods(window, ttl).len().saturating_sub(1) as u64
    }

    /// How much the last 21 samples changed, in per cent, newer changes weighing more (Nagios' measure).
    pub fn flapping(&self) -> f64 {
        let samples = self.samples();
        let recent = &samples[samples.len().saturating_sub(21)..];
        let changes = recent.windows(2).map(|pair| pair[0].1 != pair[1].1);
        // With fewer than 21 samples the oldest of the twenty transitions did not happen.
        let first = 21 - recent.len().max(1);
        let weighed = changes
            .enumerate()
            .filter(|c| c.1)
            .map(|(i, _)| 0.75 + (first + i) as f64 * 0.5 / 19.0);
        // A sum of nothing is minus zero.
        weighed.sum::<f64>() * 100.0 / 20.0 + 0.0
    }

    /// Whether the device flaps: starts at 30 per cent, stops at 20, otherwise keeps its state.
    pub fn is_flapping(&self, was_flapping: bool) -> bool {
        let percent = self.flapping();
        percent >= 30.0 || (was_flapping && percent > 20.0)
    }

    /// Bytes in use beyond the structure itself.
    pub fn heap_size(&self) -> usize {
        self.samples.capacity() * size_of::<(Instant, Status)>()
    }
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

impl Codec for StatusTimeline {
    const NAME: &'static str = "status_timeline";
    const LETTER: u8 = b'S';

    fn write(&self, out: &mut Writer) {
        let samples = self.samples();
        out.unsigned(samples.len() as u64);
        let mut at = 0i64;
        for &(t, status) in samples.iter() {
            out.signed(t.wrapping_sub(at));
            out.unsigned(status as u64);
            at = t;
        }
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        let count = input.count()?;
        let mut state = Self {
            samples: Vec::with_capacity(count),
            ..Self::default()
        };
        let mut at = 0i64;
        for i in 0..count {
            let t = at.wrapping_add(input.signed()?);
            let code = input.unsigned()?;
            let status = Status::ALL.into_iter().find(|s| *s as u64 == code);
            let status = status.ok_or_else(|| input.fail(format!("{code} is no status")))?;
            if (i > 0 && t <= at) || check_instant(t).is_err() {
                return Err(input.fail("samples are not in order"));
            }
            state.samples.push((t, status));
            at = t;
            state.latest = t;
        }
        Ok(state)
    }
}
