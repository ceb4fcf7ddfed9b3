//! How durations, sizes and instants are written.

use crate::runtime::time_grid::Micros;
use chrono::DateTime;
use jiff::{Span, SpanRelativeTo};
use std::time::Duration;

/// `60s`, `250ms`, `1.5m`, `1h 30m`, `7d`; a bare number is seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).map_err(|error| format!("{text:?} is no duration ({error})"));
    }
    let problem = |error| format!("{text:?} is no duration ({error}); write it as 60s, 250ms, 1h 30m or 7d");
    let span: Span = text.parse().map_err(problem)?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(problem)?;
    Duration::try_from(duration).map_err(problem)
}

/// As [`duration`], but not nothing.
pub(crate) fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("must be longer than nothing, as in 60s".to_owned()),
        duration => Ok(duration),
    }
}

/// A round; times within one are told apart down to microseconds.
pub(crate) fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    if interval < Duration::from_millis(10) || interval > Duration::from_secs(86_400) {
        return Err("must be between 10ms and 1d, as in 60s".to_owned());
    }
    Ok(interval)
}

/// `67108864`, `64M`, `64MiB`, `2G`; multiples of 1024.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: f64 = number
        .parse()
        .map_err(|_| format!("{text:?} does not begin with a number, as 256M does"))?;
    let bytes = match unit.trim().trim_end_matches("iB").trim_end_matches('B') {
        "" => 1.0,
        "K" => 1024.0,
        "M" => 1024.0 * 1024.0,
        "G" => 1024.0 * 1024.0 * 1024.0,
        _ => return Err(format!("{unit:?} is no unit of size; use K, M or G, as in 256M")),
    };
    let size = number * bytes;
    if size < 1024.0 * 1024.0 {
        return Err("must be at least 1M".to_owned());
    }
    Ok(size as u64)
}

/// RFC 3339: `2026-01-31T00:00:00Z`.
pub(crate) fn instant(text: &str) -> Result<Micros, String> {
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.timestamp_micros())
        .map_err(|_| format!("{text:?} is no instant; write it as 2026-01-31T00:00:00Z"))
}

/// A factor above nothing.
pub(crate) fn factor(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(factor) if (0.01..=1000.0).contains(&factor) => Ok(factor),
        _ => Err("must be a number between 0.01 and 1000, 1 being normal".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, millis) in [
            ("60", 60_000),
            ("60s", 60_000),
            ("250ms", 250),
            ("1.5m", 90_000),
            (".5", 500),
            ("24h", 86_400_000),
            ("1h 30min", 5_400_000),
            (" 7d ", 604_800_000),
            ("2weeks", 1_209_600_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "-1", "5 fortnights", "1e400", "nan"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(positive_duration("0").is_err() && interval("1ms").is_err() && interval("2d").is_err());
    }

    #[test]
    fn sizes() {
        assert_eq!(size("64M"), Ok(64 << 20));
        assert_eq!(size("64MiB"), Ok(64 << 20));
        assert_eq!(size("2G"), Ok(2 << 30));
        assert!(size("1").is_err() && size("1T").is_err());
    }
}
