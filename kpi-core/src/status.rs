//! Status samples: each holds until the next one, at most as long as its time-to-live.
//!
//! [`StatusTimeline`] is what they are gathered in, [`StatusHistory`] what is read.

mod history;

use std::fmt;
use std::str::FromStr;

use crate::codec::{Codec, Reader, Writer};
use crate::error::{KpiError, Result};
use crate::interrupts::interruptible;
use crate::samples::kinds::Kinds;
use crate::samples::{Samples, Values};
use crate::time::{Duration, Instant, check_instant};
pub use history::{Period, StatusHistory, overlay, periods_of};

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

    fn of_kind(kind: u8) -> Self {
        Self::ALL[usize::from(kind)]
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

/// The status samples of a device. Each is kept, compressed: one that comes late may fall between any two.
#[derive(Debug, Clone, Default)]
pub struct StatusTimeline {
    samples: Samples<Statuses>,
}

impl StatusTimeline {
    /// Adds a sample. Where two have the same time, the worse status wins, in whatever order they come.
    #[inline]
    pub fn sample(&mut self, at: Instant, status: Status) -> Result<()> {
        self.samples.insert(at, status)
    }

    /// Adds a sample that comes after all others, where there is room for it: nearly always. False, and nothing done, for any
    /// other; it neither allocates nor panics.
    #[inline(always)]
    pub fn sample_in_place(&mut self, at: Instant, status: Status) -> bool {
        self.samples.insert_in_place(at, status)
    }

    /// Adds all samples of another.
    pub fn merge(&mut self, other: &StatusTimeline) -> Result<()> {
        self.samples.merge(&other.samples)
    }

    /// The samples as they are read.
    pub fn history(&self) -> StatusHistory {
        let settled = self.samples.settled();
        StatusHistory::of(settled.times().rows(), settled.values().0.rows())
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// How much the last 21 samples changed, in per cent, newer changes weighing more (Nagios' measure).
    pub fn flapping(&self) -> f64 {
        let recent = self.samples.settled().values().latest(21);
        let changes = recent.windows(2).map(|pair| pair[0] != pair[1]);
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
    #[inline]
    pub fn heap_size(&self) -> usize {
        self.samples.heap_size()
    }
}

/// Statuses in the order of their times: each with how many samples in a row said it.
#[derive(Debug, Clone, Default)]
struct Statuses(Kinds);

impl Statuses {
    /// The last ones, at most so many.
    fn latest(&self, most: usize) -> Vec<Status> {
        let mut latest: Vec<Status> = Vec::new();
        for (kind, n) in interruptible(self.0.rows()) {
            let more = usize::try_from(n).unwrap_or(most).min(most);
            latest.extend(std::iter::repeat_n(Status::of_kind(kind), more));
            latest.drain(..latest.len().saturating_sub(most));
        }
        latest
    }
}

impl Values for Statuses {
    type Value = Status;

    #[inline]
    fn make_room(&mut self) -> Result<()> {
        self.0.make_room()
    }

    #[inline]
    fn has_room(&self) -> bool {
        self.0.has_room()
    }

    #[inline]
    fn push(&mut self, status: Status) {
        self.0.push(status as u8);
    }

    fn append_all(&mut self, other: &Self) -> Result<()> {
        self.0.append_all(&other.0)
    }

    fn last(&self) -> Status {
        Status::of_kind(self.0.last())
    }

    fn iter(&self) -> impl Iterator<Item = Status> {
        self.0.iter().map(Status::of_kind)
    }

    /// Of equal times the worse status counts.
    fn outweighs(one: Status, other: Status) -> bool {
        one > other
    }

    fn heap_size(&self) -> usize {
        self.0.heap_size()
    }

    fn write(&self, out: &mut Writer) {
        out.bytes(&self.0.written());
    }

    fn read(input: &mut Reader<'_>, count: u64) -> Result<Option<Self>> {
        let read = Kinds::of_bytes(input.bytes()?);
        let known = |kinds: &Kinds| kinds.rows().all(|row| usize::from(row.0) < Status::ALL.len());
        Ok(read
            .filter(|(kinds, n)| *n == count && known(kinds))
            .map(|(kinds, _)| Self(kinds)))
    }
}

impl Codec for StatusTimeline {
    const NAME: &'static str = "status_timeline";
    const LETTER: u8 = b'S';
    const READING: usize = 8;
    const ANSWERING: usize = 96;
    const NEWEST: u8 = 2;

    fn version(&self) -> u8 {
        2
    }

    fn write(&self, out: &mut Writer) {
        self.samples.write(out);
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        match input.version {
            1 => one_by_one(input),
            _ => Ok(Self {
                samples: Samples::read(input)?,
            }),
        }
    }
}

/// The samples as they were written before they were compressed.
fn one_by_one(input: &mut Reader<'_>) -> Result<StatusTimeline> {
    let mut state = StatusTimeline::default();
    let mut at = 0i64;
    for i in interruptible(0..input.count()?) {
        let t = at.wrapping_add(input.signed()?);
        let code = input.unsigned()?;
        let status = Status::ALL.into_iter().find(|s| *s as u64 == code);
        let status = status.ok_or_else(|| input.fail(format!("{code} is no status")))?;
        if (i > 0 && t <= at) || check_instant(t).is_err() {
            return Err(input.fail("samples are not in order"));
        }
        state.sample(t, status)?;
        at = t;
    }
    Ok(state)
}
