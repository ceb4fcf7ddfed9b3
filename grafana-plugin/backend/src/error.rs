//! What can go wrong, as a person reads it. No message repeats a secret.

use axum::http::StatusCode;
use std::borrow::Cow;
use tokio_postgres::error::{DbError, SqlState};

/// Most characters of a value that a message repeats.
const LONGEST_VALUE: usize = 100;
/// Most characters of a message.
const LONGEST_MESSAGE: usize = 2_000;

/// A value that a message repeats: its beginning, where it is long.
pub(crate) fn shown(value: &str) -> Cow<'_, str> {
    cut(value, LONGEST_VALUE)
}

/// A message, cut off where it is longer than anybody reads: what it repeats may be as long as people like to send it.
pub(crate) fn shortened(message: &str) -> String {
    cut(message, LONGEST_MESSAGE).into_owned()
}

fn cut(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// Everything that can fail here.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data source's configuration cannot be used.
    #[error("setting \"{setting}\" {problem}: {remedy}")]
    Setting {
        /// Its name in the configuration.
        setting: &'static str,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A query that cannot be understood.
    #[error("{0}")]
    Query(String),
    /// Something that the data source, or the caller's role, does not allow.
    #[error("{0}")]
    Forbidden(String),
    /// No connection came free in time.
    #[error(
        "all {size} connections of this data source were busy for {seconds} s; \
         raise its pool size, or ask fewer or quicker queries at once"
    )]
    Busy {
        /// The pool's size.
        size: usize,
        /// How long it waited.
        seconds: u64,
    },
    /// Opening a connection took too long.
    #[error("no answer within {0} s; check host and port, and whether a firewall is in between")]
    ConnectTimeout(u64),
    /// The pool was closed, because the data source's settings changed.
    #[error("the data source's settings changed; ask again")]
    Replaced,
    /// A value that a frame cannot hold.
    #[error("column \"{column}\": {problem}")]
    Value {
        /// The column.
        column: String,
        /// The value and what is wrong with it.
        problem: String,
    },
    /// What PostgreSQL reports, or why it cannot be reached.
    #[error("{}", describe(.0))]
    Database(#[from] tokio_postgres::Error),
    /// A TLS key or certificate that cannot be used.
    #[error("TLS: {0}")]
    Tls(#[from] iot_kpi_connection::Error),
    /// Arrow's writer failed.
    #[error("frame: {0}")]
    Frame(#[from] arrow_schema::ArrowError),
    /// The process could not be set up.
    #[error("{0}")]
    Server(String),
}

impl Error {
    /// What a person reads, and the log keeps.
    pub fn message(&self) -> String {
        shortened(&self.to_string())
    }

    /// The HTTP status that says the same to Grafana.
    pub fn status(&self) -> StatusCode {
        match self {
            Error::Query(_) | Error::Value { .. } | Error::Setting { .. } | Error::Tls(_) => StatusCode::BAD_REQUEST,
            Error::Forbidden(_) => StatusCode::FORBIDDEN,
            Error::Busy { .. } | Error::Replaced => StatusCode::SERVICE_UNAVAILABLE,
            Error::ConnectTimeout(_) => StatusCode::GATEWAY_TIMEOUT,
            Error::Frame(_) | Error::Server(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Error::Database(error) => match error.code() {
                Some(code) if *code == SqlState::QUERY_CANCELED => StatusCode::GATEWAY_TIMEOUT,
                Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => StatusCode::FORBIDDEN,
                Some(code) if code.code().starts_with("57P") || code.code().starts_with("53") => {
                    StatusCode::SERVICE_UNAVAILABLE
                }
                Some(_) => StatusCode::BAD_REQUEST,
                None => StatusCode::BAD_GATEWAY,
            },
        }
    }

    /// PostgreSQL's code, where it gave one.
    pub(crate) fn sql_state(&self) -> Option<&SqlState> {
        match self {
            Error::Database(error) => error.code(),
            _ => None,
        }
    }

    /// Whether a new connection may succeed: this one died, or its prepared statements are of an older extension.
    pub(crate) fn wants_new_connection(&self) -> bool {
        match self {
            Error::Replaced => true,
            Error::Database(error) => error.is_closed() || error.as_db_error().is_some_and(is_outdated),
            _ => false,
        }
    }
}

/// The session was ended by an administrator, or the extension was updated under a prepared statement.
fn is_outdated(error: &DbError) -> bool {
    *error.code() == SqlState::ADMIN_SHUTDOWN
        || *error.code() == SqlState::FEATURE_NOT_SUPPORTED && error.message().starts_with("cached plan")
}

/// The message with PostgreSQL's detail and hint, or the whole chain of causes below it.
fn describe(error: &tokio_postgres::Error) -> String {
    if let Some(db) = error.as_db_error() {
        let mut text = db.message().to_owned();
        if *db.code() == SqlState::QUERY_CANCELED && text.contains("statement timeout") {
            text.push_str(
                ": narrow the time range, choose fewer devices, or raise the data source's statement time-out",
            );
        }
        for more in [db.detail(), db.hint()].into_iter().flatten() {
            text.push_str(". ");
            text.push_str(more.trim_end_matches('.'));
        }
        return text;
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}
