//! A set of instants, compressed: what a stream of beats is kept as.
//!
//! In order, an instant costs the change of the distance to its predecessor, usually one to three bytes. Instants that
//! come late wait in a side list, which is merged when it has grown as long as the rest, so any order costs
//! O(log n) an instant.

use std::borrow::Cow;

use crate::codec::{Reader, Writer, push_varint, take_varint, unzigzag, zigzag};
use crate::error::Result;
use crate::interrupts::{Pace, interruptible, sort};
use crate::time::{Instant, check_instant};

/// Late instants that may wait before they are merged.
const SIDE_LIST: usize = 1024;

/// A set of distinct instants.
#[derive(Debug, Clone, Default)]
pub struct Times {
    packed: Packed,
    late: Vec<Instant>,
}

impl Times {
    /// Adds an instant, which must have been checked.
    #[inline]
    pub fn insert(&mut self, t: Instant) {
        if self.packed.count == 0 || t > self.packed.last {
            self.packed.append(t);
        } else if t != self.packed.last {
            self.late.push(t);
            if self.late.len() >= SIDE_LIST.max(self.packed.count) {
                self.settle();
            }
        }
    }

    /// Adds all of another set.
    pub fn merge(&mut self, other: &Times) {
        if other.is_empty() {
            return;
        }
        if self.is_empty() || other.packed.first > self.packed.last {
            self.packed.append_all(&other.packed);
        } else {
            other.packed.for_each(|t| self.insert(t));
        }
        self.late.extend_from_slice(&other.late);
        if self.late.len() >= SIDE_LIST.max(self.packed.count) {
            self.settle();
        }
    }

    /// Merges the side list, so that the same set has the same form however it came to be.
    pub fn settle(&mut self) {
        if !self.late.is_empty() {
            self.packed = Packed::of_sorted(self.to_vec());
            self.late = Vec::new();
        }
    }

    /// All instants in order.
    pub fn to_vec(&self) -> Vec<Instant> {
        let mut all = Vec::with_capacity(self.packed.count + self.late.len());
        self.packed.for_each(|t| all.push(t));
        if !self.late.is_empty() {
            all.extend_from_slice(&self.late);
            // There are runs: one a metric, where an index gave the rows.
            sort(&mut all);
            all.dedup();
        }
        all
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.packed.count == 0
    }

    /// Bytes in use beyond the structure itself.
    pub fn heap_size(&self) -> usize {
        self.packed.bytes.capacity() + self.late.capacity() * size_of::<Instant>()
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        let packed = match self.late.is_empty() {
            true => Cow::Borrowed(&self.packed),
            false => Cow::Owned(Packed::of_sorted(self.to_vec())),
        };
        out.unsigned(packed.count as u64);
        out.bytes(&packed.bytes);
    }

    pub(crate) fn read(input: &mut Reader<'_>) -> Result<Self> {
        let count = input.unsigned()?;
        let packed = Packed::of_bytes(input.bytes()?).ok_or_else(|| input.fail("instants are not in order"))?;
        if packed.count as u64 != count {
            return Err(input.fail(format!("{count} instants are announced, {} are there", packed.count)));
        }
        Ok(Self {
            packed,
            late: Vec::new(),
        })
    }
}

/// Strictly increasing instants as changes of distance. A change that is a whole number of milliseconds is written as
/// such, marked in the lowest bit: most devices know no finer time.
#[derive(Debug, Clone, Default)]
struct Packed {
    bytes: Vec<u8>,
    count: usize,
    first: Instant,
    last: Instant,
    step: i64,
}

impl Packed {
    fn of_sorted(times: Vec<Instant>) -> Self {
        let mut packed = Self::default();
        interruptible(times).for_each(|t| packed.append(t));
        packed.bytes.shrink_to_fit();
        packed
    }

    /// Validates foreign bytes: they must be exactly what `append` would have written.
    fn of_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self::default());
        }
        let mut rest = bytes;
        let first = check_instant(unfold_next(&mut rest)?).ok()?;
        let (mut last, mut step, mut count) = (first, 0i64, 1);
        let mut pace = Pace::default();
        while !rest.is_empty() {
            pace.step();
            step = step.wrapping_add(unfold_next(&mut rest)?);
            // From one end of time to the other is further than an `i64` counts: the instants are compared, not the step.
            let next = last.wrapping_add(step);
            if next <= last {
                return None;
            }
            last = next;
            count += 1;
        }
        // They ascend: what the last one keeps to, all keep to.
        check_instant(last).ok()?;
        Some(Self {
            bytes: bytes.to_vec(),
            count,
            first,
            last,
            step,
        })
    }

    fn append(&mut self, t: Instant) {
        let step = t.wrapping_sub(self.last);
        let change = step.wrapping_sub(self.step);
        push_varint(&mut self.bytes, fold(change));
        self.note(t, step);
    }

    fn note(&mut self, t: Instant, step: i64) {
        if self.count == 0 {
            // The first instant is no distance to anything, so the second starts from a distance of zero.
            self.first = t;
            self.step = 0;
        } else {
            self.step = step;
        }
        self.last = t;
        self.count += 1;
    }

    /// Adds all of another that begins after the end of this one. From the third instant on, what is written depends on
    /// neighbours alone, so it is taken as it is.
    fn append_all(&mut self, other: &Packed) {
        let mut rest = other.bytes.as_slice();
        let mut at: Instant = 0;
        for _ in 0..other.count.min(2) {
            at = at.wrapping_add(unfold_next(&mut rest).unwrap_or_default());
            self.append(at);
        }
        if other.count > 2 {
            self.bytes.extend_from_slice(rest);
            self.count += other.count - 2;
            self.last = other.last;
            self.step = other.step;
        }
    }

    fn for_each(&self, mut take: impl FnMut(Instant)) {
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
