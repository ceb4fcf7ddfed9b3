//! A list of stretches in which a device was alive: eight bytes for nearly every one, quickly appended to, and handed from
//! one process to another as it lies there.
//!
//! A stretch is one word: the lower half says how long after the end of the one before it begins, the upper half how long
//! after that its last beat was; what follows the last beat is as long as it was for the first stretch. Where one of the
//! three does not fit, and for the first, the word is [`LONG`] and the three follow in a word each.

use super::Live;
use crate::time::{EARLIEST, Instant, LATEST};

const LONG: u64 = u64::MAX;
/// What the first stretch is counted from: no stretch has a distance of zero.
const BEFORE: Instant = EARLIEST - 1;
/// The word that says how long the first stretch goes on after its last beat.
const TAIL: usize = 3;

/// Stretches in the order of time, which neither touch nor overlap.
#[derive(Debug, Clone)]
pub(super) struct Stretches {
    words: Vec<u64>,
    /// Where the last one ends.
    end: Instant,
    /// How long the first one goes on after its last beat; 0, which no stretch has, where there is none. It is the word at
    /// [`TAIL`] too, which lies far from the last word.
    tail: u64,
}

impl Default for Stretches {
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

impl Stretches {
    pub(super) fn with_capacity(words: usize) -> Self {
        Self {
            words: Vec::with_capacity(words),
            end: BEFORE,
            tail: 0,
        }
    }

    /// The list's length in words, for room and for work to come.
    pub(super) fn words(&self) -> usize {
        self.words.len()
    }

    /// An empty list, whose words can be put behind this one's.
    pub(super) fn continued(&self) -> Self {
        Self {
            words: Vec::new(),
            end: self.end,
            tail: self.tail,
        }
    }

    /// Adds a stretch that begins after the end of all there are.
    #[inline]
    pub(super) fn push(&mut self, live: Live) {
        match self.word(live) {
            Some(word) => self.words.push(word),
            None => self.push_long(live),
        }
        self.end = live.end;
    }

    /// Adds it where it is one word and there is room for it; false, and nothing done, elsewhere. It neither allocates nor
    /// panics.
    #[inline]
    pub(super) fn push_in_place(&mut self, live: Live) -> bool {
        let has_room = self.words.len() < self.words.capacity();
        let word = self.word(live).filter(|_| has_room);
        if let Some(word) = word {
            self.words.push(word);
            self.end = live.end;
        }
        word.is_some()
    }

    /// The one word that says it all of a stretch, where one does.
    #[inline]
    fn word(&self, live: Live) -> Option<u64> {
        let [gap, alive, tail] = self.distances(live);
        let word = gap | alive << 32;
        ((gap | alive) >> 32 == 0 && word != LONG && tail == self.tail).then_some(word)
    }

    #[inline]
    fn distances(&self, live: Live) -> [u64; 3] {
        [
            live.start.wrapping_sub(self.end) as u64,
            live.last_beat.wrapping_sub(live.start) as u64,
            live.end.wrapping_sub(live.last_beat) as u64,
        ]
    }

    #[cold]
    fn push_long(&mut self, live: Live) {
        let [gap, alive, tail] = self.distances(live);
        if self.tail == 0 {
            self.tail = tail;
        }
        self.words.extend_from_slice(&[LONG, gap, alive, tail]);
    }

    pub(super) fn iter(&self) -> Iter<'_> {
        Iter {
            words: self.words.iter(),
            end: BEFORE,
            tail: self.tail,
        }
    }

    pub(super) fn shrink_to_fit(&mut self) {
        self.words.shrink_to_fit();
    }

    pub(super) fn heap_size(&self) -> usize {
        self.words.capacity() * size_of::<u64>()
    }

    /// The words as bytes, little-endian.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let length = out.len();
        out.resize(length + 8 * self.words.len(), 0);
        let (places, _) = out[length..].as_chunks_mut::<8>();
        for (place, word) in places.iter_mut().zip(&self.words) {
            *place = word.to_le_bytes();
        }
    }

    /// The list in these bytes, and its last stretch taken out of it; none where they are no list of ours.
    pub(super) fn read(bytes: &[u8]) -> Option<(Self, Live)> {
        let (words, []) = bytes.as_chunks::<8>() else {
            return None;
        };
        let words: Vec<u64> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
        if words.first() != Some(&LONG) {
            return None;
        }
        let tail = words.get(TAIL).copied().unwrap_or_default();
        let mut list = Self {
            words,
            end: BEFORE,
            tail,
        };
        let mut stretches = list.iter();
        let (mut earlier, mut last) = (BEFORE, None);
        let mut length = 0;
        while let left @ 1.. = stretches.words.len() {
            earlier = stretches.end;
            length = list.words.len() - left;
            let live = stretches.next()?;
            if !(earlier < live.start && live.start <= live.last_beat && live.last_beat < live.end) {
                return None;
            }
            last = Some(live);
        }
        list.words.truncate(length);
        list.end = earlier;
        if list.words.is_empty() {
            list.tail = 0;
        }
        Some((list, last.filter(|last| last.end <= LATEST)?))
    }
}

/// The stretches of a list.
pub(super) struct Iter<'a> {
    words: std::slice::Iter<'a, u64>,
    end: Instant,
    tail: u64,
}

impl Iterator for Iter<'_> {
    type Item = Live;

    #[inline]
    fn next(&mut self) -> Option<Live> {
        let (gap, alive, tail) = match *self.words.next()? {
            LONG => (*self.words.next()?, *self.words.next()?, *self.words.next()?),
            short => (short & u64::from(u32::MAX), short >> 32, self.tail),
        };
        let start = self.end.wrapping_add(gap as i64);
        let last_beat = start.wrapping_add(alive as i64);
        self.end = last_beat.wrapping_add(tail as i64);
        Some(Live {
            start,
            end: self.end,
            last_beat,
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.words.len() / 4, Some(self.words.len()))
    }
}
