//! Reports over rows of the store beside `count(*), max(time)` over the same rows.

use anyhow::{Context, Result, ensure};
use postgres::Client;

use super::clock::in_turn;
use super::table::{Bound, Table};
use super::{Scale, prepare};
use crate::postgres::Postgres;

/// The day that is asked for; the days around it have rows too.
const DAY: &str = "tstzrange('2026-01-02 00:00+00', '2026-01-03 00:00+00')";
const AS_OF: &str = "timestamptz '2026-01-03 00:00+00'";
const FLOOR: &str = "SELECT device_id, count(*), max(time) FROM iot.device_metrics
                     WHERE time >= '2026-01-02 00:00+00' AND time < '2026-01-03 00:00+00' GROUP BY device_id";

/// What a contact sends.
pub(super) const METRICS: [&str; 4] = ["heartbeat", "response_time", "error", "bytes"];

/// Fills a store past its rules: so many devices with a contact a minute, in the order of time.
pub(super) fn fill(client: &mut Client, devices: i64, from: &str, minutes: i64, metrics: &[&str]) -> Result<()> {
    prepare(
        client,
        &format!(
            "INSERT INTO iot.devices (device_id, device_type, heartbeat_metric, response_target, expected_interval, commissioned_at)
             SELECT 'DEVICE_' || lpad(d::text, 4, '0'), 'kind_' || d % 5, 'heartbeat', 200, '60 s', '{from}'
             FROM generate_series(1, {devices}) AS d;
             SELECT iot_kpi.make_partitions(tstzrange('{from}', timestamptz '{from}' + {minutes} * interval '1 min'));
             ALTER TABLE iot.device_metrics DISABLE TRIGGER samples_inserted;
             INSERT INTO iot.device_metrics (device_id, metric, time, value)
             SELECT 'DEVICE_' || lpad(d::text, 4, '0'), metric,
                    timestamptz '{from}' + m * interval '1 min' + abs(hashint8(d * 1000003 + m)) % 2000 * interval '1 ms',
                    CASE metric WHEN 'response_time' THEN 20 + abs(hashint8(d * 31 + m)) % 100000 / 1000.0
                                WHEN 'error' THEN (abs(hashint8(d * 37 + m)) % 100 = 0)::int WHEN 'bytes' THEN 100 + m % 900 ELSE 1 END
             FROM generate_series(0, {minutes} - 1) AS m, LATERAL (SELECT generate_series(1, {devices} + 0 * m) AS d) AS each,
                  LATERAL unnest(CASE WHEN d > 0 THEN '{{{}}}'::text[] END) AS metric
             WHERE NOT (abs(hashint8(d * 7919 + m / 180)) % 12 = 0 AND m % 180 < abs(hashint8(d + m / 180)) % 30);
             ALTER TABLE iot.device_metrics ENABLE TRIGGER samples_inserted;
             SELECT iot_kpi.lock_liveness(NULL);
             SELECT iot_kpi.recount_liveness(array_agg(device_id)) FROM iot.devices;",
            metrics.join(",")
        ),
    )?;
    prepare(client, "VACUUM (FREEZE, ANALYZE)")
}

pub(super) fn measure(server: &Postgres, scale: Scale, table: &mut Table) -> Result<()> {
    let database = server.try_store("bench_reports")?;
    let mut client = database.try_client()?;
    let devices = scale.of(1000, 100);
    fill(&mut client, devices, "2026-01-01 18:00+00", 36 * 60, &METRICS)?;

    let device_kpis = format!("SELECT * FROM iot_kpi.device_kpis({DAY}, NULL, {AS_OF})");
    let fleet_kpis = format!("SELECT * FROM iot_kpi.fleet_kpis({DAY}, NULL, NULL, {AS_OF})");
    let series = format!("SELECT * FROM iot_kpi.kpi_series('uptime', {DAY}, '1 hour', as_of => {AS_OF})");
    let [floor, devices_time, series] = in_turn(&mut client, scale.rounds, [FLOOR, &device_kpis, &series])?;
    let what = format!("{devices} devices, 24 h of rows");
    table.times(
        format!("device_kpis, {what} ÷ count(*), max(time)"),
        (devices_time, floor),
        1.3,
    );
    table.times(
        format!("kpi_series, 24 buckets, {what} ÷ count(*), max(time)"),
        (series, floor),
        1.3,
    );
    // Both do nearly the same: it takes more rounds to tell them apart.
    let [devices_time, fleet] = in_turn(&mut client, 5 * scale.rounds, [&device_kpis, &fleet_kpis])?;
    table.times(format!("fleet_kpis ÷ device_kpis, {what}"), (fleet, devices_time), 1.0);

    let quarter = format!(
        "SELECT * FROM iot_kpi.device_kpis({DAY}, ARRAY(SELECT device_id FROM iot.devices ORDER BY 1 LIMIT {}), {AS_OF})",
        devices / 4
    );
    let six_hours = format!(
        "SELECT * FROM iot_kpi.device_kpis(tstzrange('2026-01-02 18:00+00', '2026-01-03 00:00+00'), NULL, {AS_OF})"
    );
    let [all, quarter, six_hours] = in_turn(&mut client, scale.rounds, [&device_kpis, &quarter, &six_hours])?;
    table.times("device_kpis, four times the devices", (all, quarter), 5.0);
    table.times("device_kpis, four times the hours", (all, six_hours), 5.0);

    let one = format!("SELECT * FROM iot_kpi.device_kpis({DAY}, ARRAY['DEVICE_0042'], {AS_OF})");
    let [one_time] = in_turn(&mut client, 4 * scale.rounds, [&one])?;
    let milliseconds = one_time.as_secs_f64() * 1e3;
    table.add(
        format!("device_kpis, one device of {devices}, 24 h of rows, ms"),
        milliseconds,
        Bound::AtMost(5.0),
        "warm",
    );

    // A second each, so that nearly all of them hold no sample. They end where the day does.
    let buckets = |n: i64| {
        let window =
            format!("tstzrange(timestamptz '2026-01-03 00:00+00' - {n} * interval '1 s', '2026-01-03 00:00+00')");
        format!(
            "SELECT * FROM iot_kpi.kpi_series('uptime', {window}, '1 s', device_ids => ARRAY['DEVICE_0042'], as_of => {AS_OF})"
        )
    };
    let [many, fewer] = in_turn(&mut client, 2 * scale.rounds, [&buckets(100_000), &buckets(25_000)])?;
    table.add(
        "kpi_series, 100000 buckets of one device, ms",
        many.as_secs_f64() * 1e3,
        Bound::AtMost(500.0),
        "warm",
    );
    table.times("kpi_series, four times the buckets", (many, fewer), 5.0);

    let of_one = reads(server, &mut client, &one)?;
    ensure!(
        of_one.iter().all(|line| !line.contains("Seq Scan")),
        "one device is not read by index:\n{}",
        of_one.join("\n")
    );
    table.note(["\nHow one device is read:".to_owned()].into_iter().chain(of_one));
    table.note(
        ["\nHow all devices are read:".to_owned()]
            .into_iter()
            .chain(reads(server, &mut client, &device_kpis)?),
    );
    Ok(())
}

/// The lines of a report's plans that read samples. The server is asked, since the report's statements are inside functions.
fn reads(server: &Postgres, client: &mut Client, sql: &str) -> Result<Vec<String>> {
    prepare(
        client,
        "LOAD 'auto_explain'; SET auto_explain.log_nested_statements = on; SET auto_explain.log_min_duration = 0",
    )?;
    let before = server.log().len();
    client.simple_query(sql).context("run with auto_explain")?;
    let log = server.log();
    prepare(client, "SET auto_explain.log_min_duration = -1")?;
    let mut lines: Vec<String> = log[before..]
        .lines()
        .filter(|line| line.contains("Scan") && line.contains("device_metrics"))
        .map(|line| line.split("  (cost").next().unwrap_or(line).trim().to_owned())
        .collect();
    lines.sort();
    lines.dedup();
    Ok(lines)
}
