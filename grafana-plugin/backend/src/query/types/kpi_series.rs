//! KPI over time: a wide frame with a labelled series for each device or group.

use super::Answer;
use crate::error::Error;
use crate::frame::series::Rows;
use crate::frame::{Frame, Labels, config};
use crate::query::ask::Ask;
use crate::query::duration::Span;
use crate::statement::{Param, Statement};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The query.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KpiSeries {
    /// One of `kpi_names()`.
    pub kpi: String,
    /// `device_type`, `location` or a key of the metadata; empty: a series for each device.
    pub group_by: String,
    /// `auto`: the panel's `$__interval`, rounded up to a readable length; or such as `1h`.
    pub bucket: String,
}

impl Default for KpiSeries {
    fn default() -> Self {
        KpiSeries {
            kpi: "uptime".to_owned(),
            group_by: String::new(),
            bucket: "auto".to_owned(),
        }
    }
}

impl Answer for KpiSeries {
    async fn frames(&self, ask: &mut Ask<'_>) -> Result<Vec<Frame>, Error> {
        let bucket = self.bucket(ask.call.interval)?;
        let [from, to] = ask.window();
        let group_by = (!self.group_by.is_empty()).then(|| self.group_by.clone());
        let params = vec![
            Param::Text(Some(self.kpi.clone())),
            from,
            to,
            Param::Int(bucket.days),
            Param::Float(bucket.seconds),
            Param::Text(group_by),
            ask.time_zone(),
            ask.devices(),
        ];
        let table = ask
            .table(Statement::new(include_str!("../../../sql/kpi_series.sql"), params))
            .await?;
        if table.rows == 0 {
            return Ok(Vec::new());
        }
        let mut rows = Rows::of(&table, "time", "series", "value")?;
        rows.keep(ask.series_shown(rows.series()));
        let label = if self.group_by.is_empty() {
            "device_id"
        } else {
            &self.group_by
        };
        let present = |series: &str| {
            let labels = Labels::from([(label.to_owned(), series.to_owned())]);
            let name = ask.legend(series, series, config::title(&self.kpi), &labels);
            let mut config = config::of_kpi(&self.kpi).named(name);
            config.interval = Some(bucket.total_seconds() * 1e3);
            (labels, config)
        };
        Ok(vec![rows.wide(&self.kpi, &present)?])
    }
}

impl KpiSeries {
    fn bucket(&self, interval: Duration) -> Result<Span, Error> {
        if matches!(self.bucket.as_str(), "" | "auto") {
            return Ok(Span::readable(interval));
        }
        Span::parse(&self.bucket)
    }
}
