//! Whole days from `iot.kpi_calculations` beside the same days from rows.

use anyhow::{Result, ensure};

use super::clock::{in_turn, medians, worked};
use super::reports::fill;
use super::table::Table;
use super::{Scale, prepare};
use crate::postgres::Postgres;

pub(super) fn measure(server: &Postgres, scale: Scale, table: &mut Table) -> Result<()> {
    let database = server.try_store("bench_calculations")?;
    let mut client = database.try_client()?;
    let (days, devices) = (scale.of(30, 6), scale.of(50, 25));
    fill(&mut client, devices, "2026-01-01 00:00+00", days * 1440)?;
    let window =
        format!("tstzrange('2026-01-01 00:00+00', timestamptz '2026-01-01 00:00+00' + {days} * interval '1 day')");
    prepare(&mut client, &format!("SELECT iot_kpi.calculate_kpis({window})"))?;
    prepare(&mut client, "VACUUM (FREEZE, ANALYZE)")?;
    let report = format!("SELECT * FROM iot_kpi.device_kpis({window}, NULL, upper({window}))");

    let mut answers = [String::new(), String::new()];
    let [rows, parts] = medians(scale.rounds, |from_parts| {
        client.batch_execute("BEGIN")?;
        if from_parts == 0 {
            client.batch_execute("TRUNCATE iot.kpi_calculations")?;
        }
        let answer = &mut answers[from_parts];
        let taken = worked(&mut client, |client| {
            *answer = format!("{:?}", client.simple_query(&report)?);
            Ok(())
        })?;
        client.batch_execute("ROLLBACK")?;
        Ok(taken)
    })?;
    ensure!(answers[0] == answers[1], "rows and calculations give different reports");
    let third = report.replace(&format!("{days} * interval"), &format!("{} * interval", days / 3));
    let [whole, third] = in_turn(&mut client, scale.rounds, [&report, &third])?;
    table.times("device_kpis, three times the calculated days", (whole, third), 3.6);
    table.times(
        format!("device_kpis, {days} days of {devices} devices, calculated ÷ from rows"),
        (parts, rows),
        0.05,
    );
    Ok(())
}
