//! The grid of time: round `k` is the stretch `[k·interval, (k+1)·interval)` since 1970, in microseconds.
//!
//! Rounds are counted from 1970 and not from the start of a run, so every run with the same interval has the same rounds.

use chrono::{DateTime, Utc};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Microseconds since 1970-01-01 00:00 UTC, PostgreSQL's resolution.
pub type Micros = i64;

/// The grid of one interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeGrid {
    interval: Micros,
}

impl TimeGrid {
    /// A grid whose rounds are `interval` long; shorter than a microsecond counts as one.
    pub fn new(interval: Duration) -> Self {
        let interval = i64::try_from(interval.as_micros()).unwrap_or(i64::MAX).max(1);
        TimeGrid { interval }
    }

    /// Length of a round.
    pub fn interval(self) -> Micros {
        self.interval
    }

    /// The round that holds `time`.
    pub fn round_of(self, time: Micros) -> i64 {
        time.div_euclid(self.interval)
    }

    /// The first instant of a round.
    pub fn start(self, round: i64) -> Micros {
        round * self.interval
    }

    /// The instant a fraction of the way through a round.
    pub fn within(self, round: i64, fraction: f64) -> Micros {
        self.start(round) + (self.interval as f64 * fraction) as Micros
    }
}

/// The clock's time.
pub fn now() -> Micros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// As PostgreSQL's client library takes it.
pub fn timestamp(time: Micros) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(time).unwrap_or_default()
}

/// For people and files: RFC 3339 with microseconds.
pub fn text(time: Micros) -> String {
    timestamp(time).to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}
