//! Heartbeats: a beat at `b` proves a device alive on `[b, b + liveness)`; live time is the union of these intervals.
//!
//! Kept as the union itself, so memory grows with the outages and not with the beats, and a merge in any order is
//! right. A beat in order costs O(1), and so does one that repeats what the last stretch already says. Any other beat out
//! of order waits in a side list, which is sorted and merged when it has grown as long as the rest: O(log n) a beat.

use crate::classes::{ClassTimes, Exemptions, Timeline};
use crate::codec::{Codec, Reader, Writer, add_tallies};
use crate::error::{KpiError, Result};
use crate::outages::{Availability, Outage, failures, outages};
use crate::spans::Spans;
use crate::time::{Duration, Instant, LATEST, Window, check_duration, check_instant};

/// Beats out of order that may wait before they are merged.
const SIDE_LIST: usize = 1024;

/// A stretch in which the device was alive throughout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Live {
    start: Instant,
    end: Instant,
    last_beat: Instant,
}

/// The live time that a stream of beats proves.
#[derive(Debug, Clone, Default)]
pub struct Heartbeats {
    live: Vec<Live>,
    side: Vec<Live>,
    beats: u64,
}

impl Heartbeats {
    /// Adds a beat. Every beat has its own liveness, since it may change from row to row.
    #[inline]
    pub fn beat(&mut self, at: Instant, liveness: Duration) -> Result<()> {
        check_instant(at)?;
        check_duration("liveness", liveness)?;
        self.beats += 1;
        let end = at.saturating_add(liveness).min(LATEST);
        let beat = Live {
            start: at,
            end,
            last_beat: at,
        };
        match self.live.last_mut() {
            Some(last) if at >= last.last_beat && at <= last.end => {
                last.last_beat = at;
                last.end = last.end.max(end);
            }
            Some(last) if at <= last.end => {
                if at < last.start || end > last.end {
                    self.beat_out_of_order(beat);
                }
            }
            _ => self.live.push(beat),
        }
        Ok(())
    }

    #[cold]
    fn beat_out_of_order(&mut self, beat: Live) {
        self.side.push(beat);
        if self.side.len() >= SIDE_LIST.max(self.live.len()) {
            self.settle();
        }
    }

    /// Adds all of another set of beats.
    pub fn merge(&mut self, other: &Heartbeats) {
        self.beats = add_tallies(self.beats, other.beats);
        self.side.extend_from_slice(&other.live);
        self.side.extend_from_slice(&other.side);
        self.settle();
    }

    /// Merges the side list, so that the same beats have the same form however they came.
    pub fn settle(&mut self) {
        if self.side.is_empty() {
            return;
        }
        let mut side = std::mem::take(&mut self.side);
        side.sort_unstable_by_key(|l| l.start);
        let merged = Vec::with_capacity(self.live.len() + side.len());
        let live = std::mem::replace(&mut self.live, merged);
        let (mut one, mut other) = (live.as_slice(), side.as_slice());
        while let (Some(a), Some(b)) = (one.first(), other.first()) {
            if a.start <= b.start {
                self.append(*a);
                one = &one[1..];
            } else {
                self.append(*b);
                other = &other[1..];
            }
        }
        one.iter().chain(other).for_each(|l| self.append(*l));
        self.live.shrink_to_fit();
    }

    /// Adds a stretch that starts no earlier than all there are.
    fn append(&mut self, l: Live) {
        match self.live.last_mut() {
            Some(last) if l.start <= last.end => {
                last.end = last.end.max(l.end);
                last.last_beat = last.last_beat.max(l.last_beat);
            }
            _ => self.live.push(l),
        }
    }

    /// A settled copy where one is needed: reading never changes a state.
    fn settled(&self) -> std::borrow::Cow<'_, Self> {
        if self.side.is_empty() {
            return std::borrow::Cow::Borrowed(self);
        }
        let mut copy = self.clone();
        copy.settle();
        std::borrow::Cow::Owned(copy)
    }

    /// The live time.
    pub fn live_ranges(&self) -> Spans {
        Spans::from_sorted(self.settled().live.iter().map(|l| (l.start, l.end)))
    }

    /// Whether a beat proves the device alive at the instant.
    pub fn live_at(&self, t: Instant) -> bool {
        self.live_ranges().contains(t)
    }

    /// The last beat.
    pub fn last_beat(&self) -> Option<Instant> {
        self.settled().live.last().map(|l| l.last_beat)
    }

    /// How many beats were added, duplicates counted.
    pub fn beat_count(&self) -> u64 {
        self.beats
    }

    /// The window in its four classes.
    pub fn judge(&self, window: Window, exempt: &Exemptions) -> Timeline {
        Timeline::judge(window, &self.live_ranges(), &Spans::empty(), exempt)
    }

    /// How much of the window each class takes.
    pub fn times(&self, window: Window, exempt: &Exemptions) -> ClassTimes {
        self.judge(window, exempt).times()
    }

    /// The outages of the window.
    pub fn outages(&self, window: Window, exempt: &Exemptions, min_outage: Duration) -> Vec<Outage> {
        let settled = self.settled();
        let mut found = outages(&settled.judge(window, exempt), &settled.live_ranges(), min_outage);
        for outage in &mut found {
            let before = settled.live.partition_point(|l| l.start < outage.started_at);
            outage.last_beat = before.checked_sub(1).map(|i| settled.live[i].last_beat);
        }
        found
    }

    /// What the window amounts to.
    pub fn availability(&self, window: Window, exempt: &Exemptions) -> Availability {
        let found = self.outages(window, exempt, 0);
        Availability {
            times: self.times(window, exempt),
            failures: failures(&found),
            longest_outage: found.iter().map(|o| o.duration).max(),
        }
    }

    /// Bytes in use beyond the structure itself.
    pub fn heap_size(&self) -> usize {
        (self.live.capacity() + self.side.capacity()) * size_of::<Live>()
    }
}

impl Codec for Heartbeats {
    const NAME: &'static str = "heartbeats";
    const LETTER: u8 = b'H';

    fn write(&self, out: &mut Writer) {
        let settled = self.settled();
        out.unsigned(settled.beats);
        out.unsigned(settled.live.len() as u64);
        let mut at = 0;
        for l in &settled.live {
            out.signed(l.start.wrapping_sub(at));
            out.unsigned(l.last_beat.wrapping_sub(l.start) as u64);
            out.unsigned(l.end.wrapping_sub(l.last_beat) as u64);
            at = l.end;
        }
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        let beats = input.tally()?;
        let count = input.count()?;
        if beats < count as u64 {
            return Err(input.fail("fewer beats than live intervals"));
        }
        let mut state = Self {
            live: Vec::with_capacity(count),
            side: Vec::new(),
            beats,
        };
        let mut at = 0i64;
        for _ in 0..count {
            let start = at.wrapping_add(input.signed()?);
            let last_beat = start.wrapping_add_unsigned(input.unsigned()?);
            let end = last_beat.wrapping_add_unsigned(input.unsigned()?);
            let ordered = state.live.last().is_none_or(|l| l.end < start) && start <= last_beat && last_beat < end;
            if !ordered || end > LATEST || check_instant(start).is_err() {
                return Err(input.fail("live intervals are not in order"));
            }
            state.live.push(Live { start, end, last_beat });
            at = end;
        }
        Ok(state)
    }
}

/// Liveness that follows from an expected interval: two missed reports are forgiven.
pub fn default_liveness(expected_interval: Duration) -> Result<Duration> {
    expected_interval.checked_mul(3).ok_or_else(|| {
        KpiError::parameter(
            "expected interval is too long",
            "Give an expected interval of at most 90,000 years.",
        )
    })
}
