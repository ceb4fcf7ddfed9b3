//! Memory and dead rows, second by second.

use std::fs;

use anyhow::{Context, Result};

use crate::bench::{Bound, Table};
use crate::postgres::Postgres;

/// A collector of less than this many seconds is still filling its buffers.
const WARM: usize = 30;

/// What was seen, a value a second.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// The collector's memory, bytes; a list for each of its lives.
    collector: Vec<(u32, Vec<u64>)>,
    /// That of all processes of the server together, without what they share.
    server: Vec<u64>,
    dead: Vec<i64>,
}

impl Watched {
    pub(super) fn look(&mut self, server: &Postgres, collector: u32) -> Result<()> {
        let memory = anonymous(collector).unwrap_or_default();
        match self.collector.last_mut() {
            Some((id, values)) if *id == collector => values.push(memory),
            _ => self.collector.push((collector, vec![memory])),
        }
        let postmaster = fs::read_to_string(server.data().join("postmaster.pid")).unwrap_or_default();
        let postmaster = postmaster.lines().next().and_then(|pid| pid.trim().parse::<u32>().ok());
        if let Some(postmaster) = postmaster {
            self.server
                .push(family(postmaster)?.into_iter().filter_map(anonymous).sum());
        }
        if self.server.len().is_multiple_of(5)
            && let Ok(mut client) = server.database("iot").try_client()
        {
            let dead =
                "SELECT coalesce(n_dead_tup, 0) FROM pg_stat_user_tables WHERE relid = 'iot.device_liveness'::regclass";
            self.dead
                .extend(client.query_opt(dead, &[])?.map(|row| row.get::<_, i64>(0)));
        }
        Ok(())
    }

    pub(super) fn judge(&self, table: &mut Table) {
        let longest = self
            .collector
            .iter()
            .map(|(_, values)| &values[..])
            .max_by_key(|values| values.len());
        let longest = longest.unwrap_or_default();
        for (name, values) in [("the collector", longest), ("the server's processes", &self.server[..])] {
            let Some((early, late)) = halves(values.get(WARM.min(values.len() / 4)..).unwrap_or_default()) else {
                continue;
            };
            table.add(
                format!("soak, memory of {name}, second half ÷ first half"),
                late / early,
                Bound::AtMost(1.25),
                format!(
                    "{:.0} MB ÷ {:.0} MB at the most, {} s",
                    late / 1e6,
                    early / 1e6,
                    values.len()
                ),
            );
        }
        let most = self.dead.iter().max().copied().unwrap_or_default();
        table.add(
            "soak, dead rows of device_liveness at the most, for each live one",
            most as f64 / 10_000.0,
            Bound::AtMost(40.0),
            format!("{most} dead rows"),
        );
    }
}

/// The most in each half.
fn halves(values: &[u64]) -> Option<(f64, f64)> {
    let (early, late) = values.split_at(values.len() / 2);
    Some((*early.iter().max()? as f64, *late.iter().max()? as f64))
}

/// Bytes that a process has for itself; none where it has ended.
fn anonymous(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// A process and its children.
fn family(parent: u32) -> Result<Vec<u32>> {
    let mut pids = vec![parent];
    for entry in fs::read_dir("/proc").context("read /proc, which only Linux has")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // Its name, in parentheses, may hold anything; the parent is the second field after it.
        let parent_of = stat
            .rsplit(')')
            .next()
            .and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok());
        if parent_of == Some(parent) {
            pids.push(pid);
        }
    }
    Ok(pids)
}
