//! SQL that a person wrote: only where the data source allows it, always in a read-only transaction.

use super::{Answer, Rows};
use crate::error::Error;
use crate::frame::Frame;
use crate::frame::columns::{Held, Table};
use crate::query::ask::{Ask, table_fields};
use crate::query::macros::expand;
use serde::{Deserialize, Serialize};
use series::series;

mod series;

/// The query.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Sql {
    /// With macros.
    pub raw_sql: String,
    /// The shape of the answer.
    pub format: Format,
}

/// The shape of the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// The rows as they come.
    #[default]
    Table,
    /// A series for each numeric column and each combination of text columns.
    TimeSeries,
}

impl Answer for Sql {
    const ROWS: Rows = Rows::Anything;

    async fn frames(&self, ask: &mut Ask<'_>) -> Result<Vec<Frame>, Error> {
        if !ask.settings.allow_sql {
            return Err(Error::Forbidden(
                "this data source does not allow SQL; its administrator can switch it on, or choose another query type"
                    .to_owned(),
            ));
        }
        if self.raw_sql.trim().is_empty() {
            return Err(Error::Query("the SQL is empty".to_owned()));
        }
        if self.raw_sql.contains('\0') {
            return Err(Error::Query(
                "the SQL has a zero character in it, which PostgreSQL takes in no text; take it out".to_owned(),
            ));
        }
        let expanded = expand(&self.raw_sql, ask.call)?;
        let table = ask.untrusted_table(expanded.sql).await?;
        if ask.call.is_alert && self.format == Format::Table {
            comparable(&table)?;
        }
        match self.format {
            Format::Table => Ok(vec![Frame::table(table_fields(table))]),
            Format::TimeSeries if table.rows == 0 => Ok(Vec::new()),
            Format::TimeSeries => Ok(vec![series(ask, table, expanded.grid)?]),
        }
    }
}

/// Fails for a table that Grafana cannot compare: it takes numbers by time, or one number that texts tell apart.
fn comparable(table: &Table) -> Result<(), Error> {
    let count = |held: &[Held]| {
        table
            .columns
            .iter()
            .filter(|column| held.contains(&column.kind))
            .count()
    };
    let (times, texts) = (count(&[Held::Time]), count(&[Held::Text]));
    let numbers = count(&[Held::Number, Held::Duration]);
    if times > 0 && texts > 0 {
        return Err(Error::Query(
            "an alert rule cannot compare a table with times and texts; choose the format time series".to_owned(),
        ));
    }
    if times == 0 && (numbers != 1 || count(&[Held::Truth]) > 0) {
        return Err(Error::Query(format!(
            "an alert rule compares one number that texts tell apart, but the SQL gives {numbers} columns of numbers; \
             select one, and cast what tells rows apart to text"
        )));
    }
    Ok(())
}
