//! A frame as Grafana receives it: Arrow's IPC file format, with names, labels and display options in the metadata.

use super::config::FieldConfig;
use super::{Frame, Shape};
use crate::error::Error;
use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_ipc::writer::FileWriter;
use arrow_schema::{DataType, Field as ArrowField, Schema};
use serde::Serialize;
use std::collections::HashMap;
use std::sync::Arc;

/// Rows of a record batch; a multiple of 8, so that the bitmap of NULLs is cut between bytes.
const PART: usize = 65_536;

impl Frame {
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
            // Grafana's alerting refuses a series whose time column is nullable.
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
        // In parts: the writer copies what it is given, and a copy of a long frame would double its memory.
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
