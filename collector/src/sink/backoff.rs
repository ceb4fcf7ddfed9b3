//! Growing pauses between tries.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const FIRST: Duration = Duration::from_millis(250);

/// Doubles from a quarter of a second up to a longest pause; each pause is shortened by a random part of up to half, so
/// that many collectors do not come back at the same instant.
#[derive(Clone, Debug)]
pub struct Backoff {
    longest: Duration,
    tries: u32,
}

impl Backoff {
    /// No try has failed yet.
    pub fn new(longest: Duration) -> Self {
        Backoff { longest, tries: 0 }
    }

    /// How many tries have failed in a row.
    pub fn tries(&self) -> u32 {
        self.tries
    }

    /// A try has succeeded.
    pub fn reset(&mut self) {
        self.tries = 0;
    }

    /// A try has failed: how long to wait before the next.
    pub fn pause(&mut self) -> Duration {
        let nanos = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .subsec_nanos();
        self.pause_with(f64::from(nanos % 1009) / 1009.0)
    }

    /// With the random part given, in [0, 1).
    fn pause_with(&mut self, random: f64) -> Duration {
        let full = FIRST
            .saturating_mul(1u32.checked_shl(self.tries).unwrap_or(u32::MAX))
            .min(self.longest);
        self.tries = self.tries.saturating_add(1).min(31);
        full.mul_f64(1.0 - random / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pauses_grow_and_stay_below_the_longest(random in prop::collection::vec(0.0..1.0f64, 40), longest in 1u64..100) {
            let longest = Duration::from_secs(longest);
            let mut backoff = Backoff::new(longest);
            for (tries, random) in random.into_iter().enumerate() {
                let pause = backoff.pause_with(random);
                let full = FIRST.mul_f64(2f64.powi(tries as i32)).min(longest);
                prop_assert!(pause <= full && pause >= full / 2 - Duration::from_nanos(1));
            }
        }
    }

    #[test]
    fn success_begins_anew() {
        let mut backoff = Backoff::new(Duration::from_secs(30));
        (0..10).for_each(|_| _ = backoff.pause());
        backoff.reset();
        assert!(backoff.pause() <= FIRST);
    }
}
