//! The query model's JSON, as both sides read it: `grafana-plugin/fixtures`, tested by the front end too.

#![allow(clippy::unwrap_used)]

use iot_kpi_grafana::query::{Query, QueryType};
use serde_json::Value;
use std::path::Path;

#[test]
fn saved_queries_are_read_as_the_front_end_reads_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures");
    let mut seen = std::collections::BTreeSet::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let fixture: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let query = Query::parse(fixture["saved"].to_string().as_bytes()).unwrap();
        assert_eq!(
            serde_json::to_value(&query).unwrap(),
            fixture["normal"],
            "{}",
            path.display()
        );
        seen.insert(query.query_type.name());
    }
    assert_eq!(seen, QueryType::NAMES.iter().copied().collect());
}
