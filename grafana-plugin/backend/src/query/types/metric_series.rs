//! Metric: measured values, thinned out to what a panel can show without losing a spike.

use super::Answer;
use crate::error::Error;
use crate::frame::config::FieldConfig;
use crate::frame::series::Rows;
use crate::frame::{Frame, Labels};
use crate::query::ask::Ask;
use crate::statement::{Param, Statement};
use serde::{Deserialize, Serialize};

/// The query.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MetricSeries {
    /// One of `iot.metric_types`.
    pub metric: String,
    /// Whether the last value before the window is there too, so that a line begins at the panel's edge.
    pub value_before: bool,
}

impl Default for MetricSeries {
    fn default() -> Self {
        MetricSeries {
            metric: "response_time".to_owned(),
            value_before: true,
        }
    }
}

impl Answer for MetricSeries {
    async fn frames(&self, ask: &mut Ask<'_>) -> Result<Vec<Frame>, Error> {
        let [from, to] = ask.window();
        let points = Param::Int(ask.call.max_points.max(4));
        let before = Param::Int(self.value_before.into());
        let metric = Param::Text(Some(self.metric.clone()));
        let params = vec![metric, from, to, points, ask.devices(), before];
        let table = ask
            .table(Statement::new(include_str!("../../../sql/metric_series.sql"), params))
            .await?;
        if table.rows == 0 {
            return Ok(Vec::new());
        }
        let unit = ask.metric_unit(&self.metric).await?;
        let mut rows = Rows::of(&table, "time", "device_id", "value")?;
        rows.keep(ask.series_shown(rows.series()));
        let present = |device: &str| {
            let labels = Labels::from([("device_id".to_owned(), device.to_owned())]);
            let name = ask.legend(device, device, &self.metric, &labels);
            let config = FieldConfig {
                unit: unit.clone(),
                ..FieldConfig::default().named(name)
            };
            (labels, config)
        };
        Ok(rows.multi(&self.metric, &present))
    }
}
