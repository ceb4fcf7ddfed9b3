//! Parameters of a request: paging, a time range in RFC 3339, and texts.

use super::reply::Problem;
use crate::error::shown;
use axum::extract::Query;
use axum::http::Uri;
use chrono::{DateTime, TimeDelta, Utc};

/// How many items a page has by default, and at most.
const PAGE: (i32, i32) = (100, 10_000);

/// The parameters of an address.
#[derive(Clone)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    pub(crate) fn of(uri: &Uri) -> Result<Self, Problem> {
        let Query(pairs) = Query::try_from_uri(uri).map_err(|problem| Problem::malformed(problem.body_text()))?;
        Ok(Params(pairs))
    }

    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let found = self.0.iter().find(|(key, value)| key == name && !value.is_empty());
        found.map(|(_, value)| value.clone())
    }

    /// Every value of a parameter that may be there several times.
    pub(crate) fn texts(&self, name: &str) -> Option<Vec<String>> {
        let found: Vec<String> = self
            .0
            .iter()
            .filter(|(key, value)| key == name && !value.is_empty())
            .map(|(_, value)| value.clone())
            .collect();
        (!found.is_empty()).then_some(found)
    }

    fn number(&self, name: &str, preset: i32, least: i32, most: i32) -> Result<i32, Problem> {
        let Some(text) = self.text(name) else { return Ok(preset) };
        let number = text.parse().ok().filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| {
            Problem::field(
                name,
                format!("{} is no whole number from {least} to {most}", shown(&text)),
            )
        })
    }

    /// `limit` and `offset`.
    pub(crate) fn page(&self) -> Result<(i32, i32), Problem> {
        Ok((
            self.number("limit", PAGE.0, 1, PAGE.1)?,
            self.number("offset", 0, 0, i32::MAX)?,
        ))
    }

    /// `from` and `to`; the last 24 hours unless given.
    pub(crate) fn range(&self) -> Result<(DateTime<Utc>, DateTime<Utc>), Problem> {
        let to = self
            .text("to")
            .map(|text| time("to", &text))
            .transpose()?
            .unwrap_or_else(Utc::now);
        let from = self.text("from").map(|text| time("from", &text)).transpose()?;
        let from = from.unwrap_or(to - TimeDelta::hours(24));
        if from >= to {
            return Err(Problem::field("from", format!("{from} is not before {to}")));
        }
        Ok((from, to))
    }
}

/// An instant in RFC 3339.
pub(crate) fn time(field: &str, text: &str) -> Result<DateTime<Utc>, Problem> {
    // An unescaped + of a time zone arrives as a space.
    let parsed = DateTime::parse_from_rfc3339(&text.replace(' ', "+"));
    let parsed = parsed.map_err(|_| {
        Problem::field(
            field,
            format!("{} is no time such as 2024-01-01T12:00:00Z", shown(text)),
        )
    })?;
    Ok(parsed.to_utc())
}
