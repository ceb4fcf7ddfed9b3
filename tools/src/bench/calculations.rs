//! Whole days from `iot.kpi_calculations` beside the same days from rows.

use std::time::Duration;

use anyhow::{Result, ensure};
use postgres::Client;

use super::clock::{in_turn, medians, worked};
use super::reports::{METRICS, fill};
use super::table::Table;
use super::{Scale, prepare};
use crate::postgres::Postgres;

/// Where nothing but beats is sent, rows cost least.
const BEATS: [&str; 1] = ["heartbeat"];

pub(super) fn measure(server: &Postgres, scale: Scale, table: &mut Table) -> Result<()> {
    let (days, devices) = (scale.of(30, 6), scale.of(50, 25));
    for (metrics, what) in [(&METRICS[..], ""), (&BEATS, ", beats alone")] {
        let database = server.try_store("bench_calculations")?;
        let mut client = database.try_client()?;
        let report = calculated(&mut client, days, devices, metrics)?;
        let (rows, parts) = both_ways(&mut client, &report, scale.rounds)?;
        let third = report.replace(&format!("{days} * interval"), &format!("{} * interval", days / 3));
        let [whole, third] = in_turn(&mut client, scale.rounds, [&report, &third])?;
        table.times(
            format!("device_kpis, three times the calculated days{what}"),
            (whole, third),
            3.6,
        );
        table.times(
            format!("device_kpis, {days} days of {devices} devices{what}, calculated ÷ from rows"),
            (parts, rows),
            0.05,
        );
    }
    Ok(())
}

/// The same for as many devices as ten gigabytes hold, if they send nothing else.
pub(super) fn month(server: &Postgres, scale: Scale, table: &mut Table) -> Result<()> {
    let database = server.try_store("bench_month")?;
    let mut client = database.try_client()?;
    let (days, devices) = (30, scale.of(1000, 100));
    let report = calculated(&mut client, days, devices, &BEATS)?;
    let (rows, parts) = both_ways(&mut client, &report, 3)?;
    table.times(
        format!("device_kpis, {days} days of {devices} devices, beats alone, calculated ÷ from rows"),
        (parts, rows),
        0.05,
    );
    Ok(())
}

/// Fills a store with so many days of so many devices, calculates them, and gives the statement that reports on them.
fn calculated(client: &mut Client, days: i64, devices: i64, metrics: &[&str]) -> Result<String> {
    let start = "2026-01-01 00:00+00";
    fill(client, devices, start, days * 1440, metrics)?;
    let window = format!("tstzrange('{start}', timestamptz '{start}' + {days} * interval '1 day')");
    prepare(client, &format!("SELECT iot_kpi.calculate_kpis({window})"))?;
    prepare(client, "VACUUM (FREEZE, ANALYZE)")?;
    Ok(format!(
        "SELECT * FROM iot_kpi.device_kpis({window}, NULL, upper({window}))"
    ))
}

/// How long the report takes from rows and from what was calculated, where both say the same.
fn both_ways(client: &mut Client, report: &str, rounds: usize) -> Result<(Duration, Duration)> {
    let mut answers = [String::new(), String::new()];
    let [rows, parts] = medians(rounds, |from_parts| {
        client.batch_execute("BEGIN")?;
        if from_parts == 0 {
            client.batch_execute("TRUNCATE iot.kpi_calculations")?;
        }
        let answer = &mut answers[from_parts];
        let taken = worked(client, |client| {
            *answer = format!("{:?}", client.simple_query(report)?);
            Ok(())
        })?;
        client.batch_execute("ROLLBACK")?;
        Ok(taken)
    })?;
    ensure!(answers[0] == answers[1], "rows and calculations give different reports");
    Ok((rows, parts))
}
