//! What a database holds of the extension, and of its store, as lines that can be compared: an updated one with a new one.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use postgres::Client;

/// Everything that belongs to the extension: definition, comment and rights of each object, and what it depends on.
const EXTENSION: &str = include_str!("catalog/extension.sql");
/// Everything in schema `iot`: columns, constraints, indexes, triggers, comments. Of the partitions, which are of their days,
/// only whether they differ from their table.
const STORE: &str = include_str!("catalog/store.sql");

/// The extension's objects, a line each.
///
/// # Errors
/// When one is of a kind that is not compared yet.
pub fn extension(client: &mut Client) -> Result<BTreeSet<String>> {
    let mut lines = BTreeSet::new();
    for row in client.query(EXTENSION, &[]).context("read the extension's objects")? {
        let (object, definition): (String, Option<String>) = (row.get(0), row.get(1));
        let Some(definition) = definition else {
            bail!("{object}: say in tests/src/catalog/extension.sql what of it is compared");
        };
        lines.insert(format!("{object} {definition}"));
    }
    Ok(lines)
}

/// The store's tables, a line for each part of them.
///
/// # Errors
/// When the server refuses to tell.
pub fn store(client: &mut Client) -> Result<BTreeSet<String>> {
    let rows = client.query(STORE, &[]).context("read the store's tables")?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// What only one of two catalogs has; empty where they are equal.
pub fn differences(is: &BTreeSet<String>, should_be: &BTreeSet<String>) -> Vec<String> {
    let surplus = is.difference(should_be).map(|line| format!("is:        {line}"));
    let missing = should_be.difference(is).map(|line| format!("should be: {line}"));
    let mut lines: Vec<String> = surplus.chain(missing).collect();
    // The two versions of an object one below the other.
    lines.sort_by(|a, b| a[11..].cmp(&b[11..]).then(a.cmp(b)));
    lines
}
