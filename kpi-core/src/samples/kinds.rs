//! Small numbers, each with how often it comes in a row: statuses, or how a reading is written.

use crate::codec::{push_varint, take_varint};
use crate::error::Result;
use crate::interrupts::{Pace, interruptible};
use crate::memory::make_room;

/// Kinds are below this.
const KINDS: u64 = 8;
/// No row of one kind takes more bytes.
const MOST_BYTES: usize = 10;

/// Kinds in the order in which they came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kinds {
    /// Each row of one kind but the last: how often it comes, and the kind in the lowest three bits.
    bytes: Vec<u8>,
    last: u8,
    /// How often the last one came in a row.
    in_a_row: u64,
}

impl Kinds {
    /// The same from their bytes, and how many there are; none where the bytes are not exactly what would be written.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Option<(Self, u64)> {
        let mut kinds = Self {
            bytes: Vec::with_capacity(bytes.len()),
            ..Self::default()
        };
        let mut count = 0u64;
        let mut rest = bytes;
        let mut pace = Pace::default();
        while !rest.is_empty() {
            pace.step();
            let (kind, n) = take_row(&mut rest)?;
            if n == 0 || (kinds.in_a_row > 0 && kind == kinds.last) {
                return None;
            }
            count = count.checked_add(n)?;
            kinds.push_row(kind, n);
        }
        Some((kinds, count))
    }

    /// The bytes that say it all.
    pub(crate) fn written(&self) -> Vec<u8> {
        let mut whole = self.clone();
        whole.flush();
        whole.bytes
    }

    #[inline]
    pub(crate) fn make_room(&mut self) -> Result<()> {
        make_room(&mut self.bytes, MOST_BYTES)
    }

    /// Whether another one needs no memory.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        self.bytes.capacity() - self.bytes.len() >= MOST_BYTES
    }

    /// Adds one. It allocates nothing where there is room.
    #[inline]
    pub(crate) fn push(&mut self, kind: u8) {
        self.push_row(kind, 1);
    }

    #[inline]
    fn push_row(&mut self, kind: u8, n: u64) {
        if kind == self.last {
            self.in_a_row += n;
            return;
        }
        self.flush();
        (self.last, self.in_a_row) = (kind, n);
    }

    fn flush(&mut self) {
        if self.in_a_row > 0 {
            push_varint(
                &mut self.bytes,
                u128::from(self.in_a_row) * u128::from(KINDS) + u128::from(self.last),
            );
            self.in_a_row = 0;
        }
    }

    /// Adds all of another.
    pub(crate) fn append_all(&mut self, other: &Self) -> Result<()> {
        make_room(&mut self.bytes, other.bytes.len() + 2 * MOST_BYTES)?;
        interruptible(other.rows()).for_each(|(kind, n)| self.push_row(kind, n));
        Ok(())
    }

    /// The last one; zero where there is none.
    pub(crate) fn last(&self) -> u8 {
        self.last
    }

    /// Each kind and how often it comes in a row, in order.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (u8, u64)> {
        let mut rest = self.bytes.as_slice();
        let written = std::iter::from_fn(move || take_row(&mut rest));
        written.chain((self.in_a_row > 0).then_some((self.last, self.in_a_row)))
    }

    /// Each kind in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u8> {
        self.rows()
            .flat_map(|(kind, n)| std::iter::repeat_n(kind, usize::try_from(n).unwrap_or(usize::MAX)))
    }

    /// Bytes in use beyond the structure itself.
    pub(crate) fn heap_size(&self) -> usize {
        self.bytes.capacity()
    }
}

fn take_row(bytes: &mut &[u8]) -> Option<(u8, u64)> {
    let code = take_varint(bytes)?;
    Some((
        (code % u128::from(KINDS)) as u8,
        u64::try_from(code / u128::from(KINDS)).ok()?,
    ))
}
