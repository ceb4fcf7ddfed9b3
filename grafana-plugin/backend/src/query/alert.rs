//! Answers to alert rules. Grafana compares numbers that labels tell apart, one number each; of any other table it only says
//! "input data must be a wide series". So a query type gives such numbers, or says which other to choose.

use crate::error::Error;
use crate::frame::columns::{Column, Held, Table};
use crate::frame::{Field, Frame, Labels, Shape, config};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, Float64Array};
use std::sync::Arc;

/// Why a query type has nothing to compare, and what to ask instead.
pub(super) fn refusal(what: &str, instead: &str) -> Error {
    Error::Query(format!("{what}, which no alert rule can compare; {instead}"))
}

/// The only number among the columns that a person chose.
pub(super) fn only_number<'a>(table: &'a Table, chosen: &[&str]) -> Result<&'a Column, Error> {
    let is_number = |column: &&Column| matches!(column.kind, Held::Number | Held::Duration | Held::Truth);
    let is_chosen = |column: &&Column| chosen.contains(&column.name.as_str());
    let numbers: Vec<&Column> = table.columns.iter().filter(is_chosen).filter(is_number).collect();
    match numbers.as_slice() {
        [number] => Ok(number),
        [] => Err(Error::Query(
            "an alert rule compares a number, and none is chosen; choose one, such as uptime".to_owned(),
        )),
        several => {
            let names: Vec<&str> = several.iter().map(|column| column.name.as_str()).collect();
            Err(Error::Query(format!(
                "an alert rule compares one number, and {} are chosen; choose one, and make a query for each of the others",
                names.join(", ")
            )))
        }
    }
}

/// A column's numbers in the first rows, each labelled by other columns of its row.
pub(super) fn numbers(table: &Table, rows: usize, number: &Column, labels: &[&str]) -> Frame {
    let labels: Vec<&Column> = labels
        .iter()
        .filter_map(|name| table.columns.iter().find(|column| column.name == *name))
        .collect();
    let field = |row: usize| {
        let label = |column: &&Column| Some((column.name.clone(), label(&column.array, row)?));
        Field {
            name: number.name.clone(),
            labels: labels.iter().filter_map(label).collect::<Labels>(),
            config: config::of_column(&number.name, number.kind),
            array: Arc::new(Float64Array::from(vec![as_float(&number.array, row)])),
        }
    };
    Frame::shaped(Shape::NumericWide, (0..rows).map(field).collect())
}

/// None where there is nothing to say.
fn label(array: &ArrayRef, row: usize) -> Option<String> {
    if array.is_null(row) {
        return None;
    }
    let text = array.as_string_opt::<i32>().map(|texts| texts.value(row).to_owned());
    text.or_else(|| {
        array
            .as_primitive_opt::<Int64Type>()
            .map(|numbers| numbers.value(row).to_string())
    })
}

/// A count, a ratio or a truth as a float.
pub(super) fn as_float(array: &ArrayRef, row: usize) -> Option<f64> {
    if array.is_null(row) {
        return None;
    }
    if let Some(floats) = array.as_primitive_opt::<Float64Type>() {
        return Some(floats.value(row));
    }
    if let Some(counts) = array.as_primitive_opt::<Int64Type>() {
        return Some(counts.value(row) as f64);
    }
    array.as_boolean_opt().map(|truths| f64::from(truths.value(row)))
}
