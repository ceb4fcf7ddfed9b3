//! A set of instants, compressed: what a stream of beats is kept as.
//!
//! In order, an instant costs the change of the distance to its predecessor: a byte in a steady stream; two with a jitter in
//! whole milliseconds, up to two seconds of it; with one in microseconds three up to a quarter of a second of it, four up to
//! half a minute. Instants that come late wait in a side list, which is merged when it has grown as long as the rest, so any
//! order costs O(log n) an instant.

use std::borrow::Cow;

use crate::codec::{Reader, Writer};
use crate::error::Result;
use crate::interrupts::{interruptible, sort};
use crate::memory::{self, make_room};
use crate::samples::steps::Steps;
use crate::time::{Instant, check_instant};

/// Late instants that may wait before they are merged.
const SIDE_LIST: usize = 1024;

/// A set of distinct instants.
#[derive(Debug, Clone, Default)]
pub struct Times {
    packed: Steps<false>,
    late: Vec<Instant>,
}

impl Times {
    /// Adds an instant, which must have been checked.
    #[inline]
    pub fn insert(&mut self, t: Instant) -> Result<()> {
        if self.packed.count == 0 || t > self.packed.last {
            self.packed.make_room()?;
            self.packed.append(t);
        } else if t != self.packed.last {
            make_room(&mut self.late, 1)?;
            self.late.push(t);
            if self.late.len() >= SIDE_LIST.max(self.packed.count) {
                self.settle()?;
            }
        }
        Ok(())
    }

    /// Adds all of another set.
    pub fn merge(&mut self, other: &Times) -> Result<()> {
        if other.is_empty() {
            return Ok(());
        }
        if self.is_empty() || other.packed.first > self.packed.last {
            self.packed.append_all(&other.packed)?;
        } else {
            let mut done = Ok(());
            other.packed.for_each(|t| {
                if done.is_ok() {
                    done = self.insert(t);
                }
            });
            done?;
        }
        make_room(&mut self.late, other.late.len())?;
        self.late.extend_from_slice(&other.late);
        if self.late.len() >= SIDE_LIST.max(self.packed.count) {
            self.settle()?;
        }
        Ok(())
    }

    /// Merges the side list, so that the same set has the same form however it came to be.
    pub fn settle(&mut self) -> Result<()> {
        if !self.late.is_empty() {
            // The list itself, and half of it to sort it; packed again, it is no longer than that.
            memory::check(3 * (self.packed.count + self.late.len()) * size_of::<Instant>())?;
            self.packed = of_sorted(&self.to_vec());
            self.late = Vec::new();
        }
        Ok(())
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
        self.packed.heap_size() + self.late.capacity() * size_of::<Instant>()
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        let packed = match self.late.is_empty() {
            true => Cow::Borrowed(&self.packed),
            false => Cow::Owned(of_sorted(&self.to_vec())),
        };
        out.unsigned(packed.count as u64);
        out.bytes(&packed.written());
    }

    pub(crate) fn read(input: &mut Reader<'_>) -> Result<Self> {
        let count = input.unsigned()?;
        let packed = Steps::of_bytes(input.bytes()?, true).ok_or_else(|| input.fail("instants are not in order"))?;
        // They ascend: what the first and the last one keep to, all keep to.
        if packed.count > 0 && (check_instant(packed.first).is_err() || check_instant(packed.last).is_err()) {
            return Err(input.fail("an instant is out of range"));
        }
        if packed.count as u64 != count {
            return Err(input.fail(format!("{count} instants are announced, {} are there", packed.count)));
        }
        Ok(Self {
            packed,
            late: Vec::new(),
        })
    }
}

fn of_sorted(times: &[Instant]) -> Steps<false> {
    let mut packed = Steps::default();
    interruptible(times).for_each(|t| packed.append(*t));
    packed.shrink_to_fit();
    packed
}
