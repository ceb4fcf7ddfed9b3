//! Whole numbers in about equal steps, compressed: instants, and what counters read.
//!
//! A number costs the change of the distance to its predecessor, usually one to four bytes. A change that is a whole number
//! of thousands is written as such, marked in the lowest bit: most devices know no finer time than a millisecond. Where
//! `REPEATS`, numbers in exactly equal steps share two bytes, a zero and how many they are. No more than 31 of them do, so
//! that a few bytes from outside are never years of work; and beats, which are all read into memory at once, do without.

use std::borrow::Cow;

use crate::codec::{push_varint, take_varint, unzigzag, zigzag};
use crate::error::Result;
use crate::interrupts::Pace;
use crate::memory::make_room;

/// No number takes more bytes, with what was to be written before it.
const MOST_BYTES: usize = 12;
/// So many numbers share two bytes.
const MOST_REPEATS: u8 = 31;

/// Numbers in the order in which they came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Steps<const REPEATS: bool> {
    bytes: Vec<u8>,
    /// How many there are.
    pub(crate) count: usize,
    /// The first one.
    pub(crate) first: i64,
    /// The last one.
    pub(crate) last: i64,
    step: i64,
    /// The last numbers, which came in equal steps and are not written yet.
    repeats: u8,
}

impl<const REPEATS: bool> Steps<REPEATS> {
    /// The same numbers from their bytes; none where those are not exactly what would be written, or where each number had
    /// to be above the one before it and is not.
    pub(crate) fn of_bytes(bytes: &[u8], ascending: bool) -> Option<Self> {
        let mut steps = Self::default();
        let mut numbers = Iter::<REPEATS>::of(bytes, 0);
        if REPEATS {
            steps.bytes.reserve(bytes.len() + MOST_BYTES);
        }
        let mut pace = Pace::default();
        while let Some(number) = numbers.next() {
            pace.step();
            if ascending && steps.count > 0 && number <= steps.last {
                return None;
            }
            if REPEATS {
                steps.append(number);
                continue;
            }
            if steps.count == 0 {
                steps.first = number;
            }
            steps.last = number;
            steps.count += 1;
        }
        if !REPEATS {
            // There is one way only to write each of them.
            steps.bytes = bytes[..bytes.len() - numbers.rest.len()].to_vec();
            steps.step = numbers.step;
        }
        (*steps.written() == *bytes).then_some(steps)
    }

    /// The bytes that say it all.
    pub(crate) fn written(&self) -> Cow<'_, [u8]> {
        if self.repeats == 0 {
            return Cow::Borrowed(&self.bytes);
        }
        let mut whole = self.clone();
        whole.flush();
        Cow::Owned(whole.bytes)
    }

    /// Makes room for another number.
    #[inline]
    pub(crate) fn make_room(&mut self) -> Result<()> {
        make_room(&mut self.bytes, MOST_BYTES)
    }

    /// Whether another number needs no memory.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        self.bytes.capacity() - self.bytes.len() >= MOST_BYTES
    }

    /// Adds a number. It allocates nothing where there is room.
    #[inline]
    pub(crate) fn append(&mut self, number: i64) {
        let step = number.wrapping_sub(self.last);
        let change = step.wrapping_sub(self.step);
        if REPEATS && change == 0 && self.count > 0 {
            if self.repeats == MOST_REPEATS {
                self.flush();
            }
            self.repeats += 1;
        } else {
            if REPEATS && self.repeats > 0 {
                self.flush();
            }
            push_varint(&mut self.bytes, fold(change));
        }
        if self.count == 0 {
            // The first number is no distance to anything, so the second starts from a distance of zero.
            self.first = number;
        } else {
            self.step = step;
        }
        self.last = number;
        self.count += 1;
    }

    fn flush(&mut self) {
        match std::mem::take(&mut self.repeats) {
            0 => {}
            1 => push_varint(&mut self.bytes, fold(0)),
            n => self.bytes.extend_from_slice(&[0, n]),
        }
    }

    /// Adds all of another. From the third number on, what is written depends on neighbours alone, so it is taken as it is.
    pub(crate) fn append_all(&mut self, other: &Self) -> Result<()> {
        make_room(&mut self.bytes, other.bytes.len() + 3 * MOST_BYTES)?;
        let mut numbers = other.iter();
        let mut taken = 0;
        while let Some(number) = numbers.next() {
            self.append(number);
            taken += 1;
            if taken > 2 && self.repeats == 0 && numbers.same == 0 {
                self.bytes.extend_from_slice(numbers.rest);
                self.count += other.count - taken;
                self.last = other.last;
                self.step = other.step;
                self.repeats = other.repeats;
                break;
            }
        }
        Ok(())
    }

    /// The numbers in order.
    pub(crate) fn iter(&self) -> Iter<'_, REPEATS> {
        Iter::of(&self.bytes, self.repeats)
    }

    /// Takes each number in turn.
    pub(crate) fn for_each(&self, mut take: impl FnMut(i64)) {
        if REPEATS {
            return self.iter().for_each(take);
        }
        let mut rest = self.bytes.as_slice();
        let Some(mut last) = unfold_next(&mut rest) else { return };
        take(last);
        let mut step = 0i64;
        let mut pace = Pace::default();
        while let Some(change) = unfold_next(&mut rest) {
            pace.step();
            step = step.wrapping_add(change);
            last = last.wrapping_add(step);
            take(last);
        }
    }

    /// Bytes in use beyond the structure itself.
    pub(crate) fn heap_size(&self) -> usize {
        self.bytes.capacity()
    }

    /// Gives back what is not used.
    pub(crate) fn shrink_to_fit(&mut self) {
        self.bytes.shrink_to_fit();
    }
}

/// Numbers as they are read.
#[derive(Debug)]
pub(crate) struct Iter<'a, const REPEATS: bool> {
    rest: &'a [u8],
    /// Numbers after these, which are not written.
    pending: u8,
    last: Option<i64>,
    step: i64,
    /// How many more come in equal steps.
    same: u8,
}

impl<'a, const REPEATS: bool> Iter<'a, REPEATS> {
    fn of(rest: &'a [u8], pending: u8) -> Self {
        Self {
            rest,
            pending,
            last: None,
            step: 0,
            same: 0,
        }
    }
}

impl<const REPEATS: bool> Iterator for Iter<'_, REPEATS> {
    type Item = i64;

    #[inline]
    fn next(&mut self) -> Option<i64> {
        if REPEATS && self.same > 0 {
            self.same -= 1;
        } else if self.rest.is_empty() {
            self.same = std::mem::take(&mut self.pending).checked_sub(1)?;
        } else {
            // What is not understood is left where it is.
            let mut rest = self.rest;
            let code = take_varint(&mut rest)?;
            if REPEATS && code == 0 {
                self.same = rest.split_off_first()?.checked_sub(1)?;
                self.rest = rest;
            } else {
                let change = unfold(code)?;
                self.rest = rest;
                self.step = self.step.wrapping_add(change);
                let Some(last) = self.last else {
                    self.step = 0;
                    self.last = Some(change);
                    return self.last;
                };
                self.last = Some(last.wrapping_add(self.step));
                return self.last;
            }
        }
        self.last = Some(self.last?.wrapping_add(self.step));
        self.last
    }
}

#[inline(always)]
fn unfold_next(bytes: &mut &[u8]) -> Option<i64> {
    unfold(take_varint(bytes)?)
}

#[inline]
fn fold(change: i64) -> u128 {
    if change % 1000 == 0 {
        u128::from(zigzag(change / 1000)) << 1 | 1
    } else {
        u128::from(zigzag(change)) << 1
    }
}

#[inline]
fn unfold(code: u128) -> Option<i64> {
    let value = unzigzag(u64::try_from(code >> 1).ok()?);
    if code & 1 == 0 {
        (value % 1000 != 0).then_some(value)
    } else {
        value.checked_mul(1000)
    }
}
