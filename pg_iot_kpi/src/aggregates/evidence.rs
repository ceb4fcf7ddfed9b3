//! `evidence_agg`: the one pass over a device's metric samples that every report starts from.

use kpi_core::cadence::Expectation;
use kpi_core::error::Result;
use kpi_core::evidence::{Evidence, MetricRole};
use kpi_core::throughput::AmountKind;
use kpi_core::time::check_duration;

use crate::aggregates::{Mergeable, state_functions, written};
use crate::datum::{bytes, decode, instants, state};
use crate::fmgr::sql_function;
use crate::memory::check_merging;
use crate::reports::rows::{Cell, Rows};

impl Mergeable for Evidence {
    fn absorb(&mut self, other: &Self) -> Result<()> {
        self.merge(other)
    }
}

state_functions!(Evidence, "evidence");

// Arguments: state, time, metric, value, heartbeat_metric (NULL: any sample is a beat), bytes_is_counter, edges.
sql_function!(iot_kpi_evidence_trans, |call| {
    let mut evidence = match call.state::<Evidence>(0) {
        Some(evidence) => evidence,
        // SAFETY: declared as timestamptz[].
        None => call.keep(Evidence::new(&unsafe { instants(call.required(6)?)? })?)?,
    };
    let (Some(_), Some(metric), Some(_)) = (call.datum(1), call.datum(2), call.datum(3)) else {
        return evidence.hand_on();
    };
    // SAFETY: declared as text.
    let metric = unsafe { bytes(metric) };
    // SAFETY: declared as text.
    let is_beat = call.datum(4).is_none_or(|named| unsafe { bytes(named) } == metric);
    let bytes_kind = if call.boolean(5)? {
        AmountKind::Counter
    } else {
        AmountKind::Delta
    };
    evidence.sample(
        call.instant(1)?,
        MetricRole::of(metric),
        call.float(3)?,
        is_beat,
        bytes_kind,
    )?;
    evidence.hand_on()
});

sql_function!(iot_kpi_evidence_final, |call| call
    .state::<Evidence>(0)
    .map(|evidence| written(&*evidence))
    .transpose());

// Arguments: state, a part in its binary form, edges.
sql_function!(iot_kpi_evidence_absorb, |call| {
    let mut evidence = match call.state::<Evidence>(0) {
        Some(evidence) => evidence,
        // SAFETY: declared as timestamptz[].
        None => call.keep(Evidence::new(&unsafe { instants(call.required(2)?)? })?)?,
    };
    if let Some(part) = call.datum(1) {
        // SAFETY: declared as bytea.
        let part: Evidence = unsafe { decode(part)? };
        check_merging(evidence.heap_size(), part.heap_size())?;
        evidence.absorb(part)?;
    }
    evidence.hand_on()
});

sql_function!(iot_kpi_evidence_parts, |call| {
    let parts = call.decoded::<Evidence>(0)?.parts()?;
    let mut rows = Rows::begin(call);
    for (slot, part) in parts.iter().enumerate() {
        rows.push([Cell::slot(slot), Cell::state(part)?]);
    }
    Ok(None)
});

sql_function!(iot_kpi_evidence_summary, |call| {
    let duration = |n, name| check_duration(name, call.duration(n, name)?);
    let expect = Expectation {
        interval: duration(1, "expected_interval")?,
        liveness: duration(2, "liveness")?,
    };
    state(&call.decoded::<Evidence>(0)?.summary(expect)?).map(Some)
});
