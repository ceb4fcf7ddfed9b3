//! Bodies of requests: JSON objects whose fields are checked one by one, so that a problem names its field.

use super::params;
use super::reply::Problem;
use crate::error::shown;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

/// A JSON object of a request.
pub(crate) struct Fields<'a> {
    object: &'a Map<String, Value>,
    prefix: String,
}

/// Parses a body.
pub(crate) fn parse(body: &[u8]) -> Result<Value, Problem> {
    crate::json::parse(body).map_err(|problem| Problem::malformed(format!("the body cannot be read: {problem}")))
}

impl<'a> Fields<'a> {
    /// `prefix` says where the object stands, as in `[3].`.
    pub(crate) fn of(value: &'a Value, prefix: String, known: &[&str]) -> Result<Self, Problem> {
        let Some(object) = value.as_object() else {
            return Err(Problem::malformed("the body is no JSON object"));
        };
        if let Some(unknown) = object.keys().find(|name| !known.contains(&name.as_str())) {
            let known = known.join(", ");
            return Err(Problem::field(
                &format!("{prefix}{}", shown(unknown)),
                format!("is not known; there are {known}"),
            ));
        }
        Ok(Fields { object, prefix })
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    fn wrong(&self, name: &str, problem: &str) -> Problem {
        Problem::field(&format!("{}{name}", self.prefix), problem)
    }

    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, Problem> {
        let text = |value: &Value| {
            value
                .as_str()
                .map(str::to_owned)
                .ok_or_else(|| self.wrong(name, "must be a text"))
        };
        self.get(name).map(text).transpose()
    }

    pub(crate) fn number(&self, name: &str) -> Result<Option<f64>, Problem> {
        let number = |value: &Value| value.as_f64().ok_or_else(|| self.wrong(name, "must be a number"));
        self.get(name).map(number).transpose()
    }

    pub(crate) fn time(&self, name: &str) -> Result<Option<DateTime<Utc>>, Problem> {
        let field = format!("{}{name}", self.prefix);
        self.text(name)?.map(|text| params::time(&field, &text)).transpose()
    }

    pub(crate) fn object(&self, name: &str) -> Result<(), Problem> {
        match self.get(name) {
            Some(value) if !value.is_object() => Err(self.wrong(name, "must be an object")),
            _ => Ok(()),
        }
    }

    /// A field that must be there.
    pub(crate) fn required<T>(&self, name: &str, value: Option<T>) -> Result<T, Problem> {
        value.ok_or_else(|| self.wrong(name, "is missing"))
    }
}
