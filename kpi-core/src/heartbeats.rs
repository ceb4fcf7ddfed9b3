//! Heartbeats: a beat at `b` proves a device alive on `[b, b + liveness)`; live time is the union of these intervals.
//!
//! Kept as the union itself, so memory grows with the outages and not with the beats, and a merge in any order is
//! right. A beat in order costs O(1), and so does one that repeats what the last stretch already says. Any other beat out
//! of order waits aside; those that wait are sorted and merged when they are as many as the rest: O(log n) a beat.

use crate::classes::{ClassTimes, Exemptions, Timeline};
use crate::codec::{Codec, Reader, Writer, add_tallies};
use crate::error::{KpiError, Result};
use crate::interrupts::{Pace, interruptible, sort_unstable_by_key};
use crate::outages::{Availability, Outage, failures, outages};
use crate::silence::{Hearing, Silence};
use crate::spans::Spans;
use crate::time::{Duration, EARLIEST, Instant, LATEST, Window, check_duration, check_instant, span};

mod stretches;

use stretches::Stretches;

/// Beats out of order that may wait before they are merged, however short the list is.
const WAITING: usize = 1024;

/// A stretch in which the device was alive throughout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Live {
    start: Instant,
    end: Instant,
    last_beat: Instant,
}

impl Live {
    /// No stretch: every beat comes after it.
    const NONE: Self = Self {
        start: Instant::MIN,
        end: Instant::MIN,
        last_beat: Instant::MIN,
    };
    /// No stretch either: it comes after every beat.
    const END: Self = Self {
        start: Instant::MAX,
        end: Instant::MAX,
        last_beat: Instant::MAX,
    };

    /// What one beat proves.
    #[inline]
    fn of_beat(at: Instant, liveness: Duration) -> Self {
        Self {
            start: at,
            end: at.saturating_add(liveness).min(LATEST),
            last_beat: at,
        }
    }
}

/// Stretches in the order of their starts, and the first that is not taken yet.
struct Ahead<I> {
    next: Live,
    rest: I,
}

impl<I: Iterator<Item = Live>> Ahead<I> {
    fn of(rest: I) -> Self {
        let mut ahead = Self { next: Live::END, rest };
        ahead.take();
        ahead
    }

    /// The next stretch; [`Live::END`] after all.
    #[inline(always)]
    fn take(&mut self) -> Live {
        std::mem::replace(&mut self.next, self.rest.next().unwrap_or(Live::END))
    }

    /// Lets a stretch go on with all that begin while it lasts.
    #[inline(always)]
    fn join(&mut self, last: &mut Live) {
        while self.next.start <= last.end {
            let next = self.take();
            last.end = last.end.max(next.end);
            last.last_beat = last.last_beat.max(next.last_beat);
        }
    }
}

/// The live time that a stream of beats proves. In the order of its fields: what nearly every beat touches lies together.
#[derive(Debug, Clone)]
#[repr(C)]
pub struct Heartbeats {
    /// The latest stretch. It lies in the structure itself, since nearly every beat is about it alone.
    last: Live,
    beats: u64,
    /// The stretches before it.
    earlier: Stretches,
    waiting: Waiting,
}

/// Beats out of order.
#[derive(Debug, Clone, Default)]
struct Waiting {
    /// The liveness that most of them have.
    liveness: Duration,
    /// When those beat: nothing sorts faster than bare integers.
    beats: Vec<Instant>,
    /// What the others prove.
    others: Vec<Live>,
}

impl Waiting {
    fn len(&self) -> usize {
        self.beats.len() + self.others.len()
    }

    /// Lets a beat wait where there is room for it; false, and nothing done, elsewhere.
    fn push_in_place(&mut self, at: Instant, liveness: Duration) -> bool {
        let has_room = self.beats.len() < self.beats.capacity() && liveness == self.liveness;
        if has_room {
            self.beats.push(at);
        }
        has_room
    }
}

impl Default for Heartbeats {
    fn default() -> Self {
        Self {
            last: Live::NONE,
            earlier: Stretches::default(),
            waiting: Waiting::default(),
            beats: 0,
        }
    }
}

impl Heartbeats {
    /// Adds a beat. Every beat has its own liveness, since it may change from row to row.
    #[inline]
    pub fn beat(&mut self, at: Instant, liveness: Duration) -> Result<()> {
        if self.go_on(at, liveness) {
            return Ok(());
        }
        check_instant(at)?;
        check_duration("liveness", liveness)?;
        self.beats += 1;
        let beat = Live::of_beat(at, liveness);
        let last = &mut self.last;
        if at > last.end {
            self.begin(beat);
        } else if at >= last.last_beat {
            *last = Live {
                start: last.start,
                ..beat
            };
        } else if at < last.start || beat.end > last.end {
            self.beat_out_of_order(at, liveness);
        }
        Ok(())
    }

    /// Adds a beat where that needs no memory: nearly always, and first of all where it goes on with the latest stretch.
    /// False, and nothing done, for any other; it neither allocates nor panics.
    #[inline(always)]
    pub fn go_on(&mut self, at: Instant, liveness: Duration) -> bool {
        let last = &mut self.last;
        // Such an instant lies between two that were accepted.
        let goes_on = last.last_beat <= at && at < last.end && liveness > 0;
        if goes_on {
            last.last_beat = at;
            last.end = last.end.max(Live::of_beat(at, liveness).end);
            self.beats = self.beats.wrapping_add(1);
        }
        goes_on || self.take_in_place(at, liveness)
    }

    /// Adds a beat that begins a stretch, says nothing new or has to wait, where there is room for it.
    fn take_in_place(&mut self, at: Instant, liveness: Duration) -> bool {
        let last = self.last;
        if last == Live::NONE || liveness <= 0 || !(EARLIEST..LATEST).contains(&at) {
            return false;
        }
        let beat = Live::of_beat(at, liveness);
        let done = if at > last.end {
            self.earlier.push_in_place(last)
        } else if at >= last.start && beat.end <= last.end {
            true
        } else {
            at < last.last_beat
                && self.waiting.len() + 1 < self.most_waiting()
                && self.waiting.push_in_place(at, liveness)
        };
        if done {
            self.beats = self.beats.wrapping_add(1);
            if at > last.end {
                self.last = beat;
            }
        }
        done
    }

    /// How many beats out of order may wait before they are merged.
    fn most_waiting(&self) -> usize {
        WAITING.max(self.earlier.words())
    }

    /// Adds a stretch after all the others.
    #[inline]
    fn begin(&mut self, next: Live) {
        if self.last != Live::NONE {
            self.earlier.push(self.last);
        }
        self.last = next;
    }

    #[cold]
    fn beat_out_of_order(&mut self, at: Instant, liveness: Duration) {
        if self.waiting.beats.is_empty() {
            self.waiting.liveness = liveness;
        }
        if self.waiting.liveness == liveness {
            self.waiting.beats.push(at);
        } else {
            self.waiting.others.push(Live::of_beat(at, liveness));
        }
        if self.waiting.len() >= self.most_waiting() {
            self.settle();
        }
    }

    /// Adds all of another set of beats.
    pub fn merge(&mut self, other: &Heartbeats) {
        self.beats = add_tallies(self.beats, other.beats);
        let other = other.settled();
        self.settle();
        if other
            .stretches()
            .next()
            .is_some_and(|first| first.start > self.last.end)
        {
            interruptible(other.stretches()).for_each(|l| self.begin(l));
        } else {
            self.unite(other.stretches());
        }
    }

    /// Merges the beats that wait, so that the same beats have the same form however they came.
    pub fn settle(&mut self) {
        let Waiting {
            liveness,
            mut beats,
            mut others,
        } = std::mem::take(&mut self.waiting);
        if !others.is_empty() {
            sort_unstable_by_key(&mut others, |l| l.start);
            self.unite(others.into_iter());
        }
        if !beats.is_empty() {
            sort_unstable_by_key(&mut beats, |at| *at);
            self.unite(beats.into_iter().map(|at| Live::of_beat(at, liveness)));
        }
    }

    /// Adds stretches in the order of their starts, which may overlap.
    fn unite(&mut self, others: impl Iterator<Item = Live>) {
        let capacity = self.earlier.words() + others.size_hint().0;
        let before = std::mem::replace(
            self,
            Self {
                earlier: Stretches::with_capacity(capacity),
                beats: self.beats,
                ..Self::default()
            },
        );
        let mut last = Live::NONE;
        let (mut own, mut others) = (Ahead::of(before.stretches()), Ahead::of(others));
        let mut pace = Pace::default();
        loop {
            pace.step();
            own.join(&mut last);
            others.join(&mut last);
            if own.next.start <= last.end {
                continue;
            }
            let first = if own.next.start <= others.next.start {
                own.take()
            } else {
                others.take()
            };
            if first == Live::END {
                break;
            }
            if last != Live::NONE {
                self.earlier.push(last);
            }
            last = first;
        }
        self.last = last;
        self.earlier.shrink_to_fit();
    }

    /// The stretches in order, without the beats that wait.
    fn stretches(&self) -> impl Iterator<Item = Live> {
        self.earlier
            .iter()
            .chain((self.last != Live::NONE).then_some(self.last))
    }

    /// A settled copy where one is needed: reading never changes a state.
    fn settled(&self) -> std::borrow::Cow<'_, Self> {
        if self.waiting.len() == 0 {
            return std::borrow::Cow::Borrowed(self);
        }
        let mut copy = self.clone();
        copy.settle();
        std::borrow::Cow::Owned(copy)
    }

    /// The live time.
    pub fn live_ranges(&self) -> Spans {
        Spans::from_sorted(self.settled().stretches().map(|l| (l.start, l.end)))
    }

    /// Whether a beat proves the device alive at the instant.
    pub fn live_at(&self, t: Instant) -> bool {
        self.live_ranges().contains(t)
    }

    /// The last beat.
    pub fn last_beat(&self) -> Option<Instant> {
        self.settled().stretches().last().map(|l| l.last_beat)
    }

    /// How many beats were added, duplicates counted.
    pub fn beat_count(&self) -> u64 {
        self.beats
    }

    /// The same from a binary form, whose stretches are not read for it.
    pub fn beat_count_of(bytes: &[u8]) -> Result<u64> {
        Self::body(bytes)?.tally()
    }

    /// The window in its four classes.
    pub fn judge(&self, window: Window, exempt: &Exemptions) -> Timeline {
        let undecided = Hearing::of(exempt).undecided(self.settled().silences());
        Timeline::judge(window, &self.live_ranges(), &undecided, exempt)
    }

    /// The time before, between and after the stretches. Before the first one its own liveness counts; without any there is
    /// none that could.
    fn silences(&self) -> impl Iterator<Item = Silence> {
        let mut before = None;
        let mut liveness = 0;
        let nexts = self.stretches().map(Some).chain([None]);
        let silences = nexts.map(move |next| {
            if let Some(first) = next.filter(|_| before.is_none()) {
                liveness = span(first.last_beat, first.end);
            }
            let silence = Silence {
                since: before,
                liveness,
                until: next.map_or(Instant::MAX, |live| live.start),
            };
            if let Some(live) = next {
                before = Some(live.last_beat);
                liveness = span(live.last_beat, live.end);
            }
            silence
        });
        silences.filter(|silence| silence.liveness > 0)
    }

    /// How much of the window each class takes.
    pub fn times(&self, window: Window, exempt: &Exemptions) -> ClassTimes {
        self.judge(window, exempt).times()
    }

    /// The outages of the window.
    pub fn outages(&self, window: Window, exempt: &Exemptions, min_outage: Duration) -> Vec<Outage> {
        let settled = self.settled();
        let mut found = outages(&settled.judge(window, exempt), &settled.live_ranges(), min_outage);
        let mut stretches = settled.stretches().peekable();
        let mut before = None;
        // Outages are in the order of time, as the stretches are.
        for outage in interruptible(&mut found) {
            while let Some(live) = stretches.next_if(|live| live.start < outage.started_at) {
                before = Some(live.last_beat);
            }
            outage.last_beat = before;
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
        self.earlier.heap_size()
            + self.waiting.others.capacity() * size_of::<Live>()
            + self.waiting.beats.capacity() * size_of::<Instant>()
    }
}

impl Codec for Heartbeats {
    const NAME: &'static str = "heartbeats";
    const LETTER: u8 = b'H';
    const READING: usize = 24;
    const ANSWERING: usize = 160;

    fn write(&self, out: &mut Writer) {
        let settled = self.settled();
        out.unsigned(settled.beats);
        out.unsigned(settled.stretches().count() as u64);
        let mut at = 0;
        for l in interruptible(settled.stretches()) {
            out.signed(l.start.wrapping_sub(at));
            out.unsigned(l.last_beat.wrapping_sub(l.start) as u64);
            out.unsigned(l.end.wrapping_sub(l.last_beat) as u64);
            at = l.end;
        }
    }

    /// Workers read a table's blocks in turn, so each has very many short stretches of a device, and one process unites
    /// them all: they go as they lie in memory. No type has the letter 0.
    fn hand_over(&self) -> Vec<u8> {
        let settled = self.settled();
        if settled.last == Live::NONE {
            return self.encode();
        }
        let mut last = settled.earlier.continued();
        last.push(settled.last);
        let mut out = Vec::with_capacity(1 + 8 * (1 + settled.earlier.words() + last.words()));
        out.push(0);
        out.extend_from_slice(&settled.beats.to_le_bytes());
        settled.earlier.write(&mut out);
        last.write(&mut out);
        out
    }

    fn take_over(bytes: &[u8]) -> Result<Self> {
        let [0, rest @ ..] = bytes else {
            return Self::decode(bytes);
        };
        let read = rest
            .split_first_chunk::<8>()
            .and_then(|(beats, rest)| Some((beats, Stretches::read(rest)?)));
        let (beats, (earlier, last)) =
            read.ok_or_else(|| KpiError::binary(Self::NAME, "a worker handed over no stretches"))?;
        Ok(Self {
            last,
            earlier,
            beats: u64::from_le_bytes(*beats),
            ..Self::default()
        })
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        let beats = input.tally()?;
        let count = input.count()?;
        if beats < count as u64 {
            return Err(input.fail("fewer beats than live intervals"));
        }
        let mut state = Self {
            earlier: Stretches::with_capacity(count),
            beats,
            ..Self::default()
        };
        let mut at = 0i64;
        for _ in interruptible(0..count) {
            let start = at.wrapping_add(input.signed()?);
            let last_beat = start.wrapping_add_unsigned(input.unsigned()?);
            let end = last_beat.wrapping_add_unsigned(input.unsigned()?);
            let ordered = state.last.end < start && start <= last_beat && last_beat < end;
            if !ordered || end > LATEST || check_instant(start).is_err() {
                return Err(input.fail("live intervals are not in order"));
            }
            state.begin(Live { start, end, last_beat });
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
