//! Scores and control charts.

use kpi_core::scores;

use crate::datum::float;
use crate::fmgr::sql_function;
use crate::reports::rows::{Cell, Rows};

sql_function!(iot_kpi_modified_z_score, |call| {
    let score = scores::modified_z_score(call.float(0)?, call.float(1)?, call.float(2)?, call.float(3)?)?;
    Ok(score.map(float))
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
