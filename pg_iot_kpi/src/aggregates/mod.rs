//! The two-step aggregates: `xxx_agg(…)` gathers a state, accessors read it. One file a state.
//!
//! What all of them share is here: how a state is made final, merged, sent to and from parallel workers, read and
//! written as text.

mod cadence;
mod evidence;
mod heartbeats;
mod response;
mod status;
mod throughput;

use kpi_core::codec::Codec;
use kpi_core::error::Result;

use crate::fmgr::HeapSize;

/// A state that aggregates merge.
pub(crate) trait Mergeable: Codec + Clone {
    /// Adds all of another.
    fn absorb(&mut self, other: &Self) -> Result<()>;
    /// The state itself, from one that nobody reads again.
    fn take(&mut self) -> Self {
        self.clone()
    }
}

/// A final function: the state in its binary form, an empty one where the group had no row. The state is not changed,
/// so that the aggregate may go on as a window function.
pub(crate) fn finish<T: Codec + Default + HeapSize>(call: &crate::fmgr::Call) -> crate::fmgr::SqlResult {
    match call.state::<T>(0) {
        Some(state) => written(&*state).map(Some),
        None => crate::datum::state(&T::default()).map(Some),
    }
}

/// The binary form of a state that an aggregate gathered.
pub(crate) fn written<T: Codec + HeapSize>(state: &T) -> Result<pgrx::pg_sys::Datum> {
    crate::memory::check_writing(state.heap_size())?;
    crate::datum::state(state)
}

/// Defines what every state type needs in SQL: input, output, receive, send, and for its aggregates combine,
/// serialise, deserialise and the transition of `rollup`.
macro_rules! state_functions {
    ($type:ty, $prefix:literal) => {
        impl crate::fmgr::HeapSize for $type {
            #[inline(always)]
            fn heap_size(&self) -> usize {
                <$type>::heap_size(self)
            }
        }
        crate::aggregates::state_functions!(@one $type, concat!("iot_kpi_", $prefix, "_in"), |call| {
            let text = call.cstring(0)?;
            crate::memory::check_text::<$type>(text)?;
            crate::datum::state(&<$type as kpi_core::codec::Codec>::from_text(text)?).map(Some)
        });
        crate::aggregates::state_functions!(@one $type, concat!("iot_kpi_", $prefix, "_out"), |call| {
            // What is stored was validated when it came in, and has one form only: it is shown as it is.
            // SAFETY: declared as a type whose storage is a varlena.
            let stored = unsafe { crate::datum::bytes(call.required(0)?) };
            crate::datum::hex(stored).map(Some)
        });
        crate::aggregates::state_functions!(@one $type, concat!("iot_kpi_", $prefix, "_recv"), |call| {
            // SAFETY: a receive function gets a StringInfo.
            let bytes = unsafe { crate::datum::remaining(call.required(0)?) };
            crate::datum::state(&<$type as kpi_core::codec::Codec>::decode(bytes)?).map(Some)
        });
        crate::aggregates::state_functions!(@one $type, concat!("iot_kpi_", $prefix, "_send"), |call| {
            // SAFETY: declared as a type whose storage is a varlena, as that of bytea is.
            Ok(Some(unsafe { crate::datum::plain(call.required(0)?) }))
        });
        crate::aggregates::state_functions!(@one $type, concat!("iot_kpi_", $prefix, "_combine"), |call| {
            match call.both_states::<$type>() {
                (Some(mut one), Some(other)) => {
                    crate::memory::check_merging(one.heap_size(), other.heap_size())?;
                    crate::aggregates::Mergeable::absorb(&mut *one, &other)?;
                    one.hand_on()
                }
                // The other state lives in a context of its own: it must be taken out or copied to live on.
                (None, Some(mut other)) => {
                    crate::memory::check_merging(other.heap_size(), 0)?;
                    let own = match other.is_brief() {
                        true => crate::aggregates::Mergeable::take(&mut *other),
                        false => <$type>::clone(&other),
                    };
                    call.keep(own)?.hand_on()
                }
                (one, None) => Ok(one.map(|one| one.datum())),
            }
        });
        crate::aggregates::state_functions!(@one $type, concat!("iot_kpi_", $prefix, "_serialize"), |call| {
            let Some(state) = call.state::<$type>(0) else { return Ok(None) };
            crate::memory::check_writing(state.heap_size())?;
            crate::datum::byte_string(&kpi_core::codec::Codec::hand_over(&*state)).map(Some)
        });
        crate::aggregates::state_functions!(@one $type, concat!("iot_kpi_", $prefix, "_deserialize"), |call| {
            // SAFETY: declared as bytea.
            let bytes = unsafe { crate::datum::bytes(call.required(0)?) };
            Ok(Some(call.keep_briefly(<$type as kpi_core::codec::Codec>::take_over(bytes)?)))
        });
        crate::aggregates::state_functions!(@one $type, concat!("iot_kpi_", $prefix, "_rollup_trans"), |call| {
            let Some(datum) = call.datum(1) else { return Ok(call.datum(0)) };
            // SAFETY: declared as this type.
            let other = unsafe { crate::datum::decode::<$type>(datum)? };
            match call.state::<$type>(0) {
                Some(mut state) => {
                    crate::memory::check_merging(state.heap_size(), other.heap_size())?;
                    crate::aggregates::Mergeable::absorb(&mut *state, &other)?;
                    state.hand_on()
                }
                None => call.keep(other)?.hand_on(),
            }
        });
    };
    (@one $type:ty, $name:expr, $body:expr) => {
        crate::fmgr::sql_function!(@named $name, $body);
    };
}
pub(crate) use state_functions;
