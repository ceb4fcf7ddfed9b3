//! Windows and sets of time to and from PostgreSQL's ranges and multiranges.

use kpi_core::error::{KpiError, Result};
use kpi_core::memory;
use kpi_core::spans::Spans;
use kpi_core::time::{EARLIEST, Instant, LATEST, Window};
use pgrx::pg_sys::{self, Datum};

use crate::fmgr::Call;

/// What pgrx does not bind; unchanged from PostgreSQL 14 to 18 (`utils/multirangetypes.h`).
mod unguarded {
    use pgrx::pg_sys;

    unsafe extern "C-unwind" {
        pub(super) fn multirange_deserialize(
            range_type: *mut pg_sys::TypeCacheEntry,
            multirange: *const pg_sys::varlena,
            count: *mut i32,
            ranges: *mut *mut *mut pg_sys::RangeType,
        );
        pub(super) fn make_multirange(
            oid: pg_sys::Oid,
            range_type: *mut pg_sys::TypeCacheEntry,
            count: i32,
            ranges: *mut *mut pg_sys::RangeType,
        ) -> *mut pg_sys::varlena;
    }
}

/// The ranges of a multirange, in PostgreSQL's memory.
///
/// # Safety
/// It must be a `tstzmultirange` that is neither compressed nor out of line.
unsafe fn deserialized(multirange: *const pg_sys::varlena) -> (i32, *mut *mut pg_sys::RangeType) {
    let of = range_type();
    let (mut count, mut ranges) = (0, std::ptr::null_mut());
    // SAFETY: by contract, and both results are filled in. What the closure holds needs no drop, so that an error may jump
    // over it; the guard makes a panic of that.
    unsafe {
        pg_sys::ffi::pg_guard_ffi_boundary(|| {
            unguarded::multirange_deserialize(of, multirange, &mut count, &mut ranges);
        });
    }
    (count, ranges)
}

/// A `tstzmultirange` of ranges, which are sorted and put together where they touch.
fn made_of(ranges: &mut [*mut pg_sys::RangeType]) -> *mut pg_sys::varlena {
    let of = range_type();
    let (count, first) = (ranges.len() as i32, ranges.as_mut_ptr());
    // SAFETY: the array is as long as said, and is copied from. The closure holds nothing that needs a drop, as above.
    unsafe {
        pg_sys::ffi::pg_guard_ffi_boundary(|| unguarded::make_multirange(pg_sys::TSTZMULTIRANGEOID, of, count, first))
    }
}

const WINDOW_HINT: &str = "Give a window with two finite bounds, such as tstzrange(now() - interval '1 day', now()).";

/// A range as half-open instants; none where a side is unbounded.
struct Bounds {
    start: Option<Instant>,
    end: Option<Instant>,
}

/// What PostgreSQL knows of the type `tstzrange`.
fn range_type() -> *mut pg_sys::TypeCacheEntry {
    // SAFETY: a built-in type; its cache entry lives as long as the backend.
    unsafe { pg_sys::lookup_type_cache(pg_sys::TSTZRANGEOID, pg_sys::TYPECACHE_RANGE_INFO as i32) }
}

/// The bounds of a range; none where it is empty. An exclusive start and an inclusive end move on by a microsecond.
unsafe fn bounds(range: *const pg_sys::RangeType) -> Option<Bounds> {
    let (mut lower, mut upper) = (pg_sys::RangeBound::default(), pg_sys::RangeBound::default());
    let mut empty = false;
    // SAFETY: the caller passes a tstzrange; all three are filled in.
    unsafe { pg_sys::range_deserialize(range_type(), range, &mut lower, &mut upper, &mut empty) };
    let at = |bound: &pg_sys::RangeBound, moved: bool| {
        let instant = bound.val.value() as i64;
        (!bound.infinite).then_some(if instant == i64::MIN {
            instant
        } else {
            instant.saturating_add(moved.into())
        })
    };
    (!empty).then(|| Bounds {
        start: at(&lower, !lower.inclusive),
        end: at(&upper, upper.inclusive),
    })
}

/// The window that a `tstzrange` describes.
///
/// # Safety
/// The datum must be a `tstzrange`.
pub(crate) unsafe fn window(datum: Datum) -> Result<Window> {
    // SAFETY: by contract.
    match unsafe { bounds(pg_sys::pg_detoast_datum(datum.cast_mut_ptr()).cast()) } {
        None => Err(KpiError::parameter("window is empty", WINDOW_HINT)),
        Some(Bounds { start: None, .. }) => Err(KpiError::parameter("window has no lower bound", WINDOW_HINT)),
        Some(Bounds { end: None, .. }) => Err(KpiError::parameter("window has no upper bound", WINDOW_HINT)),
        Some(Bounds {
            start: Some(start),
            end: Some(end),
        }) => Window::new(start, end),
    }
}

/// The instants of a `tstzmultirange`; an unbounded side goes as far as timestamps do.
///
/// # Safety
/// The datum must be a `tstzmultirange`.
pub(crate) unsafe fn spans(datum: Datum) -> Result<Spans> {
    // SAFETY: by contract.
    let (count, ranges) = unsafe { deserialized(pg_sys::pg_detoast_datum(datum.cast_mut_ptr())) };
    // The spans, and room to grow and to be united.
    memory::check(4 * count as usize * size_of::<(Instant, Instant)>())?;
    // SAFETY: the array has as many elements as said.
    let found = unsafe {
        (0..count as usize)
            .filter_map(|i| {
                pgrx::check_for_interrupts!();
                bounds(*ranges.add(i))
            })
            .map(|b| (b.start.unwrap_or(EARLIEST), b.end.unwrap_or(LATEST)))
            .collect()
    };
    Ok(Spans::union_of(found))
}

/// A `tstzmultirange` of these spans.
pub(crate) fn multirange(spans: &Spans) -> Datum {
    let ranges = spans.as_slice().iter().map(|s| {
        pgrx::check_for_interrupts!();
        range(s.0, s.1)
    });
    Datum::from(made_of(&mut ranges.collect::<Vec<_>>()))
}

/// A half-open `tstzrange`.
pub(crate) fn range(start: Instant, end: Instant) -> *mut pg_sys::RangeType {
    let bound = |at: Instant, lower| pg_sys::RangeBound {
        val: Datum::from(at),
        infinite: false,
        inclusive: lower,
        lower,
    };
    let (mut lower, mut upper) = (bound(start, true), bound(end, false));
    // SAFETY: both bounds are valid and in order.
    unsafe {
        #[cfg(feature = "pg15")]
        return pg_sys::make_range(range_type(), &mut lower, &mut upper, false);
        #[cfg(not(feature = "pg15"))]
        return pg_sys::make_range(range_type(), &mut lower, &mut upper, false, std::ptr::null_mut());
    }
}

impl Call {
    /// A bounded, non-empty `tstzrange`.
    pub(crate) fn window(&self, n: usize) -> Result<Window> {
        // SAFETY: declared as tstzrange.
        unsafe { window(self.required(n)?) }
    }

    /// A `tstzmultirange`; NULL is the empty one.
    pub(crate) fn spans(&self, n: usize) -> Result<Spans> {
        // SAFETY: declared as tstzmultirange.
        self.datum(n)
            .map_or_else(|| Ok(Spans::empty()), |d| unsafe { spans(d) })
    }
}
