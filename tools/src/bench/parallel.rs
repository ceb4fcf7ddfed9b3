//! Two workers beside one process.

use anyhow::{Result, ensure};
use postgres::Client;

use super::aggregates::make_beats;
use super::clock::medians;
use super::table::Table;
use super::{Scale, plan, prepare};
use crate::postgres::Postgres;

const QUERY: &str = "SELECT device_id, iot_kpi.heartbeat_agg(time, '180 s') FROM beats GROUP BY device_id";
/// What PostgreSQL's own aggregates gain by two workers on this machine.
const FLOOR: &str = "SELECT device_id, count(*), max(time) FROM beats GROUP BY device_id";

pub(super) fn measure(server: &Postgres, scale: Scale, table: &mut Table) -> Result<()> {
    let database = server.try_extension("bench_parallel")?;
    let mut client = database.try_client()?;
    make_beats(&mut client, scale)?;
    prepare(
        &mut client,
        "ALTER TABLE beats SET (parallel_workers = 2); SET parallel_leader_participation = off; SET parallel_setup_cost = 0;
         SET parallel_tuple_cost = 0; SET max_parallel_workers_per_gather = 2",
    )?;
    let plan = plan(&mut client, "COSTS OFF", QUERY)?;
    ensure!(
        plan.iter().any(|line| line.contains("Partial HashAggregate")),
        "no Partial Aggregate in the plan:\n{}",
        plan.join("\n")
    );
    let [one, two, floor_one, floor_two] = medians(4 * scale.rounds, |which| {
        client.batch_execute(&format!("SET max_parallel_workers_per_gather = {}", 2 * (which % 2)))?;
        let began = std::time::Instant::now();
        client.simple_query(if which < 2 { QUERY } else { FLOOR })?;
        Ok(began.elapsed())
    })?;
    table.times("heartbeat_agg, two workers ÷ one process", (two, one), 0.6);
    // What the machine's other guests take from two processors at once, they take from both of these.
    table.times(
        "heartbeat_agg ÷ count(*), max(time), two workers each",
        (two, floor_two),
        1.15,
    );
    table.note([format!(
        "\ncount(*), max(time) themselves: two workers ÷ one process {:.3}; shared memory in huge pages: {}",
        floor_two.as_secs_f64() / floor_one.as_secs_f64(),
        huge_pages(&mut client)?,
    )]);
    table.note(["\nThe plan of two workers:".to_owned()].into_iter().chain(plan));
    Ok(())
}

/// Whether the server has huge pages, where it tells (PostgreSQL 17 and later).
fn huge_pages(client: &mut Client) -> Result<String> {
    let status = client.query_one(
        "SELECT coalesce(current_setting('huge_pages_status', true), 'unknown')",
        &[],
    )?;
    Ok(status.get(0))
}
