//! `make bench`: how fast the extension is, as ratios to plain PostgreSQL on the same rows, in the same run.
//!
//! Each file measures one group. A measure is run in turn with its baseline, in one session, and the ratio of the medians
//! is what counts. Data are made by SQL from hashes, so that every run sees the same.

mod aggregates;
mod calculations;
mod clock;
mod huge_pages;
mod ingest;
mod memory;
mod parallel;
mod plugin;
mod reports;
mod table;

use anyhow::{Context, Result};
use postgres::Client;

use self::huge_pages::HugePages;
pub use self::table::{Bound, Measure, Table};
use crate::installation::Installation;
use crate::postgres::Postgres;

/// The server's settings: everything stays in memory, nothing is compiled at run time, one process unless said.
const SETTINGS: [&str; 9] = [
    "shared_buffers=3GB",
    "work_mem=1GB",
    "maintenance_work_mem=512MB",
    "max_wal_size=8GB",
    "jit=off",
    "max_parallel_workers_per_gather=0",
    "synchronize_seqscans=off",
    "autovacuum=off",
    "track_io_timing=off",
];

/// All the shared memory that a server with these settings takes, in megabytes.
const SHARED_MEMORY: u64 = 3300;

/// How much there is to do.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    /// A tenth of the data.
    pub quick: bool,
    /// How often each measure and its baseline are run.
    pub rounds: usize,
}

impl Scale {
    /// One of two numbers: for all the data, or for a tenth of them.
    pub fn of(self, full: i64, quick: i64) -> i64 {
        if self.quick { quick } else { full }
    }
}

/// A group of measures.
type Group = fn(&Postgres, Scale, &mut Table) -> Result<()>;

const GROUPS: [(&str, Group); 8] = [
    ("aggregates", aggregates::measure),
    ("parallel", parallel::measure),
    ("memory", memory::measure),
    ("reports", reports::measure),
    ("calculations", calculations::measure),
    ("ingest", ingest::measure),
    ("plugin", plugin::measure),
    (MONTH, calculations::month),
];

/// Forty-three million rows: ten minutes and ten gigabytes, so only where it is named.
const MONTH: &str = "month";

/// The names of the groups.
pub fn groups() -> Vec<&'static str> {
    GROUPS.iter().map(|group| group.0).collect()
}

/// Runs the groups of these names, all where none is named.
///
/// # Errors
/// When something could not be measured.
pub fn run(scale: Scale, wanted: &[String]) -> Result<Table> {
    let _set_aside = HugePages::set_aside(SHARED_MEMORY);
    let server = Postgres::temporary_of(Installation::find()?, &SETTINGS)?;
    let mut table = Table::default();
    for (name, measure) in GROUPS {
        if (wanted.is_empty() && name != MONTH) || wanted.iter().any(|word| word == name) {
            measure(&server, scale, &mut table).with_context(|| format!("measure {name}"))?;
        }
    }
    Ok(table)
}

/// Runs a statement that prepares something.
fn prepare(client: &mut Client, sql: &str) -> Result<()> {
    client
        .batch_execute(sql)
        .with_context(|| format!("run {}", sql.split_whitespace().collect::<Vec<_>>().join(" ")))
}

/// A plan, as `EXPLAIN` with these options shows it.
fn plan(client: &mut Client, options: &str, sql: &str) -> Result<Vec<String>> {
    let rows = client
        .query(&format!("EXPLAIN ({options}) {sql}"), &[])
        .with_context(|| format!("explain {sql}"))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
