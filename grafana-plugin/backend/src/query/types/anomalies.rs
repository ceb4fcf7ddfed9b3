//! Anomalies: values far from their device's usual ones.

use super::Answer;
use crate::error::Error;
use crate::frame::{Field, Frame};
use crate::query::alert;
use crate::query::ask::{Ask, table_fields};
use crate::statement::{Param, Statement};
use serde::{Deserialize, Serialize};

/// The query.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Anomalies {
    /// One of `iot.metric_types`.
    pub metric: String,
    /// From how many robust standard deviations on a value is unusual.
    pub cut_off: f64,
    /// Whether a value is compared with those of the same hour of the week.
    pub seasonal: bool,
}

impl Default for Anomalies {
    fn default() -> Self {
        Anomalies {
            metric: "response_time".to_owned(),
            cut_off: 3.5,
            seasonal: false,
        }
    }
}

impl Answer for Anomalies {
    async fn frames(&self, ask: &mut Ask<'_>) -> Result<Vec<Frame>, Error> {
        if ask.call.is_alert {
            return Err(alert::refusal(
                "anomalies are a list of what happened",
                "ask Metric, or SQL that counts them by device",
            ));
        }
        let [from, to] = ask.window();
        let params = vec![
            Param::Text(Some(self.metric.clone())),
            from,
            to,
            Param::Float(self.cut_off),
            Param::Int(self.seasonal.into()),
            ask.time_zone(),
            ask.devices(),
        ];
        let table = ask
            .table(Statement::new(include_str!("../../../sql/anomalies.sql"), params))
            .await?;
        let unit = ask.metric_unit(&self.metric).await?;
        let mut fields = table_fields(table);
        for (name, title) in [("time", "Time"), ("value", "Value")] {
            for field in fields.iter_mut().filter(|field| field.name == name) {
                field.config.display_name = Some(title.to_owned());
            }
        }
        let measured = |field: &&mut Field| matches!(field.name.as_str(), "value" | "expected");
        for field in fields.iter_mut().filter(measured) {
            field.config.unit.clone_from(&unit);
        }
        Ok(vec![Frame::table(fields)])
    }
}
