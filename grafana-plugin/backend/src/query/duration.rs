//! Durations as people and Grafana write them: `30s`, `5m`, `1h`, `1d`, `1h30m`.

use crate::error::{Error, shown};
use jiff::SignedDuration;
use std::time::Duration;

/// Days, which are as long as the time zone's clocks say, and seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// Whole days.
    pub days: i32,
    /// The rest.
    pub seconds: f64,
}

/// Lengths that people read well, in seconds.
const STEPS: [u64; 15] = [
    60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800, 2_592_000,
];
const DAY: u64 = 86_400;

/// A hundred years, in seconds.
const LONGEST: f64 = 3.2e9;

impl Span {
    /// From what a person wrote.
    ///
    /// # Errors
    /// When it is none; the message shows one.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        let problem = || {
            Error::Query(format!(
                "\"{}\" is no duration; write it as 30s, 5m, 1h, 1d or 1h30m",
                shown(text)
            ))
        };
        // Grafana writes seconds without a unit, too.
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let written = if is_number { format!("{text}s") } else { text.to_owned() };
        let span: jiff::Span = written.parse().map_err(|_| problem())?;
        let time = SignedDuration::try_from(span.weeks(0).days(0));
        let span = Span {
            days: span.get_weeks() * 7 + span.get_days(),
            // Months and years are left in it: they have no length of their own, and so are refused here.
            seconds: time.map_err(|_| problem())?.as_secs_f64(),
        };
        let is_sensible = (0.0..=LONGEST).contains(&span.total_seconds());
        is_sensible.then_some(span).ok_or_else(problem)
    }

    /// The shortest length that people read well and that is not shorter than `least`.
    pub fn readable(least: Duration) -> Self {
        let least = least.as_secs_f64();
        let step = STEPS.iter().copied().find(|step| *step as f64 >= least);
        let seconds = step.unwrap_or_else(|| ((least / DAY as f64).ceil() as u64).max(1) * DAY);
        if seconds.is_multiple_of(DAY) {
            Span {
                days: (seconds / DAY) as i32,
                seconds: 0.0,
            }
        } else {
            Span {
                days: 0,
                seconds: seconds as f64,
            }
        }
    }

    /// In seconds, a day having 24 hours.
    pub fn total_seconds(&self) -> f64 {
        f64::from(self.days) * DAY as f64 + self.seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_grafana_writes_them() {
        assert_eq!(
            Span::parse("5m").unwrap(),
            Span {
                days: 0,
                seconds: 300.0
            }
        );
        assert_eq!(Span::parse(" 1w ").unwrap(), Span { days: 7, seconds: 0.0 });
        assert_eq!(
            Span::parse("1d12h").unwrap(),
            Span {
                days: 1,
                seconds: 43_200.0
            }
        );
        for (text, seconds) in [
            ("90", 90.0),
            ("0.5", 0.5),
            ("2h", 7_200.0),
            ("5 min", 300.0),
            ("1h30m", 5_400.0),
        ] {
            assert_eq!(Span::parse(text).unwrap(), Span { days: 0, seconds }, "{text}");
        }
        assert_eq!(Span::parse("500ms").unwrap(), Span { days: 0, seconds: 0.5 });
        for bad in [
            "",
            ".",
            "m",
            "five",
            "1y",
            "1mo",
            "-1m",
            "1m ago",
            "1e999s",
            "99999999999d",
            "200y",
        ] {
            assert!(Span::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn buckets_are_of_readable_length() {
        assert_eq!(Span::readable(Duration::from_secs(1)).total_seconds(), 60.0);
        assert_eq!(Span::readable(Duration::from_secs(301)).total_seconds(), 600.0);
        assert_eq!(
            Span::readable(Duration::from_secs(50_000)),
            Span { days: 1, seconds: 0.0 }
        );
        assert_eq!(
            Span::readable(Duration::from_secs(2_592_001)),
            Span { days: 31, seconds: 0.0 }
        );
    }
}
