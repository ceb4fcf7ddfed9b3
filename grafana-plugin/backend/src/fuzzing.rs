//! What the fuzzers in `fuzz/` call: everything that reads what people send, and needs no database.

use crate::query::Call;
use crate::query::duration::Span;
use crate::query::macros;
use crate::resource;
use chrono::{DateTime, TimeDelta};
use std::time::Duration;

/// A data source's settings.
pub fn settings(json: &[u8]) {
    crate::settings::read(json);
}

/// SQL with macros.
pub fn sql(sql: &str) {
    let from = DateTime::UNIX_EPOCH;
    let call = Call {
        from,
        to: from + TimeDelta::days(1),
        interval: Duration::from_secs(30),
        max_points: 500,
        is_alert: false,
    };
    let _ = macros::expand(sql, &call);
}

/// A duration as people write it.
pub fn duration(text: &str) {
    let _ = Span::parse(text).map(|span| span.total_seconds());
}

/// A request of the REST API, as far as it gets without a database.
pub fn rest(method: &str, url: &str, body: &[u8]) {
    resource::read(method, url, body);
}
