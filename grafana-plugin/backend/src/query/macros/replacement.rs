//! What each macro becomes.

use super::{Filling, Grid};
use crate::error::{Error, shown};
use crate::query::Call;
use crate::query::duration::Span;
use chrono::{DateTime, SecondsFormat, Utc};

/// The SQL in the place of a macro; a time group that fills gaps says how in `grid`.
pub(super) fn replacement(
    call: &Call,
    name: &str,
    arguments: &[&str],
    grid: &mut Option<Grid>,
) -> Result<String, Error> {
    let (from, to) = (call.from, call.to);
    let column = || match arguments.first() {
        Some(column) if !column.is_empty() => Ok(*column),
        _ => Err(Error::Query(format!("$__{name} needs a column, as in $__{name}(time)"))),
    };
    let within = |low: String, high: String| Ok(format!("({c} >= {low} AND {c} < {high})", c = column()?));
    let nanoseconds = |time: DateTime<Utc>| format!("{}", i128::from(time.timestamp_millis()) * 1_000_000);
    match name {
        "interval" => Ok(format!("{}ms", call.interval.as_millis())),
        "interval_ms" => Ok(call.interval.as_millis().to_string()),
        "timeFrom" => Ok(instant(from)),
        "timeTo" => Ok(instant(to)),
        "timeFilter" => within(instant(from), instant(to)),
        "time" => Ok(format!("{} AS \"time\"", column()?)),
        "timeEpoch" => Ok(format!("extract(epoch FROM {}) AS \"time\"", column()?)),
        "timeGroup" => group(name, &format!("extract(epoch FROM {})", column()?), arguments, grid),
        "timeGroupAlias" => {
            let group = group(name, &format!("extract(epoch FROM {})", column()?), arguments, grid)?;
            Ok(format!("{group} AS \"time\""))
        }
        "unixEpochFrom" => Ok(from.timestamp().to_string()),
        "unixEpochTo" => Ok(to.timestamp().to_string()),
        "unixEpochFilter" => within(from.timestamp().to_string(), to.timestamp().to_string()),
        "unixEpochNanoFrom" => Ok(nanoseconds(from)),
        "unixEpochNanoTo" => Ok(nanoseconds(to)),
        "unixEpochNanoFilter" => within(nanoseconds(from), nanoseconds(to)),
        "unixEpochGroup" => group(name, column()?, arguments, grid),
        "unixEpochGroupAlias" => Ok(format!("{} AS \"time\"", group(name, column()?, arguments, grid)?)),
        _ => Err(Error::Query(format!("the macro $__{} is not known", shown(name)))),
    }
}

fn group(name: &str, epoch: &str, arguments: &[&str], grid: &mut Option<Grid>) -> Result<String, Error> {
    let Some(interval) = arguments.get(1) else {
        return Err(Error::Query(format!(
            "$__{name} needs an interval, as in $__{name}(time, 5m)"
        )));
    };
    let seconds = Span::parse(interval.trim_matches('\''))?.total_seconds();
    if seconds <= 0.0 {
        return Err(Error::Query(format!(
            "$__{name}: the interval {} is not positive",
            shown(interval)
        )));
    }
    if let Some(filling) = arguments.get(2) {
        let filling = match filling.to_ascii_lowercase().as_str() {
            "null" => Filling::Null,
            "previous" => Filling::Previous,
            number => Filling::Value(number.parse().map_err(|_| {
                Error::Query(format!(
                    "$__{name}: gaps are filled by NULL, previous or a number, not {}",
                    shown(number)
                ))
            })?),
        };
        *grid = Some(Grid { seconds, filling });
    }
    Ok(format!("to_timestamp(floor({epoch} / {seconds}) * {seconds})"))
}

pub(super) fn instant(time: DateTime<Utc>) -> String {
    format!("timestamptz '{}'", time.to_rfc3339_opts(SecondsFormat::Millis, true))
}
