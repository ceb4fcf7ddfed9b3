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
pub(crate) fn finish<T: Codec + Default>(call: &crate::fmgr::Call) -> crate::fmgr::SqlResult {
    Ok(Some(call.state::<T>(0).map_or_else(
        || crate::datum::state(&T::default()),
        |s| crate::datum::state(&*s),
    )))
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
            Ok(Some(crate::datum::state(&<$type as kpi_core::codec::Codec>::from_text(call.cstring(0)?)?)))
        });
        crate::aggregates::state_functions!(@one $type, concat!("iot_kpi_", $prefix, "_out"), |call| {
            // What is stored was validated when it came in, and has one form only: it is shown as it is.
            // SAFETY: declared as a type whose storage is a varlena.
            let stored = unsafe { crate::datum::bytes(call.required(0)?) };
            Ok(Some(crate::datum::cstring(&kpi_core::codec::hex(stored))))
        });
        crate::aggregates::state_functions!(@one $type, concat!("iot_kpi_", $prefix, "_recv"), |call| {
            // SAFETY: a receive function gets a StringInfo.
            let bytes = unsafe { crate::datum::remaining(call.required(0)?) };
            Ok(Some(crate::datum::state(&<$type as kpi_core::codec::Codec>::decode(bytes)?)))
        });
        crate::aggregates::state_functions!(@one $type, concat!("iot_kpi_", $prefix, "_send"), |call| {
            // SAFETY: declared as a type whose storage is a varlena, as that of bytea is.
            Ok(Some(unsafe { crate::datum::plain(call.required(0)?) }))
        });
        crate::aggregates::state_functions!(@one $type, concat!("iot_kpi_", $prefix, "_combine"), |call| {
            match call.both_states::<$type>() {
                (Some(mut one), Some(other)) => {
                    crate::aggregates::Mergeable::absorb(&mut *one, &other)?;
                    one.hand_on()
                }
                // The other state lives in a context of its own: it must be taken out or copied to live on.
                (None, Some(mut other)) => {
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
            Ok(call.state::<$type>(0).map(|s| crate::datum::byte_string(&kpi_core::codec::Codec::hand_over(&*s))))
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
