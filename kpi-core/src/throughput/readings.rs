//! What a counter read, compressed.
//!
//! Nearly every counter counts whole numbers, or has up to three decimals: in thousandths those are whole numbers too. Any
//! other float goes by its bits.

use crate::codec::{Reader, Writer};
use crate::error::Result;
use crate::interrupts::interruptible;
use crate::samples::Values;
use crate::samples::kinds::Kinds;
use crate::samples::steps::{Row, Steps};

/// A reading in thousandths.
const THOUSANDTHS: u8 = 0;
/// A reading by its bits.
const BITS: u8 = 1;
/// Whole numbers up to here, all of which are floats, are written in thousandths.
const LARGEST: f64 = 9_007_199_254_740_992.0;

/// Readings in the order of their times.
#[derive(Debug, Clone, Default)]
pub(super) struct Readings {
    /// How each is written.
    kinds: Kinds,
    thousandths: Steps<true>,
    bits: Steps<true>,
}

impl Values for Readings {
    type Value = f64;

    #[inline]
    fn make_room(&mut self) -> Result<()> {
        self.kinds.make_room()?;
        self.thousandths.make_room()?;
        self.bits.make_room()
    }

    #[inline]
    fn has_room(&self) -> bool {
        self.kinds.has_room() && self.thousandths.has_room() && self.bits.has_room()
    }

    fn push(&mut self, value: f64) {
        match thousandths(value) {
            Some(n) => {
                self.kinds.push(THOUSANDTHS);
                self.thousandths.append(n);
            }
            None => {
                self.kinds.push(BITS);
                self.bits.append(value.to_bits() as i64);
            }
        }
    }

    fn append_all(&mut self, other: &Self) -> Result<()> {
        self.kinds.append_all(&other.kinds)?;
        self.thousandths.append_all(&other.thousandths)?;
        self.bits.append_all(&other.bits)
    }

    fn last(&self) -> f64 {
        match self.kinds.last() {
            THOUSANDTHS => of_thousandths(self.thousandths.last),
            _ => f64::from_bits(self.bits.last as u64),
        }
    }

    fn iter(&self) -> impl Iterator<Item = f64> {
        let (mut thousandths, mut bits) = (self.thousandths.iter(), self.bits.iter());
        self.kinds.iter().filter_map(move |kind| match kind {
            THOUSANDTHS => thousandths.next().map(of_thousandths),
            _ => bits.next().map(|bits| f64::from_bits(bits as u64)),
        })
    }

    /// Of equal times the larger one counts: the smaller one was read before it.
    fn outweighs(one: f64, other: f64) -> bool {
        one > other
    }

    fn heap_size(&self) -> usize {
        self.kinds.heap_size() + self.thousandths.heap_size() + self.bits.heap_size()
    }

    fn write(&self, out: &mut Writer) {
        out.bytes(&self.kinds.written());
        out.bytes(&self.thousandths.written());
        out.bytes(&self.bits.written());
    }

    fn read(input: &mut Reader<'_>, count: u64) -> Result<Option<Self>> {
        let (kinds, thousandths, bits) = (input.bytes()?, input.bytes()?, input.bytes()?);
        let read = Kinds::of_bytes(kinds).filter(|k| k.1 == count).and_then(|(kinds, _)| {
            Some(Self {
                kinds,
                thousandths: Steps::of_bytes(thousandths, false)?,
                bits: Steps::of_bytes(bits, false)?,
            })
        });
        Ok(read.filter(Self::makes_sense))
    }
}

impl Readings {
    /// Whether each reading is there and makes sense.
    fn makes_sense(&self) -> bool {
        let rows = |wanted| {
            interruptible(self.kinds.rows())
                .filter(move |row| row.0 == wanted)
                .map(|row| row.1)
        };
        let all_there = rows(THOUSANDTHS).sum::<u64>() == self.thousandths.count as u64
            && rows(BITS).sum::<u64>() == self.bits.count as u64;
        // No row of numbers turns over, so its first and its last are its ends.
        let ends = |row: Row| {
            [
                row.first,
                row.first.wrapping_add(row.step.wrapping_mul(i64::from(row.count) - 1)),
            ]
        };
        let mut whole = interruptible(self.thousandths.rows()).flat_map(ends);
        let mut others = interruptible(self.bits.rows()).flat_map(ends);
        let largest = f64::MAX.to_bits() as i64;
        all_there && whole.all(|n| n >= 0) && others.all(|bits| (0..=largest).contains(&bits))
    }
}

/// A reading in thousandths; none where it is not a whole number of them.
#[inline]
fn thousandths(value: f64) -> Option<i64> {
    let whole = value as i64;
    if whole as f64 == value {
        return (value <= LARGEST).then(|| whole * 1000);
    }
    let n = (value * 1000.0).round() as i64;
    (value < LARGEST / 1000.0 && of_thousandths(n) == value).then_some(n)
}

#[inline]
fn of_thousandths(n: i64) -> f64 {
    if n % 1000 == 0 {
        (n / 1000) as f64
    } else {
        n as f64 / 1000.0
    }
}

#[cfg(test)]
mod tests {
    use super::{Readings, of_thousandths, thousandths};
    use crate::samples::Values;

    #[test]
    fn every_float_comes_back_and_most_are_thousandths() {
        let whole = [
            0.0,
            1.0,
            0.5,
            0.001,
            1234.567,
            1e15,
            9_007_199_254_740_992.0,
            8_796_093_022.207,
        ];
        let others = [
            1.0 / 3.0,
            1e-9,
            5e-324,
            1e300,
            f64::MAX,
            9_007_199_254_740_994.0,
            f64::MIN_POSITIVE,
        ];
        for value in whole {
            assert_eq!(thousandths(value).map(of_thousandths), Some(value));
        }
        for value in others {
            assert_eq!(thousandths(value), None, "{value}");
        }
        let mut readings = Readings::default();
        let all: Vec<f64> = whole.iter().chain(&others).chain(&whole).copied().collect();
        all.iter().for_each(|value| readings.push(*value));
        assert_eq!(readings.iter().collect::<Vec<_>>(), all);
    }
}
