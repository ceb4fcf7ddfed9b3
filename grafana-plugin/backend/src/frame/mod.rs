//! Grafana's frames: Arrow's IPC file format, with names, labels and display options in the metadata.

pub mod columns;
pub mod config;
pub(crate) mod json;
mod known;
mod numeric;
pub mod series;
mod values;

use crate::error::Error;
use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_ipc::writer::FileWriter;
use arrow_schema::{DataType, Field as ArrowField, Schema};
use config::FieldConfig;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Rows that are written at once; a multiple of 8, so that the bits which tell NULL begin with a byte.
const PART: usize = 65_536;

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

    /// The bytes that Grafana reads.
    ///
    /// # Errors
    /// When the columns differ in length.
    pub fn encode(self, ref_id: &str) -> Result<Vec<u8>, Error> {
        let (mut fields, mut arrays) = (Vec::new(), Vec::new());
        let mut size = 4_096;
        let is_series = matches!(self.meta.shape, Some(Shape::TimeseriesWide | Shape::TimeseriesMulti));
        for field in self.fields {
            let mut metadata = HashMap::from([("name".to_owned(), field.name.clone())]);
            if !field.labels.is_empty() {
                metadata.insert("labels".to_owned(), text(&field.labels));
            }
            if field.config != FieldConfig::default() {
                metadata.insert("config".to_owned(), text(&field.config));
            }
            size += field.array.get_buffer_memory_size() + 512;
            // Alert rules take no series whose times could be missing.
            let is_instant = is_series && matches!(field.array.data_type(), DataType::Timestamp(..));
            let nullable = !is_instant || field.array.null_count() > 0;
            let arrow = ArrowField::new(field.name, field.array.data_type().clone(), nullable);
            fields.push(arrow.with_metadata(metadata));
            arrays.push(field.array);
        }
        let metadata = HashMap::from([
            ("name".to_owned(), self.name),
            ("refId".to_owned(), ref_id.to_owned()),
            ("meta".to_owned(), text(&self.meta)),
        ]);
        let schema = Arc::new(Schema::new_with_metadata(fields, metadata));
        let rows = arrays.first().map_or(0, |array: &ArrayRef| array.len());
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), arrays, &options)?;
        let mut writer = FileWriter::try_new(Vec::with_capacity(size), &schema)?;
        // In parts, since the writer makes a copy of each: a part of a long frame is small beside the whole.
        for start in (0..rows.max(1)).step_by(PART) {
            writer.write(&batch.slice(start, PART.min(rows - start)))?;
        }
        writer.finish()?;
        Ok(writer.into_inner()?)
    }
}

/// Metadata is JSON text; making it cannot fail, since its maps have text for keys.
fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
