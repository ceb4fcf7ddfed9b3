//! `cadence_agg` and what its state tells.

use kpi_core::cadence::{Cadence, Consistency, Expectation};
use kpi_core::classes::Exemptions;
use kpi_core::error::Result;
use kpi_core::heartbeats::default_liveness;
use kpi_core::runs::judge_beats;
use kpi_core::time::check_duration;
use pgrx::pg_sys::Datum;

use crate::aggregates::{Mergeable, finish, state_functions};
use crate::datum::float;
use crate::fmgr::{Call, sql_function};

impl Mergeable for Cadence {
    fn absorb(&mut self, other: &Self) -> Result<()> {
        self.merge(other)
    }
}

state_functions!(Cadence, "cadence");

sql_function!(iot_kpi_cadence_trans, |call| {
    let mut state = call.state_or_new::<Cadence>(0)?;
    if call.datum(1).is_some() {
        state.beat(call.instant(1)?)?;
    }
    state.hand_on()
});

sql_function!(iot_kpi_cadence_final, finish::<Cadence>);

/// Arguments of every accessor: state, expected interval, window, excluded, unknown, liveness.
fn judged(call: &Call) -> Result<Option<Consistency>> {
    if call.any_null(3) {
        return Ok(None);
    }
    let beats = call.decoded::<Cadence>(0)?.times.to_vec();
    let interval = check_duration("expected_interval", call.duration(1, "expected_interval")?)?;
    let liveness = match call.datum(5) {
        None => default_liveness(interval)?,
        Some(_) => check_duration("liveness", call.duration(5, "liveness")?)?,
    };
    let exempt = Exemptions {
        excluded: call.spans(3)?,
        unknown: call.spans(4)?,
    };
    Ok(Some(
        judge_beats(&beats, call.window(2)?, Expectation { interval, liveness }, &exempt).1,
    ))
}

sql_function!(iot_kpi_completeness, |call| Ok(judged(call)?
    .and_then(|c| c.completeness)
    .map(float)));

sql_function!(iot_kpi_regularity, |call| Ok(judged(call)?
    .and_then(|c| c.regularity)
    .map(float)));

sql_function!(iot_kpi_stability, |call| Ok(judged(call)?
    .and_then(|c| c.stability)
    .map(float)));

sql_function!(iot_kpi_consistency, |call| Ok(judged(call)?
    .and_then(|c| c.consistency)
    .map(float)));

sql_function!(iot_kpi_jitter, |call| Ok(judged(call)?
    .and_then(|c| c.jitter)
    .map(float)));

sql_function!(iot_kpi_missed_beats, |call| Ok(
    judged(call)?.map(|c| Datum::from(c.missed_beats))
));

sql_function!(iot_kpi_extra_beats, |call| Ok(
    judged(call)?.map(|c| Datum::from(c.extra_beats))
));
