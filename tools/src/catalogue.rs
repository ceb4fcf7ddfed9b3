//! The lists of KPIs that files have, made from `kpi-core/src/catalogue.rs`.
//!
//! A list stands between a line that ends with `catalogue: KIND` and one with `catalogue: end`, in comments of the file's
//! language. A column that was released keeps its place, since people read rows by position too: a new one is the last.

mod lists;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use kpi_core::catalogue::{KPIS, Kpi, Scope};

use crate::installation::root;

/// The files that have lists.
const FILES: [&str; 9] = [
    DEVICES,
    GROUPS,
    "sql/storage/calculations.sql",
    "sql/store/tables.sql",
    "sql/store/comments.sql",
    "grafana-plugin/backend/src/frame/known.rs",
    "grafana-plugin/backend/openapi.json",
    "docs/kpis.md",
    "docs/sql.md",
];
/// Whose first list has the columns of the reports in their order.
const DEVICES: &str = "sql/reports/device_kpis.sql";
const GROUPS: &str = "sql/reports/fleet_kpis.sql";

const BEGIN: &str = "catalogue: ";
const END: &str = "catalogue: end";

/// The KPIs as reports have them.
#[derive(Debug)]
struct Reports {
    of_devices: Vec<&'static Kpi>,
    of_groups: Vec<&'static Kpi>,
}

/// A file whose lists are not those of the catalogue.
#[derive(Debug)]
pub struct Outdated {
    /// Where it is.
    pub path: PathBuf,
    /// What it should be.
    pub text: String,
}

/// The files whose lists are not those of the catalogue.
///
/// # Errors
/// When a file cannot be read, or has a list without an end or of an unknown kind.
pub fn outdated() -> Result<Vec<Outdated>> {
    let reports = Reports {
        of_devices: columns(DEVICES, Scope::of_devices)?,
        of_groups: columns(GROUPS, Scope::of_groups)?,
    };
    let mut found = Vec::new();
    for path in FILES.map(|file| root().join(file)) {
        let text = read(&path)?;
        let wanted = with_lists(&text, &reports).with_context(|| path.display().to_string())?;
        if wanted != text {
            found.push(Outdated { path, text: wanted });
        }
    }
    Ok(found)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// The KPIs that a report has, those that it has already in their order.
fn columns(file: &str, has: fn(Scope) -> bool) -> Result<Vec<&'static Kpi>> {
    let text = read(&root().join(file))?;
    let (_, list) = text.split_once(BEGIN).with_context(|| format!("{file} has no list"))?;
    let list = list.split(END).next().unwrap_or_default();
    let words: Vec<&str> = list.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let mut kpis: Vec<&Kpi> = KPIS.iter().filter(|kpi| has(kpi.scope)).collect();
    kpis.sort_by_key(|kpi| words.iter().position(|word| *word == kpi.name).unwrap_or(usize::MAX));
    Ok(kpis)
}

/// A text with its lists as they should be.
fn with_lists(text: &str, reports: &Reports) -> Result<String> {
    let mut wanted = String::new();
    let mut lines = text.split_inclusive('\n');
    while let Some(line) = lines.next() {
        wanted += line;
        let Some((before, kind)) = line.split_once(BEGIN) else {
            continue;
        };
        let kind = kind.split(['"', '-']).next().unwrap_or_default().trim_end();
        let indent = before.len() - before.trim_start().len();
        wanted += &lists::list(kind, reports, &before[..indent])?;
        let end = lines.find(|line| line.contains(END));
        wanted += end.with_context(|| format!("the list \"{kind}\" has no line \"{END}\""))?;
    }
    ensure!(text.contains(BEGIN), "no list: begin one with \"{BEGIN}KIND\"");
    Ok(wanted)
}
