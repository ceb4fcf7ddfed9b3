//! Queries that older versions saved, brought step by step to the form of this one. The front end does the same to what
//! it edits (`src/query.ts`), but alert rules come here as they were saved. `fixtures/` has queries of every version.

use crate::error::Error;
use serde_json::{Value, json};

/// The version of the queries that this plugin writes.
pub const SCHEMA_VERSION: u32 = 2;

/// The type of a query that names none, as *New alert rule* sends it before a field is touched. The front end has the same.
const DEFAULT_TYPE: &str = "kpi_series";

/// From each version to the next, the first from 1 to 2.
const STEPS: [fn(&mut Value); SCHEMA_VERSION as usize - 1] = [filters_have_values];

/// A query of any version in the form of [`SCHEMA_VERSION`]. One without a version was written by hand, like those of version 1.
pub(super) fn migrate(mut query: Value) -> Result<Value, Error> {
    let version = match &query["schemaVersion"] {
        Value::Null => 1,
        version => version.as_u64().ok_or_else(|| {
            Error::Query(format!(
                "the query's schemaVersion is {version}, but must be a whole number"
            ))
        })?,
    };
    if version > u64::from(SCHEMA_VERSION) {
        return Err(Error::Query(format!(
            "the query has version {version}, but this plugin knows {SCHEMA_VERSION} at most; update the plugin"
        )));
    }
    let done = version.max(1) as usize - 1;
    for step in &STEPS[done..] {
        step(&mut query);
    }
    if let Some(query) = query.as_object_mut() {
        query.insert("schemaVersion".to_owned(), json!(SCHEMA_VERSION));
        let named = query.get("queryType").is_some_and(|name| !name.is_null() && name != "");
        if !named {
            query.insert("queryType".to_owned(), json!(DEFAULT_TYPE));
        }
    }
    Ok(query)
}

/// Version 2: a filter has `values`, of which there may be several; before, it had a `value`, and sometimes both.
fn filters_have_values(query: &mut Value) {
    let filters = query.get_mut("adhocFilters").and_then(Value::as_array_mut);
    for filter in filters.into_iter().flatten().filter_map(Value::as_object_mut) {
        let value = filter.remove("value").unwrap_or_else(|| json!(""));
        let several = filter
            .get("values")
            .and_then(Value::as_array)
            .is_some_and(|values| !values.is_empty());
        if !several {
            filter.insert("values".to_owned(), json!([value]));
        }
    }
}
