//! A device's dossier to rows: what the SQL reports are made of.

mod dossier;
pub(crate) mod rows;

use kpi_core::error::Result;
use kpi_core::outages::Outage;
use kpi_core::report::DeviceReport;
use kpi_core::response::ResponseSketch;
use kpi_core::spans::Spans;
use kpi_core::status::{Period, overlay, periods_of};
use kpi_core::time::{Window, check_instant, check_not_negative};

use crate::datum;
use crate::fmgr::{Call, sql_function};
use crate::reports::dossier::Submitted;
use crate::reports::rows::{Cell, Rows};

/// `started_at, ended_at, duration, ongoing, began_before, last_beat`.
pub(crate) fn outage_cells(outage: &Outage) -> [Cell; 6] {
    [
        Cell::instant(Some(outage.started_at)),
        Cell::instant(outage.ended_at),
        Cell::interval(outage.duration),
        Cell::boolean(outage.ongoing),
        Cell::boolean(outage.began_before),
        Cell::instant(outage.last_beat),
    ]
}

/// `started_at, ended_at, status`.
pub(crate) fn period_cells(period: &Period) -> [Cell; 3] {
    [
        Cell::instant(Some(period.start)),
        Cell::instant(Some(period.end)),
        Cell::text(period.status.map_or("excluded", |s| s.as_str())),
    ]
}

// The columns of iot_kpi.device_report, a row a slot.
sql_function!(iot_kpi_device_report, |call| {
    let submitted = Submitted::read(call.required(0)?)?;
    let mut rows = Rows::begin(call);
    for (slot, window) in submitted.slots().enumerate() {
        let report = submitted.dossier.report(slot, window)?;
        rows.push(report_cells(slot, &report)?);
    }
    Ok(None)
});

fn report_cells(slot: usize, report: &DeviceReport) -> Result<[Cell; 44]> {
    let responses = &report.responses;
    let percentile = |q| responses.percentile(q).map(Cell::float);
    let interval = report.error_interval()?;
    let consistency = &report.consistency;
    let maybe_count = |n: Option<u64>| Cell::datum(n.map(pgrx::pg_sys::Datum::from));
    Ok([
        Cell::slot(slot),
        Cell::instant(Some(report.window.start)),
        Cell::instant(Some(report.window.end)),
        Cell::interval(report.heartbeats.times.up),
        Cell::interval(report.heartbeats.times.down),
        Cell::interval(report.heartbeats.times.unknown),
        Cell::interval(report.heartbeats.times.excluded),
        Cell::float(report.uptime()),
        Cell::interval(report.status_times.up),
        Cell::interval(report.status_times.down),
        Cell::interval(report.status_times.unknown),
        Cell::float(report.availability()),
        Cell::boolean(report.live),
        Cell::boolean(report.required),
        Cell::count(report.heartbeats.failures),
        Cell::maybe_interval(report.heartbeats.mtbf()),
        Cell::maybe_interval(report.heartbeats.mttr()),
        Cell::maybe_interval(report.heartbeats.longest_outage),
        Cell::float(consistency.completeness),
        Cell::float(consistency.regularity),
        Cell::float(consistency.stability),
        Cell::float(consistency.consistency),
        Cell::float(consistency.jitter),
        Cell::count(consistency.missed_beats),
        Cell::count(responses.count()),
        Cell::float(responses.mean()),
        percentile(0.5)?,
        percentile(0.9)?,
        percentile(0.95)?,
        percentile(0.99)?,
        maybe_count(report.apdex.map(|a| a.satisfied)),
        maybe_count(report.apdex.map(|a| a.tolerating)),
        maybe_count(report.apdex.map(|a| a.total)),
        Cell::float(report.apdex.and_then(|a| a.score())),
        Cell::count(report.attempts),
        Cell::count(report.failed),
        Cell::float(report.error_rate()?),
        Cell::float(interval.map(|i| i.0)),
        Cell::float(interval.map(|i| i.1)),
        Cell::float(report.bytes),
        Cell::count(report.messages),
        Cell::float(report.bytes_per_second()),
        Cell::float(report.messages_per_second()),
        Cell::datum(Some(datum::state::<ResponseSketch>(responses))),
    ])
}

sql_function!(iot_kpi_device_outages, |call| {
    let submitted = Submitted::read(call.required(0)?)?;
    let min_outage = check_not_negative("min_outage", call.duration(1, "min_outage")?)?;
    let mut rows = Rows::begin(call);
    if let Some(window) = submitted.window() {
        submitted
            .dossier
            .outages(window, min_outage)
            .iter()
            .for_each(|o| rows.push(outage_cells(o)));
    }
    Ok(None)
});

sql_function!(iot_kpi_device_periods, |call| {
    let submitted = Submitted::read(call.required(0)?)?;
    let mut rows = Rows::begin(call);
    if let Some(window) = submitted.window() {
        periods(&submitted, window)
            .iter()
            .for_each(|p| rows.push(period_cells(p)));
    }
    Ok(None)
});

/// The status periods of a device; by its beats where it never said a word of its own.
fn periods(submitted: &Submitted, window: Window) -> Vec<Period> {
    let dossier = &submitted.dossier;
    if dossier.statuses.is_empty() {
        return periods_of(&dossier.timeline(window));
    }
    overlay(
        &dossier.statuses.periods(window, dossier.settings.status.ttl),
        window,
        &dossier.exempt,
    )
}

// The time from the first to the last edge in which a collector does not show that it is alive.
sql_function!(iot_kpi_silent_ranges, |call| {
    let submitted = Submitted::read(call.required(0)?)?;
    Ok(Some(crate::ranges::multirange(
        &submitted
            .window()
            .map_or_else(Spans::empty, |w| submitted.dossier.silent(w)),
    )))
});

/// The window that a report is about, up to `as_of`; none where nothing of it has happened.
fn effective_window(call: &Call) -> Result<Option<Window>> {
    call.required_as(0, "window")?;
    call.required_as(1, "as_of")?;
    let window = call.window(0)?;
    let end = window.end.min(check_instant(call.instant(1)?)?);
    Ok((window.start < end).then_some(Window {
        start: window.start,
        end,
    }))
}

sql_function!(iot_kpi_effective_window, |call| {
    let window = effective_window(call)?;
    Ok(window.map(|w| pgrx::pg_sys::Datum::from(crate::ranges::range(w.start, w.end))))
});
