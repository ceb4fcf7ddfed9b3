//! Silence counts only while it could have been heard. The clock of a silence runs in time that is neither excluded nor
//! unobserved and stands still in all other; a device is down once it shows a whole liveness. Until then nobody can tell.

use crate::classes::{Class, Exemptions};
use crate::interrupts::interruptible;
use crate::spans::Spans;
use crate::time::{Duration, EARLIEST, Instant};

/// Time from the last beat on, or since ever, up to the next one.
#[derive(Debug, Clone, Copy)]
pub struct Silence {
    /// The last beat before it; none: nothing was ever heard.
    pub since: Option<Instant>,
    /// How long that beat proves the device alive; before the first beat, how long that one does.
    pub liveness: Duration,
    /// The next beat, or later than all that is asked.
    pub until: Instant,
}

/// A stretch in which no clock runs.
#[derive(Debug, Clone, Copy)]
struct Deaf {
    start: Instant,
    end: Instant,
    /// How much such time lies before it.
    before: i128,
}

/// When a device could be heard.
#[derive(Debug, Clone, Default)]
pub struct Hearing(Vec<Deaf>);

impl Hearing {
    /// At all times that are not exempt.
    pub fn of(exempt: &Exemptions) -> Self {
        let all = [exempt.excluded.as_slice(), exempt.unknown.as_slice()].concat();
        let mut before = 0;
        let deaf = Spans::union_of(all);
        Self(
            interruptible(deaf.as_slice())
                .map(|&(start, end)| {
                    let stretch = Deaf { start, end, before };
                    before += i128::from(end) - i128::from(start);
                    stretch
                })
                .collect(),
        )
    }

    /// The instant at which a silence has been heard for a whole liveness. One that lasts since ever has been at any instant
    /// that is not preceded by deaf time alone.
    pub fn heard_out(&self, silence: Silence) -> Instant {
        let since = match (silence.since, self.0.first()) {
            (Some(beat), _) => beat,
            (None, Some(first)) if first.start <= EARLIEST => first.end,
            (None, _) => return Instant::MIN,
        };
        let first = self.0.partition_point(|deaf| deaf.end <= since);
        let ahead = &self.0[first..];
        let Some(next) = ahead.first() else {
            return since.saturating_add(silence.liveness);
        };
        let already = next.before + (i128::from(since) - i128::from(next.start)).max(0);
        let stands = |deaf: i128| deaf - already;
        let runs_out = |deaf: &Deaf| {
            let heard = i128::from(deaf.start) - i128::from(since) - stands(deaf.before);
            heard < i128::from(silence.liveness)
        };
        let passed = ahead.partition_point(runs_out);
        let deaf = match ahead.get(passed) {
            Some(later) => later.before,
            None => self.total(),
        };
        let end = i128::from(since) + i128::from(silence.liveness) + stands(deaf);
        Instant::try_from(end).unwrap_or(Instant::MAX)
    }

    fn total(&self) -> i128 {
        self.0
            .last()
            .map_or(0, |last| last.before + i128::from(last.end) - i128::from(last.start))
    }

    /// The time of silences, given in order, in which nobody can tell yet whether the device is down.
    pub fn undecided(&self, silences: impl IntoIterator<Item = Silence>) -> Spans {
        let mut undecided = Spans::empty();
        if self.0.is_empty() {
            return undecided;
        }
        for silence in interruptible(silences) {
            let proven_until = silence
                .since
                .map_or(Instant::MIN, |beat| beat.saturating_add(silence.liveness));
            undecided.append(proven_until, self.heard_out(silence).min(silence.until));
        }
        undecided
    }
}

/// The class of an instant, by the last beat until then and how long that proves the device alive.
pub fn class_at(t: Instant, last_beat: Option<Instant>, liveness: Duration, exempt: &Exemptions) -> Class {
    let silence = Silence {
        since: last_beat,
        liveness,
        until: Instant::MAX,
    };
    if exempt.excluded.contains(t) {
        Class::Excluded
    } else if last_beat.is_some_and(|beat| t < beat.saturating_add(liveness)) {
        Class::Up
    } else if exempt.unknown.contains(t) || t < Hearing::of(exempt).heard_out(silence) {
        Class::Unknown
    } else {
        Class::Down
    }
}
