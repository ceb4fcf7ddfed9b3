//! Throughput: a sum of amounts, or of a counter's increases.

use std::str::FromStr;

use crate::codec::{Codec, Reader, Writer};
use crate::error::{KpiError, Result};
use crate::exact_sum::ExactSum;
use crate::time::{Instant, Window, check_instant, seconds};

/// How a stream of amounts is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AmountKind {
    /// Each value is an amount of its own.
    #[default]
    Delta,
    /// Each value is a running total; a decrease is a reset to zero.
    Counter,
}

impl FromStr for AmountKind {
    type Err = KpiError;

    fn from_str(word: &str) -> Result<Self> {
        match word {
            "delta" => Ok(Self::Delta),
            "counter" => Ok(Self::Counter),
            _ => Err(KpiError::parameter(
                format!(
                    "amount kind \"{}\" is not known",
                    word.chars().take(40).collect::<String>()
                ),
                "Use 'delta' for amounts, 'counter' for running totals.",
            )),
        }
    }
}

/// Amounts added up. Counters keep their samples, since an increase is only known once all samples are in order.
#[derive(Debug, Clone, Default)]
pub struct Throughput {
    amounts: ExactSum,
    counter: Vec<(Instant, f64)>,
}

impl Throughput {
    /// Adds a sample.
    pub fn add(&mut self, at: Instant, value: f64, kind: AmountKind) -> Result<()> {
        check_instant(at)?;
        if !value.is_finite() || value < 0.0 {
            return Err(KpiError::number(
                format!("amount must be finite and not negative, not {value}"),
                "For a running total that may fall back to zero use the kind 'counter'.",
            ));
        }
        match kind {
            AmountKind::Delta => self.amounts.add(value)?,
            AmountKind::Counter => self.counter.push((at, value)),
        }
        Ok(())
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: &Throughput) -> Result<()> {
        self.amounts.merge(&other.amounts)?;
        self.counter.extend_from_slice(&other.counter);
        Ok(())
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.amounts.is_empty() && self.counter.is_empty()
    }

    /// The counter's samples in order; of equal times the larger value counts.
    fn in_order(&self) -> Vec<(Instant, f64)> {
        let mut samples = self.counter.clone();
        samples.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)));
        samples.dedup_by_key(|s| s.0);
        samples
    }

    /// All amounts and increases.
    pub fn total(&self) -> Result<f64> {
        self.total_since(None)
    }

    /// All amounts and increases, the increase since an earlier sample of the counter among them.
    pub fn total_since(&self, before: Option<(Instant, f64)>) -> Result<f64> {
        let mut total = self.amounts.clone();
        let samples: Vec<f64> = before.into_iter().chain(self.in_order()).map(|s| s.1).collect();
        for pair in samples.windows(2) {
            // A counter that fell was set to zero in between. Taken away first, no sum on the way exceeds the total.
            if pair[1] >= pair[0] {
                total.add(-pair[0])?;
            }
            total.add(pair[1])?;
        }
        Ok(total.value())
    }

    /// The counter's last sample.
    pub fn last_sample(&self) -> Option<(Instant, f64)> {
        self.in_order().last().copied()
    }

    /// How often the counter fell.
    pub fn resets(&self) -> u64 {
        self.in_order().windows(2).filter(|pair| pair[1].1 < pair[0].1).count() as u64
    }

    /// Amount a second of the window.
    pub fn rate(&self, window: Window) -> Result<f64> {
        Ok(self.total()? / seconds(window.length()))
    }

    /// Bytes in use beyond the structure itself.
    pub fn heap_size(&self) -> usize {
        self.counter.capacity() * size_of::<(Instant, f64)>()
    }

    pub(crate) fn write_into(&self, out: &mut Writer) {
        self.amounts.write(out);
        let samples = self.in_order();
        out.unsigned(samples.len() as u64);
        let mut at = 0i64;
        for (t, value) in samples {
            out.signed(t.wrapping_sub(at));
            out.float(value);
            at = t;
        }
    }

    pub(crate) fn read_from(input: &mut Reader<'_>) -> Result<Self> {
        let mut state = Self {
            amounts: ExactSum::read(input)?,
            counter: Vec::new(),
        };
        let mut at = 0i64;
        for i in 0..input.count()? {
            let t = at.wrapping_add(input.signed()?);
            let value = input.float()?;
            if (i > 0 && t <= at) || check_instant(t).is_err() || value < 0.0 {
                return Err(input.fail("samples are not in order"));
            }
            state.counter.push((t, value));
            at = t;
        }
        Ok(state)
    }
}

impl Codec for Throughput {
    const NAME: &'static str = "throughput";
    const LETTER: u8 = b'T';

    fn write(&self, out: &mut Writer) {
        self.write_into(out);
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        Self::read_from(input)
    }
}
