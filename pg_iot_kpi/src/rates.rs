//! Plain functions of counts and ratios.

use kpi_core::rates;

use crate::datum::float;
use crate::fmgr::sql_function;
use crate::reports::rows::{Cell, Rows};

sql_function!(iot_kpi_error_rate, |call| {
    Ok(rates::error_rate(call.count(0, "failed")?, call.count(1, "attempts")?)?.map(float))
});

sql_function!(iot_kpi_wilson_interval, |call| {
    let found = rates::wilson_interval(call.count(0, "failed")?, call.count(1, "attempts")?)?;
    let mut rows = Rows::begin(call);
    rows.push([Cell::float(found.map(|f| f.0)), Cell::float(found.map(|f| f.1))]);
    Ok(None)
});

sql_function!(iot_kpi_burn_rate, |call| Ok(Some(float(rates::burn_rate(
    call.float(0)?,
    call.float(1)?
)?))));

sql_function!(iot_kpi_error_budget, |call| {
    let budget = rates::error_budget(call.float(0)?, call.duration(1, "eligible time")?)?;
    Ok(Some(crate::datum::interval(budget)))
});

sql_function!(iot_kpi_nines, |call| Ok(rates::nines(call.float(0)?)?.map(float)));
