//! Grafana's frames: columns with names, labels and display options, and what is said of the whole.

pub mod columns;
pub mod config;
mod encode;
pub(crate) mod json;
mod known;
mod numeric;
pub mod series;
pub(crate) mod units;
mod values;

use arrow_array::ArrayRef;
use config::FieldConfig;
use serde::Serialize;
use std::collections::BTreeMap;

/// A field's labels; sorted, so that equal ones look equal.
pub type Labels = BTreeMap<String, String>;

/// A column of a frame.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// What tells its series from the others.
    pub labels: Labels,
    /// How it is shown.
    pub config: FieldConfig,
    /// Its values.
    pub array: ArrayRef,
}

/// What Grafana is told about a frame's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// A time column, and a numeric one for each series.
    TimeseriesWide,
    /// A frame for each series.
    TimeseriesMulti,
    /// One row, a numeric column for each number.
    NumericWide,
}

/// A word to the person who looks at the panel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// `info` or `warning`.
    pub severity: &'static str,
    /// What to know.
    pub text: String,
}

/// A number for the query inspector.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stat {
    /// Its name.
    pub display_name: &'static str,
    /// The number.
    pub value: f64,
    /// Its unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<&'static str>,
}

/// A frame's metadata.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Meta {
    /// Its shape, where Grafana has a word for it.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub shape: Option<Shape>,
    /// The version of the contract about that shape.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub type_version: Option<[u32; 2]>,
    /// The panel type that shows it best.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preferred_visualisation_type: Option<&'static str>,
    /// The panel that Explore shows it by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preferred_visualisation_plugin_id: Option<&'static str>,
    /// The SQL that gave it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub executed_query_string: String,
    /// Words to the person who looks at it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<Notice>,
    /// Numbers for the query inspector.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stats: Vec<Stat>,
    /// What the front end of this data source is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom: Option<Custom>,
}

/// What the front end of this data source is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Custom {
    /// The path of the stream that keeps this answer up to date.
    pub stream: String,
}

/// A frame.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// Its name, for people.
    pub name: String,
    /// Its columns.
    pub fields: Vec<Field>,
    /// Its metadata.
    pub meta: Meta,
}

impl Frame {
    /// A frame of a shape.
    pub fn shaped(shape: Shape, fields: Vec<Field>) -> Self {
        let meta = Meta {
            shape: Some(shape),
            type_version: Some([0, 1]),
            ..Meta::default()
        };
        Frame {
            name: String::new(),
            fields,
            meta,
        }
    }

    /// A table, for the table panel.
    pub fn table(fields: Vec<Field>) -> Self {
        let meta = Meta {
            preferred_visualisation_type: Some("table"),
            ..Meta::default()
        };
        Frame {
            name: String::new(),
            fields,
            meta,
        }
    }
}
