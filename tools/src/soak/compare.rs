//! Two stores with the same past: what one has and the other has not.

use std::io::{BufRead as _, BufReader, Lines};

use anyhow::{Context, Result};
use chrono::{DateTime, TimeDelta, Utc};
use postgres::{Client, CopyOutReader};

use super::{interval, tick_of};
use crate::bench::{Bound, Table};
use crate::postgres::Database;

/// What a collector may have in hand when it is killed: what was not yet written or spooled.
const IN_HAND: TimeDelta = TimeDelta::seconds(2);
/// How late a report may be delivered, in ticks; until then the collector holds it in memory.
const LATEST: i32 = 11;
const ROWS: &str =
    "SELECT device_id || ' ' || metric, (extract(epoch FROM time) * 1e6)::bigint, value FROM iot.device_metrics
    WHERE time >= $from AND time < $to ORDER BY device_id, metric, time";

/// A stretch for which something may be missing, or be there once more.
#[derive(Debug)]
pub(super) struct Excuse {
    /// From here on late reports may be missing.
    late_from: DateTime<Utc>,
    /// From here on everything may.
    from: DateTime<Utc>,
    /// From here on something may be there that the past does not have: the start of the tick in which the next run begins.
    own_from: DateTime<Utc>,
    /// To here; the tick in which a run begins is its own.
    to: DateTime<Utc>,
}

impl Excuse {
    pub(super) fn crash(from: DateTime<Utc>, to: DateTime<Utc>) -> Self {
        Self {
            late_from: tick_of(from) - interval() * LATEST,
            from: from - IN_HAND,
            own_from: tick_of(to).min(from),
            // Its start took a moment: the tick that it began with may be the next one.
            to: tick_of(to) + interval() * 2,
        }
    }

    pub(super) fn held_up(from: DateTime<Utc>, to: DateTime<Utc>) -> Self {
        Self {
            late_from: from,
            own_from: from,
            from,
            to,
        }
    }
}

/// How two stores differ.
#[derive(Debug, Default)]
pub(super) struct Found {
    rows: u64,
    missing: u64,
    /// Late deliveries that a killed collector held in memory, and all rows of that time.
    late: u64,
    late_of: u64,
    excused: u64,
    surplus: u64,
    altered: u64,
}

impl Found {
    pub(super) fn judge(&self, table: &mut Table) {
        let detail = format!(
            "{} rows compared, {} missing while no collector ran",
            self.rows, self.excused
        );
        table.add("soak, samples lost", self.missing as f64, Bound::AtMost(0.0), detail);
        table.add(
            "soak, samples made up",
            self.surplus as f64,
            Bound::AtMost(0.0),
            "rows that the past does not have",
        );
        table.add(
            "soak, samples altered",
            self.altered as f64,
            Bound::AtMost(0.0),
            "rows with another value",
        );
        let share = if self.late_of == 0 {
            0.0
        } else {
            self.late as f64 / self.late_of as f64
        };
        let detail = format!(
            "{} of {} rows of the minutes before a collector was killed",
            self.late, self.late_of
        );
        table.add(
            "soak, late deliveries lost with a killed collector, share",
            share,
            Bound::AtMost(0.05),
            detail,
        );
    }

    fn missing(&mut self, row: &Row, excuses: &[Excuse]) {
        if is_excused(row, excuses) {
            self.excused += 1;
        } else if is_before_crash(row, excuses) {
            self.late += 1;
        } else {
            self.missing += 1;
            self.show(|| format!("{row:?} is missing"));
        }
    }

    fn surplus(&mut self, row: &Row, excuses: &[Excuse]) {
        if !is_of_a_start(row, excuses) {
            self.surplus += 1;
            self.show(|| format!("{row:?} never was"));
        }
    }

    fn both(&mut self, is: &Row, should_be: &Row, excuses: &[Excuse]) {
        self.rows += 1;
        self.late_of += u64::from(is_before_crash(is, excuses));
        // In the tick with which a run begins no report is lost: a device may have got through there.
        if is.value != should_be.value && !is_of_a_start(is, excuses) {
            self.altered += 1;
            self.show(|| format!("{is:?} should be {should_be:?}"));
        }
    }

    fn show(&self, text: impl Fn() -> String) {
        if self.missing + self.surplus + self.altered <= 10 {
            println!("  {}", text());
        }
    }
}

fn is_excused(row: &Row, excuses: &[Excuse]) -> bool {
    let is_in = |excuse: &Excuse| excuse.from <= row.time && row.time < excuse.to;
    excuses.iter().any(is_in)
}

fn is_of_a_start(row: &Row, excuses: &[Excuse]) -> bool {
    let is_in = |excuse: &Excuse| excuse.own_from <= row.time && row.time < excuse.to;
    excuses.iter().any(is_in)
}

fn is_before_crash(row: &Row, excuses: &[Excuse]) -> bool {
    excuses
        .iter()
        .any(|excuse| excuse.late_from <= row.time && row.time < excuse.from)
}

/// A sample.
#[derive(Debug, PartialEq)]
struct Row {
    key: String,
    time: DateTime<Utc>,
    value: String,
}

/// Walks through both in the order of their keys.
pub(super) fn run(
    store: &Database<'_>,
    truth: &Database<'_>,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    excuses: &[Excuse],
) -> Result<Found> {
    let (mut store, mut truth) = (store.try_client()?, truth.try_client()?);
    let (mut store, mut truth) = (rows(&mut store, from, to)?, rows(&mut truth, from, to)?);
    let mut found = Found::default();
    let (mut is, mut should_be) = (next(&mut store)?, next(&mut truth)?);
    loop {
        match (&is, &should_be) {
            (None, None) => return Ok(found),
            (Some(here), Some(there)) if (&here.key, here.time) == (&there.key, there.time) => {
                found.both(here, there, excuses);
                (is, should_be) = (next(&mut store)?, next(&mut truth)?);
            }
            (Some(here), there)
                if there
                    .as_ref()
                    .is_none_or(|there| (&here.key, here.time) < (&there.key, there.time)) =>
            {
                found.surplus(here, excuses);
                is = next(&mut store)?;
            }
            (_, Some(there)) => {
                found.missing(there, excuses);
                should_be = next(&mut truth)?;
            }
            (Some(_), None) => unreachable!("the case before takes it"),
        }
    }
}

fn rows(client: &mut Client, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Lines<BufReader<CopyOutReader<'_>>>> {
    let quoted = |at: DateTime<Utc>| format!("'{}'", at.to_rfc3339());
    let sql = ROWS.replace("$from", &quoted(from)).replace("$to", &quoted(to));
    let reader = client
        .copy_out(&format!("COPY ({sql}) TO STDOUT"))
        .context("read the samples")?;
    Ok(BufReader::new(reader).lines())
}

fn next(lines: &mut Lines<BufReader<CopyOutReader<'_>>>) -> Result<Option<Row>> {
    let Some(line) = lines.next().transpose().context("read the samples")? else {
        return Ok(None);
    };
    let mut fields = line.split('\t');
    let mut field = || fields.next().context("a line is short");
    let (key, time, value) = (field()?.to_owned(), field()?.parse::<i64>()?, field()?.to_owned());
    let time = DateTime::from_timestamp_micros(time).context("a time is out of range")?;
    Ok(Some(Row { key, time, value }))
}
