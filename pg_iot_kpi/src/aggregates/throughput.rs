//! `throughput_agg` and what its state tells.

use kpi_core::error::Result;
use kpi_core::throughput::{AmountKind, Throughput};
use pgrx::pg_sys::Datum;

use crate::aggregates::{Mergeable, finish, state_functions};
use crate::datum::float;
use crate::fmgr::sql_function;

impl Mergeable for Throughput {
    fn absorb(&mut self, other: &Self) -> Result<()> {
        self.merge(other)
    }
}

state_functions!(Throughput, "throughput");

sql_function!(iot_kpi_throughput_trans, |call| {
    let mut state = call.state_or_new::<Throughput>(0)?;
    if (1..=3).all(|n| call.datum(n).is_some()) {
        state.add(call.instant(1)?, call.float(2)?, call.text(3)?.parse()?)?;
    }
    state.hand_on()
});

sql_function!(iot_kpi_throughput_delta_trans, |call| {
    let mut state = call.state_or_new::<Throughput>(0)?;
    if call.datum(1).is_some() && call.datum(2).is_some() {
        state.add(call.instant(1)?, call.float(2)?, AmountKind::Delta)?;
    }
    state.hand_on()
});

sql_function!(iot_kpi_throughput_final, finish::<Throughput>);

sql_function!(iot_kpi_rate, |call| Ok(call
    .decoded::<Throughput>(0)?
    .rate(call.window(1)?)
    .map(float)));

sql_function!(iot_kpi_total, |call| Ok(call
    .decoded::<Throughput>(0)?
    .total()
    .map(float)));

sql_function!(iot_kpi_resets, |call| Ok(Some(Datum::from(
    call.decoded::<Throughput>(0)?.resets()
))));
