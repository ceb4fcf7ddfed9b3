//! `iot_kpi.pool`: the KPIs of a group of devices, from their dossiers.

use kpi_core::catalogue::{Kpi, MadeOf};
use kpi_core::classes::Class;
use kpi_core::error::{KpiError, Result};
use kpi_core::pool::Pool;

use crate::datum;
use crate::fmgr::{Call, HeapSize, State, sql_function};
use crate::reports::dossier::Submitted;

impl HeapSize for Pool {
    fn heap_size(&self) -> usize {
        Pool::heap_size(self)
    }
}

/// The state of the aggregate; the first device says of which KPIs it is, and how many slots there are.
fn pool<'call>(call: &'call Call, submitted: &Submitted) -> Result<State<'call, Pool>> {
    if let Some(pool) = call.state::<Pool>(0) {
        return Ok(pool);
    }
    // SAFETY: declared as text[].
    let names = unsafe { datum::text_elements(call.required_as(1, "kpis")?)? };
    let kpis = names.iter().map(|name| Kpi::named(name)).collect::<Result<_>>()?;
    call.keep(Pool::new(kpis, submitted.slots().len())?)
}

// Arguments: state, KPIs, dossier, class at the end (NULL: at the end of each slot).
sql_function!(iot_kpi_pool_trans, |call| {
    let submitted = Submitted::read(call.required_as(2, "dossier")?)?;
    let class = call.datum(3).map(|_| Class::named(call.text(3)?)).transpose()?;
    let mut pool = pool(call, &submitted)?;
    if pool.kpis().iter().any(|kpi| kpi.made_of == MadeOf::Communication) {
        pool.add(submitted.counted_slots()?, class)?;
    } else {
        pool.add(submitted.slots(), class)?;
    }
    pool.hand_on()
});

// Of each slot the KPIs in the order in which they were asked for, one slot after the other; NULL where there was no device.
sql_function!(iot_kpi_pool_final, |call| {
    let Some(pool) = call.state::<Pool>(0) else {
        return Ok(None);
    };
    let values: Vec<Option<f64>> = pool
        .figures()
        .map(|figure| figure.map(|figure| figure.number()))
        .collect::<Result<_>>()?;
    if values.len() > datum::MOST_FLOATS {
        return Err(KpiError::too_large(
            format!("{} values are more than an array holds", values.len()),
            "Ask for fewer KPIs, or for fewer slots.",
        ));
    }
    Ok(Some(datum::maybe_floats(&values)))
});
