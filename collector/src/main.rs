//! Feeds pg_iot_kpi.
fn main() {}
