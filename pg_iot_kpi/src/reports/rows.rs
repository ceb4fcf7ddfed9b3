//! Rows that a function returns.

use std::ffi::CStr;
use std::marker::PhantomData;

use kpi_core::catalogue::Figure;
use kpi_core::codec::Codec;
use kpi_core::error::Result;
use kpi_core::time::{Duration, Instant};
use pgrx::pg_sys::{self, Datum};

use crate::datum;
use crate::fmgr::Call;

/// A value in a row. It holds what it points to, so that a row takes no memory of PostgreSQL's but where it is stored.
pub(crate) enum Cell {
    Null,
    Value(Datum),
    Interval(pg_sys::Interval),
    /// A varlena, in words since PostgreSQL reads its header as one.
    Varlena(Vec<u64>),
}

impl Cell {
    /// A `double precision`.
    pub(crate) fn float(value: Option<f64>) -> Self {
        value.map_or(Self::Null, |value| Self::Value(datum::float(value)))
    }

    /// A KPI, of the type that the catalogue says.
    pub(crate) fn figure(figure: Figure) -> Self {
        match figure {
            Figure::Float(number) => Self::float(number),
            Figure::Count(n) => Self::count(n),
            Figure::Time(time) => Self::maybe_interval(time),
        }
    }

    /// The number of a slot, counted from 1.
    pub(crate) fn slot(index: usize) -> Self {
        Self::Value(Datum::from(index as i32 + 1))
    }

    /// A `bigint`.
    pub(crate) fn count(value: u64) -> Self {
        Self::Value(Datum::from(value))
    }

    /// A `bigint` or NULL.
    pub(crate) fn maybe_count(value: Option<u64>) -> Self {
        value.map_or(Self::Null, Self::count)
    }

    /// A `boolean`.
    pub(crate) fn boolean(value: bool) -> Self {
        Self::Value(Datum::from(value))
    }

    /// An `interval`.
    pub(crate) fn interval(value: Duration) -> Self {
        Self::Interval(datum::as_interval(value))
    }

    /// An `interval` or NULL.
    pub(crate) fn maybe_interval(value: Option<Duration>) -> Self {
        value.map_or(Self::Null, Self::interval)
    }

    /// A `timestamptz` or NULL.
    pub(crate) fn instant(value: Option<Instant>) -> Self {
        value.map_or(Self::Null, |at| Self::Value(Datum::from(at)))
    }

    /// A `text`.
    pub(crate) fn text(value: &str) -> Self {
        Self::bytes(value.as_bytes())
    }

    /// A state in its binary form.
    pub(crate) fn state<T: Codec>(value: &T) -> Result<Self> {
        let bytes = value.encode();
        datum::check_length(&bytes)?;
        Ok(Self::bytes(&bytes))
    }

    fn bytes(bytes: &[u8]) -> Self {
        let size = pg_sys::VARHDRSZ + bytes.len();
        assert!(
            size < 1 << 30,
            "a value of {size} bytes is larger than PostgreSQL can hold"
        );
        let mut words = vec![0u64; size.div_ceil(size_of::<u64>())];
        let start = words.as_mut_ptr().cast::<u8>();
        // SAFETY: there are at least so many bytes, of which the first four are the header.
        unsafe {
            pgrx::varlena::set_varsize_4b(start.cast(), size as i32);
            start
                .add(pg_sys::VARHDRSZ)
                .copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
        Self::Varlena(words)
    }

    /// The value as PostgreSQL copies it.
    fn datum(&self) -> Datum {
        match self {
            Self::Null => Datum::from(0),
            Self::Value(datum) => *datum,
            Self::Interval(interval) => Datum::from(std::ptr::from_ref(interval)),
            Self::Varlena(words) => Datum::from(words.as_ptr()),
        }
    }
}

/// The rows of a set-returning function in the making.
pub(crate) struct Rows<'call> {
    info: *mut pg_sys::ReturnSetInfo,
    call: PhantomData<&'call Call>,
}

impl<'call> Rows<'call> {
    /// Starts the result; the columns are those that the function was declared with.
    pub(crate) fn begin(call: &'call Call) -> Self {
        // SAFETY: PostgreSQL checks that the caller can take a set, and fills in resultinfo, which lives as long as the call.
        unsafe {
            pg_sys::InitMaterializedSRF(call.fcinfo(), 0);
            Self {
                info: (*call.fcinfo()).resultinfo.cast(),
                call: PhantomData,
            }
        }
    }

    /// The names that the function was declared with for its columns.
    pub(crate) fn columns(&self) -> Vec<String> {
        // SAFETY: `begin` made the description, which has as many attributes as it says; a name is a C string of at most 64 bytes.
        unsafe {
            let columns = (*self.info).setDesc;
            let names = (1..=(*columns).natts).map(|n| {
                let name = pg_sys::SPI_fname(columns, n);
                CStr::from_ptr(name).to_string_lossy().into_owned()
            });
            names.collect()
        }
    }

    /// Adds a row, unless the query was cancelled. It must have as many values as there are columns.
    pub(crate) fn push(&mut self, cells: impl AsRef<[Cell]>) {
        pgrx::check_for_interrupts!();
        let cells = cells.as_ref();
        let mut nulls: Vec<bool> = cells.iter().map(|cell| matches!(cell, Cell::Null)).collect();
        let mut values: Vec<Datum> = cells.iter().map(Cell::datum).collect();
        // SAFETY: `begin` made both, and nobody else writes them before the call returns. The lengths are compared before the
        // arrays are read. The values are copied, and are of the types that the columns were declared with; the cells are
        // dropped after that, and also where it fails, since a binding's error is a panic.
        unsafe {
            let (store, columns) = ((*self.info).setResult, (*self.info).setDesc);
            assert_eq!(
                (*columns).natts as usize,
                cells.len(),
                "the SQL declaration has other columns than the code"
            );
            // PostgreSQL 15 does not say that it only reads them.
            pg_sys::tuplestore_putvalues(store, columns, values.as_mut_ptr(), nulls.as_mut_ptr());
        }
    }
}
