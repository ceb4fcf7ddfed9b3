//! Response times as a mergeable sketch: DDSketch (Masson, Rim, Lee, VLDB 2019) with a relative error of 1 %.
//!
//! Bins are never collapsed, so that a merge in any order gives the same sketch; the range of floats bounds them (36,000
//! bins at the very most, a few hundred for real devices).

mod bins;

use std::borrow::Cow;

use crate::codec::{Codec, Reader, Writer};
use crate::error::{KpiError, Result};
use crate::exact_sum::{ExactSum, Form};
use bins::Bins;

/// Promised relative error of a percentile.
pub const RELATIVE_ERROR: f64 = 0.01;
/// Ratio of the bounds of a bin, `(1 + α)/(1 − α)`.
const GAMMA: f64 = (1.0 + RELATIVE_ERROR) / (1.0 - RELATIVE_ERROR);
/// `1 / ln γ`.
const PER_LN: f64 = 49.998_333_283_328_33;
/// Values up to this many milliseconds (a picosecond) are one bin with zero.
const SMALLEST: f64 = 1e-9;
/// The bins that a float can fall into.
const BINS: std::ops::RangeInclusive<i64> = -1036..=35_489;

/// How many bins may wait to be counted.
const WAITING: usize = 16;

/// A sketch of response times in milliseconds.
#[derive(Debug, Clone, Default)]
pub struct ResponseSketch {
    /// Bin `k` counts what lies in `(γ^(k−1), γ^k]`.
    bins: Bins,
    zeros: u64,
    count: u64,
    sum: ExactSum,
    range: Option<(f64, f64)>,
    /// Bins still to be counted, and how many of them. Where thousands of sketches are filled in turn, a bin is far away in
    /// memory: the processor fetches several at once.
    waiting: [i32; WAITING],
    waiting_count: usize,
}

impl ResponseSketch {
    /// Adds a response time in milliseconds.
    #[inline]
    pub fn add(&mut self, ms: f64) -> Result<()> {
        if !ms.is_finite() || ms < 0.0 {
            return Err(KpiError::number(
                format!("response time must be finite and not negative, not {ms}"),
                "Give milliseconds; leave out responses that never came, or count them as failed.",
            ));
        }
        self.sum.add(ms);
        match bin_of(ms) {
            Some(bin) => self.note(bin),
            None => self.zeros += 1,
        }
        self.count += 1;
        let ms = ms + 0.0; // minus zero is zero
        self.range = Some(self.range.map_or((ms, ms), |(lo, hi)| (lo.min(ms), hi.max(ms))));
        Ok(())
    }

    /// Notes a value that is no response time: it is not counted, and there is no mean from now on.
    pub fn spoil(&mut self) {
        self.sum.spoil();
    }

    #[inline]
    fn note(&mut self, bin: i32) {
        self.waiting[self.waiting_count] = bin;
        self.waiting_count += 1;
        if self.waiting_count == WAITING {
            self.settle();
        }
    }

    /// Counts the bins that wait.
    fn settle(&mut self) {
        for i in 0..std::mem::take(&mut self.waiting_count) {
            self.bins.add(self.waiting[i], 1);
        }
    }

    /// A settled copy where one is needed: reading never changes a state.
    fn settled(&self) -> Cow<'_, Self> {
        if self.waiting_count == 0 {
            return Cow::Borrowed(self);
        }
        let mut copy = self.clone();
        copy.settle();
        Cow::Owned(copy)
    }

    /// Adds all of another sketch.
    pub fn merge(&mut self, other: &ResponseSketch) -> Result<()> {
        let other = other.settled();
        let count = self
            .count
            .checked_add(other.count)
            .filter(|n| i64::try_from(*n).is_ok());
        let count = count.ok_or_else(|| {
            KpiError::number(
                "there are more response times than a bigint counts",
                "Gather the response times anew from their rows.",
            )
        })?;
        self.settle();
        self.sum.merge(&other.sum);
        self.bins.merge(&other.bins);
        self.zeros += other.zeros;
        self.count = count;
        self.range = match (self.range, other.range) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (a, b) => a.or(b),
        };
        Ok(())
    }

    /// Whether nothing was added, nor was the mean spoiled.
    pub fn is_empty(&self) -> bool {
        self.count == 0 && self.sum.is_empty()
    }

    /// How many response times there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Arithmetic mean in milliseconds, exact; none where the sum is beyond the largest float.
    pub fn mean(&self) -> Option<f64> {
        let sum = self.sum.value().filter(|_| self.count > 0)?;
        Some(sum / self.count as f64)
    }

    /// The shortest, exact.
    pub fn min(&self) -> Option<f64> {
        self.range.map(|r| r.0)
    }

    /// The longest, exact.
    pub fn max(&self) -> Option<f64> {
        self.range.map(|r| r.1)
    }

    /// The value at rank `q (n − 1)`, within 1 % of it; 0 and 1 are minimum and maximum, exact.
    pub fn percentile(&self, q: f64) -> Result<Option<f64>> {
        if !(0.0..=1.0).contains(&q) {
            return Err(KpiError::parameter(
                format!("percentile must be between 0 and 1, not {q}"),
                "Write the 95th percentile as 0.95.",
            ));
        }
        let Some((lo, hi)) = self.range else { return Ok(None) };
        if q == 0.0 || q == 1.0 {
            return Ok(Some(if q == 0.0 { lo } else { hi }));
        }
        let rank = q * (self.count - 1) as f64;
        let settled = self.settled();
        let mut seen = self.zeros;
        if seen as f64 > rank {
            return Ok(Some(lo));
        }
        for (bin, n) in settled.bins.iter() {
            seen += n;
            if seen as f64 > rank {
                let value = upper_bound(bin) * 2.0 / (GAMMA + 1.0);
                return Ok(Some(value.clamp(lo, hi)));
            }
        }
        Ok(Some(hi))
    }

    /// How many response times were at most this long, to the precision of the sketch.
    pub fn count_up_to(&self, ms: f64) -> u64 {
        let Some(limit) = bin_of(ms) else {
            return if ms >= 0.0 { self.zeros } else { 0 };
        };
        let settled = self.settled();
        let up_to = settled.bins.iter().take_while(|b| b.0 <= limit);
        self.zeros + up_to.map(|b| b.1).sum::<u64>()
    }

    /// The counts behind an Apdex score.
    pub fn apdex_counts(&self, target: f64, failed: u64) -> Result<ApdexCounts> {
        if !target.is_finite() || target <= 0.0 {
            return Err(KpiError::parameter(
                format!("Apdex target must be positive, not {target}"),
                "Give the target response time in milliseconds, such as 200.",
            ));
        }
        let satisfied = self.count_up_to(target);
        let tolerating = self.count_up_to(4.0 * target) - satisfied;
        Ok(ApdexCounts {
            satisfied,
            tolerating,
            total: self.count + failed,
        })
    }

    /// Bytes in use beyond the structure itself.
    pub fn heap_size(&self) -> usize {
        self.bins.heap_size() + self.sum.heap_size()
    }

    /// The oldest form of sums that can say this one.
    pub(crate) fn form(&self) -> Form {
        self.sum.form()
    }

    pub(crate) fn write_into(&self, out: &mut Writer, form: Form) {
        out.unsigned(self.count);
        if form == Form::Wide {
            self.sum.write(out, form);
        }
        let Some((lo, hi)) = self.range else { return };
        out.float(lo);
        out.float(hi);
        if form == Form::Floats {
            self.sum.write(out, form);
        }
        out.unsigned(self.zeros);
        let settled = self.settled();
        out.unsigned(settled.bins.iter().count() as u64);
        let mut at = 0;
        for (bin, n) in settled.bins.iter() {
            out.signed(i64::from(bin - at));
            out.unsigned(n);
            at = bin;
        }
    }

    pub(crate) fn read_from(input: &mut Reader<'_>, form: Form) -> Result<Self> {
        let mut state = Self {
            count: input.tally()?,
            ..Self::default()
        };
        if form == Form::Wide {
            state.sum = ExactSum::read(input, form)?;
        }
        if state.count == 0 {
            return Ok(state);
        }
        let range = (input.float()?, input.float()?);
        if !(0.0 <= range.0 && range.0 <= range.1) {
            return Err(input.fail("minimum and maximum do not fit"));
        }
        state.range = Some(range);
        if form == Form::Floats {
            state.sum = ExactSum::read(input, form)?;
        }
        state.zeros = input.unsigned()?;
        let mut total = Some(state.zeros);
        let mut counts = Vec::with_capacity(input.count()?);
        let mut at = 0i64;
        for i in 0..counts.capacity() {
            let step = input.signed()?;
            at = at.saturating_add(step);
            let n = input.unsigned()?;
            let in_range = BINS.contains(&at);
            if !in_range || (i > 0 && step <= 0) || n == 0 {
                return Err(input.fail("bins are not in order"));
            }
            counts.push((at as i32, n));
            total = total.and_then(|t| t.checked_add(n));
        }
        if total != Some(state.count) {
            return Err(input.fail("bins do not add up to the count"));
        }
        state.bins = Bins::of(counts);
        Ok(state)
    }
}

/// How many communications satisfied, were tolerated, and took place at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ApdexCounts {
    /// Up to the target.
    pub satisfied: u64,
    /// Up to four times the target.
    pub tolerating: u64,
    /// All, failed ones among them.
    pub total: u64,
}

impl ApdexCounts {
    /// The score in [0, 1]; none without communications.
    pub fn score(&self) -> Option<f64> {
        (self.total > 0).then(|| (self.satisfied as f64 + self.tolerating as f64 / 2.0) / self.total as f64)
    }
}

/// The bin of a value; none for those that count as zero.
#[inline]
fn bin_of(ms: f64) -> Option<i32> {
    (ms > SMALLEST).then(|| {
        // Rounded up by hand: without SSE 4.1, which a package cannot count on, `ceil` is a call.
        let exact = ms.ln() * PER_LN;
        let bin = exact as i32;
        bin.saturating_add(i32::from(exact > f64::from(bin)))
    })
}

fn upper_bound(bin: i32) -> f64 {
    (f64::from(bin) / PER_LN).exp()
}

impl Codec for ResponseSketch {
    const NAME: &'static str = "response_sketch";
    const LETTER: u8 = b'R';
    const READING: usize = 16;
    const ANSWERING: usize = 24;
    const NEWEST: u8 = 2;

    fn version(&self) -> u8 {
        match self.form() {
            Form::Floats => 1,
            Form::Wide => 2,
        }
    }

    fn write(&self, out: &mut Writer) {
        self.write_into(out, self.form());
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        let form = if input.version == 1 { Form::Floats } else { Form::Wide };
        Self::read_from(input, form)
    }
}
