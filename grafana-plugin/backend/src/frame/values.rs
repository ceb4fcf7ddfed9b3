//! One column's values: PostgreSQL's binary form in, an Arrow array out.

use super::columns::Held;
use super::numeric;
use crate::error::Error;
use arrow_array::builder::{
    BooleanBuilder, Float32Builder, Float64Builder, Int16Builder, Int32Builder, Int64Builder, StringBuilder,
    TimestampNanosecondBuilder,
};
use arrow_array::{ArrayRef, builder::ArrayBuilder};
use postgres_types::{Kind, Type};
use std::sync::Arc;

/// An Arrow builder for each of PostgreSQL's binary forms that are read.
pub(super) enum Values {
    Truth(BooleanBuilder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Oid(Int64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Numeric(Float64Builder),
    Interval(Float64Builder),
    Time(TimestampNanosecondBuilder),
    Date(TimestampNanosecondBuilder),
    Text(StringBuilder),
    Jsonb(StringBuilder),
    Uuid(StringBuilder),
}

impl Values {
    pub(super) fn of(name: &str, ty: &Type) -> Result<Self, Error> {
        let by_kind = match ty.kind() {
            Kind::Domain(base) => return Self::of(name, base),
            Kind::Enum(_) => true,
            _ => false,
        };
        Ok(match *ty {
            Type::BOOL => Values::Truth(BooleanBuilder::new()),
            Type::INT2 => Values::Int16(Int16Builder::new()),
            Type::INT4 => Values::Int32(Int32Builder::new()),
            Type::INT8 => Values::Int64(Int64Builder::new()),
            Type::OID => Values::Oid(Int64Builder::new()),
            Type::FLOAT4 => Values::Float32(Float32Builder::new()),
            Type::FLOAT8 => Values::Float64(Float64Builder::new()),
            Type::NUMERIC => Values::Numeric(Float64Builder::new()),
            Type::INTERVAL => Values::Interval(Float64Builder::new()),
            Type::TIMESTAMPTZ | Type::TIMESTAMP => Values::Time(TimestampNanosecondBuilder::new()),
            Type::DATE => Values::Date(TimestampNanosecondBuilder::new()),
            Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN | Type::JSON | Type::XML => {
                Values::Text(StringBuilder::new())
            }
            Type::JSONB => Values::Jsonb(StringBuilder::new()),
            Type::UUID => Values::Uuid(StringBuilder::new()),
            _ if by_kind => Values::Text(StringBuilder::new()),
            _ => {
                return Err(Error::Value {
                    column: name.to_owned(),
                    problem: format!("has type {ty}, which a panel cannot show; cast it, as in {name}::text"),
                });
            }
        })
    }

    pub(super) fn push(&mut self, raw: Option<&[u8]>) -> Result<(), String> {
        match self {
            Values::Truth(b) => b.append_option(raw.map(|raw| raw.first() == Some(&1))),
            Values::Int16(b) => b.append_option(raw.map(fixed).transpose()?.map(i16::from_be_bytes)),
            Values::Int32(b) => b.append_option(raw.map(fixed).transpose()?.map(i32::from_be_bytes)),
            Values::Int64(b) => b.append_option(raw.map(fixed).transpose()?.map(i64::from_be_bytes)),
            Values::Oid(b) => b.append_option(raw.map(fixed).transpose()?.map(|raw| u32::from_be_bytes(raw).into())),
            Values::Float32(b) => b.append_option(raw.map(fixed).transpose()?.map(f32::from_be_bytes)),
            Values::Float64(b) => b.append_option(raw.map(fixed).transpose()?.map(f64::from_be_bytes)),
            Values::Numeric(b) => b.append_option(raw.map(numeric::to_f64).transpose()?),
            Values::Interval(b) => b.append_option(raw.map(interval_seconds).transpose()?),
            Values::Time(b) => b.append_option(raw.map(timestamp).transpose()?),
            Values::Date(b) => b.append_option(raw.map(date).transpose()?),
            Values::Text(b) => b.append_option(raw.map(text).transpose()?),
            // The first byte is the version of jsonb's binary form.
            Values::Jsonb(b) => b.append_option(raw.map(|raw| text(raw.get(1..).unwrap_or_default())).transpose()?),
            Values::Uuid(b) => b.append_option(raw.map(uuid).transpose()?),
        }
        Ok(())
    }

    pub(super) fn held(&self) -> Held {
        match self {
            Values::Truth(_) => Held::Truth,
            Values::Interval(_) => Held::Duration,
            Values::Time(_) | Values::Date(_) => Held::Time,
            Values::Text(_) | Values::Jsonb(_) | Values::Uuid(_) => Held::Text,
            _ => Held::Number,
        }
    }

    pub(super) fn finish(self) -> ArrayRef {
        fn done<B: ArrayBuilder>(mut builder: B) -> ArrayRef {
            builder.finish()
        }
        match self {
            Values::Truth(b) => done(b),
            Values::Int16(b) => done(b),
            Values::Int32(b) => done(b),
            Values::Int64(b) | Values::Oid(b) => done(b),
            Values::Float32(b) => done(b),
            Values::Float64(b) | Values::Numeric(b) | Values::Interval(b) => done(b),
            Values::Time(b) | Values::Date(b) => done(b),
            Values::Text(mut b) | Values::Jsonb(mut b) | Values::Uuid(mut b) => Arc::new(b.finish()),
        }
    }
}

fn fixed<const N: usize>(raw: &[u8]) -> Result<[u8; N], String> {
    raw.try_into()
        .map_err(|_| format!("came as {} bytes instead of {N}", raw.len()))
}

fn text(raw: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(raw).map_err(|_| "holds text that is not UTF-8".to_owned())
}

fn uuid(raw: &[u8]) -> Result<String, String> {
    let hex: String = fixed::<16>(raw)?.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    ))
}

/// Microseconds from 1970 to 2000, PostgreSQL's epoch.
const EPOCH: i64 = 946_684_800_000_000;
const MICROSECONDS_A_DAY: i64 = 86_400_000_000;

fn timestamp(raw: &[u8]) -> Result<i64, String> {
    nanoseconds(i64::from_be_bytes(fixed(raw)?))
}

fn date(raw: &[u8]) -> Result<i64, String> {
    match i32::from_be_bytes(fixed(raw)?) {
        i32::MAX => nanoseconds(i64::MAX),
        i32::MIN => nanoseconds(i64::MIN),
        days => nanoseconds(i64::from(days) * MICROSECONDS_A_DAY),
    }
}

/// From microseconds since 2000 to Arrow's nanoseconds since 1970, which reach from 1677 to 2262.
fn nanoseconds(since_2000: i64) -> Result<i64, String> {
    let since_1970 = since_2000.checked_add(EPOCH);
    since_1970.and_then(|us| us.checked_mul(1_000)).ok_or_else(|| {
        let value = match since_2000 {
            i64::MAX => "infinity".to_owned(),
            i64::MIN => "-infinity".to_owned(),
            _ => since_1970
                .and_then(chrono::DateTime::from_timestamp_micros)
                .map_or_else(|| format!("{since_2000} µs after 2000"), |time| time.to_rfc3339()),
        };
        format!("holds {value}, but a frame's times reach from 1677 to 2262; leave such rows out")
    })
}

/// Months count as 30 days, as PostgreSQL itself does when it compares intervals.
fn interval_seconds(raw: &[u8]) -> Result<f64, String> {
    let raw: [u8; 16] = fixed(raw)?;
    let microseconds = i64::from_be_bytes(fixed(&raw[..8])?);
    let days = i32::from_be_bytes(fixed(&raw[8..12])?);
    let months = i32::from_be_bytes(fixed(&raw[12..])?);
    Ok(microseconds as f64 / 1e6 + (f64::from(months) * 30.0 + f64::from(days)) * 86_400.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_beyond_a_frame_are_refused_by_name() {
        assert_eq!(nanoseconds(-EPOCH), Ok(0));
        assert!(nanoseconds(i64::MAX).unwrap_err().contains("infinity"));
        let year_3000 = 365_243 * MICROSECONDS_A_DAY;
        assert!(nanoseconds(year_3000).unwrap_err().contains("3000-01-01T"));
    }

    #[test]
    fn intervals_are_seconds() {
        let mut raw = Vec::new();
        raw.extend(1_500_000_i64.to_be_bytes());
        raw.extend(2_i32.to_be_bytes());
        raw.extend(1_i32.to_be_bytes());
        assert_eq!(interval_seconds(&raw), Ok(1.5 + 32.0 * 86_400.0));
    }
}
