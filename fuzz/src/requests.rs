//! What Grafana's users send to the plugin is refused with a reason, or understood in one way.

use iot_kpi_grafana::fuzzing;
use iot_kpi_grafana::query::{Query, QueryType};

/// A query's JSON, and what is in it. A query that is read, written and read again is the same.
#[expect(clippy::expect_used, reason = "this is what the fuzzer looks for")]
pub fn query(data: &[u8]) {
    fuzzing::settings(data);
    let Ok(query) = Query::parse(data) else { return };
    let written = serde_json::to_vec(&query).expect("a query can be written");
    let again = Query::parse(&written).expect("what was written can be read");
    assert_eq!(again, query);
    if let QueryType::Sql(sql) = &query.query_type {
        fuzzing::sql(&sql.raw_sql);
    }
    fuzzing::duration(&query.legend);
}

/// A request: a line `METHOD path?parameters`, and its body.
pub fn rest(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let line = String::from_utf8_lossy(&data[..end]);
    let (method, url) = line.split_once(' ').unwrap_or(("GET", &line));
    fuzzing::rest(method, url, data.get(end + 1..).unwrap_or_default());
}
