//! Device KPIs: a table with a row for each device.

use super::Answer;
use crate::error::{Error, shown};
use crate::frame::Frame;
use crate::query::alert;
use crate::query::ask::{Ask, table_fields};
use crate::statement::Statement;
use serde::{Deserialize, Serialize};

/// What a new panel shows.
const PRESET: [&str; 10] = [
    "device_id",
    "device_type",
    "status",
    "uptime",
    "availability",
    "consistency",
    "failures",
    "response_p95",
    "error_rate",
    "last_measured",
];

/// What tells the devices of an alert rule apart. Not their status: another status would be another alert.
const LABELS: [&str; 4] = ["device_id", "name", "device_type", "location"];

/// The query.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeviceKpis {
    /// Columns of `device_kpis`, in order; empty for the usual ones.
    pub columns: Vec<String>,
}

impl Answer for DeviceKpis {
    const LIVE: bool = true;

    async fn frames(&self, ask: &mut Ask<'_>) -> Result<Vec<Frame>, Error> {
        let [from, to] = ask.window();
        let params = vec![from, to, ask.devices()];
        let table = ask
            .table(Statement::new(include_str!("../../../sql/device_kpis.sql"), params))
            .await?;
        let wanted: Vec<&str> = if self.columns.is_empty() {
            PRESET.to_vec()
        } else {
            self.columns.iter().map(String::as_str).collect()
        };
        let is_unknown = |name: &&&str| !table.columns.iter().any(|column| column.name == **name);
        if let Some(name) = wanted.iter().find(is_unknown) {
            return Err(Error::Query(format!("device KPIs have no column \"{}\"", shown(name))));
        }
        if ask.call.is_alert {
            let devices = ask.series_shown(table.rows);
            let number = alert::only_number(&table, &wanted)?;
            return Ok(vec![alert::numbers(&table, devices, number, &LABELS)]);
        }
        let mut fields = table_fields(table);
        let mut chosen = Vec::with_capacity(wanted.len());
        for name in wanted {
            // One that was chosen twice is there already.
            if let Some(index) = fields.iter().position(|field| field.name == name) {
                chosen.push(fields.remove(index));
            }
        }
        Ok(vec![Frame::table(chosen)])
    }
}
