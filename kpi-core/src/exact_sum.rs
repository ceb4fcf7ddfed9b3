//! A sum of floats that comes out the same in any order.
//!
//! Kept as non-overlapping partial sums whose exact total is the exact total of the inputs (Shewchuk, "Adaptive
//! Precision Floating-Point Arithmetic", 1997, the method behind Python's `math.fsum`); rounded once, at the end.
//!
//! Nothing is too large to be added: near the end of floats the sum goes on as one whole number. Only a total that no
//! float holds has no value, and what is taken away from it later gives it one again.

mod wide;

use crate::codec::{Reader, Writer};
use crate::error::Result;
use wide::Wide;

/// 2^960. So many of such numbers do not come together that their sum would not be a float.
const LARGE: f64 = f64::from_bits((1023 + 960) << 52);

/// An exact sum.
#[derive(Debug, Clone)]
pub struct ExactSum(Terms);

#[derive(Debug, Clone)]
enum Terms {
    /// What does not overlap, in increasing order; every number was below [`LARGE`].
    Partials(Vec<f64>),
    /// The total, once a number was not.
    Wide(Box<Wide>),
}

impl Default for ExactSum {
    fn default() -> Self {
        Self(Terms::Partials(Vec::new()))
    }
}

impl ExactSum {
    /// Adds a finite number.
    #[inline]
    pub fn add(&mut self, x: f64) {
        let Terms::Partials(partials) = &mut self.0 else {
            return self.add_large(x);
        };
        if x.abs() >= LARGE {
            return self.add_large(x);
        }
        // What `add_to` does, for the two usual cases.
        match partials.as_mut_slice() {
            // One partial and nothing lost by rounding: whole numbers.
            [only] => {
                let (sum, rest) = two_sum(*only, x);
                if rest == 0.0 {
                    *only = sum;
                    return;
                }
            }
            // A sum and its rest, to which the number adds without loss: numbers of about the same size.
            [low, high] => {
                let (middle, lost) = two_sum(x, *low);
                let (sum, rest) = two_sum(middle, *high);
                if lost == 0.0 && rest != 0.0 {
                    (*low, *high) = (rest, sum);
                    return;
                }
            }
            _ => {}
        }
        add_to(partials, x);
    }

    #[cold]
    fn add_large(&mut self, x: f64) {
        self.wide().add(x, 0);
    }

    /// The sum as one whole number.
    fn wide(&mut self) -> &mut Wide {
        if let Terms::Partials(partials) = &self.0 {
            let mut wide = Box::<Wide>::default();
            partials.iter().for_each(|p| wide.add(*p, 0));
            self.0 = Terms::Wide(wide);
        }
        match &mut self.0 {
            Terms::Wide(wide) => wide,
            Terms::Partials(_) => unreachable!("it was made wide"),
        }
    }

    /// Takes its value away for good: something that has none was to be added.
    pub fn spoil(&mut self) {
        self.wide().add(f64::MAX, wide::BEYOND);
    }

    /// Adds all of another sum.
    pub fn merge(&mut self, other: &ExactSum) {
        match &other.0 {
            Terms::Partials(partials) => partials.iter().for_each(|x| self.add(*x)),
            Terms::Wide(wide) => self.wide().merge(wide),
        }
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        matches!(&self.0, Terms::Partials(partials) if partials.is_empty())
    }

    /// The sum, rounded once; none where it is beyond the largest float.
    pub fn value(&self) -> Option<f64> {
        match &self.0 {
            Terms::Partials(partials) => Some(round(partials) + 0.0), // minus zero is zero
            Terms::Wide(wide) => wide.round(),
        }
    }

    /// Largest first: the rounded sum, then the rounded rest, and so on. Only the exact total decides it.
    fn terms(&self) -> Canonical {
        match &self.0 {
            Terms::Partials(partials) => Canonical {
                beyond: Vec::new(),
                terms: canonical(partials.clone()),
            },
            Terms::Wide(wide) => {
                let (beyond, terms) = wide.terms();
                Canonical { beyond, terms }
            }
        }
    }

    /// The oldest form that can say all of it.
    pub(crate) fn form(&self) -> Form {
        match &self.0 {
            Terms::Wide(wide) if wide.round().is_none() => Form::Wide,
            _ => Form::Floats,
        }
    }

    /// Bytes in use beyond the structure itself.
    pub(crate) fn heap_size(&self) -> usize {
        match &self.0 {
            Terms::Partials(partials) => partials.capacity() * size_of::<f64>(),
            Terms::Wide(_) => size_of::<Wide>(),
        }
    }

    /// Writes it so that it can be read again: what is beyond the largest float, only [`Form::Wide`] can say.
    pub(crate) fn write(&self, out: &mut Writer, form: Form) {
        let Canonical { beyond, terms } = self.terms();
        out.unsigned(terms.len() as u64);
        terms.into_iter().for_each(|t| out.float(t));
        if form == Form::Wide {
            out.unsigned(beyond.len() as u64);
            beyond.into_iter().for_each(|t| out.float(t));
        }
    }

    pub(crate) fn read(input: &mut Reader<'_>, form: Form) -> Result<Self> {
        let mut sum = Self::default();
        for _ in 0..input.count()? {
            sum.add(input.float()?);
        }
        if form == Form::Wide {
            for _ in 0..input.count()? {
                let term = input.float()?;
                sum.wide().add(term, wide::BEYOND);
            }
        }
        Ok(sum)
    }
}

/// How a sum is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As floats that add up to it.
    Floats,
    /// As floats, and others to be multiplied by 2^128, that add up to it.
    Wide,
}

/// A total as floats.
struct Canonical {
    /// To be multiplied by 2^128.
    beyond: Vec<f64>,
    terms: Vec<f64>,
}

/// Adds a number to partials, whose sum must stay in the range of floats.
fn add_to(partials: &mut Vec<f64>, mut x: f64) {
    let mut kept = 0;
    for i in 0..partials.len() {
        let (sum, rest) = two_sum(x, partials[i]);
        if rest != 0.0 {
            partials[kept] = rest;
            kept += 1;
        }
        x = sum;
    }
    partials.truncate(kept);
    partials.push(x);
}

fn canonical(mut rest: Vec<f64>) -> Vec<f64> {
    let mut terms = Vec::new();
    loop {
        let head = round(&rest);
        if head == 0.0 {
            return terms;
        }
        terms.push(head);
        add_to(&mut rest, -head);
    }
}

/// The correctly rounded total of non-overlapping partials in increasing order.
fn round(partials: &[f64]) -> f64 {
    let mut terms = partials.iter().rev().copied();
    let Some(mut high) = terms.next() else { return 0.0 };
    let mut low = 0.0;
    for term in terms.by_ref() {
        (high, low) = two_sum(high, term);
        if low != 0.0 {
            break;
        }
    }
    // A tie is broken by what is still to come, not by rounding to even.
    if let Some(next) = terms.find(|t| *t != 0.0)
        && low != 0.0
        && (low < 0.0) == (next < 0.0)
    {
        let doubled = low * 2.0;
        let pushed = high + doubled;
        if pushed - high == doubled {
            return pushed;
        }
    }
    high
}

/// The rounded sum and what rounding lost (Knuth).
#[inline]
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let b_part = sum - a;
    let a_part = sum - b_part;
    (sum, (a - a_part) + (b - b_part))
}
