//! Rows that a function returns.

use kpi_core::time::{Duration, Instant};
use pgrx::pg_sys::{self, Datum};

use crate::datum;
use crate::fmgr::Call;

/// A value in a row; none is NULL.
pub(crate) struct Cell(Option<Datum>);

impl Cell {
    /// A value that is ready.
    pub(crate) fn datum(value: Option<Datum>) -> Self {
        Self(value)
    }

    /// A `double precision`.
    pub(crate) fn float(value: Option<f64>) -> Self {
        Self(value.map(datum::float))
    }

    /// The number of a slot, counted from 1.
    pub(crate) fn slot(index: usize) -> Self {
        Self(Some(Datum::from(index as i32 + 1)))
    }

    /// A `bigint`.
    pub(crate) fn count(value: u64) -> Self {
        Self(Some(Datum::from(value)))
    }

    /// A `boolean`.
    pub(crate) fn boolean(value: bool) -> Self {
        Self(Some(Datum::from(value)))
    }

    /// An `interval`.
    pub(crate) fn interval(value: Duration) -> Self {
        Self(Some(datum::interval(value)))
    }

    /// An `interval` or NULL.
    pub(crate) fn maybe_interval(value: Option<Duration>) -> Self {
        Self(value.map(datum::interval))
    }

    /// A `timestamptz` or NULL.
    pub(crate) fn instant(value: Option<Instant>) -> Self {
        Self(value.map(Datum::from))
    }

    /// A `text`.
    pub(crate) fn text(value: &str) -> Self {
        Self(Some(datum::text(value)))
    }
}

/// The rows of a set-returning function in the making.
pub(crate) struct Rows {
    info: *mut pg_sys::ReturnSetInfo,
}

impl Rows {
    /// Starts the result; the columns are those that the function was declared with.
    pub(crate) fn begin(call: &Call) -> Self {
        // SAFETY: PostgreSQL checks that the caller can take a set, and fills in resultinfo.
        unsafe {
            pg_sys::InitMaterializedSRF(call.fcinfo(), 0);
            Self {
                info: (*call.fcinfo()).resultinfo.cast(),
            }
        }
    }

    /// Adds a row. It must have as many values as there are columns.
    pub(crate) fn push<const N: usize>(&mut self, cells: [Cell; N]) {
        let mut nulls = cells.each_ref().map(|c| c.0.is_none());
        let mut values = cells.map(|c| c.0.unwrap_or_else(|| Datum::from(0)));
        // SAFETY: the lengths are compared before the arrays are read.
        unsafe {
            let (store, columns) = ((*self.info).setResult, (*self.info).setDesc);
            assert_eq!(
                (*columns).natts as usize,
                N,
                "the SQL declaration has other columns than the code"
            );
            // PostgreSQL 15 does not say that it only reads them.
            pg_sys::tuplestore_putvalues(store, columns, values.as_mut_ptr(), nulls.as_mut_ptr());
        }
    }
}
