//! A sum of floats that comes out the same in any order.
//!
//! Kept as non-overlapping partial sums whose exact total is the exact total of the inputs (Shewchuk, "Adaptive
//! Precision Floating-Point Arithmetic", 1997, the method behind Python's `math.fsum`); rounded once, at the end.

use crate::codec::{Reader, Writer};
use crate::error::{KpiError, Result};

/// An exact sum.
#[derive(Debug, Clone, Default)]
pub struct ExactSum {
    partials: Vec<f64>,
}

impl ExactSum {
    /// Adds a finite number.
    #[inline]
    pub fn add(&mut self, x: f64) -> Result<()> {
        // What `add_partials` does, for the two usual cases.
        match self.partials.as_mut_slice() {
            // One partial and nothing lost by rounding: whole numbers.
            [only] => {
                let (sum, rest) = two_sum(*only, x);
                if rest == 0.0 && sum.is_finite() {
                    *only = sum;
                    return Ok(());
                }
            }
            // A sum and its rest, to which the number adds without loss: numbers of about the same size.
            [low, high] => {
                let (middle, lost) = two_sum(x, *low);
                let (sum, rest) = two_sum(middle, *high);
                if lost == 0.0 && rest != 0.0 && sum.is_finite() {
                    (*low, *high) = (rest, sum);
                    return Ok(());
                }
            }
            _ => {}
        }
        self.add_partials(x)
    }

    fn add_partials(&mut self, mut x: f64) -> Result<()> {
        let mut kept = 0;
        for i in 0..self.partials.len() {
            let (sum, rest) = two_sum(x, self.partials[i]);
            if rest != 0.0 {
                self.partials[kept] = rest;
                kept += 1;
            }
            x = sum;
        }
        if !x.is_finite() {
            return Err(KpiError::number(
                "sum is out of range for type double precision",
                "Leave out the values near 1.8e308, or scale them.",
            ));
        }
        self.partials.truncate(kept);
        self.partials.push(x);
        Ok(())
    }

    /// Adds all of another sum.
    pub fn merge(&mut self, other: &ExactSum) -> Result<()> {
        other.partials.iter().try_for_each(|x| self.add(*x))
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.partials.is_empty()
    }

    /// The sum, rounded once.
    pub fn value(&self) -> f64 {
        self.canonical().first().copied().unwrap_or(0.0)
    }

    /// Largest first: the rounded sum, then the rounded rest, and so on. Only the exact total decides it.
    fn canonical(&self) -> Vec<f64> {
        let mut rest = self.partials.clone();
        let mut terms = Vec::new();
        loop {
            let head = round(&rest);
            if head == 0.0 {
                return terms;
            }
            terms.push(head);
            let mut less = ExactSum { partials: rest };
            if less.add_partials(-head).is_err() {
                return terms;
            }
            rest = less.partials;
        }
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        let terms = self.canonical();
        out.unsigned(terms.len() as u64);
        terms.into_iter().for_each(|t| out.float(t));
    }

    pub(crate) fn read(input: &mut Reader<'_>) -> Result<Self> {
        let mut sum = Self::default();
        for _ in 0..input.count()? {
            let term = input.float()?;
            sum.add(term).map_err(|e| input.fail(e))?;
        }
        Ok(sum)
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
