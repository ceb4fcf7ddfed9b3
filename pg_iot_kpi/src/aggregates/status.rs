//! `status_agg` and what its state tells.

use kpi_core::classes::Exemptions;
use kpi_core::error::Result;
use kpi_core::status::{Status, StatusHistory, StatusRules, StatusTimeline};
use kpi_core::time::{Duration, check_duration, check_instant};
use pgrx::pg_sys::Datum;

use crate::aggregates::{Mergeable, finish, state_functions};
use crate::datum::{bytes, float, interval, plain_bytes, text};
use crate::fmgr::{Call, sql_function};
use crate::reports::rows::Rows;

impl Mergeable for StatusTimeline {
    fn absorb(&mut self, other: &Self) -> Result<()> {
        self.merge(other)
    }
}

state_functions!(StatusTimeline, "status_timeline");

/// Adds what nearly every sample is.
#[inline(always)]
fn sample_in_place(call: &Call) -> Option<Datum> {
    let mut state = call.state::<StatusTimeline>(0)?;
    // SAFETY: declared as text.
    let status = Status::known(unsafe { plain_bytes(call.datum(2)?)? })?;
    let done = state.sample_in_place(call.datum(1)?.value() as i64, status);
    done.then(|| state.datum())
}

sql_function!(iot_kpi_status_trans, at_once: sample_in_place, |call| {
    let mut state = call.state_or_new::<StatusTimeline>(0)?;
    if let (Some(_), Some(status)) = (call.datum(1), call.datum(2)) {
        // SAFETY: declared as text.
        state.sample(call.instant(1)?, Status::of(unsafe { bytes(status) })?)?;
    }
    state.hand_on()
});

sql_function!(iot_kpi_status_final, finish::<StatusTimeline>);

/// The samples of a state, as they are read.
fn history(call: &Call) -> Result<StatusHistory> {
    Ok(call.decoded::<StatusTimeline>(0)?.history())
}

/// A time-to-live; NULL is none.
fn ttl(call: &Call, n: usize) -> Result<Option<Duration>> {
    match call.datum(n) {
        None => Ok(None),
        Some(_) => check_duration("status_ttl", call.duration(n, "status_ttl")?).map(Some),
    }
}

sql_function!(iot_kpi_availability, |call| {
    if call.any_null(2) {
        return Ok(None);
    }
    let history = history(call)?;
    let exempt = Exemptions {
        excluded: call.spans(2)?,
        unknown: call.spans(3)?,
    };
    let rules = StatusRules {
        ttl: ttl(call, 4)?,
        degraded_counts_up: call.boolean(5)?,
    };
    Ok(history.times(call.window(1)?, rules, &exempt).ratio().map(float))
});

sql_function!(iot_kpi_status_at, |call| {
    if call.any_null(2) {
        return Ok(None);
    }
    let at = check_instant(call.instant(1)?)?;
    Ok(Some(text(history(call)?.status_at(at, ttl(call, 2)?).as_str())))
});

sql_function!(iot_kpi_periods, |call| {
    let mut rows = Rows::begin(call);
    if call.any_null(2) {
        return Ok(None);
    }
    history(call)?.each_period(call.window(1)?, ttl(call, 2)?, |period| {
        rows.push(crate::reports::period_cells(&period));
    });
    Ok(None)
});

sql_function!(iot_kpi_duration_in, |call| {
    if call.any_null(3) {
        return Ok(None);
    }
    let status: Status = call.text(1)?.parse()?;
    Ok(Some(interval(history(call)?.duration_in(
        status,
        call.window(2)?,
        ttl(call, 3)?,
    ))))
});

sql_function!(iot_kpi_transitions, |call| {
    if call.any_null(2) {
        return Ok(None);
    }
    Ok(Some(Datum::from(
        history(call)?.transitions(call.window(1)?, ttl(call, 2)?),
    )))
});

sql_function!(iot_kpi_flapping, |call| Ok(Some(float(
    call.decoded::<StatusTimeline>(0)?.flapping()
))));

sql_function!(iot_kpi_is_flapping, |call| {
    Ok(Some(Datum::from(
        call.decoded::<StatusTimeline>(0)?.is_flapping(call.boolean(1)?),
    )))
});
