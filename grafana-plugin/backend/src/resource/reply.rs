//! Replies and problems (RFC 9457).

use crate::error::{Error, shortened};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio_postgres::error::SqlState;

/// What a route answers.
pub(crate) struct Reply {
    status: StatusCode,
    content_type: &'static str,
    body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(status: StatusCode, value: &Value) -> Self {
        Self::text(status, "application/json", value.to_string())
    }

    pub(crate) fn text(status: StatusCode, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Reply {
            status,
            content_type,
            body: body.into(),
        }
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let headers = [
            (header::CONTENT_TYPE, self.content_type),
            // Otherwise a browser may take an answer for a page.
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ];
        (self.status, headers, self.body).into_response()
    }
}

/// What went wrong.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    title: &'static str,
    detail: String,
    field: Option<String>,
    more: Value,
    by_database: bool,
    pub(crate) wants_new_connection: bool,
}

impl Problem {
    fn new(status: StatusCode, title: &'static str, detail: impl Into<String>) -> Self {
        Problem {
            status,
            title,
            detail: detail.into(),
            field: None,
            more: Value::Null,
            by_database: false,
            wants_new_connection: false,
        }
    }

    /// A field or parameter that cannot be used.
    pub(crate) fn field(name: &str, problem: impl Into<String>) -> Self {
        let mut this = Self::new(
            StatusCode::BAD_REQUEST,
            "malformed request",
            format!("{name}: {}", problem.into()),
        );
        this.field = Some(name.to_owned());
        this
    }

    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed request", detail)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not found", detail)
    }

    pub(crate) fn method(path: &str, methods: &str) -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method not allowed",
            format!("{path} knows {methods}"),
        )
    }

    pub(crate) fn forbidden(detail: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    pub(crate) fn too_large(most: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too large",
            format!("at most {most} bytes at once; send several requests"),
        )
    }

    pub(crate) fn too_many(most: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too large",
            format!("at most {most} samples at once; send several requests"),
        )
    }

    pub(crate) fn too_long(most: usize) -> Self {
        Self::new(
            StatusCode::URI_TOO_LONG,
            "address too long",
            format!("an address has at most {most} bytes; send several requests"),
        )
    }

    /// Well-formed, but refused by the store's rules.
    pub(crate) fn refused(detail: impl Into<String>, more: Value) -> Self {
        let mut this = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "refused", detail);
        this.more = more;
        this
    }

    /// A write that PostgreSQL refuses was well-formed, and broke a rule of the store: that is 422, not 400.
    pub(crate) fn of_write(mut self) -> Self {
        if self.by_database && self.status == StatusCode::BAD_REQUEST {
            (self.status, self.title) = (StatusCode::UNPROCESSABLE_ENTITY, "refused");
        }
        self
    }

    fn reply(self) -> Reply {
        let mut value = json!({
            "type": "about:blank", "title": self.title, "status": self.status.as_u16(), "detail": shortened(&self.detail),
        });
        if let Some(field) = self.field {
            value["field"] = json!(shortened(&field));
        }
        if !self.more.is_null() {
            value["result"] = self.more;
        }
        Reply::text(self.status, "application/problem+json", value.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.reply().into_response()
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let detail = error.message();
        let (status, title) = match error.sql_state() {
            Some(code) if *code == SqlState::UNIQUE_VIOLATION => (StatusCode::CONFLICT, "exists already"),
            // Class 23: a rule of the store's tables; class 22: a value that has no meaning.
            Some(code) if code.code().starts_with("23") => (StatusCode::UNPROCESSABLE_ENTITY, "refused"),
            Some(code) if code.code().starts_with("22") => (StatusCode::BAD_REQUEST, "malformed request"),
            _ => match error.status() {
                status @ (StatusCode::BAD_REQUEST
                | StatusCode::FORBIDDEN
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT) => (status, "refused"),
                _ => (StatusCode::BAD_GATEWAY, "the database does not answer"),
            },
        };
        let mut problem = Problem::new(status, title, detail);
        problem.by_database = error.sql_state().is_some();
        problem.wants_new_connection = error.wants_new_connection();
        problem
    }
}

impl From<tokio_postgres::Error> for Problem {
    fn from(error: tokio_postgres::Error) -> Self {
        Error::Database(error).into()
    }
}
