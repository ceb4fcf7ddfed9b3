//! Long loops ask now and then whether they shall go on.
//!
//! This crate knows nothing that could end them. Whoever embeds it says once what is to be called; that may unwind out of the
//! loop, as a cancelled query does, and what the loop was working on is then dropped.

use std::cmp::Ordering;
use std::sync::OnceLock;

/// Steps of a loop between two questions: some ten microseconds.
pub const STEPS: u32 = 4096;

static ASKED: OnceLock<fn()> = OnceLock::new();

/// From now on every long loop calls this, once in so many steps. Only the first call counts.
pub fn ask(asked: fn()) {
    ASKED.get_or_init(|| asked);
}

/// Asks at once.
pub fn check() {
    if let Some(asked) = ASKED.get() {
        asked();
    }
}

#[cfg(test)]
thread_local! {
    /// How many steps were taken by all loops: what a piece of work costs, without a clock.
    static TAKEN: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// How many steps the work takes.
#[cfg(test)]
pub(crate) fn steps_of<T>(work: impl FnOnce() -> T) -> u64 {
    let before = TAKEN.get();
    work();
    TAKEN.get() - before
}

/// Counts the steps of a loop.
#[derive(Debug, Default)]
pub(crate) struct Pace(u32);

impl Pace {
    /// Asks, where enough steps were taken.
    #[inline(always)]
    pub(crate) fn step(&mut self) {
        #[cfg(test)]
        TAKEN.set(TAKEN.get() + 1);
        self.0 += 1;
        if self.0 == STEPS {
            self.0 = 0;
            check();
        }
    }
}

/// The same items, with a question now and then.
#[inline]
pub(crate) fn interruptible<T>(items: impl IntoIterator<Item = T>) -> impl Iterator<Item = T> {
    let mut pace = Pace::default();
    items.into_iter().inspect(move |_| pace.step())
}

/// More items than this are sorted with questions in between, which takes longer: so many are sorted in some ten milliseconds.
const SORTED_AT_ONCE: usize = 1 << 18;

/// Sorts items, quickly where they lie in a few runs already.
pub(crate) fn sort<T: Ord>(items: &mut [T]) {
    if items.len() <= SORTED_AT_ONCE {
        return items.sort();
    }
    let mut pace = Pace::default();
    items.sort_by(|a, b| {
        pace.step();
        a.cmp(b)
    });
}

/// Sorts items by a key, of which no two that are equal can be told apart.
pub(crate) fn sort_unstable_by_key<T, K: Ord>(items: &mut [T], key: impl Fn(&T) -> K) {
    sort_unstable_by(items, |a, b| key(a).cmp(&key(b)));
}

/// Sorts items, of which no two that are equal can be told apart.
pub(crate) fn sort_unstable_by<T>(items: &mut [T], compare: impl Fn(&T, &T) -> Ordering) {
    if items.len() <= SORTED_AT_ONCE {
        return items.sort_unstable_by(compare);
    }
    let mut pace = Pace::default();
    items.sort_unstable_by(|a, b| {
        pace.step();
        compare(a, b)
    });
}
