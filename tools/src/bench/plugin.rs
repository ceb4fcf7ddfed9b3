//! The Grafana plugin's speed: its own test measures it through the real process, and prints a line of JSON a measure.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Scale;
use super::table::{Bound, Table};
use crate::installation::root;
use crate::postgres::Postgres;

/// What stands before each line of JSON.
const MARK: &str = "bench ";

/// Always with all the data: a tenth would say little about the memory of a long answer.
pub(super) fn measure(_: &Postgres, _: Scale, table: &mut Table) -> Result<()> {
    let output = Command::new("cargo")
        .args(["test", "--release", "--package", "iot-kpi-grafana", "--test", "plugin"])
        .args(["--", "--ignored", "--nocapture", "speed"])
        .current_dir(root())
        .output()
        .context("run cargo")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "the plugin's measurement failed:\n{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut measured = 0;
    for line in text.lines().filter_map(|line| line.strip_prefix(MARK)) {
        let line: Value = serde_json::from_str(line).with_context(|| format!("read {line}"))?;
        let (ratio, limit) = (line["ratio"].as_f64(), line["limit"].as_f64());
        let (ratio, limit) = ratio
            .zip(limit)
            .with_context(|| format!("no ratio and limit in {line}"))?;
        let name = line["measure"].as_str().unwrap_or_default();
        table.add(
            name,
            ratio,
            Bound::AtMost(limit),
            line["detail"].as_str().unwrap_or_default(),
        );
        measured += 1;
    }
    ensure!(measured > 0, "the plugin's measurement printed nothing:\n{text}");
    Ok(())
}
