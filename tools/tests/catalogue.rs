//! Whatever lists KPIs lists those of the catalogue.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the message, outside a #[test] function too"
)]

use iot_kpi_tools::catalogue::outdated;

#[test]
fn every_list_is_that_of_the_catalogue() {
    let files: Vec<_> = outdated().unwrap().into_iter().map(|file| file.path).collect();
    assert!(files.is_empty(), "`make catalogue` brings up to date: {files:?}");
}
