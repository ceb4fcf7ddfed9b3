//! Scores and control charts.

use kpi_core::error::KpiError;
use kpi_core::scores;

use crate::datum::{float, floats, instants};
use crate::fmgr::sql_function;
use crate::reports::rows::{Cell, Rows};

sql_function!(iot_kpi_modified_z_score, |call| {
    let score = scores::modified_z_score(call.float(0)?, call.float(1)?, call.float(2)?, call.float(3)?)?;
    Ok(score.map(float))
});

// Arguments: times, values, since, cut_off. The values from `since` on whose score among all of them exceeds the cut-off.
sql_function!(iot_kpi_unusual, |call| {
    let mut rows = Rows::begin(call);
    if call.any_null(4) {
        return Ok(None);
    }
    // SAFETY: declared as timestamptz[].
    let times = unsafe { instants(call.required(0)?)? };
    // SAFETY: declared as double precision[].
    let values: Option<Vec<f64>> = unsafe { floats(call.required(1)?)? }.into_iter().collect();
    let values = values.filter(|values| values.len() == times.len()).ok_or_else(|| {
        KpiError::parameter(
            "times and values are not of one length, or have NULLs",
            "Give a time for each value: array_agg(time), array_agg(value) of the same rows.",
        )
    })?;
    let since = call.instant(2)?;
    if let Some((median, found)) = scores::unusual(&values, call.float(3)?)? {
        for unusual in found.iter().filter(|unusual| times[unusual.index] >= since) {
            rows.push([
                Cell::instant(Some(times[unusual.index])),
                Cell::float(Some(values[unusual.index])),
                Cell::float(Some(median)),
                Cell::float(unusual.score),
            ]);
        }
    }
    Ok(None)
});

sql_function!(iot_kpi_ewma_limits, |call| {
    let n = call.count(4, "n")?;
    let (low, high) = scores::ewma_limits(call.float(0)?, call.float(1)?, call.float(2)?, call.float(3)?, n)?;
    let mut rows = Rows::begin(call);
    rows.push([Cell::float(Some(low)), Cell::float(Some(high))]);
    Ok(None)
});

// Transition functions over a plain float; a NULL value leaves the chart where it is.
sql_function!(iot_kpi_ewma_step, |call| {
    let before = call.datum(0).map(|_| call.float(0)).transpose()?;
    if call.datum(1).is_none() {
        return Ok(before.map(float));
    }
    call.required_as(2, "lambda")?;
    Ok(Some(float(scores::ewma(before, call.float(1)?, call.float(2)?)?)))
});

sql_function!(iot_kpi_cusum_step, |call| {
    let before = call.datum(0).map(|_| call.float(0)).transpose()?;
    if call.datum(1).is_none() {
        return Ok(before.map(float));
    }
    call.required_as(2, "mean")?;
    call.required_as(3, "slack")?;
    Ok(Some(float(scores::cusum(
        before,
        call.float(1)?,
        call.float(2)?,
        call.float(3)?,
    )?)))
});
