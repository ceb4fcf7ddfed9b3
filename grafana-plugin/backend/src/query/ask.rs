//! A query while it is asked: what it runs, and what is to be told of the answer.

use super::{Call, Query, legend};
use crate::error::Error;
use crate::frame::columns::{Cut, MOST_BYTES, Table};
use crate::frame::{Field, Frame, Labels, Notice, Stat, config, units};
use crate::session::Session;
use crate::settings::Settings;
use crate::statement::{Param, Statement};
use std::time::Duration;

/// Most series of an answer: more than a panel or an alert rule can do anything with.
pub(crate) const MOST_SERIES: usize = 10_000;

/// A query being asked.
pub(crate) struct Ask<'a> {
    pub(crate) query: &'a Query,
    pub(crate) session: &'a mut Session,
    pub(crate) settings: &'a Settings,
    pub(crate) call: &'a Call,
    /// None: all devices.
    pub(crate) device_ids: Option<Vec<String>>,
    executed: String,
    pub(super) rows: usize,
    notices: Vec<Notice>,
}

impl<'a> Ask<'a> {
    pub(super) fn new(
        query: &'a Query,
        session: &'a mut Session,
        settings: &'a Settings,
        call: &'a Call,
        device_ids: Option<Vec<String>>,
    ) -> Self {
        Ask {
            query,
            session,
            settings,
            call,
            device_ids,
            executed: String::new(),
            rows: 0,
            notices: Vec::new(),
        }
    }

    /// Runs the statement that the inspector will show.
    pub(crate) async fn table(&mut self, statement: Statement) -> Result<Table, Error> {
        self.executed = statement.executed();
        let table = self.session.table(&statement, self.settings.row_limit).await?;
        self.count(&table);
        Ok(table)
    }

    /// As [`Ask::table`], for SQL that a person wrote.
    pub(crate) async fn untrusted_table(&mut self, sql: String) -> Result<Table, Error> {
        let table = self.session.untrusted_table(&sql, self.settings.row_limit).await?;
        self.executed = sql;
        self.count(&table);
        Ok(table)
    }

    /// Grafana's id for the unit of a metric.
    pub(crate) async fn metric_unit(&mut self, metric: &str) -> Result<Option<String>, Error> {
        let params = vec![Param::Text(Some(metric.to_owned()))];
        let statement = Statement::new(include_str!("../../sql/metric_unit.sql"), params);
        let rows = self.session.rows(&statement).await?;
        let unit: Option<String> = rows.first().map(|row| row.try_get(0)).transpose()?.flatten();
        Ok(unit.and_then(|unit| units::of_metric(&unit)))
    }

    fn count(&mut self, table: &Table) {
        self.rows += table.rows;
        let rows = table.rows;
        match table.cut {
            None => {}
            Some(Cut::Rows) => self.warn(format!(
                "Only the first {rows} rows are shown: the data source's row limit."
            )),
            Some(Cut::Bytes) => self.warn(format!(
                "Only the first {rows} rows are shown: they fill {} MiB. Select fewer or shorter columns.",
                MOST_BYTES >> 20
            )),
        }
    }

    /// How many of the series that were found are shown, with a notice about the others.
    pub(crate) fn series_shown(&mut self, found: usize) -> usize {
        if found > MOST_SERIES {
            self.warn(format!(
                "Only the first {MOST_SERIES} of {found} series are shown: choose fewer devices, or groups of them."
            ));
        }
        found.min(MOST_SERIES)
    }

    pub(crate) fn warn(&mut self, text: String) {
        self.notices.push(Notice {
            severity: "warning",
            text,
        });
    }

    pub(crate) fn window(&self) -> [Param; 2] {
        [Param::Time(self.call.from), Param::Time(self.call.to)]
    }

    pub(crate) fn devices(&self) -> Param {
        Param::Texts(self.device_ids.clone())
    }

    pub(crate) fn time_zone(&self) -> Param {
        let zone = self.query.time_zone.as_str();
        // "browser" is what a dashboard says that follows the browser: the front end puts its zone there, others cannot.
        let zone = if matches!(zone, "" | "browser" | "utc") {
            "UTC"
        } else {
            zone
        };
        Param::Text(Some(zone.to_owned()))
    }

    /// The name of a series.
    pub(crate) fn legend(&self, preset: &str, series: &str, subject: &str, labels: &Labels) -> String {
        if self.query.legend.is_empty() {
            return preset.to_owned();
        }
        legend::name(&self.query.legend, |word| match word {
            "device" | "series" => Some(series),
            "kpi" | "metric" => Some(subject),
            label => labels.get(label).map(String::as_str),
        })
    }

    /// Tells about the answer as a whole in its first frame. An answer without rows gets an empty one, so that its SQL can be seen.
    pub(super) fn add_metadata(self, frames: &mut Vec<Frame>, took: Duration) {
        if frames.is_empty() {
            frames.push(Frame::default());
        }
        // In the first frame alone: there may be thousands, and the SQL may name as many devices.
        if let Some(frame) = frames.first_mut() {
            frame.meta.executed_query_string = self.executed;
            frame.meta.notices = self.notices;
            frame.meta.stats = vec![
                Stat {
                    display_name: "Rows",
                    value: self.rows as f64,
                    unit: None,
                },
                Stat {
                    display_name: "Time in the plugin and PostgreSQL",
                    value: took.as_secs_f64() * 1e3,
                    unit: Some("ms"),
                },
            ];
        }
    }
}

/// A report's columns, as a table shows them.
pub(crate) fn table_fields(table: Table) -> Vec<Field> {
    let field = |column: crate::frame::columns::Column| Field {
        config: config::of_column(&column.name, column.kind),
        name: column.name,
        labels: Labels::new(),
        array: column.array,
    };
    table.columns.into_iter().map(field).collect()
}
