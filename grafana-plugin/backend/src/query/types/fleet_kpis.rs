//! Fleet KPIs: numbers of the fleet as a whole, or of each group of it, for stat and gauge panels and for alerts.

use super::{Answer, Rows};
use crate::error::{Error, shown};
use crate::frame::columns::Table;
use crate::frame::{Field, Frame, Labels, Shape, config};
use crate::query::alert;
use crate::query::ask::{Ask, table_fields};
use crate::statement::{Param, Statement};
use arrow_array::cast::AsArray;
use arrow_array::{Array, Float64Array, StringArray};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The query.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FleetKpis {
    /// Columns of `fleet_kpis`.
    pub kpis: Vec<String>,
    /// `device_type`, `location` or a key of the metadata; empty: the fleet as a whole.
    pub group_by: String,
    /// As numbers, or as a table with a row for each group.
    pub format: Format,
}

impl Default for FleetKpis {
    fn default() -> Self {
        FleetKpis {
            kpis: vec!["device_availability".to_owned()],
            group_by: String::new(),
            format: Format::Numbers,
        }
    }
}

/// The shape of the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One row, a labelled number for each KPI and group.
    #[default]
    Numbers,
    /// A row for each group.
    Table,
}

impl Answer for FleetKpis {
    const LIVE: bool = true;
    const ROWS: Rows = Rows::Groups;

    async fn frames(&self, ask: &mut Ask<'_>) -> Result<Vec<Frame>, Error> {
        let [from, to] = ask.window();
        let group_by = (!self.group_by.is_empty()).then(|| self.group_by.clone());
        let params = vec![from, to, Param::Text(group_by), ask.devices()];
        let table = ask
            .table(Statement::new(include_str!("../../../sql/fleet_kpis.sql"), params))
            .await?;
        let preset = Self::default().kpis;
        let kpis = chosen(if self.kpis.is_empty() { &preset } else { &self.kpis }, &table)?;
        if ask.call.is_alert {
            alert::only_number(&table, &kpis)?;
        }
        // A rule that was saved with the format table compares numbers all the same.
        if ask.call.is_alert || self.format == Format::Numbers {
            let numbers = self.numbers(ask, &kpis, &table);
            return Ok(vec![Frame::shaped(Shape::NumericWide, numbers)]);
        }
        let group = (!self.group_by.is_empty()).then_some("group_value");
        let wanted: Vec<&str> = group.into_iter().chain(kpis).collect();
        let mut fields = table_fields(table);
        fields.retain(|field| wanted.contains(&field.name.as_str()));
        fields.sort_by_key(|field| wanted.iter().position(|name| *name == field.name));
        Ok(vec![Frame::table(fields)])
    }
}

/// The KPIs that were asked for, each once.
fn chosen<'a>(asked: &'a [String], table: &Table) -> Result<Vec<&'a str>, Error> {
    let mut kpis: Vec<&str> = Vec::new();
    for kpi in asked {
        if !table.columns.iter().any(|column| column.name == *kpi) {
            return Err(Error::Query(format!("fleet KPIs have no column \"{}\"", shown(kpi))));
        }
        if !kpis.contains(&kpi.as_str()) {
            kpis.push(kpi);
        }
    }
    Ok(kpis)
}

impl FleetKpis {
    fn numbers(&self, ask: &mut Ask<'_>, kpis: &[&str], table: &Table) -> Vec<Field> {
        let column = |name: &str| table.columns.iter().find(|column| column.name == name);
        let groups = column("group_value").and_then(|column| column.array.as_string_opt::<i32>());
        let mut fields = Vec::new();
        let shown = ask.series_shown(table.rows * kpis.len());
        for row in 0..table.rows.min(shown.div_ceil(kpis.len())) {
            let group = group_name(groups, row);
            for column in kpis.iter().filter_map(|kpi| column(kpi)) {
                let mut labels = Labels::new();
                let title = config::title(&column.name);
                let preset = if self.group_by.is_empty() {
                    title.to_owned()
                } else {
                    labels.insert(self.group_by.clone(), group.to_owned());
                    if kpis.len() == 1 {
                        group.to_owned()
                    } else {
                        format!("{group} {}", title.to_lowercase())
                    }
                };
                let config = config::of_column(&column.name, column.kind);
                fields.push(Field {
                    name: column.name.clone(),
                    config: config.named(ask.legend(&preset, group, title, &labels)),
                    labels,
                    array: Arc::new(Float64Array::from(vec![alert::as_float(&column.array, row)])),
                });
            }
        }
        fields
    }
}

fn group_name(groups: Option<&StringArray>, row: usize) -> &str {
    match groups {
        Some(groups) if groups.is_valid(row) => groups.value(row),
        _ => "none",
    }
}
