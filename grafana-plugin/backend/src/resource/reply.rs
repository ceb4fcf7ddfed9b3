//! Replies and problems (RFC 9457).

use crate::error::{Error, shortened};
use grafana_plugin_sdk::pluginv2::{CallResourceResponse, StringList};
use serde_json::{Value, json};
use std::collections::HashMap;
use tokio_postgres::error::SqlState;

/// What a route answers.
pub(crate) struct Reply {
    code: i32,
    content_type: &'static str,
    body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(code: i32, value: &Value) -> Self {
        Self::text(code, "application/json", value.to_string())
    }

    pub(crate) fn text(code: i32, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Reply {
            code,
            content_type,
            body: body.into(),
        }
    }

    pub(crate) fn into_response(self) -> CallResourceResponse {
        let header = |value: &str| StringList {
            values: vec![value.to_owned()],
        };
        CallResourceResponse {
            code: self.code,
            headers: HashMap::from([
                ("Content-Type".to_owned(), header(self.content_type)),
                ("X-Content-Type-Options".to_owned(), header("nosniff")),
            ]),
            body: self.body.into(),
        }
    }
}

/// What went wrong.
#[derive(Debug)]
pub(crate) struct Problem {
    status: i32,
    title: &'static str,
    detail: String,
    field: Option<String>,
    more: Value,
    by_database: bool,
    pub(crate) wants_new_connection: bool,
}

impl Problem {
    fn new(status: i32, title: &'static str, detail: impl Into<String>) -> Self {
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
        let mut this = Self::new(400, "malformed request", format!("{name}: {}", problem.into()));
        this.field = Some(name.to_owned());
        this
    }

    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(400, "malformed request", detail)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(404, "not found", detail)
    }

    pub(crate) fn method(path: &str, methods: &str) -> Self {
        Self::new(405, "method not allowed", format!("{path} knows {methods}"))
    }

    pub(crate) fn forbidden(detail: &str) -> Self {
        Self::new(403, "forbidden", detail)
    }

    pub(crate) fn too_large(most: usize) -> Self {
        Self::new(
            413,
            "too large",
            format!("at most {most} bytes at once; send several requests"),
        )
    }

    pub(crate) fn too_many(most: usize) -> Self {
        Self::new(
            413,
            "too large",
            format!("at most {most} samples at once; send several requests"),
        )
    }

    pub(crate) fn too_long(most: usize) -> Self {
        Self::new(
            414,
            "address too long",
            format!("an address has at most {most} bytes; send several requests"),
        )
    }

    /// Well-formed, but refused by the store's rules.
    pub(crate) fn refused(detail: impl Into<String>, more: Value) -> Self {
        let mut this = Self::new(422, "refused", detail);
        this.more = more;
        this
    }

    /// What a write's values break is a rule of the store, not of the request's form.
    pub(crate) fn of_write(mut self) -> Self {
        if self.by_database && self.status == 400 {
            (self.status, self.title) = (422, "refused");
        }
        self
    }

    pub(crate) fn reply(self) -> Reply {
        let mut value = json!({"type": "about:blank", "title": self.title, "status": self.status, "detail": shortened(&self.detail)});
        if let Some(field) = self.field {
            value["field"] = json!(shortened(&field));
        }
        if !self.more.is_null() {
            value["result"] = self.more;
        }
        Reply::text(self.status, "application/problem+json", value.to_string())
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let detail = error.message();
        let (status, title) = match error.sql_state() {
            Some(code) if *code == SqlState::UNIQUE_VIOLATION => (409, "exists already"),
            // Class 23: a rule of the store's tables; class 22: a value that has no meaning.
            Some(code) if code.code().starts_with("23") => (422, "refused"),
            Some(code) if code.code().starts_with("22") => (400, "malformed request"),
            _ => match error.status() {
                status @ (400 | 403 | 503 | 504) => (status, "refused"),
                _ => (502, "the database does not answer"),
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
