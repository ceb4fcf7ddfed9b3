//! Samples of one thing, one an instant, compressed: status samples, and the readings of a counter.
//!
//! Every sample is kept, since one that comes late may fall between any two. What that takes is little: two bytes for up
//! to 31 samples in equal steps, one to four for the time of any other. Samples that come late wait aside, and so do whole lists that
//! another process gathered; all are merged together, so any order costs O(log n) a sample. Nothing is ever laid out sample
//! by sample, so that memory keeps to what came in.

pub(crate) mod kinds;
pub(crate) mod steps;

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::codec::{Reader, Writer};
use crate::error::Result;
use crate::interrupts::{Pace, interruptible, sort_unstable_by};
use crate::memory::{self, make_room};
use crate::time::{Instant, check_instant};
use steps::Steps;

/// Samples that may wait, however few the others are.
const WAITING: usize = 1024;

/// What samples say, in the order of their times.
pub(crate) trait Values: Clone + Default {
    /// What one of them says.
    type Value: Copy;

    /// Makes room for another.
    fn make_room(&mut self) -> Result<()>;
    /// Whether another needs no memory.
    fn has_room(&self) -> bool;
    /// Adds one; it allocates nothing where there is room.
    fn push(&mut self, value: Self::Value);
    /// Adds all of another list.
    fn append_all(&mut self, other: &Self) -> Result<()>;
    /// The last one; anything where there is none.
    fn last(&self) -> Self::Value;
    /// All of them.
    fn iter(&self) -> impl Iterator<Item = Self::Value>;
    /// Whether a value is the one that counts, of two at the same instant.
    fn outweighs(one: Self::Value, other: Self::Value) -> bool;
    /// Bytes in use beyond the structure itself.
    fn heap_size(&self) -> usize;
    /// Writes them.
    fn write(&self, out: &mut Writer);
    /// Reads so many; none where the bytes are not what would be written.
    fn read(input: &mut Reader<'_>, count: u64) -> Result<Option<Self>>;
}

/// Samples in order.
#[derive(Debug, Clone, Default)]
struct Ordered<V> {
    times: Steps<true>,
    values: V,
}

impl<V: Values> Ordered<V> {
    fn push(&mut self, (at, value): (Instant, V::Value)) {
        self.times.append(at);
        self.values.push(value);
    }

    /// From samples in any order.
    fn of(mut samples: Vec<(Instant, V::Value)>) -> Self {
        sort_unstable_by(&mut samples, |a, b| {
            a.0.cmp(&b.0)
                .then_with(|| V::outweighs(b.1, a.1).cmp(&V::outweighs(a.1, b.1)))
        });
        samples.dedup_by_key(|sample| sample.0);
        let mut ordered = Self::default();
        interruptible(samples).for_each(|sample| ordered.push(sample));
        ordered
    }

    /// The samples of both.
    fn united(&self, other: &Self) -> Self {
        let (mut one, mut two) = (self.iter().peekable(), other.iter().peekable());
        let mut all = Self::default();
        let mut pace = Pace::default();
        while let (Some(a), Some(b)) = (one.peek(), two.peek()) {
            pace.step();
            let next = match a.0.cmp(&b.0) {
                Ordering::Less => one.next(),
                Ordering::Greater => two.next(),
                Ordering::Equal if V::outweighs(b.1, a.1) => one.next().and(two.next()),
                Ordering::Equal => two.next().and(one.next()),
            };
            next.into_iter().for_each(|sample| all.push(sample));
        }
        interruptible(one.chain(two)).for_each(|sample| all.push(sample));
        all
    }

    fn iter(&self) -> impl Iterator<Item = (Instant, V::Value)> {
        self.times.iter().zip(self.values.iter())
    }

    fn heap_size(&self) -> usize {
        self.times.heap_size() + self.values.heap_size()
    }
}

/// Samples in whatever order they came.
#[derive(Debug, Clone)]
pub(crate) struct Samples<V: Values> {
    ordered: Ordered<V>,
    late: Vec<(Instant, V::Value)>,
    /// Lists that do not begin after the end of all others.
    aside: Vec<Ordered<V>>,
    /// What those take.
    aside_size: usize,
}

impl<V: Values> Default for Samples<V> {
    fn default() -> Self {
        Self {
            ordered: Ordered::default(),
            late: Vec::new(),
            aside: Vec::new(),
            aside_size: 0,
        }
    }
}

impl<V: Values> Samples<V> {
    /// Adds a sample.
    #[inline]
    pub(crate) fn insert(&mut self, at: Instant, value: V::Value) -> Result<()> {
        check_instant(at)?;
        let times = &self.ordered.times;
        if times.count == 0 || at > times.last {
            self.ordered.times.make_room()?;
            self.ordered.values.make_room()?;
            self.ordered.push((at, value));
            return Ok(());
        }
        if at == times.last && !V::outweighs(value, self.ordered.values.last()) {
            return Ok(());
        }
        make_room(&mut self.late, 1)?;
        self.late.push((at, value));
        self.settle_if_many()
    }

    /// Adds a sample that comes after all others, where there is room for it: nearly always. False, and nothing done, for any
    /// other; it neither allocates nor panics.
    #[inline(always)]
    pub(crate) fn insert_in_place(&mut self, at: Instant, value: V::Value) -> bool {
        let times = &self.ordered.times;
        // Such an instant lies after one that was accepted.
        let in_order = times.count > 0 && times.last < at && check_instant(at).is_ok();
        let done = in_order && times.has_room() && self.ordered.values.has_room();
        if done {
            self.ordered.push((at, value));
        }
        done
    }

    /// Adds all of another.
    pub(crate) fn merge(&mut self, other: &Self) -> Result<()> {
        memory::check(2 * other.heap_size())?;
        if self.is_empty() {
            self.clone_from(other);
            return Ok(());
        }
        let times = &self.ordered.times;
        if other.ordered.times.count > 0 {
            if other.ordered.times.first > times.last {
                self.ordered.times.append_all(&other.ordered.times)?;
                self.ordered.values.append_all(&other.ordered.values)?;
            } else {
                self.put_aside(other.ordered.clone())?;
            }
        }
        for list in &other.aside {
            self.put_aside(list.clone())?;
        }
        make_room(&mut self.late, other.late.len())?;
        self.late.extend_from_slice(&other.late);
        self.settle_if_many()
    }

    fn settle_if_many(&mut self) -> Result<()> {
        if self.late.len() >= WAITING.max(self.ordered.times.count) {
            memory::check(3 * self.heap_size())?;
            self.settle();
        }
        Ok(())
    }

    fn put_aside(&mut self, list: Ordered<V>) -> Result<()> {
        make_room(&mut self.aside, 1)?;
        self.aside_size += size_of_val(&list) + list.heap_size();
        self.aside.push(list);
        Ok(())
    }

    /// Merges all that waits, so that the same samples have the same form however they came.
    pub(crate) fn settle(&mut self) {
        if self.is_settled() {
            return;
        }
        let mut lists = std::mem::take(&mut self.aside);
        self.aside_size = 0;
        lists.push(Ordered::of(std::mem::take(&mut self.late)));
        lists.push(std::mem::take(&mut self.ordered));
        // Two by two: each sample is looked at as often as the number of lists can be halved.
        while lists.len() > 1 {
            let odd = if lists.len() % 2 == 1 { lists.pop() } else { None };
            lists = lists
                .chunks(2)
                .map(|pair| pair[0].united(&pair[1]))
                .chain(odd)
                .collect();
        }
        self.ordered = lists.pop().unwrap_or_default();
    }

    fn is_settled(&self) -> bool {
        self.late.is_empty() && self.aside.is_empty()
    }

    /// A settled copy where one is needed: reading never changes a state.
    pub(crate) fn settled(&self) -> Cow<'_, Self> {
        if self.is_settled() {
            return Cow::Borrowed(self);
        }
        let mut copy = self.clone();
        copy.settle();
        Cow::Owned(copy)
    }

    /// The samples in order; nothing may wait.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Instant, V::Value)> {
        debug_assert!(self.is_settled(), "samples are read that are not in order");
        self.ordered.iter()
    }

    /// Their times; nothing may wait.
    pub(crate) fn times(&self) -> &Steps<true> {
        &self.ordered.times
    }

    /// What they say, without their times; nothing may wait.
    pub(crate) fn values(&self) -> &V {
        &self.ordered.values
    }

    /// The last sample; nothing may wait.
    pub(crate) fn last(&self) -> Option<(Instant, V::Value)> {
        let times = &self.ordered.times;
        (times.count > 0).then(|| (times.last, self.ordered.values.last()))
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.ordered.times.count == 0 && self.aside.is_empty()
    }

    /// Bytes in use beyond the structure itself.
    #[inline]
    pub(crate) fn heap_size(&self) -> usize {
        self.ordered.heap_size() + self.aside_size + self.late.capacity() * size_of::<(Instant, V::Value)>()
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        let settled = self.settled();
        let Ordered { times, values } = &settled.ordered;
        out.unsigned(times.count as u64);
        if times.count > 0 {
            out.bytes(&times.written());
            values.write(out);
        }
    }

    pub(crate) fn read(input: &mut Reader<'_>) -> Result<Self> {
        let count = input.tally()?;
        if count == 0 {
            return Ok(Self::default());
        }
        let fail = "samples are not in order, or not written as they would be";
        let times = Steps::of_bytes(input.bytes()?, true).ok_or_else(|| input.fail(fail))?;
        if times.count as u64 != count || check_instant(times.first).is_err() || check_instant(times.last).is_err() {
            return Err(input.fail(format!("{count} samples are announced, {} are there", times.count)));
        }
        let values = V::read(input, count)?.ok_or_else(|| input.fail(fail))?;
        Ok(Self {
            ordered: Ordered { times, values },
            ..Self::default()
        })
    }
}
