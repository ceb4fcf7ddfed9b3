//! A hundred thousand groups in a hash aggregate: does it stay inside the memory it was given?

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::table::{Bound, Table};
use super::{Scale, plan, prepare};
use crate::postgres::Postgres;

/// `work_mem`; twice as much is what a hash table may take by default.
const WORK_MEM_MB: u64 = 4;

pub(super) fn measure(server: &Postgres, scale: Scale, table: &mut Table) -> Result<()> {
    let database = server.try_extension("bench_memory")?;
    let mut client = database.try_client()?;
    let groups = scale.of(100_000, 50_000);
    // In the order of time, so that all groups are open at once; a tenth of the beats do not come.
    prepare(
        &mut client,
        &format!(
            "CREATE TABLE beats AS
             SELECT d AS device_id, timestamptz '2026-01-01' + m * interval '1 min' AS time
             FROM generate_series(1, 30) AS m, LATERAL (SELECT generate_series(1, {groups} + 0 * m) AS d) AS each
             WHERE abs(hashint8(d * 7919 + m / 5)) % 10 > 0"
        ),
    )?;
    prepare(&mut client, "VACUUM (FREEZE, ANALYZE) beats")?;
    for (name, call) in [
        ("heartbeat_agg", "heartbeat_agg(time, '180 s')"),
        ("cadence_agg", "cadence_agg(time)"),
    ] {
        // A session of its own each: memory that was used before would hide what is used now.
        let mut client = database.try_client()?;
        prepare(
            &mut client,
            &format!("SET work_mem = '{WORK_MEM_MB}MB'; SET hash_mem_multiplier = 2; SET enable_sort = off"),
        )?;
        client.query_one("SELECT count(*) FROM beats", &[])?;
        let sql = format!("SELECT device_id, iot_kpi.{call} FROM beats GROUP BY device_id");
        let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[])?.get(0);
        let before = private_memory(pid)?;
        let (plan, peak) = watched(pid, || {
            plan(
                &mut client,
                "ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF",
                &sql,
            )
        })?;
        let plan = plan?;
        let spilled = plan.iter().find(|line| line.contains("Disk Usage"));
        ensure!(
            plan.iter().any(|line| line.contains("HashAggregate")),
            "no HashAggregate:\n{}",
            plan.join("\n")
        );
        let used = peak.saturating_sub(before) as f64 / (2 * WORK_MEM_MB * 1024 * 1024) as f64;
        let detail = spilled.map_or("nothing spilled", |line| line.trim());
        table.add(
            format!("{name}, {groups} groups, peak memory ÷ what a hash table may take"),
            used,
            Bound::AtMost(1.5),
            detail,
        );
    }
    Ok(())
}

/// Runs something while the backend's memory is looked at every few milliseconds.
fn watched<T>(pid: i32, run: impl FnOnce() -> T) -> Result<(T, u64)> {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| -> Result<u64> {
            let mut peak = 0;
            while !done.load(Ordering::Relaxed) {
                peak = peak.max(private_memory(pid)?);
                thread::sleep(Duration::from_millis(3));
            }
            Ok(peak)
        });
        let result = run();
        done.store(true, Ordering::Relaxed);
        let peak = watcher
            .join()
            .map_err(|_| anyhow::anyhow!("the watcher of memory ended"))??;
        Ok((result, peak))
    })
}

/// Bytes that a process has for itself, without what it shares.
fn private_memory(pid: i32) -> Result<u64> {
    let file = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&file).with_context(|| format!("read {file}, which only Linux has"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kilobytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kilobytes.with_context(|| format!("no RssAnon in {file}"))? * 1024)
}
