//! What can be wrong with an input: each error names the value and has a hint that names the remedy.

use thiserror::Error;

/// The SQL-neutral kind of an error; a shell around this crate maps it to its own codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// A parameter that makes no sense, such as an empty window.
    InvalidParameter,
    /// An instant that is infinite or outside the range of timestamps.
    TimeOutOfRange,
    /// A number that is not finite or too large.
    NumberOutOfRange,
    /// A binary form that is truncated, altered or of another type.
    MalformedBinary,
    /// A text form that is not understood.
    MalformedText,
    /// Memory that cannot be had.
    OutOfMemory,
    /// Something that is larger than it may be.
    TooLarge,
}

/// An input that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct KpiError {
    /// What sort of error this is.
    pub kind: ErrorKind,
    /// What is wrong, with the value.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

impl KpiError {
    /// A refusal of a parameter.
    pub fn parameter(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidParameter, message, hint)
    }

    /// A refusal of an instant.
    pub fn time(message: impl Into<String>) -> Self {
        Self::new(
            ErrorKind::TimeOutOfRange,
            message,
            "Use a finite timestamp between 4713 BC and 294276 AD; leave rows without a time NULL.",
        )
    }

    /// A refusal of a number.
    pub fn number(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(ErrorKind::NumberOutOfRange, message, hint)
    }

    /// A refusal of a binary form.
    pub fn binary(type_name: &str, why: impl std::fmt::Display) -> Self {
        Self::new(
            ErrorKind::MalformedBinary,
            format!("malformed {type_name}: {why}"),
            format!(
                "Pass a value made by PostgreSQL's own {type_name} aggregate; it was truncated, altered or is of another type."
            ),
        )
    }

    /// A refusal of a text.
    pub fn text(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(ErrorKind::MalformedText, message, hint)
    }

    /// Memory that could not be had.
    pub fn memory(bytes: usize) -> Self {
        Self::new(
            ErrorKind::OutOfMemory,
            "out of memory",
            format!("{bytes} bytes could not be had: gather fewer samples at once, or give the server more memory."),
        )
    }

    /// Something that is larger than it may be.
    pub fn too_large(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(ErrorKind::TooLarge, message, hint)
    }

    fn new(kind: ErrorKind, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: hint.into(),
        }
    }
}

/// What this crate's fallible functions return.
pub type Result<T> = std::result::Result<T, KpiError>;
