//! Rows a second through the forgiving door, beside a plain COPY of the same batches into the same table without its rules.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use chrono::{DateTime, TimeDelta, Utc};
use postgres::Client;

use super::clock::medians;
use super::table::{Bound, Table};
use super::{Scale, prepare};
use crate::installation::target;
use crate::postgres::{Database, Postgres};

/// Sessions that write at the same time, each for devices of its own.
const WRITERS: usize = 2;
/// Rows of a batch, as the collector sends them.
const BATCH: usize = 5000;
/// Devices that a session writes for.
const DEVICES: usize = 500;
/// Devices of the fleet that the collector simulates.
const FLEET: usize = 10_000;
const METRICS: [&str; 5] = ["heartbeat", "response_time", "error", "bytes", "temperature"];

/// Samples in the order in which they come: by minute, device and metric.
struct Batch {
    devices: Vec<String>,
    metrics: Vec<&'static str>,
    times: Vec<DateTime<Utc>>,
    values: Vec<f64>,
    /// The same as COPY takes it.
    text: String,
}

pub(super) fn measure(server: &Postgres, scale: Scale, table: &mut Table) -> Result<()> {
    let database = server.try_store("bench_ingest")?;
    let mut client = database.try_client()?;
    prepare(
        &mut client,
        "SELECT iot_kpi.make_partitions(tstzrange('2026-01-01 00:00+00', '2026-01-02 12:00+00'));
         CREATE TABLE plain (LIKE iot.device_metrics INCLUDING ALL) PARTITION BY RANGE (time);
         CREATE TABLE plain_1 PARTITION OF plain FOR VALUES FROM ('2026-01-01 00:00+00') TO ('2026-01-02 00:00+00');
         CREATE TABLE plain_2 PARTITION OF plain FOR VALUES FROM ('2026-01-02 00:00+00') TO ('2026-01-03 00:00+00')",
    )?;
    let batches = scale.of(20, 5) as usize;
    for (name, writers) in [("one session", 1), ("several sessions", WRITERS)] {
        let mut first = 0;
        let mut round = 0;
        let [copy, door] = medians(scale.rounds, |which| {
            // Both write the same rows, and no row is written twice.
            if which == 0 {
                first = (round + if writers == 1 { 0 } else { 20 }) * batches * BATCH;
                round += 1;
            }
            let write: Write = if which == 0 { by_copy } else { by_door };
            at_once(&database, writers, DEVICES, first, batches, write)
        })?;
        let speed = |taken: Duration| (writers * batches * BATCH) as f64 / taken.as_secs_f64();
        table.add(
            format!("ingest_metrics ÷ COPY, rows/s, {name}"),
            speed(door) / speed(copy),
            Bound::AtLeast(0.4),
            format!("{:.0} ÷ {:.0} rows/s", speed(door), speed(copy)),
        );
    }
    collector(server, scale, table)
}

type Write = fn(&mut Client, &Batch) -> Result<()>;

/// The time from the first batch to the last of all writers; making the batches is not in it.
fn at_once(
    database: &Database<'_>,
    writers: usize,
    devices: usize,
    first: usize,
    batches: usize,
    write: Write,
) -> Result<Duration> {
    let mut ready = (0..writers)
        .map(|writer| {
            let made: Vec<Batch> = (0..batches)
                .map(|n| batch(writer, devices, first + n * BATCH))
                .collect();
            Ok((database.try_client()?, made))
        })
        .collect::<Result<Vec<_>>>()?;
    let began = Instant::now();
    thread::scope(|scope| {
        let running: Vec<_> = ready
            .iter_mut()
            .map(|(client, made)| scope.spawn(move || made.iter().try_for_each(|batch| write(client, batch))))
            .collect();
        running
            .into_iter()
            .try_for_each(|writer| writer.join().unwrap_or_else(|_| bail!("a writer panicked")))
    })?;
    Ok(began.elapsed())
}

/// The rows of a writer from the `first` one on.
fn batch(writer: usize, devices: usize, first: usize) -> Batch {
    let mut batch = Batch {
        devices: Vec::with_capacity(BATCH),
        metrics: Vec::with_capacity(BATCH),
        times: Vec::with_capacity(BATCH),
        values: Vec::with_capacity(BATCH),
        text: String::new(),
    };
    let origin = DateTime::UNIX_EPOCH + TimeDelta::days(20_454);
    for row in first..first + BATCH {
        let (contact, metric) = (row / METRICS.len(), METRICS[row % METRICS.len()]);
        let (minute, device) = (contact / devices, contact % devices);
        let device = format!("DEVICE_{:05}", writer * devices + device);
        let time =
            origin + TimeDelta::seconds(10 * minute as i64) + TimeDelta::milliseconds((contact * 7919 % 2000) as i64);
        let value = if metric == "error" {
            0.0
        } else {
            20.0 + (contact % 100) as f64 / 8.0
        };
        let _ = writeln!(
            batch.text,
            "{device}\t{metric}\t{}\t{value}",
            time.format("%F %T%.6f+00")
        );
        batch.devices.push(device);
        batch.metrics.push(metric);
        batch.times.push(time);
        batch.values.push(value);
    }
    batch
}

fn by_copy(client: &mut Client, batch: &Batch) -> Result<()> {
    let mut copy = client.copy_in("COPY plain (device_id, metric, time, value) FROM STDIN")?;
    copy.write_all(batch.text.as_bytes())?;
    copy.finish().context("copy a batch")?;
    Ok(())
}

fn by_door(client: &mut Client, batch: &Batch) -> Result<()> {
    let row = client
        .query_one(
            "SELECT stored FROM iot_kpi.ingest_metrics($1, $2, $3, $4)",
            &[&batch.devices, &batch.metrics, &batch.times, &batch.values],
        )
        .context("ingest a batch")?;
    let stored: i64 = row.get(0);
    if stored != BATCH as i64 {
        bail!("the door stored {stored} rows of {BATCH}");
    }
    Ok(())
}

/// What the collector itself reaches with a large fleet, beside sessions that write batches made before for as many devices.
fn collector(server: &Postgres, scale: Scale, table: &mut Table) -> Result<()> {
    let database = server.try_store("bench_collector")?;
    prepare(
        &mut database.try_client()?,
        "SELECT iot_kpi.make_partitions(tstzrange('2026-01-01 00:00+00', '2026-01-02 12:00+00'))",
    )?;
    let batches = scale.of(40, 10) as usize;
    let rows = (WRITERS * batches * BATCH) as f64;
    let mut round = 0;
    let [door, collector] = medians(scale.rounds, |which| {
        if which == 0 {
            round += 1;
            at_once(
                &database,
                WRITERS,
                FLEET / WRITERS,
                round * batches * BATCH,
                batches,
                by_door,
            )
        } else {
            Ok(Duration::from_secs_f64(rows / backfill(&database, scale, round)?))
        }
    })?;
    let speed = |taken: Duration| rows / taken.as_secs_f64();
    table.add(
        format!("collector, {FLEET} devices ÷ ingest_metrics, rows/s"),
        speed(collector) / speed(door),
        Bound::AtLeast(0.8),
        format!("{:.0} ÷ {:.0} rows/s", speed(collector), speed(door)),
    );
    Ok(())
}

/// Rows a second of the collector: the simulated history of a few minutes, other ones in every round.
fn backfill(database: &Database<'_>, scale: Scale, round: usize) -> Result<f64> {
    let program = target().join("release/iot-kpi-collector");
    let minutes = scale.of(8, 2);
    let until = DateTime::UNIX_EPOCH + TimeDelta::days(20_454) + TimeDelta::minutes(minutes * round as i64);
    let output = Command::new(&program)
        .args(["backfill", "--no-calculate", "--devices", &FLEET.to_string()])
        .args([
            "--until",
            &until.format("%FT%TZ").to_string(),
            "--span",
            &format!("{minutes}m"),
        ])
        .env("IOT_KPI_DATABASE_URL", database.uri())
        .env("NO_COLOR", "1")
        .output()
        .with_context(|| format!("run {}; `make bench` builds it", program.display()))?;
    let log = String::from_utf8_lossy(&output.stderr);
    let speed = log.split("rows_per_second=").nth(1).and_then(|rest| {
        rest.trim_start_matches('"')
            .split(|c: char| !c.is_ascii_digit())
            .next()?
            .parse()
            .ok()
    });
    speed.with_context(|| format!("the collector does not say its rows a second:\n{log}"))
}
