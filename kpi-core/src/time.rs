//! Instants, durations and windows: whole microseconds, half-open.

use crate::error::{KpiError, Result};

/// Microseconds since 2000-01-01 00:00:00 UTC, PostgreSQL's `timestamptz`.
pub type Instant = i64;
/// A length of time in microseconds.
pub type Duration = i64;

/// A second.
pub const SECOND: Duration = 1_000_000;
/// The first instant PostgreSQL can hold: 4714-11-24 BC.
pub const EARLIEST: Instant = -211_813_488_000_000_000;
/// The first instant beyond what PostgreSQL can hold: 294277-01-01.
pub const LATEST: Instant = 9_223_371_331_200_000_000;

/// Accepts a finite instant inside the range of timestamps.
#[inline]
pub fn check_instant(t: Instant) -> Result<Instant> {
    if (EARLIEST..LATEST).contains(&t) {
        return Ok(t);
    }
    Err(no_instant(t))
}

#[cold]
fn no_instant(t: Instant) -> KpiError {
    KpiError::time(match t {
        i64::MAX => "timestamp is infinity, a finite one is needed".to_owned(),
        i64::MIN => "timestamp is -infinity, a finite one is needed".to_owned(),
        _ => format!("timestamp out of range: {t} microseconds from 2000-01-01"),
    })
}

/// Accepts a duration of at least one microsecond.
#[inline]
pub fn check_duration(name: &str, d: Duration) -> Result<Duration> {
    if d > 0 {
        return Ok(d);
    }
    Err(no_duration(name, d))
}

#[cold]
fn no_duration(name: &str, d: Duration) -> KpiError {
    KpiError::parameter(
        format!("{name} must be positive, not {}", seconds_text(d)),
        format!("Give {name} as an interval above zero, such as '90 s'."),
    )
}

/// Accepts a duration of zero or more.
pub fn check_not_negative(name: &str, d: Duration) -> Result<Duration> {
    if d >= 0 {
        return Ok(d);
    }
    Err(KpiError::parameter(
        format!("{name} must not be negative, not {}", seconds_text(d)),
        format!("Give {name} as an interval of zero or more."),
    ))
}

/// A duration in seconds, as people and ratios want it.
pub fn seconds(d: Duration) -> f64 {
    d as f64 / SECOND as f64
}

fn seconds_text(d: Duration) -> String {
    format!("{} s", seconds(d))
}

/// A non-empty half-open window `[start, end)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The first instant inside.
    pub start: Instant,
    /// The first instant after.
    pub end: Instant,
}

impl Window {
    /// A window from its bounds; empty and reversed ones are refused, and those longer than a duration can be.
    pub fn new(start: Instant, end: Instant) -> Result<Self> {
        check_instant(start)?;
        check_instant(end)?;
        if start >= end {
            return Err(KpiError::parameter(
                "window is empty or reversed",
                "Give a window whose start is before its end, such as tstzrange(now() - interval '1 day', now()).",
            ));
        }
        if end.checked_sub(start).is_none() {
            return Err(KpiError::parameter(
                "window is longer than 292,271 years",
                "Give a shorter window: no duration holds so many microseconds.",
            ));
        }
        Ok(Self { start, end })
    }

    /// The length of the window.
    pub fn length(&self) -> Duration {
        span(self.start, self.end)
    }

    /// Whether the instant lies inside.
    pub fn contains(&self, t: Instant) -> bool {
        self.start <= t && t < self.end
    }
}

/// `end - start`, saturating: the whole range of timestamps is a little longer than an i64 holds.
pub fn span(start: Instant, end: Instant) -> Duration {
    end.saturating_sub(start)
}
