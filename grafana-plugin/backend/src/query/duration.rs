//! Durations as Grafana writes them: `30s`, `5m`, `1h`, `1d`.

use crate::error::{Error, shown};
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

impl Span {
    /// From Grafana's notation.
    ///
    /// # Errors
    /// When it is none; the message shows one.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        let digits = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, unit) = (text[..digits].parse::<f64>(), text[digits..].trim());
        let problem = || {
            Error::Query(format!(
                "\"{}\" is no duration; write it as 30s, 5m, 1h or 1d",
                shown(text)
            ))
        };
        let number = number.ok().filter(|number| number.is_finite()).ok_or_else(problem)?;
        let seconds = match unit {
            "ms" => 1e-3,
            "s" | "" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            "w" => 604_800.0,
            _ => return Err(problem()),
        };
        if !(0.0..=3.2e9).contains(&(number * seconds)) {
            return Err(problem());
        }
        if matches!(unit, "d" | "w") && number.fract() == 0.0 {
            let days = number * seconds / 86_400.0;
            return Ok(Span {
                days: days as i32,
                seconds: 0.0,
            });
        }
        Ok(Span {
            days: 0,
            seconds: number * seconds,
        })
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
        for (text, seconds) in [("90", 90.0), ("2h", 7_200.0), ("1.5d", 129_600.0)] {
            assert_eq!(Span::parse(text).unwrap(), Span { days: 0, seconds }, "{text}");
        }
        assert_eq!(Span::parse("500ms").unwrap(), Span { days: 0, seconds: 0.5 });
        for bad in ["", "m", "five", "1y", "-1m", "1e999s", "99999999999d"] {
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
