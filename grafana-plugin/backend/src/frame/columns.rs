//! Rows, put into Arrow columns as they arrive.

use super::values::Values;
use crate::error::Error;
use arrow_array::ArrayRef;
use postgres_types::{FromSql, Type};
use std::error::Error as StdError;
use tokio_postgres::Row;

/// A column and its values.
#[derive(Clone, Debug)]
pub struct Column {
    /// As the statement names it.
    pub name: String,
    /// What it held in PostgreSQL.
    pub kind: Held,
    /// Its values.
    pub array: ArrayRef,
}

/// What a column holds, as far as its display depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// True or false.
    Truth,
    /// Numbers.
    Number,
    /// Durations, in seconds here.
    Duration,
    /// Instants.
    Time,
    /// Text.
    Text,
}

/// The rows of an answer, by column.
#[derive(Clone, Debug)]
pub struct Table {
    /// Columns of equal length.
    pub columns: Vec<Column>,
    /// Their length.
    pub rows: usize,
    /// Why there are no more rows, where there were some.
    pub cut: Option<Cut>,
}

/// What an answer had too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// More rows than the data source allows.
    Rows,
    /// More than [`MOST_BYTES`] in them.
    Bytes,
}

/// Most bytes of an answer's values. An answer is copied once or twice before it is sent, and several are in memory at a time.
pub const MOST_BYTES: usize = 256 << 20;

/// A table to which rows are added.
pub(crate) struct Columns {
    columns: Vec<Growing>,
    rows: usize,
    bytes: usize,
}

struct Growing {
    name: String,
    values: Values,
}

/// A value as the server sent it.
struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Raw(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

impl Columns {
    pub(crate) fn new(columns: &[tokio_postgres::Column]) -> Result<Self, Error> {
        let columns: Result<Vec<_>, Error> = columns
            .iter()
            .map(|column| {
                Ok::<_, Error>(Growing {
                    name: column.name().to_owned(),
                    values: Values::of(column.name(), column.type_())?,
                })
            })
            .collect();
        Ok(Columns {
            columns: columns?,
            rows: 0,
            bytes: 0,
        })
    }

    /// The limit that is reached, if one is: then no further row may be added.
    pub(crate) fn full(&self, most_rows: usize) -> Option<Cut> {
        if self.rows >= most_rows {
            Some(Cut::Rows)
        } else {
            (self.bytes >= MOST_BYTES).then_some(Cut::Bytes)
        }
    }

    pub(crate) fn push(&mut self, row: &Row) -> Result<(), Error> {
        for (index, column) in self.columns.iter_mut().enumerate() {
            let raw: Option<Raw<'_>> = row.try_get(index)?;
            self.bytes += raw.as_ref().map_or(0, |raw| raw.0.len());
            column
                .values
                .push(raw.map(|raw| raw.0))
                .map_err(|problem| Error::Value {
                    column: column.name.clone(),
                    problem,
                })?;
        }
        self.rows += 1;
        Ok(())
    }

    pub(crate) fn finish(self, cut: Option<Cut>) -> Table {
        let finish = |column: Growing| {
            let kind = column.values.held();
            Column {
                name: column.name,
                kind,
                array: column.values.finish(),
            }
        };
        Table {
            columns: self.columns.into_iter().map(finish).collect(),
            rows: self.rows,
            cut,
        }
    }
}
