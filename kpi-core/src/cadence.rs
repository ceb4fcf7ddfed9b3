//! Cadence: does a device report as regularly as it should? All sums are whole numbers, so no order changes a bit.

use crate::classes::{Exemptions, Timeline};
use crate::codec::{Codec, Reader, Writer};
use crate::error::Result;
use crate::spans::Spans;
use crate::time::{Duration, Instant, SECOND, Window, check_instant, span};
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
        self.times.insert(check_instant(at)?);
        Ok(())
    }

    /// Adds all beats of another.
    pub fn merge(&mut self, other: &Cadence) {
        self.times.merge(&other.times);
    }

    /// Bytes in use beyond the structure itself.
    pub fn heap_size(&self) -> usize {
        self.times.heap_size()
    }
}

impl Codec for Cadence {
    const NAME: &'static str = "cadence";
    const LETTER: u8 = b'C';

    fn write(&self, out: &mut Writer) {
        self.times.write(out);
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        Ok(Self {
            times: Times::read(input)?,
        })
    }
}

/// The beats that matter for a window.
#[derive(Debug, Clone, Copy)]
pub struct WindowBeats<'a> {
    /// The last beat before the window, where it is near enough to matter.
    pub carry_in: Option<Instant>,
    /// The distinct beats in the window, in order.
    pub beats: &'a [Instant],
    /// The window.
    pub window: Window,
}

impl<'a> WindowBeats<'a> {
    /// Cuts the window's beats out of sorted ones. A beat more than `look_back` before the window does not carry in.
    pub fn cut(sorted: &'a [Instant], window: Window, look_back: Duration) -> Self {
        let first = sorted.partition_point(|t| *t < window.start);
        let after = first + sorted[first..].partition_point(|t| *t < window.end);
        let earliest = window.start.saturating_sub(look_back);
        let carry_in = first.checked_sub(1).map(|i| sorted[i]).filter(|t| *t >= earliest);
        Self {
            carry_in,
            beats: &sorted[first..after],
            window,
        }
    }

    /// The time that the beats prove the device alive, carry-in included.
    pub fn live(&self, liveness: Duration) -> Spans {
        let all = self.carry_in.iter().chain(self.beats);
        Spans::from_sorted(all.map(|b| (*b, b.saturating_add(liveness))))
    }

    /// The time in which expected reports did not come: a gap of at least 1.5 `T` after a beat at `b` loses
    /// `[b + T, next beat)`.
    pub fn lost(&self, expected: Duration) -> Spans {
        let on_time = OnTime::of(expected);
        let mut lost = Spans::empty();
        let mut previous = self.carry_in;
        for next in self.beats.iter().copied().chain([self.window.end]) {
            match previous {
                None => lost.append(self.window.start, next),
                Some(b) if on_time.is_late(span(b, next)) => lost.append(b.saturating_add(expected), next),
                Some(_) => {}
            }
            previous = Some(next);
        }
        lost.clip(self.window)
    }

    /// What the gaps between the window's beats add up to.
    pub fn rhythm(&self, expected: Duration) -> Rhythm {
        let on_time = OnTime::of(expected);
        let mut rhythm = Rhythm::default();
        let mut previous_on_time = None;
        for pair in self.beats.windows(2) {
            let gap = span(pair[0], pair[1]);
            previous_on_time = if on_time.is_late(gap) {
                rhythm.missed += missed(gap, expected);
                None
            } else if on_time.is_extra(gap) {
                rhythm.extra += 1;
                None
            } else {
                rhythm.note_on_time(gap, previous_on_time);
                Some(gap)
            };
        }
        rhythm
    }
}

/// What tells late and extra gaps from those on time, in unsigned microseconds: three halves of the longest interval fit.
#[derive(Debug, Clone, Copy)]
struct OnTime {
    /// The least gap of at least 1.5 `T`.
    late: u64,
    /// The least gap of at least `T/4`.
    not_extra: u64,
}

impl OnTime {
    fn of(expected: Duration) -> Self {
        let expected = expected.unsigned_abs();
        Self {
            late: expected + expected.div_ceil(2),
            not_extra: expected.div_ceil(4),
        }
    }

    fn is_late(self, gap: Duration) -> bool {
        gap.unsigned_abs() >= self.late
    }

    fn is_extra(self, gap: Duration) -> bool {
        gap.unsigned_abs() < self.not_extra
    }
}

/// How many whole reports fit into a gap beyond the one that ended it: `max(0, ⌊g/T + ½⌋ − 1)`.
fn missed(gap: Duration, expected: Duration) -> u64 {
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
    /// Reports that did not come between two that did.
    pub missed: u64,
    /// Gaps shorter than a quarter of the expected interval.
    pub extra: u64,
}

impl Rhythm {
    fn note_on_time(&mut self, gap: Duration, previous: Option<Duration>) {
        let g = u128::from(gap.unsigned_abs());
        self.on_time += 1;
        self.sum += g;
        self.squares = self.squares.saturating_add(g * g);
        if let Some(p) = previous {
            self.pairs += 1;
            self.differences += u128::from(gap.abs_diff(p));
        }
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
    /// Reports that did not come between two that did.
    pub missed_beats: u64,
    /// Reports that came much too early.
    pub extra_beats: u64,
}

/// Judges the beats of a window whose four classes are known.
pub fn consistency(beats: &WindowBeats<'_>, timeline: &Timeline, expected: Duration) -> Consistency {
    let rhythm = beats.rhythm(expected);
    let eligible = timeline.eligible();
    let eligible_time = eligible.total();
    let lost: Duration = beats
        .lost(expected)
        .as_slice()
        .iter()
        .map(|s| eligible.overlap(s.0, s.1))
        .sum();
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
        missed_beats: rhythm.missed,
        extra_beats: rhythm.extra,
    }
}

/// How the beats of one device are to be judged.
#[derive(Debug, Clone, Copy)]
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

/// What beats tell of a window.
#[derive(Debug, Clone)]
pub struct Judged {
    /// The time that they prove the device alive, from before the window on.
    pub live: Spans,
    /// The window in its four classes.
    pub timeline: Timeline,
    /// How consistently the device was active.
    pub consistency: Consistency,
}

/// Judges a window by sorted beats.
pub fn judge_beats(sorted: &[Instant], window: Window, expect: Expectation, exempt: &Exemptions) -> Judged {
    let beats = WindowBeats::cut(sorted, window, expect.look_back());
    let live = beats.live(expect.liveness);
    let timeline = Timeline::judge(window, &live, &Spans::empty(), exempt);
    let consistency = consistency(&beats, &timeline, expect.interval);
    Judged {
        live,
        timeline,
        consistency,
    }
}
