//! A device's dossier to rows: what the SQL reports are made of.

mod columns;
mod dossier;
mod pool;
pub(crate) mod rows;

use kpi_core::catalogue::{KPIS, Kpi, MadeOf};
use kpi_core::classes::Exemptions;
use kpi_core::error::Result;
use kpi_core::outages::Outage;
use kpi_core::report::SlotReport;
use kpi_core::silence::{Hearing, Silence, class_at};
use kpi_core::spans::Spans;
use kpi_core::status::{Period, Status, overlay, periods_of};
use kpi_core::time::{Instant, Window, check_duration, check_instant, check_not_negative};

use pgrx::pg_sys::Datum;

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

// The columns of iot_kpi.device_values: where a slot begins, and a KPI in it.
sql_function!(iot_kpi_device_values, |call| {
    let submitted = Submitted::read(call.required(0)?)?;
    let kpi = Kpi::named(call.text(1)?)?;
    let mut rows = Rows::begin(call);
    if kpi.made_of == MadeOf::Communication {
        push_values(&mut rows, kpi, submitted.counted_slots()?)?;
    } else {
        push_values(&mut rows, kpi, submitted.slots())?;
    }
    Ok(None)
});

fn push_values<'a>(rows: &mut Rows<'_>, kpi: &Kpi, slots: impl Iterator<Item = SlotReport<'a>>) -> Result<()> {
    for slot in slots {
        let begin = Cell::instant(Some(slot.window().start));
        rows.push([begin, Cell::float(kpi.value(&slot)?)]);
    }
    Ok(())
}

sql_function!(iot_kpi_kpi_names, |_call| {
    Ok(Some(datum::texts(KPIS.iter().map(|kpi| kpi.name))))
});

// Whether a KPI is made from more than beats and status samples.
sql_function!(iot_kpi_asks_communication, |call| {
    let kpi = Kpi::named(call.text(0)?)?;
    Ok(Some((kpi.made_of == MadeOf::Communication).into()))
});

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

/// The status periods of a device. Of which nobody has looked yet is as it was when somebody did: whoever looks at a panel sees what is
/// known and not that the collector's next beat is due.
fn periods(submitted: &Submitted, window: Window) -> Vec<Period> {
    let mut periods = periods_told(submitted, window);
    let seen_until = submitted.dossier.around.seen_until;
    let (Some(seen_until), Some(last)) = (seen_until, periods.last().copied()) else {
        return periods;
    };
    if last.status == Some(Status::Unknown) && last.start >= seen_until.max(window.start) {
        let before = Window {
            start: seen_until.saturating_sub(1),
            end: seen_until,
        };
        let status = periods_told(submitted, before)[0].status.unwrap_or(Status::Unknown);
        periods.pop();
        match periods.last_mut() {
            Some(earlier) if earlier.status == Some(status) => earlier.end = last.end,
            _ => periods.push(Period {
                status: Some(status),
                ..last
            }),
        }
    }
    periods
}

/// The status periods as they are told; by its beats where the device never said a word of its own.
fn periods_told(submitted: &Submitted, window: Window) -> Vec<Period> {
    let dossier = &submitted.dossier;
    if dossier.statuses.is_empty() {
        return periods_of(&dossier.timeline(window));
    }
    overlay(
        &dossier.statuses.periods(window, dossier.settings.status.ttl),
        window,
        dossier.untold(),
    )
}

// What of the time from the first to the last edge does not lie between two beats of a collector.
sql_function!(iot_kpi_unobserved_ranges, |call| {
    let submitted = Submitted::read(call.required(0)?)?;
    Ok(Some(crate::ranges::multirange(
        &submitted
            .window()
            .map_or_else(Spans::empty, |w| submitted.dossier.unobserved(w)),
    )))
});

// What version 0.2.0 had instead: the SQL of it asks for it until it is updated.
sql_function!(iot_kpi_silent_ranges, |call| {
    let submitted = Submitted::read(call.required(0)?)?;
    Ok(Some(crate::ranges::multirange(
        &submitted
            .window()
            .map_or_else(Spans::empty, |w| submitted.dossier.silent(w)),
    )))
});

/// The time that does not count, as two arguments give it.
fn exemptions(call: &Call, excluded: usize) -> Result<Exemptions> {
    Ok(Exemptions {
        excluded: call.spans(excluded)?,
        unknown: call.spans(excluded + 1)?,
    })
}

/// When a device that is silent since an instant, or since ever, could have been heard for a whole liveness; the sets of time that
/// does not count are two arguments from `excluded` on.
fn heard_out(call: &Call, excluded: usize) -> Result<Instant> {
    let silence = Silence {
        since: call.datum(0).map(|_| call.instant(0)).transpose()?,
        liveness: check_duration("liveness", call.duration(1, "liveness")?)?,
        until: Instant::MAX,
    };
    Ok(Hearing::of(&exemptions(call, excluded)?).heard_out(silence))
}

// Whether that is so at an instant.
sql_function!(iot_kpi_heard_out, |call| {
    let heard_out = heard_out(call, 3)?;
    Ok(Some((heard_out <= check_instant(call.instant(2)?)?).into()))
});

// From when on it is down, if it stays silent; NULL where nobody will hear it for so long.
sql_function!(iot_kpi_down_from, |call| {
    let down_from = heard_out(call, 2)?;
    Ok(check_instant(down_from).ok().map(Datum::from))
});

// The class of an instant.
sql_function!(iot_kpi_class_at, |call| {
    let liveness = check_duration("liveness", call.duration(2, "liveness")?)?;
    let at = check_instant(call.instant(0)?)?;
    let last_beat = call.datum(1).map(|_| call.instant(1)).transpose()?;
    let class = class_at(at, last_beat, liveness, &exemptions(call, 3)?);
    Ok(Some(datum::text(class.as_str())))
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
