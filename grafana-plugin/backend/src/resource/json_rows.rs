//! Rows as JSON: durations in seconds, times in RFC 3339.

use crate::frame::columns::{Column, Held, Table};
use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, TimestampNanosecondType};
use arrow_schema::DataType;
use chrono::{DateTime, SecondsFormat};
use serde_json::{Map, Value, json};

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
    let array = &column.array;
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Boolean => json!(array.as_boolean().value(row)),
        DataType::Int16 => json!(array.as_primitive::<Int16Type>().value(row)),
        DataType::Int32 => json!(array.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => json!(array.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => json!(array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => json!(array.as_primitive::<Float64Type>().value(row)),
        DataType::Timestamp(..) => {
            let time = DateTime::from_timestamp_nanos(array.as_primitive::<TimestampNanosecondType>().value(row));
            json!(time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
        }
        _ if column.kind == Held::Text => {
            let text = array.as_string::<i32>().value(row);
            // The metadata of a device is an object, not a text.
            let parsed = (column.name == "metadata")
                .then(|| serde_json::from_str(text).ok())
                .flatten();
            parsed.unwrap_or_else(|| json!(text))
        }
        _ => Value::Null,
    }
}
