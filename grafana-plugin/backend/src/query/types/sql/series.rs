//! Rows of SQL as time series: a time column, numeric columns, and text columns that tell series apart.

use crate::error::Error;
use crate::frame::columns::{Column, Held, Table};
use crate::frame::config::{self, FieldConfig};
use crate::frame::series::{check_cells, time_field};
use crate::frame::{Field, Frame, Labels, Shape};
use crate::query::ask::{Ask, MOST_SERIES};
use crate::query::macros::{Filling, Grid};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, TimestampNanosecondType};
use arrow_array::{Array, ArrayRef, Float64Array, TimestampNanosecondArray};
use arrow_schema::DataType;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most points of a series whose gaps are filled.
const MOST_FILLED: f64 = 100_000.0;

/// A wide frame; `grid` says where gaps are filled.
pub(super) fn series(ask: &Ask<'_>, table: Table, grid: Option<Grid>) -> Result<Frame, Error> {
    let named = table
        .columns
        .iter()
        .position(|column| column.name == "time" && column.kind == Held::Time);
    let first = named.or_else(|| table.columns.iter().position(|column| column.kind == Held::Time));
    let time = first.ok_or_else(|| {
        Error::Query("a time series needs a timestamp column; name it \"time\", or choose the format table".to_owned())
    })?;
    let times = table.columns[time]
        .array
        .as_primitive::<TimestampNanosecondType>()
        .clone();
    if times.null_count() > 0 {
        return Err(Error::Query(
            "column \"time\" has NULL in it; leave such rows out".to_owned(),
        ));
    }
    let (words, numbers): (Vec<&Column>, Vec<&Column>) = {
        let others = table
            .columns
            .iter()
            .enumerate()
            .filter(|(index, _)| *index != time)
            .map(|(_, column)| column);
        others.partition(|column| matches!(column.kind, Held::Text))
    };
    let numbers: Vec<&Column> = numbers.into_iter().filter(|column| column.kind != Held::Time).collect();
    let in_order = times.values().windows(2).all(|pair| pair[0] < pair[1]);
    if words.is_empty() && in_order && grid.is_none() {
        let mut fields = vec![time_field(Arc::new(times))];
        fields.extend(
            numbers
                .iter()
                .map(|column| number_field(ask, column, Labels::new(), Arc::clone(&column.array))),
        );
        return Ok(Frame::shaped(Shape::TimeseriesWide, fields));
    }
    let groups = by_labels(&words, table.rows, MOST_SERIES / numbers.len().max(1))?;
    let instants = instants(ask, times.values(), grid)?;
    let series = groups.len() * numbers.len();
    let remedy = "put the times on a grid by $__timeGroup, select fewer series, or choose the format table";
    check_cells(series, instants.len(), table.rows * numbers.len(), remedy)?;
    let mut fields = vec![time_field(Arc::new(TimestampNanosecondArray::from(instants.clone())))];
    for (labels, rows) in groups {
        for column in &numbers {
            let values = floats(&column.array)?;
            let mut cells = vec![None; instants.len()];
            for row in &rows {
                if let Ok(at) = instants.binary_search(&times.value(*row)) {
                    cells[at] = values.is_valid(*row).then(|| values.value(*row));
                }
            }
            if let Some(grid) = grid {
                fill(&mut cells, grid.filling);
            }
            fields.push(number_field(
                ask,
                column,
                labels.clone(),
                Arc::new(Float64Array::from(cells)),
            ));
        }
    }
    Ok(Frame::shaped(Shape::TimeseriesWide, fields))
}

fn number_field(ask: &Ask<'_>, column: &Column, labels: Labels, array: ArrayRef) -> Field {
    let preset = match (labels.len(), column.name.as_str()) {
        (0, name) => name.to_owned(),
        (_, "value") => labels.values().cloned().collect::<Vec<_>>().join(" "),
        (_, name) => format!("{name} {}", labels.values().cloned().collect::<Vec<_>>().join(" ")),
    };
    let series = labels.values().next().map_or("", String::as_str);
    let name = ask.legend(&preset, series, &column.name, &labels);
    let config = FieldConfig {
        description: None,
        ..config::of_column(&column.name, column.kind).named(name)
    };
    Field {
        name: column.name.clone(),
        labels,
        config,
        array,
    }
}

/// Each instant once, in order; on a grid, those in between too.
fn instants(ask: &Ask<'_>, times: &[i64], grid: Option<Grid>) -> Result<Vec<i64>, Error> {
    let mut instants = times.to_vec();
    if let Some(grid) = grid {
        let (from, to) = (ask.call.from.timestamp_millis(), ask.call.to.timestamp_millis());
        let cells = (to - from) as f64 / 1e3 / grid.seconds;
        if cells > MOST_FILLED {
            return Err(Error::Query(format!(
                "filling gaps would make {cells:.0} points a series; choose a longer interval"
            )));
        }
        let step = (grid.seconds * 1e9) as i64;
        let start = from.saturating_mul(1_000_000).div_euclid(step).saturating_mul(step);
        let end = to.saturating_mul(1_000_000);
        instants.extend((0..).map_while(|n: i64| n.checked_mul(step)?.checked_add(start).filter(|time| *time < end)));
    }
    instants.sort_unstable();
    instants.dedup();
    Ok(instants)
}

/// The rows of each combination of text values, of which there may be only so many.
fn by_labels(words: &[&Column], rows: usize, most: usize) -> Result<Vec<(Labels, Vec<usize>)>, Error> {
    let texts: Vec<_> = words
        .iter()
        .map(|column| (column.name.clone(), column.array.as_string::<i32>()))
        .collect();
    let mut groups: BTreeMap<Vec<&str>, Vec<usize>> = BTreeMap::new();
    for row in 0..rows {
        let key = texts
            .iter()
            .map(|(_, text)| if text.is_null(row) { "" } else { text.value(row) })
            .collect();
        groups.entry(key).or_default().push(row);
        if groups.len() > most {
            return Err(Error::Query(format!(
                "the text columns tell more than {most} series apart; select fewer, or choose the format table"
            )));
        }
    }
    let labelled = |(key, rows): (Vec<&str>, Vec<usize>)| {
        let names = texts.iter().map(|(name, _)| name.clone());
        (names.zip(key.into_iter().map(str::to_owned)).collect(), rows)
    };
    Ok(groups.into_iter().map(labelled).collect())
}

fn fill(cells: &mut [Option<f64>], filling: Filling) {
    let mut before = None;
    for cell in cells {
        match filling {
            Filling::Null => {}
            Filling::Previous => *cell = cell.or(before),
            Filling::Value(value) => *cell = cell.or(Some(value)),
        }
        before = *cell;
    }
}

fn floats(array: &ArrayRef) -> Result<Float64Array, Error> {
    Ok(match array.data_type() {
        DataType::Float64 => array.as_primitive::<Float64Type>().clone(),
        DataType::Float32 => array.as_primitive::<Float32Type>().unary(f64::from),
        DataType::Int64 => array.as_primitive::<Int64Type>().unary(|value| value as f64),
        DataType::Int32 => array.as_primitive::<Int32Type>().unary(f64::from),
        DataType::Int16 => array.as_primitive::<Int16Type>().unary(f64::from),
        DataType::Boolean => array.as_boolean().iter().map(|value| value.map(f64::from)).collect(),
        other => return Err(Error::Query(format!("{other} is no number"))),
    })
}
