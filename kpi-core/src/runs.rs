//! Runs of beats: all that beats amount to once it is known how they are judged, without the beats.
//!
//! Beats on time say no more than that they came. A run of them is its first and its last beat; what is asked of the gaps
//! between are sums. A day without an outage is then a few dozen bytes, and costs as much to judge as one beat. Beats are
//! in different runs where the gap between them is late, or longer than a beat proves the device alive.

use crate::cadence::{Consistency, Expectation, OnTime, Rhythm, consistency};
use crate::classes::{Exemptions, Timeline};
use crate::codec::{Reader, Writer, add_tallies};
use crate::error::Result;
use crate::interrupts::interruptible;
use crate::silence::{Hearing, Silence};
use crate::spans::Spans;
use crate::time::{Duration, Instant, Window, check_duration, check_instant, span};

/// Beats that follow one another on time; both instants are beats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    first: Instant,
    last: Instant,
}

/// The beats of a stretch of time, for one expectation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runs {
    expect: Expectation,
    on_time: OnTime,
    runs: Vec<Run>,
    beats: u64,
    rhythm: Rhythm,
    /// The gap after the first beat, where it is on time: the one before it may be its neighbour.
    first_gap: Option<Duration>,
    /// The gap before the last beat, likewise.
    last_gap: Option<Duration>,
}

impl Runs {
    /// No beats.
    pub fn new(expect: Expectation) -> Self {
        Self {
            expect,
            on_time: OnTime::of(expect.interval),
            runs: Vec::new(),
            beats: 0,
            rhythm: Rhythm::default(),
            first_gap: None,
            last_gap: None,
        }
    }

    /// Sorted beats.
    pub fn of(beats: &[Instant], expect: Expectation) -> Self {
        let mut runs = Self::new(expect);
        runs.add(beats);
        runs
    }

    /// Adds sorted beats after all there are.
    pub(crate) fn add(&mut self, beats: &[Instant]) {
        interruptible(beats).for_each(|b| self.beat(*b));
    }

    /// How the beats are judged.
    pub fn expect(&self) -> Expectation {
        self.expect
    }

    /// How many distinct beats there are.
    pub fn beats(&self) -> u64 {
        self.beats
    }

    /// The first and the last beat.
    pub fn bounds(&self) -> Option<(Instant, Instant)> {
        Some((self.runs.first()?.first, self.runs.last()?.last))
    }

    /// Adds a beat after all there are; one that is not after them adds nothing.
    pub fn beat(&mut self, at: Instant) {
        match self.runs.last().map(|run| run.last) {
            None => self.runs.push(Run { first: at, last: at }),
            Some(last) if last < at => {
                self.bridge(at);
                if let Some(run) = self.runs.last_mut() {
                    run.last = at;
                }
            }
            Some(_) => return,
        }
        self.beats = add_tallies(self.beats, 1);
    }

    /// Adds what begins after all beats there are; anything else adds nothing.
    pub fn append(&mut self, later: &Runs) {
        let Some((first, _)) = later.bounds() else { return };
        match self.bounds() {
            None => return self.clone_from(later),
            Some((_, last)) if last < first => {}
            Some(_) => return,
        }
        let gap = self.bridge(first);
        if let (Some(gap), Some(next)) = (gap, later.first_gap) {
            self.rhythm.note_pair(gap, next);
        }
        self.rhythm.add(&later.rhythm);
        if later.beats > 1 {
            self.last_gap = later.last_gap;
        }
        self.beats = add_tallies(self.beats, later.beats);
        if let Some(run) = self.runs.last_mut() {
            run.last = later.runs[0].last;
        }
        self.runs.extend_from_slice(&later.runs[1..]);
    }

    /// Notes the gap between the last beat and the next one, which begins a new run where that gap ends one. The gap, where
    /// it is on time.
    #[inline]
    fn bridge(&mut self, next: Instant) -> Option<Duration> {
        let last = self.runs.last()?.last;
        let gap = span(last, next);
        let regular = self.rhythm.note(gap, self.last_gap, self.on_time);
        if self.beats == 1 {
            self.first_gap = regular;
        }
        self.last_gap = regular;
        if self.ends_run(gap) {
            self.runs.push(Run {
                first: next,
                last: next,
            });
        }
        regular
    }

    fn ends_run(&self, gap: Duration) -> bool {
        gap > self.expect.liveness || self.on_time.is_late(gap)
    }

    /// The time that the beats, and the last one before them, prove the device alive.
    pub fn live(&self, carry_in: Option<Instant>) -> Spans {
        let before = carry_in.map(|b| Run { first: b, last: b });
        let all = before.iter().chain(&self.runs);
        Spans::from_sorted(all.map(|run| (run.first, run.last.saturating_add(self.expect.liveness))))
    }

    /// The time between beats, the last one before these included, that are no further apart than a liveness: in which a
    /// collector is known to have looked.
    pub fn observed(&self, before: Option<Instant>) -> Spans {
        let mut observed = Spans::empty();
        let mut previous = before;
        for run in interruptible(&self.runs) {
            if let Some(beat) = previous.filter(|beat| span(*beat, run.first) <= self.expect.liveness) {
                observed.append(beat, run.first);
            }
            observed.append(run.first, run.last);
            previous = Some(run.last);
        }
        observed
    }

    /// Whether one of these beats proves the device alive at the instant.
    pub fn live_at(&self, t: Instant) -> bool {
        let began = self.runs.partition_point(|run| run.first <= t);
        began > 0 && t < self.runs[began - 1].last.saturating_add(self.expect.liveness)
    }

    /// The last beat before an instant at which none of them proves the device alive.
    pub fn last_before(&self, t: Instant) -> Option<Instant> {
        let ended = self.runs.partition_point(|run| run.last < t);
        ended.checked_sub(1).map(|i| self.runs[i].last)
    }

    /// The time of a window in which expected reports did not come: a gap of at least 1.5 `T` after a beat at `b` loses
    /// `[b + T, next beat)`.
    fn lost(&self, window: Window, carry_in: Option<Instant>) -> Spans {
        let mut lost = Spans::empty();
        let mut lose = |after: Option<Instant>, next| match after {
            None => lost.append(window.start, next),
            Some(b) if self.on_time.is_late(span(b, next)) => lost.append(b.saturating_add(self.expect.interval), next),
            Some(_) => {}
        };
        let mut previous = carry_in;
        for run in interruptible(&self.runs) {
            lose(previous, run.first);
            previous = Some(run.last);
        }
        lose(previous, window.end);
        lost.clip(window)
    }

    /// Judges a window by all of its beats and the last one before it, however long before.
    pub fn judge(&self, window: Window, before: Option<Instant>, exempt: &Exemptions, hearing: &Hearing) -> Judged {
        let live = self.live(before);
        let undecided = hearing.undecided(self.silences(before));
        let timeline = Timeline::judge(window, &live, &undecided, exempt);
        Judged { live, timeline }
    }

    /// The gaps that are longer than a beat proves the device alive, the last beat before all of these included.
    fn silences(&self, before: Option<Instant>) -> impl Iterator<Item = Silence> {
        let lasts = std::iter::once(before).chain(self.runs.iter().map(|run| Some(run.last)));
        let nexts = self.runs.iter().map(|run| run.first).chain([Instant::MAX]);
        lasts.zip(nexts).map(|(since, until)| Silence {
            since,
            liveness: self.expect.liveness,
            until,
        })
    }

    /// How many reports did not come between two that did, at instants that are up or down: for a gap `g` after a beat at `b`
    /// those `b + kT` with `kT ≤ g − T/2`.
    fn missed(&self, timeline: &Timeline) -> u64 {
        if timeline.is_eligible() {
            return self.rhythm.missed;
        }
        let eligible = timeline.eligible();
        let gaps = self.runs.windows(2).map(|pair| (pair[0].last, pair[1].first));
        let late = gaps.filter(|gap| self.on_time.is_late(span(gap.0, gap.1)));
        interruptible(late)
            .map(|(beat, next)| missed_in(&eligible, beat, next, self.expect.interval))
            .fold(0, add_tallies)
    }

    /// How consistently the device was active in a window that was judged by the same beats.
    pub fn consistency(&self, window: Window, carry_in: Option<Instant>, timeline: &Timeline) -> Consistency {
        let lost = self.lost(window, carry_in);
        consistency(
            &self.rhythm,
            &lost,
            self.missed(timeline),
            timeline,
            self.expect.interval,
        )
    }

    /// Bytes in use beyond the structure itself.
    pub fn heap_size(&self) -> usize {
        self.runs.capacity() * size_of::<Run>()
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        out.unsigned(self.expect.interval as u64);
        out.unsigned(self.expect.liveness as u64);
        out.unsigned(self.beats);
        out.unsigned(self.runs.len() as u64);
        let mut at = 0;
        for run in interruptible(&self.runs) {
            out.signed(run.first.wrapping_sub(at));
            out.unsigned(run.last.wrapping_sub(run.first) as u64);
            at = run.last;
        }
        self.rhythm.write(out);
        // No gap is zero.
        out.unsigned(self.first_gap.unwrap_or(0) as u64);
        out.unsigned(self.last_gap.unwrap_or(0) as u64);
    }

    pub(crate) fn read(input: &mut Reader<'_>) -> Result<Self> {
        let mut duration = |name| {
            let d = i64::try_from(input.unsigned()?).map_err(|_| input.fail(format!("{name} is too long")))?;
            check_duration(name, d).map_err(|e| input.fail(e))
        };
        let expect = Expectation {
            interval: duration("expected interval")?,
            liveness: duration("liveness")?,
        };
        let mut read = Self::new(expect);
        read.beats = input.tally()?;
        let (mut at, mut least) = (0i64, 0u64);
        for _ in interruptible(0..input.count()?) {
            let first = at.wrapping_add(input.signed()?);
            let last = first.wrapping_add_unsigned(input.unsigned()?);
            let after = read
                .runs
                .last()
                .is_none_or(|run| run.last < first && read.ends_run(span(run.last, first)));
            if !after || first > last || check_instant(first).is_err() || check_instant(last).is_err() {
                return Err(input.fail("runs of beats are not in order"));
            }
            read.runs.push(Run { first, last });
            least += 1 + u64::from(first < last);
            at = last;
        }
        read.rhythm = Rhythm::read(input)?;
        let mut gap = || {
            let gap = i64::try_from(input.unsigned()?).map_err(|_| input.fail("a gap is too long"))?;
            Ok((gap > 0).then_some(gap))
        };
        (read.first_gap, read.last_gap) = (gap()?, gap()?);
        if read.beats < least || read.runs.is_empty() != (read.beats == 0) || read.rhythm.gaps() >= read.beats.max(1) {
            return Err(input.fail("runs, beats and gaps are not of one number"));
        }
        Ok(read)
    }
}

/// The reports that did not come between two beats, at instants of a set.
fn missed_in(eligible: &Spans, beat: Instant, next: Instant, interval: Duration) -> u64 {
    let (beat, next, interval) = (i128::from(beat), i128::from(next), i128::from(interval));
    let most = (2 * (next - beat) - interval) / (2 * interval);
    // How many of them come before an instant.
    let before = |t: Instant| {
        (i128::from(t) - beat + interval - 1)
            .div_euclid(interval)
            .clamp(1, most + 1)
            - 1
    };
    let spans = eligible.as_slice();
    let first = spans.partition_point(|s| i128::from(s.1) <= beat);
    let near = interruptible(&spans[first..]).take_while(|s| i128::from(s.0) < next);
    let missed: i128 = near.map(|s| before(s.1) - before(s.0)).sum();
    u64::try_from(missed).unwrap_or(u64::MAX)
}

/// What beats tell of a window.
#[derive(Debug, Clone)]
pub struct Judged {
    /// The time that they prove the device alive, from before the window on.
    pub live: Spans,
    /// The window in its four classes.
    pub timeline: Timeline,
}

/// Judges a window by sorted beats, of which some may lie outside of it: its classes, and how consistently the device was
/// active.
pub fn judge_beats(
    sorted: &[Instant],
    window: Window,
    expect: Expectation,
    exempt: &Exemptions,
) -> (Timeline, Consistency) {
    let first = sorted.partition_point(|t| *t < window.start);
    let after = first + sorted[first..].partition_point(|t| *t < window.end);
    let before = sorted[..first].last().copied();
    let runs = Runs::of(&sorted[first..after], expect);
    // Without any beat nobody knows how long one would prove the device alive.
    let hearing = if sorted.is_empty() {
        Hearing::default()
    } else {
        Hearing::of(exempt)
    };
    let timeline = runs.judge(window, before, exempt, &hearing).timeline;
    let consistency = runs.consistency(window, before, &timeline);
    (timeline, consistency)
}

#[cfg(test)]
mod tests {
    use super::{Run, Runs};
    use crate::cadence::Expectation;
    use crate::codec::{Codec, Reader, Writer};
    use crate::error::Result;
    use crate::time::{LATEST, SECOND};

    struct Alone(Runs);

    impl Codec for Alone {
        const NAME: &'static str = "runs";
        const LETTER: u8 = b'?';
        const READING: usize = 1;
        const ANSWERING: usize = 1;

        fn write(&self, out: &mut Writer) {
            self.0.write(out);
        }

        fn read(input: &mut Reader<'_>) -> Result<Self> {
            Runs::read(input).map(Self)
        }
    }

    #[test]
    fn what_beats_cannot_make_is_not_read() {
        let expect = Expectation {
            interval: 60 * SECOND,
            liveness: 180 * SECOND,
        };
        let good = Runs::of(&[0, 60, 120, 500, 560, 2000].map(|s| s * SECOND), expect);
        assert_eq!(Alone::decode(&Alone(good.clone()).encode()).unwrap().0, good);
        let breakages: [fn(&mut Runs); 11] = [
            |r| r.runs.swap(0, 1),
            |r| r.runs[1].first = r.runs[0].last,
            // As near as if it went on.
            |r| r.runs[1].first = r.runs[0].last + 60 * SECOND,
            |r| r.runs[1].last = r.runs[1].first - 1,
            |r| {
                r.runs.push(Run {
                    first: LATEST,
                    last: LATEST,
                })
            },
            |r| r.beats = 4,
            |r| r.runs.clear(),
            |r| r.beats = 0,
            |r| r.expect.interval = 0,
            |r| r.expect.liveness = -1,
            |r| r.rhythm.extra = 3,
        ];
        for (n, breakage) in breakages.into_iter().enumerate() {
            let mut broken = good.clone();
            breakage(&mut broken);
            assert!(Alone::decode(&Alone(broken).encode()).is_err(), "breakage {n}");
        }
    }
}
