//! Outages: as a table, or as annotations.

use super::Answer;
use crate::error::Error;
use crate::frame::Frame;
use crate::query::alert;
use crate::query::ask::{Ask, table_fields};
use crate::query::duration::Span;
use crate::statement::{Param, Statement};
use serde::{Deserialize, Serialize};

/// The query.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Outages {
    /// Shorter ones are none, such as `1m`; empty: every one counts.
    pub min_outage: String,
    /// As a table, or as annotations.
    pub format: Format,
}

/// The shape of the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// A row for each outage.
    #[default]
    Table,
    /// Columns `time`, `timeEnd`, `title`, `text` and `tags`.
    Annotations,
}

impl Answer for Outages {
    async fn frames(&self, ask: &mut Ask<'_>) -> Result<Vec<Frame>, Error> {
        if ask.call.is_alert {
            return Err(alert::refusal(
                "outages are a list of what happened",
                "ask Device KPIs for failures, down_time or longest_outage",
            ));
        }
        let least = if self.min_outage.trim().is_empty() {
            0.0
        } else {
            Span::parse(&self.min_outage)?.total_seconds()
        };
        let [from, to] = ask.window();
        let params = vec![from, to, Param::Float(least), ask.devices()];
        let sql = match self.format {
            Format::Table => include_str!("../../../sql/outages.sql"),
            Format::Annotations => include_str!("../../../sql/outage_annotations.sql"),
        };
        let table = ask.table(Statement::new(sql, params)).await?;
        Ok(vec![Frame::table(table_fields(table))])
    }
}
