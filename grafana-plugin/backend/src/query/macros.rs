//! Macros in SQL that a person wrote: `$__timeFilter(time)`, `$__timeGroup(time, 5m)` and their like.

use super::Call;
use super::duration::Span;
use crate::error::Error;
use chrono::{DateTime, SecondsFormat, Utc};

/// What a time group does with buckets that hold no row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Filling {
    /// Shows them empty.
    Null,
    /// Repeats the value before.
    Previous,
    /// Shows this value.
    Value(f64),
}

/// The grid that a time group puts rows on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Grid {
    pub(crate) seconds: f64,
    pub(crate) filling: Filling,
}

/// SQL without macros, and how to fill its gaps.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Expanded {
    pub(crate) sql: String,
    pub(crate) grid: Option<Grid>,
}

/// Replaces every macro.
pub(crate) fn expand(sql: &str, call: &Call) -> Result<Expanded, Error> {
    let mut expander = Expander { call, grid: None };
    let sql = expander.text(sql)?;
    Ok(Expanded {
        sql,
        grid: expander.grid,
    })
}

struct Expander<'a> {
    call: &'a Call,
    grid: Option<Grid>,
}

impl Expander<'_> {
    fn text(&mut self, sql: &str) -> Result<String, Error> {
        let mut out = String::with_capacity(sql.len() + 128);
        let mut rest = sql;
        while let Some(at) = rest.find("$__") {
            out.push_str(&rest[..at]);
            let word = &rest[at + 3..];
            let end = word
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .unwrap_or(word.len());
            let (name, after) = word.split_at(end);
            let (arguments, after) = match after.strip_prefix('(') {
                // These two are words, whatever stands behind them.
                Some(_) if name.starts_with("interval") => (None, after),
                Some(inside) => {
                    let close =
                        closing(inside).ok_or_else(|| Error::Query(format!("$__{name}( has no closing bracket")))?;
                    (Some(self.text(&inside[..close])?), &inside[close + 1..])
                }
                None => (None, after),
            };
            out.push_str(&self.replacement(name, arguments.as_deref())?);
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }

    fn replacement(&mut self, name: &str, arguments: Option<&str>) -> Result<String, Error> {
        let arguments = split(arguments.unwrap_or_default());
        let (from, to) = (self.call.from, self.call.to);
        let column = || match arguments.first() {
            Some(column) if !column.is_empty() => Ok(*column),
            _ => Err(Error::Query(format!("$__{name} needs a column, as in $__{name}(time)"))),
        };
        let within = |low: String, high: String| Ok(format!("({c} >= {low} AND {c} < {high})", c = column()?));
        let nanoseconds = |time: DateTime<Utc>| format!("{}", i128::from(time.timestamp_millis()) * 1_000_000);
        match name {
            "interval" => Ok(format!("{}ms", self.call.interval.as_millis())),
            "interval_ms" => Ok(self.call.interval.as_millis().to_string()),
            "timeFrom" => Ok(instant(from)),
            "timeTo" => Ok(instant(to)),
            "timeFilter" => within(instant(from), instant(to)),
            "time" => Ok(format!("{} AS \"time\"", column()?)),
            "timeEpoch" => Ok(format!("extract(epoch FROM {}) AS \"time\"", column()?)),
            "timeGroup" => self.group(name, &format!("extract(epoch FROM {})", column()?), &arguments),
            "timeGroupAlias" => {
                let group = self.group(name, &format!("extract(epoch FROM {})", column()?), &arguments)?;
                Ok(format!("{group} AS \"time\""))
            }
            "unixEpochFrom" => Ok(from.timestamp().to_string()),
            "unixEpochTo" => Ok(to.timestamp().to_string()),
            "unixEpochFilter" => within(from.timestamp().to_string(), to.timestamp().to_string()),
            "unixEpochNanoFrom" => Ok(nanoseconds(from)),
            "unixEpochNanoTo" => Ok(nanoseconds(to)),
            "unixEpochNanoFilter" => within(nanoseconds(from), nanoseconds(to)),
            "unixEpochGroup" => self.group(name, column()?, &arguments),
            "unixEpochGroupAlias" => Ok(format!("{} AS \"time\"", self.group(name, column()?, &arguments)?)),
            _ => Err(Error::Query(format!("the macro $__{name} is not known"))),
        }
    }

    fn group(&mut self, name: &str, epoch: &str, arguments: &[&str]) -> Result<String, Error> {
        let Some(interval) = arguments.get(1) else {
            return Err(Error::Query(format!(
                "$__{name} needs an interval, as in $__{name}(time, 5m)"
            )));
        };
        let seconds = Span::parse(interval.trim_matches('\''))?.total_seconds();
        if seconds <= 0.0 {
            return Err(Error::Query(format!(
                "$__{name}: the interval {interval} is not positive"
            )));
        }
        if let Some(filling) = arguments.get(2) {
            let filling = match filling.to_ascii_lowercase().as_str() {
                "null" => Filling::Null,
                "previous" => Filling::Previous,
                number => Filling::Value(number.parse().map_err(|_| {
                    Error::Query(format!(
                        "$__{name}: gaps are filled by NULL, previous or a number, not {number}"
                    ))
                })?),
            };
            self.grid = Some(Grid { seconds, filling });
        }
        Ok(format!("to_timestamp(floor({epoch} / {seconds}) * {seconds})"))
    }
}

fn instant(time: DateTime<Utc>) -> String {
    format!("timestamptz '{}'", time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// Where the bracket closes that was opened before this text.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0;
    let mut quoted = false;
    for (at, c) in text.char_indices() {
        match c {
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted && depth == 0 => return Some(at),
            ')' if !quoted => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Arguments, parted by commas outside brackets and quotes.
fn split(text: &str) -> Vec<&str> {
    let (mut depth, mut quoted, mut start) = (0, false, 0);
    let mut parts = Vec::new();
    for (at, c) in text.char_indices() {
        match c {
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn expand_it(sql: &str) -> Result<Expanded, Error> {
        let call = Call {
            from: DateTime::from_timestamp_millis(1_704_067_200_000).unwrap(),
            to: DateTime::from_timestamp_millis(1_704_070_800_000).unwrap(),
            interval: Duration::from_secs(60),
            max_points: 100,
        };
        expand(sql, &call)
    }

    #[test]
    fn every_macro_becomes_sql() {
        let cases = [
            ("$__timeFrom()", "timestamptz '2024-01-01T00:00:00.000Z'"),
            ("$__timeTo()", "timestamptz '2024-01-01T01:00:00.000Z'"),
            (
                "$__timeFilter(m.time)",
                "(m.time >= timestamptz '2024-01-01T00:00:00.000Z' AND m.time < timestamptz '2024-01-01T01:00:00.000Z')",
            ),
            ("$__time(t)", "t AS \"time\""),
            ("$__timeEpoch(t)", "extract(epoch FROM t) AS \"time\""),
            ("$__interval", "60000ms"),
            ("$__interval_ms", "60000"),
            ("$__unixEpochFrom() $__unixEpochTo()", "1704067200 1704070800"),
            ("$__unixEpochFilter(e)", "(e >= 1704067200 AND e < 1704070800)"),
            ("$__unixEpochNanoFrom()", "1704067200000000000"),
            ("$__unixEpochGroup(e, 5m)", "to_timestamp(floor(e / 300) * 300)"),
            (
                "$__timeGroupAlias(f(a, b), $__interval)",
                "to_timestamp(floor(extract(epoch FROM f(a, b)) / 60) * 60) AS \"time\"",
            ),
        ];
        for (sql, expected) in cases {
            assert_eq!(expand_it(sql).unwrap().sql, expected, "{sql}");
        }
    }

    #[test]
    fn a_time_group_says_how_gaps_are_filled() {
        let grid = |sql: &str| expand_it(sql).unwrap().grid;
        let filled = |filling| {
            Some(Grid {
                seconds: 300.0,
                filling,
            })
        };
        assert_eq!(grid("$__timeGroup(t, '5m')"), None);
        assert_eq!(grid("$__timeGroup(t, 5m, NULL)"), filled(Filling::Null));
        assert_eq!(grid("$__timeGroup(t, 5m, previous)"), filled(Filling::Previous));
        assert_eq!(grid("$__timeGroup(t, 5m, 0)"), filled(Filling::Value(0.0)));
    }

    #[test]
    fn a_wrong_macro_is_named() {
        for bad in [
            "$__nonsense()",
            "$__timeFilter()",
            "$__timeGroup(t)",
            "$__timeGroup(t, 5x)",
            "$__timeFilter(t",
        ] {
            let error = expand_it(bad).unwrap_err().to_string();
            assert!(error.contains("__") || error.contains("5x"), "{bad}: {error}");
        }
    }
}
