//! Values and frames as JSON: what streams send, and what the REST API's rows are made of.

use super::{Field, Frame};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, TimestampNanosecondType};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use serde_json::{Value, json};

/// A value of a column; `time` says how an instant in nanoseconds is written.
pub(crate) fn cell(array: &ArrayRef, row: usize, time: fn(i64) -> Value) -> Value {
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
        DataType::Timestamp(..) => time(array.as_primitive::<TimestampNanosecondType>().value(row)),
        DataType::Utf8 => json!(array.as_string::<i32>().value(row)),
        _ => Value::Null,
    }
}

impl Frame {
    /// The frame as Grafana Live sends it to browsers.
    pub(crate) fn to_json(&self) -> Value {
        let columns: Vec<Vec<Value>> = self.fields.iter().map(|field| milliseconds(&field.array)).collect();
        json!({
            "schema": {"name": self.name, "meta": self.meta, "fields": self.fields.iter().map(schema).collect::<Vec<_>>()},
            "data": {"values": columns},
        })
    }
}

fn milliseconds(array: &ArrayRef) -> Vec<Value> {
    (0..array.len())
        .map(|row| cell(array, row, |time| json!(time.div_euclid(1_000_000))))
        .collect()
}

fn schema(field: &Field) -> Value {
    let (kind, go) = match field.array.data_type() {
        DataType::Boolean => ("boolean", "bool"),
        DataType::Int16 => ("number", "int16"),
        DataType::Int32 => ("number", "int32"),
        DataType::Int64 => ("number", "int64"),
        DataType::Float32 => ("number", "float32"),
        DataType::Float64 => ("number", "float64"),
        DataType::Timestamp(..) => ("time", "time.Time"),
        _ => ("string", "string"),
    };
    json!({
        "name": field.name, "type": kind, "typeInfo": {"frame": go, "nullable": true},
        "labels": field.labels, "config": field.config,
    })
}
