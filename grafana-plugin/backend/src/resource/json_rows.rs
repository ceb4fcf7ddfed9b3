//! Rows as JSON: durations in seconds, times in RFC 3339.

use crate::frame::columns::{Column, Table};
use crate::frame::json;
use chrono::{DateTime, SecondsFormat};
use serde_json::{Map, Value};

/// An object a row.
pub(crate) fn of(table: &Table) -> Vec<Value> {
    let object = |row: usize| {
        let cells = table
            .columns
            .iter()
            .map(|column| (column.name.clone(), cell(column, row)));
        Value::Object(cells.collect::<Map<String, Value>>())
    };
    (0..table.rows).map(object).collect()
}

fn cell(column: &Column, row: usize) -> Value {
    let time = |time| Value::from(DateTime::from_timestamp_nanos(time).to_rfc3339_opts(SecondsFormat::AutoSi, true));
    match json::cell(&column.array, row, time) {
        // The metadata of a device is an object, not a text.
        Value::String(text) if column.name == "metadata" => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        value => value,
    }
}
