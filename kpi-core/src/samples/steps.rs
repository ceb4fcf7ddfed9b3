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
        let mut rows = Rows::<REPEATS>::of(bytes, 0);
        if REPEATS {
            steps.bytes.reserve(bytes.len() + MOST_BYTES);
        }
        let mut pace = Pace::default();
        for row in rows.by_ref() {
            pace.step();
            if ascending && steps.count > 0 && row.first <= steps.last {
                return None;
            }
            if !REPEATS {
                if steps.count == 0 {
                    steps.first = row.first;
                }
                steps.last = row.first;
                steps.count += 1;
                continue;
            }
            let more = i128::from(row.step) * i128::from(row.count - 1);
            let last = i64::try_from(i128::from(row.first) + more).ok()?;
            if ascending && last < row.first {
                return None;
            }
            steps.append(row.first);
            steps.repeat(row.count - 1);
        }
        if !REPEATS {
            // There is one way only to write each of them.
            steps.bytes = bytes[..bytes.len() - rows.rest.len()].to_vec();
            steps.step = rows.step;
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

    /// Adds so many more at the distance that the last one has.
    fn repeat(&mut self, times: u8) {
        for _ in 0..times {
            self.append(self.last.wrapping_add(self.step));
        }
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
            if taken > 2 && self.repeats == 0 && numbers.left == 0 {
                self.bytes.extend_from_slice(numbers.rows.rest);
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
        Iter {
            rows: self.rows(),
            next: 0,
            left: 0,
        }
    }

    /// The numbers in order, those in equal steps together.
    pub(crate) fn rows(&self) -> Rows<'_, REPEATS> {
        Rows::of(&self.bytes, self.repeats)
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

/// Numbers in equal steps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    /// The first of them.
    pub(crate) first: i64,
    /// How far the next one is from it.
    pub(crate) step: i64,
    /// How many there are, one at least.
    pub(crate) count: u8,
}

/// Rows of numbers as they are read.
#[derive(Debug)]
pub(crate) struct Rows<'a, const REPEATS: bool> {
    rest: &'a [u8],
    /// Numbers after these, which are not written.
    pending: u8,
    last: Option<i64>,
    step: i64,
}

impl<'a, const REPEATS: bool> Rows<'a, REPEATS> {
    fn of(rest: &'a [u8], pending: u8) -> Self {
        Self {
            rest,
            pending,
            last: None,
            step: 0,
        }
    }

    /// So many numbers in the same steps as before.
    #[inline]
    fn repeated(&mut self, count: u8) -> Option<Row> {
        let last = self.last.filter(|_| count > 0)?;
        let row = Row {
            first: last.wrapping_add(self.step),
            step: self.step,
            count,
        };
        self.last = Some(last.wrapping_add(self.step.wrapping_mul(count.into())));
        Some(row)
    }
}

impl<const REPEATS: bool> Iterator for Rows<'_, REPEATS> {
    type Item = Row;

    #[inline]
    fn next(&mut self) -> Option<Row> {
        if self.rest.is_empty() {
            let pending = std::mem::take(&mut self.pending);
            return self.repeated(pending);
        }
        // What is not understood is left where it is.
        let mut rest = self.rest;
        let code = take_varint(&mut rest)?;
        if REPEATS && code == 0 {
            let count = *rest.split_off_first()?;
            let row = self.repeated(count)?;
            self.rest = rest;
            return Some(row);
        }
        let change = unfold(code)?;
        self.rest = rest;
        let first = match self.last {
            None => change,
            Some(last) => {
                self.step = self.step.wrapping_add(change);
                last.wrapping_add(self.step)
            }
        };
        self.last = Some(first);
        Some(Row {
            first,
            step: self.step,
            count: 1,
        })
    }
}

/// Numbers as they are read, one by one.
#[derive(Debug)]
pub(crate) struct Iter<'a, const REPEATS: bool> {
    rows: Rows<'a, REPEATS>,
    next: i64,
    /// How many of a row are still to come.
    left: u8,
}

impl<const REPEATS: bool> Iterator for Iter<'_, REPEATS> {
    type Item = i64;

    #[inline]
    fn next(&mut self) -> Option<i64> {
        if self.left == 0 {
            let row = self.rows.next()?;
            (self.next, self.left) = (row.first, row.count);
        }
        let number = self.next;
        self.next = number.wrapping_add(self.rows.step);
        self.left -= 1;
        Some(number)
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
