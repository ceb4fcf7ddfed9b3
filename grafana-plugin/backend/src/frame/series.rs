//! Series out of rows `(time, series, value)` that come sorted by series and time.

use super::columns::Table;
use super::config::FieldConfig;
use super::{Field, Frame, Labels, Shape};
use crate::error::Error;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, TimestampNanosecondType};
use arrow_array::{Array, ArrayRef, Float64Array, PrimitiveArray, StringArray, TimestampNanosecondArray};
use std::ops::Range;
use std::sync::Arc;

/// Most cells of a wide frame, unless half of them hold values: series of different times leave most cells NULL.
const MOST_CELLS: usize = 10_000_000;

/// The labels and display options of a series, by its name.
pub(crate) type Presenter<'a> = dyn Fn(&str) -> (Labels, FieldConfig) + 'a;

/// The rows of one series.
struct Run<'a> {
    name: &'a str,
    rows: Range<usize>,
}

/// Rows by column, and where each series begins and ends.
pub(crate) struct Rows<'a> {
    times: &'a PrimitiveArray<TimestampNanosecondType>,
    values: &'a ArrayRef,
    runs: Vec<Run<'a>>,
}

impl<'a> Rows<'a> {
    /// Of a table that has these columns.
    pub(crate) fn of(table: &'a Table, time: &str, series: &str, value: &str) -> Result<Self, Error> {
        let column = |name: &str| {
            let found = table.columns.iter().find(|column| column.name == name);
            found.map(|column| &column.array).ok_or_else(|| missing(name))
        };
        let times = column(time)?.as_primitive_opt().ok_or_else(|| missing(time))?;
        let names: &StringArray = column(series)?.as_string_opt().ok_or_else(|| missing(series))?;
        let mut runs: Vec<Run<'a>> = Vec::new();
        for row in 0..names.len() {
            // Devices without the property that they are grouped by are a group too.
            let name = if names.is_null(row) { "none" } else { names.value(row) };
            match runs.last_mut() {
                Some(run) if run.name == name => run.rows.end = row + 1,
                _ => runs.push(Run {
                    name,
                    rows: row..row + 1,
                }),
            }
        }
        let values = column(value)?;
        Ok(Rows { times, values, runs })
    }

    /// How many series there are.
    pub(crate) fn series(&self) -> usize {
        self.runs.len()
    }

    /// Keeps the first so many.
    pub(crate) fn keep(&mut self, most: usize) {
        self.runs.truncate(most);
    }

    /// A frame for each series.
    pub(crate) fn multi(&self, value_name: &str, present: &Presenter<'_>) -> Vec<Frame> {
        let frame = |run: &Run<'_>| {
            let (labels, config) = present(run.name);
            let (start, length) = (run.rows.start, run.rows.len());
            let fields = vec![
                time_field(Arc::new(self.times.slice(start, length))),
                Field {
                    name: value_name.to_owned(),
                    labels,
                    config,
                    array: self.values.slice(start, length),
                },
            ];
            Frame::shaped(Shape::TimeseriesMulti, fields)
        };
        self.runs.iter().map(frame).collect()
    }

    /// One frame with a time column and a numeric one for each series.
    pub(crate) fn wide(&self, value_name: &str, present: &Presenter<'_>) -> Result<Frame, Error> {
        let values: &Float64Array = self
            .values
            .as_primitive_opt::<Float64Type>()
            .ok_or_else(|| missing(value_name))?;
        let times = self.all_times();
        let remedy = "choose fewer devices, or longer buckets";
        check_cells(self.runs.len(), times.len(), self.times.len(), remedy)?;
        let mut fields = vec![time_field(Arc::new(TimestampNanosecondArray::from(times.clone())))];
        for run in &self.runs {
            let (labels, config) = present(run.name);
            let mut rows = run.rows.clone().peekable();
            let at_time = |time: &i64| {
                let row = rows.next_if(|row| self.times.value(*row) == *time)?;
                values.is_valid(row).then(|| values.value(row))
            };
            let array: Float64Array = times.iter().map(at_time).collect();
            fields.push(Field {
                name: value_name.to_owned(),
                labels,
                config,
                array: Arc::new(array),
            });
        }
        Ok(Frame::shaped(Shape::TimeseriesWide, fields))
    }

    /// Every instant of any series, once, in order.
    fn all_times(&self) -> Vec<i64> {
        let of = |run: &Run<'_>| &self.times.values()[run.rows.clone()];
        let first = self.runs.first().map_or(&[][..], of);
        // Series of a report usually have the same buckets, and then there is nothing to sort.
        if self.runs.iter().all(|run| of(run) == first) {
            return first.to_vec();
        }
        let mut times: Vec<i64> = self.runs.iter().flat_map(of).copied().collect();
        times.sort_unstable();
        times.dedup();
        times
    }
}

/// Fails where a wide frame would have too many cells: one for each series at each instant of any, whether it has a value then or not.
pub(crate) fn check_cells(series: usize, instants: usize, values: usize, remedy: &str) -> Result<(), Error> {
    let (cells, most) = (
        series.saturating_mul(instants),
        MOST_CELLS.max(values.saturating_mul(2)),
    );
    if cells > most {
        return Err(Error::Query(format!(
            "{series} series at {instants} different times make {cells} cells, and a panel is given {most} at most; {remedy}"
        )));
    }
    Ok(())
}

/// The time column of a frame.
pub(crate) fn time_field(array: ArrayRef) -> Field {
    Field {
        name: "time".to_owned(),
        labels: Labels::new(),
        config: FieldConfig::default(),
        array,
    }
}

fn missing(name: &str) -> Error {
    Error::Value {
        column: name.to_owned(),
        problem: "is missing or of another type; is the extension in the database of another version?".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::columns::{Column, Held};

    fn table(rows: &[(i64, &str, Option<f64>)]) -> Table {
        let times: TimestampNanosecondArray = rows.iter().map(|row| Some(row.0)).collect();
        let series: StringArray = rows.iter().map(|row| Some(row.1)).collect();
        let values: Float64Array = rows.iter().map(|row| row.2).collect();
        let column = |name: &str, kind, array| Column {
            name: name.to_owned(),
            kind,
            array,
        };
        Table {
            columns: vec![
                column("time", Held::Time, Arc::new(times)),
                column("series", Held::Text, Arc::new(series)),
                column("value", Held::Number, Arc::new(values)),
            ],
            rows: rows.len(),
            cut: None,
        }
    }

    #[test]
    fn series_of_different_instants_share_a_time_column() {
        let table = table(&[
            (1, "a", Some(1.0)),
            (3, "a", None),
            (2, "b", Some(2.0)),
            (3, "b", Some(3.0)),
        ]);
        let rows = Rows::of(&table, "time", "series", "value").unwrap();
        let present = |name: &str| {
            (
                Labels::from([("device_id".to_owned(), name.to_owned())]),
                FieldConfig::default(),
            )
        };
        let frame = rows.wide("value", &present).unwrap();
        let values = |index: usize| {
            frame.fields[index]
                .array
                .as_primitive::<Float64Type>()
                .iter()
                .collect::<Vec<_>>()
        };
        assert_eq!(frame.fields.len(), 3);
        assert_eq!(values(1), [Some(1.0), None, None]);
        assert_eq!(values(2), [None, Some(2.0), Some(3.0)]);
        assert_eq!(frame.fields[2].labels["device_id"], "b");
        assert_eq!(rows.multi("value", &present).len(), 2);
    }
}
