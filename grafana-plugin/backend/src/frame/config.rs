//! How a field is shown: its name for people, unit, decimals, words and colours for its values.

use super::columns::Held;
use super::known;
use serde::Serialize;
use std::collections::BTreeMap;

/// Grafana's field config, as far as it is used here.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldConfig {
    /// The name for people; a panel's own setting goes before it.
    #[serde(rename = "displayNameFromDS", skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Words about it, shown beside a column's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<&'static str>,
    /// Grafana's id of a unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Digits after the point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decimals: Option<u16>,
    /// Where an axis or gauge begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Where it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// Milliseconds between two values; a wider gap is shown as one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<f64>,
    /// Words and colours for values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mappings: Vec<Mapping>,
}

/// Words and colours for values.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mapping {
    #[serde(rename = "type")]
    kind: &'static str,
    options: BTreeMap<&'static str, Appearance>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Appearance {
    color: &'static str,
    index: usize,
}

/// A device's states, best first, in the colours of every panel that shows them.
const STATES: [(&str, &str); 7] = [
    ("online", "green"),
    ("degraded", "yellow"),
    ("offline", "red"),
    ("error", "dark-red"),
    ("maintenance", "blue"),
    ("excluded", "light-blue"),
    ("unknown", "gray"),
];

/// The colours of states.
pub(crate) fn state_mappings() -> Vec<Mapping> {
    let appearance =
        |(index, (state, color)): (usize, &(&'static str, &'static str))| (*state, Appearance { color, index });
    vec![Mapping {
        kind: "value",
        options: STATES.iter().enumerate().map(appearance).collect(),
    }]
}

impl FieldConfig {
    /// With a name for people.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.display_name = Some(name.into());
        self
    }
}

/// How a report's column is shown; an unknown one by its own name.
pub fn of_column(name: &str, held: Held) -> FieldConfig {
    let mut config = FieldConfig::default();
    if let Some(known) = known::find(name) {
        config.display_name = Some(known.title.to_owned());
        config.description = Some(known.description);
        if let (Held::Number | Held::Duration, Some((unit, decimals))) = (held, known.unit) {
            config.unit = Some(unit.to_owned());
            config.decimals = Some(decimals);
        }
    }
    if held == Held::Duration {
        config.unit = Some("s".to_owned());
    }
    if held == Held::Text && name == "status" {
        config.mappings = state_mappings();
    }
    if is_ratio(name) {
        config.min = Some(0.0);
        // Of every hundred attempts a few fail: on a scale to 100 % nobody would tell 1 % from 3 %.
        config.max = (!name.starts_with("error_rate")).then_some(1.0);
    }
    config
}

/// Whether a KPI is from 0 to 1. The remaining budget is not: it may be overspent.
fn is_ratio(name: &str) -> bool {
    name == "apdex"
        || known::find(name).is_some_and(known::Known::is_share) && !matches!(name, "remaining_ratio" | "objective")
}

/// How a KPI's values are shown, wherever they come from.
pub fn of_kpi(kpi: &str) -> FieldConfig {
    // A series of durations comes in seconds, as numbers.
    of_column(kpi, Held::Number)
}

/// A KPI's name for people.
pub fn title(kpi: &str) -> &str {
    known::find(kpi).map_or(kpi, |known| known.title)
}

/// What a KPI means; empty for an unknown one.
pub fn description(kpi: &str) -> &'static str {
    known::find(kpi).map_or("", |known| known.description)
}
