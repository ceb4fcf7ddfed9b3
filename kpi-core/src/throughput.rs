//! Throughput: a sum of amounts, or of a counter's increases.

mod readings;

use std::borrow::Cow;
use std::str::FromStr;

use crate::codec::{Codec, Reader, Writer};
use crate::error::{KpiError, Result};
use crate::exact_sum::{ExactSum, Form};
use crate::interrupts::interruptible;
use crate::samples::Samples;
use crate::time::{Instant, Window, check_instant, seconds};
use readings::Readings;

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

/// Amounts added up. Counters keep their readings, compressed: one that comes late may fall between any two.
#[derive(Debug, Clone, Default)]
pub struct Throughput {
    amounts: ExactSum,
    /// Few streams are of a counter, and reports have very many of this.
    counter: Option<Box<Samples<Readings>>>,
}

impl Throughput {
    /// Adds a sample.
    pub fn add(&mut self, at: Instant, value: f64, kind: AmountKind) -> Result<()> {
        check_instant(at)?;
        if !value.is_finite() || value < 0.0 {
            return Err(not_an_amount(value, kind));
        }
        match kind {
            AmountKind::Delta => {
                self.amounts.add(value);
                Ok(())
            }
            // Minus zero is zero.
            AmountKind::Counter => self.counter.get_or_insert_default().insert(at, value + 0.0),
        }
    }

    /// Notes a value that is no amount: there is no total from now on.
    pub fn spoil(&mut self) {
        self.amounts.spoil();
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: &Throughput) -> Result<()> {
        self.amounts.merge(&other.amounts);
        match &other.counter {
            Some(counter) => self.counter.get_or_insert_default().merge(counter),
            None => Ok(()),
        }
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.amounts.is_empty() && self.counter.is_none()
    }

    /// The counter's readings, of which nothing waits.
    fn settled(&self) -> Option<Cow<'_, Samples<Readings>>> {
        self.counter.as_deref().map(Samples::settled)
    }

    /// All amounts and increases; none where they are beyond the largest float.
    pub fn total(&self) -> Option<f64> {
        self.total_since(None)
    }

    /// All amounts and increases, the increase since an earlier sample of the counter among them; none where they are beyond
    /// the largest float.
    pub fn total_since(&self, before: Option<(Instant, f64)>) -> Option<f64> {
        let mut total = self.amounts.clone();
        let mut last = before.map(|sample| sample.1);
        if let Some(counter) = self.settled() {
            for (_, value) in interruptible(counter.iter()) {
                if let Some(last) = last {
                    // A counter that fell was set to zero in between.
                    if value >= last {
                        total.add(-last);
                    }
                    total.add(value);
                }
                last = Some(value);
            }
        }
        total.value()
    }

    /// The counter's last sample.
    pub fn last_sample(&self) -> Option<(Instant, f64)> {
        self.settled().and_then(|counter| counter.last())
    }

    /// How often the counter fell.
    pub fn resets(&self) -> u64 {
        let Some(counter) = self.settled() else { return 0 };
        let mut last = 0.0;
        let falls = interruptible(counter.iter()).filter(|(_, value)| *value < std::mem::replace(&mut last, *value));
        falls.count() as u64
    }

    /// Amount a second of the window; none where it is beyond the largest float.
    pub fn rate(&self, window: Window) -> Option<f64> {
        let rate = self.total()? / seconds(window.length());
        rate.is_finite().then_some(rate)
    }

    /// Bytes in use beyond the structure itself.
    pub fn heap_size(&self) -> usize {
        let counter = self.counter.as_deref();
        self.amounts.heap_size() + counter.map_or(0, |counter| size_of_val(counter) + counter.heap_size())
    }

    /// The oldest form that can say all of it.
    pub(crate) fn form(&self) -> Form {
        match self.counter {
            Some(_) => Form::Wide,
            None => self.amounts.form(),
        }
    }

    pub(crate) fn write_into(&self, out: &mut Writer, form: Form) {
        self.amounts.write(out, form);
        match self.counter.as_deref() {
            Some(counter) => counter.write(out),
            None => out.unsigned(0),
        }
    }

    pub(crate) fn read_from(input: &mut Reader<'_>, form: Form) -> Result<Self> {
        let amounts = ExactSum::read(input, form)?;
        let counter = match form {
            Form::Floats => one_by_one(input)?,
            Form::Wide => Samples::read(input)?,
        };
        Ok(Self {
            amounts,
            counter: (!counter.is_empty()).then(|| Box::new(counter)),
        })
    }
}

/// The readings as they were written before they were compressed.
fn one_by_one(input: &mut Reader<'_>) -> Result<Samples<Readings>> {
    let mut readings = Samples::default();
    let mut at = 0i64;
    for i in interruptible(0..input.count()?) {
        let t = at.wrapping_add(input.signed()?);
        let value = input.float()?;
        if (i > 0 && t <= at) || check_instant(t).is_err() || value < 0.0 {
            return Err(input.fail("samples are not in order"));
        }
        readings.insert(t, value + 0.0)?;
        at = t;
    }
    Ok(readings)
}

#[cold]
fn not_an_amount(value: f64, kind: AmountKind) -> KpiError {
    let hint = match kind {
        AmountKind::Delta => "For a running total that may fall back to zero use the kind 'counter'.",
        AmountKind::Counter => "A running total begins at zero and falls back to zero: leave out what else was read.",
    };
    KpiError::number(format!("amount must be finite and not negative, not {value}"), hint)
}

impl Codec for Throughput {
    const NAME: &'static str = "throughput";
    const LETTER: u8 = b'T';
    const READING: usize = 8;
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
