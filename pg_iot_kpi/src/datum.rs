//! Plain values to and from PostgreSQL's: durations, numbers, texts, states, arrays.

use std::ffi::CStr;

use kpi_core::codec::Codec;
use kpi_core::error::{KpiError, Result};
use kpi_core::memory;
use kpi_core::time::{Duration, Instant};
use pgrx::pg_sys::{self, Datum};
use pgrx::varlena::{rust_byte_slice_to_bytea, varatt_is_1b, varatt_is_1b_e, varatt_is_4b_u, varlena_to_byte_slice};

use crate::fmgr::Call;

const MICROSECONDS_A_DAY: i64 = 86_400_000_000;

/// An interval as exact microseconds: days have 24 hours, months are refused.
///
/// # Safety
/// The datum must be an `interval`.
#[inline]
pub(crate) unsafe fn duration(name: &str, datum: Datum) -> Result<Duration> {
    // SAFETY: by contract.
    unsafe { short_duration(datum) }.map_or_else(
        // SAFETY: by contract.
        || long_duration(name, unsafe { &*datum.cast_mut_ptr::<pg_sys::Interval>() }),
        Ok,
    )
}

/// An interval as exact microseconds where it has neither months nor days: what a literal of seconds or minutes is.
///
/// # Safety
/// The datum must be an `interval`.
#[inline(always)]
pub(crate) unsafe fn short_duration(datum: Datum) -> Option<Duration> {
    // SAFETY: by contract.
    let interval = unsafe { &*datum.cast_mut_ptr::<pg_sys::Interval>() };
    (interval.month == 0 && interval.day == 0).then_some(interval.time)
}

#[cold]
fn long_duration(name: &str, interval: &pg_sys::Interval) -> Result<Duration> {
    if interval.month != 0 {
        return Err(KpiError::parameter(
            format!("{name} must be an exact duration, but has {} month(s)", interval.month),
            "Months differ in length: give days, hours or seconds, such as '30 days'.",
        ));
    }
    let days = i64::from(interval.day).checked_mul(MICROSECONDS_A_DAY);
    days.and_then(|d| d.checked_add(interval.time))
        .ok_or_else(|| KpiError::parameter(format!("{name} is too long"), "Give an interval below 292,000 years."))
}

/// Microseconds as PostgreSQL has them.
pub(crate) fn as_interval(duration: Duration) -> pg_sys::Interval {
    pg_sys::Interval {
        time: duration,
        day: 0,
        month: 0,
    }
}

/// Microseconds as an interval.
pub(crate) fn interval(duration: Duration) -> Datum {
    // SAFETY: fresh memory, large enough, that PostgreSQL frees with the current context.
    unsafe {
        let copy = pg_sys::palloc(size_of::<pg_sys::Interval>()).cast::<pg_sys::Interval>();
        copy.write(as_interval(duration));
        Datum::from(copy)
    }
}

/// A float.
pub(crate) fn float(value: f64) -> Datum {
    Datum::from(value.to_bits() as usize)
}

/// A text.
pub(crate) fn text(value: &str) -> Datum {
    Datum::from(rust_byte_slice_to_bytea(value.as_bytes()).into_pg())
}

/// PostgreSQL takes no value that is longer, its header included.
const LONGEST: usize = 0x3fff_ffff - 8;

/// The text form of a state that is stored, as output functions return it.
pub(crate) fn hex(stored: &[u8]) -> Result<Datum> {
    if stored.len() > LONGEST / 2 {
        return Err(KpiError::too_large(
            format!(
                "a state of {} bytes has no text form: that would be longer than a gigabyte",
                stored.len()
            ),
            "Read it in binary, or ask it for its figures.",
        ));
    }
    memory::check(2 * stored.len())?;
    let text = kpi_core::codec::hex(stored);
    // SAFETY: copies into memory that PostgreSQL frees with the current context, and ends it with a zero.
    Ok(Datum::from(unsafe {
        pg_sys::pnstrdup(text.as_ptr().cast(), text.len())
    }))
}

/// What is left to read in a message.
///
/// # Safety
/// The datum must be a `StringInfo`, as receive functions get it.
pub(crate) unsafe fn remaining<'a>(datum: Datum) -> &'a [u8] {
    // SAFETY: by contract; the cursor is moved to the end, as PostgreSQL demands of a receive function.
    unsafe {
        let message = &mut *datum.cast_mut_ptr::<pg_sys::StringInfoData>();
        let (start, end) = (message.cursor as usize, message.len as usize);
        message.cursor = message.len;
        std::slice::from_raw_parts(message.data.cast::<u8>().add(start), end - start)
    }
}

/// A state in its binary form.
pub(crate) fn state<T: Codec>(state: &T) -> Result<Datum> {
    byte_string(&state.encode())
}

/// Bytes as a varlena.
pub(crate) fn byte_string(bytes: &[u8]) -> Result<Datum> {
    check_length(bytes)?;
    Ok(Datum::from(rust_byte_slice_to_bytea(bytes).into_pg()))
}

/// Accepts the bytes of a state that PostgreSQL can hold in a value, and memory to copy them.
pub(crate) fn check_length(bytes: &[u8]) -> Result<()> {
    if bytes.len() > LONGEST {
        return Err(KpiError::too_large(
            format!(
                "a state of {} bytes is longer than the gigabyte that a value may be",
                bytes.len()
            ),
            "Gather fewer samples in one state: of shorter periods, or of one device each.",
        ));
    }
    memory::check(2 * bytes.len())
}

/// The bytes of a varlena, whatever its storage.
///
/// # Safety
/// The datum must be a varlena; the bytes live as long as the current memory context.
#[inline(always)]
pub(crate) unsafe fn bytes<'a>(datum: Datum) -> &'a [u8] {
    // SAFETY: by contract.
    unsafe {
        plain_bytes(datum)
            .unwrap_or_else(|| varlena_to_byte_slice(pg_sys::pg_detoast_datum_packed(datum.cast_mut_ptr())))
    }
}

/// The bytes of a varlena that is neither compressed nor out of line: read where they are, without a call of PostgreSQL.
///
/// # Safety
/// The datum must be a varlena; the bytes live as long as it.
#[inline(always)]
pub(crate) unsafe fn plain_bytes<'a>(datum: Datum) -> Option<&'a [u8]> {
    let stored = datum.cast_mut_ptr::<pg_sys::varlena>();
    // SAFETY: by contract.
    unsafe {
        let plain = varatt_is_4b_u(stored) || (varatt_is_1b(stored) && !varatt_is_1b_e(stored));
        plain.then(|| varlena_to_byte_slice(stored))
    }
}

/// A varlena as it is, but neither compressed nor out of line.
///
/// # Safety
/// The datum must be a varlena.
pub(crate) unsafe fn plain(datum: Datum) -> Datum {
    // SAFETY: by contract.
    Datum::from(unsafe { pg_sys::pg_detoast_datum(datum.cast_mut_ptr()) })
}

/// A state from its binary form.
///
/// # Safety
/// The datum must be a varlena.
pub(crate) unsafe fn decode<T: Codec>(datum: Datum) -> Result<T> {
    // SAFETY: by contract.
    T::decode(unsafe { bytes(datum) })
}

/// A state of which something is asked, from its binary form.
///
/// # Safety
/// The datum must be a varlena.
pub(crate) unsafe fn decode_to_answer<T: Codec>(datum: Datum) -> Result<T> {
    // SAFETY: by contract.
    T::decode_to_answer(unsafe { bytes(datum) })
}

/// The elements of a one-dimensional array of timestamps.
///
/// # Safety
/// The datum must be a `timestamptz[]`.
pub(crate) unsafe fn instants(datum: Datum) -> Result<Vec<Instant>> {
    // SAFETY: by contract.
    let elements = unsafe { elements(datum, pg_sys::TIMESTAMPTZOID)? };
    let all: Option<Vec<Instant>> = elements.into_iter().map(|e| e.map(|d| d.value() as i64)).collect();
    all.ok_or_else(|| KpiError::parameter("array of timestamps has a NULL", "Leave NULLs out of the array."))
}

/// The elements of an array of floats.
///
/// # Safety
/// The datum must be a `double precision[]`.
pub(crate) unsafe fn floats(datum: Datum) -> Result<Vec<Option<f64>>> {
    // SAFETY: by contract.
    let elements = unsafe { elements(datum, pg_sys::FLOAT8OID)? };
    Ok(elements
        .into_iter()
        .map(|e| e.map(|d| f64::from_bits(d.value() as u64)))
        .collect())
}

/// An array of more floats would be longer than a gigabyte.
pub(crate) const MOST_FLOATS: usize = LONGEST / 9;

/// An array of floats, some of them NULL.
pub(crate) fn maybe_floats(values: &[Option<f64>]) -> Datum {
    let mut nulls: Vec<bool> = values.iter().map(Option::is_none).collect();
    let mut elements: Vec<Datum> = values.iter().map(|v| float(v.unwrap_or(0.0))).collect();
    let (mut length, mut first) = (values.len() as i32, 1);
    // SAFETY: double precision is passed by value, eight bytes, double-aligned; the arrays are as long as said.
    Datum::from(unsafe {
        pg_sys::construct_md_array(
            elements.as_mut_ptr(),
            nulls.as_mut_ptr(),
            1,
            &mut length,
            &mut first,
            pg_sys::FLOAT8OID,
            8,
            true,
            b'd' as _,
        )
    })
}

/// An array of texts.
pub(crate) fn texts<'a>(values: impl Iterator<Item = &'a str>) -> Datum {
    let mut elements: Vec<Datum> = values.map(text).collect();
    // SAFETY: text is a varlena, aligned to four bytes; the array is as long as said.
    Datum::from(unsafe {
        pg_sys::construct_array(
            elements.as_mut_ptr(),
            elements.len() as i32,
            pg_sys::TEXTOID,
            -1,
            false,
            b'i' as _,
        )
    })
}

/// The elements of an array of texts, none of them NULL.
///
/// # Safety
/// The datum must be a `text[]`.
pub(crate) unsafe fn text_elements(datum: Datum) -> Result<Vec<String>> {
    // SAFETY: by contract; PostgreSQL fills in as many elements and flags as it says, each a varlena.
    let texts: Option<Vec<Vec<u8>>> = unsafe {
        let array = pg_sys::pg_detoast_datum(datum.cast_mut_ptr()).cast::<pg_sys::ArrayType>();
        let (mut values, mut nulls, mut count) = (std::ptr::null_mut(), std::ptr::null_mut(), 0);
        pg_sys::deconstruct_array(
            array,
            pg_sys::TEXTOID,
            -1,
            false,
            b'i' as _,
            &mut values,
            &mut nulls,
            &mut count,
        );
        memory::check(4 * pgrx::varlena::varsize_any(array.cast()))?;
        (0..count as usize)
            .map(|i| (!*nulls.add(i)).then(|| bytes(*values.add(i)).to_vec()))
            .collect()
    };
    let texts =
        texts.ok_or_else(|| KpiError::parameter("array of texts has a NULL", "Leave NULLs out of the array."))?;
    texts
        .into_iter()
        .map(|text| {
            String::from_utf8(text)
                .map_err(|_| KpiError::text("text is not UTF-8", "Use a database with the encoding UTF8."))
        })
        .collect()
}

/// The elements of an array whose type is eight bytes, passed by value and double-aligned.
unsafe fn elements(datum: Datum, of: pg_sys::Oid) -> Result<Vec<Option<Datum>>> {
    // SAFETY: by contract; PostgreSQL fills in as many elements and flags as it says.
    let (values, nulls, count) = unsafe {
        let array = pg_sys::pg_detoast_datum(datum.cast_mut_ptr()).cast::<pg_sys::ArrayType>();
        let (mut values, mut nulls, mut count) = (std::ptr::null_mut(), std::ptr::null_mut(), 0);
        pg_sys::deconstruct_array(array, of, 8, true, b'd' as _, &mut values, &mut nulls, &mut count);
        (values, nulls, count as usize)
    };
    // What is made of them has as many elements again.
    memory::check(4 * count * size_of::<Option<Datum>>())?;
    // SAFETY: both are as long as said.
    Ok((0..count)
        .map(|i| unsafe { (!*nulls.add(i)).then(|| *values.add(i)) })
        .collect())
}

impl Call {
    /// A finite or infinite instant; whoever takes it checks it.
    #[inline(always)]
    pub(crate) fn instant(&self, n: usize) -> Result<Instant> {
        Ok(self.required(n)?.value() as i64)
    }

    /// An exact duration, of any sign.
    #[inline(always)]
    pub(crate) fn duration(&self, n: usize, name: &str) -> Result<Duration> {
        // SAFETY: declared as interval.
        unsafe { duration(name, self.required_as(n, name)?) }
    }

    /// A float.
    #[inline(always)]
    pub(crate) fn float(&self, n: usize) -> Result<f64> {
        Ok(f64::from_bits(self.required(n)?.value() as u64))
    }

    /// A bigint that is not negative.
    pub(crate) fn count(&self, n: usize, name: &str) -> Result<u64> {
        let value = self.required_as(n, name)?.value() as i64;
        u64::try_from(value).map_err(|_| {
            KpiError::parameter(
                format!("{name} must not be negative, not {value}"),
                "Give a count of zero or more.",
            )
        })
    }

    /// A boolean.
    pub(crate) fn boolean(&self, n: usize) -> Result<bool> {
        Ok(self.required(n)?.value() as u8 != 0)
    }

    /// A text.
    pub(crate) fn text(&self, n: usize) -> Result<&str> {
        // SAFETY: declared as text.
        let bytes = unsafe { bytes(self.required(n)?) };
        std::str::from_utf8(bytes)
            .map_err(|_| KpiError::text("text is not UTF-8", "Use a database with the encoding UTF8."))
    }

    /// A C string, as input functions get it.
    pub(crate) fn cstring(&self, n: usize) -> Result<&str> {
        // SAFETY: declared as cstring.
        let text = unsafe { CStr::from_ptr(self.required(n)?.cast_mut_ptr()) };
        text.to_str()
            .map_err(|_| KpiError::text("text is not UTF-8", "Use a database with the encoding UTF8."))
    }

    /// A state of which something is asked.
    pub(crate) fn decoded<T: Codec>(&self, n: usize) -> Result<T> {
        // SAFETY: declared as a type whose storage is a varlena.
        unsafe { decode_to_answer(self.required(n)?) }
    }
}
