//! `heartbeat_agg` and what its state tells.

use kpi_core::classes::{ClassTimes, Exemptions};
use kpi_core::error::Result;
use kpi_core::heartbeats::Heartbeats;
use kpi_core::time::{Window, check_instant, check_not_negative};
use pgrx::pg_sys::Datum;

use crate::aggregates::{Mergeable, finish, state_functions};
use crate::datum::{bytes, float, interval, short_duration};
use crate::fmgr::{Call, sql_function};
use crate::ranges::multirange;
use crate::reports::rows::{Cell, Rows};

impl Mergeable for Heartbeats {
    fn absorb(&mut self, other: &Self) -> Result<()> {
        self.merge(other);
        Ok(())
    }

    fn take(&mut self) -> Self {
        std::mem::take(self)
    }
}

state_functions!(Heartbeats, "heartbeats");

/// Adds what nearly every beat is.
#[inline(always)]
fn go_on(call: &Call) -> Option<Datum> {
    let mut state = call.state::<Heartbeats>(0)?;
    // SAFETY: declared as interval.
    let liveness = unsafe { short_duration(call.datum(2)?)? };
    let goes_on = state.go_on(call.datum(1)?.value() as i64, liveness);
    goes_on.then(|| state.datum())
}

sql_function!(iot_kpi_heartbeat_trans, at_once: go_on, |call| {
    let mut state = call.state_or_new::<Heartbeats>(0)?;
    if call.datum(1).is_some() && call.datum(2).is_some() {
        state.beat(call.instant(1)?, call.duration(2, "liveness")?)?;
    }
    state.hand_on()
});

sql_function!(iot_kpi_heartbeat_final, finish::<Heartbeats>);

/// What accessors of a window are asked about.
struct Asked {
    beats: Heartbeats,
    window: Window,
    exempt: Exemptions,
}

/// Arguments of every accessor of a window: state, window, excluded, unknown. None where the state or the window is NULL; a set
/// of time that is NULL has nothing in it, as `range_agg` says of no rows.
fn asked(call: &Call) -> Result<Option<Asked>> {
    if call.any_null(2) {
        return Ok(None);
    }
    Ok(Some(Asked {
        beats: call.decoded::<Heartbeats>(0)?,
        window: call.window(1)?,
        exempt: Exemptions {
            excluded: call.spans(2)?,
            unknown: call.spans(3)?,
        },
    }))
}

/// The four classes of the window that is asked about.
fn times(call: &Call) -> Result<Option<ClassTimes>> {
    Ok(asked(call)?.map(|asked| asked.beats.times(asked.window, &asked.exempt)))
}

sql_function!(iot_kpi_uptime, |call| Ok(times(call)?
    .and_then(|times| times.ratio())
    .map(float)));

sql_function!(iot_kpi_up_time, |call| Ok(times(call)?.map(|times| interval(times.up))));

sql_function!(iot_kpi_down_time, |call| Ok(
    times(call)?.map(|times| interval(times.down))
));

sql_function!(iot_kpi_availability_report, |call| {
    let mut rows = Rows::begin(call);
    let Some(Asked { beats, window, exempt }) = asked(call)? else {
        return Ok(None);
    };
    let report = beats.availability(window, &exempt);
    rows.push([
        Cell::interval(report.times.up),
        Cell::interval(report.times.down),
        Cell::interval(report.times.unknown),
        Cell::interval(report.times.excluded),
        Cell::float(report.times.ratio()),
        Cell::count(report.failures),
        Cell::maybe_interval(report.mtbf()),
        Cell::maybe_interval(report.mttr()),
        Cell::maybe_interval(report.longest_outage),
    ]);
    Ok(None)
});

sql_function!(iot_kpi_heartbeat_outages, |call| {
    let mut rows = Rows::begin(call);
    let Some(Asked { beats, window, exempt }) = asked(call)? else {
        return Ok(None);
    };
    let min_outage = check_not_negative("min_outage", call.duration(4, "min_outage")?)?;
    let found = beats.outages(window, &exempt, min_outage);
    found
        .iter()
        .for_each(|outage| rows.push(crate::reports::outage_cells(outage)));
    Ok(None)
});

sql_function!(iot_kpi_live_ranges, |call| {
    Ok(Some(multirange(&call.decoded::<Heartbeats>(0)?.live_ranges())))
});

sql_function!(iot_kpi_live_at, |call| {
    let at = check_instant(call.instant(1)?)?;
    Ok(Some(Datum::from(call.decoded::<Heartbeats>(0)?.live_at(at))))
});

sql_function!(iot_kpi_last_beat, |call| Ok(call
    .decoded::<Heartbeats>(0)?
    .last_beat()
    .map(Datum::from)));

sql_function!(iot_kpi_beat_count, |call| {
    // SAFETY: declared as a type whose storage is a varlena.
    let stored = unsafe { bytes(call.required(0)?) };
    Ok(Some(Datum::from(Heartbeats::beat_count_of(stored)?)))
});
