//! Where an error of kpi-core becomes an error of PostgreSQL.

use kpi_core::error::{ErrorKind, KpiError};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgLogLevel, PgSqlErrorCode};

/// Raises the error with its SQLSTATE and hint; does not return.
pub(crate) fn raise(error: KpiError) -> ! {
    let code = match error.kind {
        ErrorKind::InvalidParameter => PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        ErrorKind::TimeOutOfRange => PgSqlErrorCode::ERRCODE_DATETIME_FIELD_OVERFLOW,
        ErrorKind::NumberOutOfRange => PgSqlErrorCode::ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
        ErrorKind::MalformedBinary => PgSqlErrorCode::ERRCODE_INVALID_BINARY_REPRESENTATION,
        ErrorKind::OutOfMemory => PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY,
        ErrorKind::TooLarge => PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
        ErrorKind::MalformedText => PgSqlErrorCode::ERRCODE_INVALID_TEXT_REPRESENTATION,
    };
    refuse(code, error.message, error.hint)
}

/// Raises an error that only PostgreSQL has a name for; does not return.
pub(crate) fn refuse(code: PgSqlErrorCode, message: impl Into<String>, hint: impl Into<String>) -> ! {
    ErrorReport::new(code, message.into(), "pg_iot_kpi")
        .set_hint(hint.into())
        .report(PgLogLevel::ERROR);
    unreachable!("an error report of level ERROR does not return")
}
