//! The SQL in README.md and docs/*.md runs: a file's ```` ```sql ```` blocks, in order, in a database of its own.
//!
//! The database has the extension in it unless the file creates it. What a page needs besides and its reader does not want to
//! see stands in a block within an HTML comment. SQL that is only to be looked at is marked `text`.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the message, outside a #[test] function too"
)]

use std::fs;
use std::path::{Path, PathBuf};

use iot_kpi_tests::installation::{root, target};
use iot_kpi_tests::postgres::shared;

#[test]
fn sql_blocks_run() {
    let failures: Vec<String> = pages().iter().filter_map(|page| failure(page)).collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

fn pages() -> Vec<PathBuf> {
    let docs = fs::read_dir(root().join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut pages: Vec<PathBuf> = docs
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    pages.extend(Some(root().join("README.md")).filter(|readme| readme.exists()));
    pages.sort();
    pages
}

/// What psql says about a page's SQL, if it fails.
fn failure(page: &Path) -> Option<String> {
    let name = page.file_name().unwrap().to_str().unwrap();
    let sql = sql_of(&fs::read_to_string(page).unwrap());
    let database = format!("docs_{}", name.trim_end_matches(".md").to_lowercase());
    let creates = sql.to_lowercase().contains("create extension");
    let database = if creates {
        shared().create_database(&database).unwrap()
    } else {
        shared().extension(&database)
    };
    // Under the page's own name and with its lines in place, psql's messages point into the page.
    let folder = target().join("docs-sql");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), sql).unwrap();
    let output = database
        .psql()
        .args(["--quiet", "--set=ON_ERROR_STOP=1", "--file", name])
        .current_dir(&folder)
        .output()
        .unwrap();
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The lines of the SQL blocks in their places, the others empty.
fn sql_of(page: &str) -> String {
    let mut inside = false;
    let mut sql = String::new();
    for line in page.lines() {
        let fence = line.trim_start().starts_with("```");
        if inside && !fence {
            sql.push_str(line);
        }
        sql.push('\n');
        if fence {
            inside = !inside && line.trim() == "```sql";
        }
    }
    sql
}

#[test]
fn only_sql_blocks_are_taken() {
    let page = "text\n```sql\nSELECT 1;\n```\n```text\nno\n```\n```sql\nSELECT 2;\n```\n";
    assert_eq!(sql_of(page), "\n\nSELECT 1;\n\n\n\n\n\nSELECT 2;\n\n");
}
