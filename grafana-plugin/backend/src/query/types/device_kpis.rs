//! Device KPIs: a table with a row for each device.

use super::Answer;
use crate::error::{Error, shown};
use crate::frame::Frame;
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
        let mut fields = table_fields(table);
        let wanted: Vec<&str> = if self.columns.is_empty() {
            PRESET.to_vec()
        } else {
            self.columns.iter().map(String::as_str).collect()
        };
        let mut chosen = Vec::with_capacity(wanted.len());
        for name in wanted {
            match fields.iter().position(|field| field.name == name) {
                Some(index) => chosen.push(fields.remove(index)),
                None if chosen.iter().any(|field: &crate::frame::Field| field.name == name) => {}
                None => return Err(Error::Query(format!("device KPIs have no column \"{}\"", shown(name)))),
            }
        }
        Ok(vec![Frame::table(chosen)])
    }
}
