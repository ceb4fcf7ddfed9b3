//! Cadence: does a device report as regularly as it should? All sums are whole numbers, so no order changes a bit.

use crate::classes::Timeline;
use crate::codec::{Codec, Reader, Writer, add_tallies};
use crate::error::Result;
use crate::interrupts::interruptible;
use crate::spans::Spans;
use crate::time::{Duration, Instant, SECOND, check_instant};
use crate::times::Times;

/// The distinct beat times of a device, compressed.
#[derive(Debug, Clone, Default)]
pub struct Cadence {
    /// The beats.
    pub times: Times,
}

impl Cadence {
    /// Adds a beat.
    pub fn beat(&mut self, at: Instant) -> Result<()> {
        self.times.insert(check_instant(at)?)
    }

    /// Adds all beats of another.
    pub fn merge(&mut self, other: &Cadence) -> Result<()> {
        self.times.merge(&other.times)
    }

    /// Bytes in use beyond the structure itself.
    pub fn heap_size(&self) -> usize {
        self.times.heap_size()
    }
}

impl Codec for Cadence {
    const NAME: &'static str = "cadence";
    const LETTER: u8 = b'C';
    const READING: usize = 4;
    const ANSWERING: usize = 320;

    fn write(&self, out: &mut Writer) {
        self.times.write(out);
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        Ok(Self {
            times: Times::read(input)?,
        })
    }
}

/// What tells late and extra gaps from those on time, in unsigned microseconds: three halves of the longest interval fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OnTime {
    /// The least gap of at least 1.5 `T`.
    late: u64,
    /// The least gap of at least `T/4`.
    not_extra: u64,
    /// `T` itself.
    expected: u64,
}

impl OnTime {
    pub(crate) fn of(expected: Duration) -> Self {
        let expected = expected.unsigned_abs();
        Self {
            late: expected + expected.div_ceil(2),
            not_extra: expected.div_ceil(4),
            expected,
        }
    }

    pub(crate) fn is_late(self, gap: Duration) -> bool {
        gap.unsigned_abs() >= self.late
    }

    fn is_extra(self, gap: Duration) -> bool {
        gap.unsigned_abs() < self.not_extra
    }
}

/// How many whole reports fit into a gap beyond the one that ended it: `max(0, ⌊g/T + ½⌋ − 1)`.
fn missed(gap: Duration, expected: u64) -> u64 {
    let (gap, expected) = (i128::from(gap), i128::from(expected));
    u64::try_from((2 * gap + expected) / (2 * expected) - 1).unwrap_or(0)
}

/// Moments of the on-time gaps (`T/4 ≤ g < 1.5 T`) and counts of the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rhythm {
    /// On-time gaps.
    pub on_time: u64,
    sum: u128,
    squares: u128,
    pairs: u64,
    differences: u128,
    /// Reports that did not come between two that did, where all of that time is up or down.
    pub missed: u64,
    /// Gaps shorter than a quarter of the expected interval.
    pub extra: u64,
}

impl Rhythm {
    /// Adds a gap after another, where that was on time. The gap, where it is on time too.
    #[inline]
    pub(crate) fn note(&mut self, gap: Duration, previous: Option<Duration>, on_time: OnTime) -> Option<Duration> {
        if on_time.is_late(gap) {
            self.missed = add_tallies(self.missed, missed(gap, on_time.expected));
            return None;
        }
        if on_time.is_extra(gap) {
            self.extra = add_tallies(self.extra, 1);
            return None;
        }
        let g = u128::from(gap.unsigned_abs());
        self.on_time += 1;
        self.sum = self.sum.saturating_add(g);
        self.squares = self.squares.saturating_add(g * g);
        if let Some(previous) = previous {
            self.note_pair(previous, gap);
        }
        Some(gap)
    }

    /// Adds two neighbouring on-time gaps.
    pub(crate) fn note_pair(&mut self, one: Duration, next: Duration) {
        self.pairs += 1;
        self.differences = self.differences.saturating_add(u128::from(next.abs_diff(one)));
    }

    /// Adds all of another, none of whose gaps touches one of these.
    pub(crate) fn add(&mut self, other: &Rhythm) {
        self.on_time = add_tallies(self.on_time, other.on_time);
        self.sum = self.sum.saturating_add(other.sum);
        self.squares = self.squares.saturating_add(other.squares);
        self.pairs = add_tallies(self.pairs, other.pairs);
        self.differences = self.differences.saturating_add(other.differences);
        self.missed = add_tallies(self.missed, other.missed);
        self.extra = add_tallies(self.extra, other.extra);
    }

    /// How many gaps were not late.
    pub(crate) fn gaps(&self) -> u64 {
        add_tallies(self.on_time, self.extra)
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        for tally in [self.on_time, self.pairs, self.missed, self.extra] {
            out.unsigned(tally);
        }
        for sum in [self.sum, self.squares, self.differences] {
            out.unsigned(sum as u64);
            out.unsigned((sum >> 64) as u64);
        }
    }

    pub(crate) fn read(input: &mut Reader<'_>) -> Result<Self> {
        let mut tally = || input.tally();
        let (on_time, pairs, missed, extra) = (tally()?, tally()?, tally()?, tally()?);
        let mut sum = || Ok(u128::from(input.unsigned()?) | u128::from(input.unsigned()?) << 64);
        let (sum, squares, differences) = (sum()?, sum()?, sum()?);
        // No gap is zero.
        if sum < u128::from(on_time) || pairs > on_time.saturating_sub(1) {
            return Err(input.fail("gaps on time do not add up"));
        }
        Ok(Self {
            on_time,
            sum,
            squares,
            pairs,
            differences,
            missed,
            extra,
        })
    }

    /// Goh and Barabási's burstiness, negated and clamped: 1 is clockwork, 0 is Poisson or worse.
    pub fn regularity(&self) -> Option<f64> {
        if self.on_time < 3 {
            return None;
        }
        // σ/μ = √(nΣg² − (Σg)²) / Σg: exact in whole numbers until the root.
        let n = u128::from(self.on_time);
        let spread = match (n.checked_mul(self.squares), self.sum.checked_mul(self.sum)) {
            (Some(nq), Some(ss)) => nq.saturating_sub(ss) as f64,
            _ => (n as f64 * self.squares as f64 - self.sum as f64 * self.sum as f64).max(0.0),
        };
        let r = spread.sqrt() / self.sum as f64;
        Some(((1.0 - r) / (1.0 + r)).clamp(0.0, 1.0))
    }

    /// Mean absolute difference of neighbouring on-time gaps, in seconds.
    pub fn jitter(&self) -> Option<f64> {
        (self.pairs > 0).then(|| self.differences as f64 / self.pairs as f64 / SECOND as f64)
    }
}

/// How consistently a device was active, with the parts that make it up.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Consistency {
    /// Share of the expected reports that came.
    pub completeness: Option<f64>,
    /// How even the distances between reports were.
    pub regularity: Option<f64>,
    /// 1 where the device never changed between up and down, 0 where it did at every report.
    pub stability: Option<f64>,
    /// Geometric mean of the parts that are known.
    pub consistency: Option<f64>,
    /// Mean absolute difference of neighbouring gaps, in seconds.
    pub jitter: Option<f64>,
    /// Reports that did not come between two that did, while the device was up or down.
    pub missed_beats: u64,
    /// Reports that came much too early.
    pub extra_beats: u64,
}

/// Judges the gaps between the beats of a window whose four classes are known: their rhythm, the time that reports were lost,
/// and how many did not come.
pub(crate) fn consistency(
    rhythm: &Rhythm,
    lost: &Spans,
    missed: u64,
    timeline: &Timeline,
    expected: Duration,
) -> Consistency {
    let eligible = timeline.eligible();
    let eligible_time = eligible.total();
    let lost: Duration = interruptible(lost.as_slice()).map(|s| eligible.overlap(s.0, s.1)).sum();
    let share = |part: f64| (eligible_time > 0).then(|| 1.0 - (part / eligible_time as f64).min(1.0));
    let completeness = share(lost as f64);
    let stability = share(timeline.transitions() as f64 * expected as f64);
    let regularity = rhythm.regularity();
    let parts: Vec<f64> = [completeness, regularity, stability].into_iter().flatten().collect();
    let product: f64 = parts.iter().product();
    Consistency {
        completeness,
        regularity,
        stability,
        consistency: (!parts.is_empty()).then(|| product.powf(1.0 / parts.len() as f64)),
        jitter: rhythm.jitter(),
        missed_beats: missed,
        extra_beats: rhythm.extra,
    }
}

/// How the beats of one device are to be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expectation {
    /// The interval at which reports are expected.
    pub interval: Duration,
    /// How long a beat proves the device alive.
    pub liveness: Duration,
}

impl Expectation {
    /// How far before a window a beat may lie and still matter in it.
    pub fn look_back(&self) -> Duration {
        self.liveness.max(self.interval.saturating_add(self.interval / 2))
    }
}
