//! The frames of an answer, decoded as Grafana decodes them.

use arrow_array::ArrayRef;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampNanosecondType};
use arrow_ipc::reader::FileReader;
use grafana_plugin_sdk::pluginv2::DataResponse;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// A response, its frames decoded.
pub(crate) struct Answer {
    pub(crate) frames: Vec<Decoded>,
    pub(crate) error: String,
    pub(crate) status: i32,
}

/// A frame as Grafana sees it.
pub(crate) struct Decoded {
    pub(crate) meta: Value,
    pub(crate) fields: Vec<DecodedField>,
    pub(crate) rows: usize,
}

/// One of its columns.
pub(crate) struct DecodedField {
    pub(crate) name: String,
    pub(crate) labels: Value,
    pub(crate) config: Value,
    pub(crate) nullable: bool,
    pub(crate) array: ArrayRef,
}

impl Answer {
    pub(crate) fn of(response: DataResponse) -> Self {
        Answer {
            frames: response.frames.into_iter().map(decode).collect(),
            error: response.error,
            status: response.status,
        }
    }

    /// The frames of an answer that must be well.
    pub(crate) fn well(self) -> Vec<Decoded> {
        assert_eq!(self.error, "", "status {}", self.status);
        self.frames
    }

    /// Its only frame.
    pub(crate) fn frame(self) -> Decoded {
        let mut frames = self.well();
        assert_eq!(frames.len(), 1, "frames");
        frames.remove(0)
    }
}

impl Decoded {
    pub(crate) fn field(&self, name: &str) -> &DecodedField {
        let found = self.fields.iter().find(|field| field.name == name);
        found.unwrap_or_else(|| panic!("no {name} in {:?}", self.names()))
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.fields.iter().map(|field| field.name.as_str()).collect()
    }
}

impl DecodedField {
    pub(crate) fn title(&self) -> &str {
        self.config["displayNameFromDS"].as_str().unwrap_or(&self.name)
    }

    pub(crate) fn floats(&self) -> Vec<Option<f64>> {
        if let Some(values) = self.array.as_primitive_opt::<Int64Type>() {
            return values.iter().map(|value| value.map(|value| value as f64)).collect();
        }
        self.array.as_primitive::<Float64Type>().iter().collect()
    }

    pub(crate) fn texts(&self) -> Vec<Option<String>> {
        self.array
            .as_string::<i32>()
            .iter()
            .map(|text| text.map(str::to_owned))
            .collect()
    }

    /// Milliseconds since 1970.
    pub(crate) fn times(&self) -> Vec<i64> {
        self.array
            .as_primitive::<TimestampNanosecondType>()
            .iter()
            .map(|time| time.unwrap_or(0) / 1_000_000)
            .collect()
    }
}

fn decode(bytes: Vec<u8>) -> Decoded {
    let reader = FileReader::try_new(std::io::Cursor::new(bytes), None).expect("an Arrow file");
    let schema = reader.schema();
    let parse = |metadata: &HashMap<String, String>, key: &str| {
        metadata
            .get(key)
            .map_or(Value::Null, |json| serde_json::from_str(json).expect("JSON"))
    };
    // A long frame comes in parts, which Grafana puts behind each other too.
    let batches: Vec<_> = reader.map(|batch| batch.expect("a batch")).collect();
    let whole = arrow_select::concat::concat_batches(&schema, &batches).expect("parts of one frame");
    let field = |(index, field): (usize, &Arc<arrow_schema::Field>)| DecodedField {
        name: field.name().clone(),
        labels: parse(field.metadata(), "labels"),
        config: parse(field.metadata(), "config"),
        nullable: field.is_nullable(),
        array: Arc::clone(whole.column(index)),
    };
    Decoded {
        meta: parse(schema.metadata(), "meta"),
        fields: schema.fields().iter().enumerate().map(field).collect(),
        rows: whole.num_rows(),
    }
}
