//! Objectives: what was promised, and what is left of the error budget.

use super::{Answer, Rows};
use crate::error::Error;
use crate::frame::Frame;
use crate::query::alert;
use crate::query::ask::{Ask, table_fields};
use crate::statement::Statement;
use serde::{Deserialize, Serialize};

/// What tells the objectives of an alert rule apart.
const LABELS: [&str; 4] = ["slo_id", "kpi", "scope_kind", "scope_value"];

/// The query.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct SloReport {}

impl Answer for SloReport {
    const ROWS: Rows = Rows::Groups;

    async fn frames(&self, ask: &mut Ask<'_>) -> Result<Vec<Frame>, Error> {
        let [from, to] = ask.window();
        let params = vec![from, to, ask.devices()];
        let table = ask
            .table(Statement::new(include_str!("../../../sql/slo_report.sql"), params))
            .await?;
        if ask.call.is_alert {
            let objectives = ask.series_shown(table.rows);
            let burn_rate = alert::only_number(&table, &["burn_rate"])?;
            return Ok(vec![alert::numbers(&table, objectives, burn_rate, &LABELS)]);
        }
        let mut fields = table_fields(table);
        for field in fields.iter_mut().filter(|field| field.name == "value") {
            field.config.display_name = Some("Value".to_owned());
            field.config.unit = Some("percentunit".to_owned());
            field.config.decimals = Some(3);
        }
        Ok(vec![Frame::table(fields)])
    }
}
