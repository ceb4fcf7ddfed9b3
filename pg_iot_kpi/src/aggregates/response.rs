//! `response_agg` and what its state tells.

use kpi_core::error::{KpiError, Result};
use kpi_core::response::ResponseSketch;
use pgrx::pg_sys::Datum;

use crate::aggregates::{Mergeable, finish, state_functions};
use crate::datum::{float, floats, maybe_floats};
use crate::fmgr::sql_function;

impl Mergeable for ResponseSketch {
    fn absorb(&mut self, other: &Self) -> Result<()> {
        self.merge(other)
    }
}

state_functions!(ResponseSketch, "response_sketch");

sql_function!(iot_kpi_response_trans, |call| {
    let mut state = call.state_or_new::<ResponseSketch>(0)?;
    if call.datum(1).is_some() {
        state.add(call.float(1)?)?;
    }
    state.hand_on()
});

sql_function!(iot_kpi_response_final, finish::<ResponseSketch>);

sql_function!(iot_kpi_percentile, |call| {
    Ok(call
        .decoded::<ResponseSketch>(0)?
        .percentile(call.float(1)?)?
        .map(float))
});

sql_function!(iot_kpi_percentiles, |call| {
    let sketch = call.decoded::<ResponseSketch>(0)?;
    // SAFETY: declared as double precision[].
    let wanted = unsafe { floats(call.required(1)?)? };
    let found: Vec<Option<f64>> = wanted
        .into_iter()
        .map(|q| {
            let q = q.ok_or_else(|| KpiError::parameter("percentile is NULL", "Leave NULLs out of the array."))?;
            sketch.percentile(q)
        })
        .collect::<Result<_>>()?;
    Ok(Some(maybe_floats(&found)))
});

sql_function!(iot_kpi_apdex, |call| {
    let counts = call
        .decoded::<ResponseSketch>(0)?
        .apdex_counts(call.float(1)?, call.count(2, "failed")?)?;
    Ok(counts.score().map(float))
});

sql_function!(iot_kpi_response_mean, |call| Ok(call
    .decoded::<ResponseSketch>(0)?
    .mean()
    .map(float)));

sql_function!(iot_kpi_response_min, |call| Ok(call
    .decoded::<ResponseSketch>(0)?
    .min()
    .map(float)));

sql_function!(iot_kpi_response_max, |call| Ok(call
    .decoded::<ResponseSketch>(0)?
    .max()
    .map(float)));

sql_function!(iot_kpi_response_count, |call| Ok(Some(Datum::from(
    call.decoded::<ResponseSketch>(0)?.count()
))));
