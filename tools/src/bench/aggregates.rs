//! The aggregates over rows of anybody's table: what they cost beside `count(*), max(time)`, and beside what people write
//! themselves to get the same.

use anyhow::Result;
use postgres::Client;

use super::clock::in_turn;
use super::table::{Bound, Table};
use super::{Scale, prepare};
use crate::postgres::Postgres;

/// Minutes of all the data: with the dropped ones about nine million beats of 1000 devices.
pub(super) const MINUTES: i64 = 9216;
/// Devices that beat.
pub(super) const DEVICES: i64 = 1000;

const FLOOR: &str = "SELECT device_id, count(*), max(time) FROM beats GROUP BY device_id";
const HEARTBEATS: &str = "SELECT device_id, iot_kpi.heartbeat_agg(time, '180 s') FROM beats GROUP BY device_id";

pub(super) fn measure(server: &Postgres, scale: Scale, table: &mut Table) -> Result<()> {
    let database = server.try_extension("bench_aggregates")?;
    let mut client = database.try_client()?;
    make_beats(&mut client, scale)?;
    heartbeats(&mut client, scale, table)?;
    disorder(&mut client, scale, table)?;
    others(&mut client, scale, table)
}

/// A beat a minute and device with up to two seconds of jitter, in the order of time. In one of twelve blocks of three
/// hours a device is silent for up to half an hour.
pub(super) fn make_beats(client: &mut Client, scale: Scale) -> Result<()> {
    let minutes = scale.of(MINUTES, MINUTES / 10);
    prepare(
        client,
        &format!(
            "CREATE TABLE beats (device_id text COLLATE \"C\" NOT NULL, time timestamptz NOT NULL);
             INSERT INTO beats
             SELECT 'DEVICE_' || lpad(d::text, 4, '0'),
                    timestamptz '2026-01-01 00:00+00' + m * interval '1 min' + abs(hashint8(d * 1000003 + m)) % 2000 * interval '1 ms'
             FROM generate_series(0, {minutes} - 1) AS m, LATERAL (SELECT generate_series(1, {DEVICES} + 0 * m) AS d) AS each
             WHERE NOT (abs(hashint8(d * 7919 + m / 180)) % 12 = 0 AND m % 180 < abs(hashint8(d + m / 180)) % 30)"
        ),
    )?;
    prepare(client, "VACUUM (FREEZE, ANALYZE) beats")
}

fn heartbeats(client: &mut Client, scale: Scale, table: &mut Table) -> Result<()> {
    let by_window = "SELECT device_id, sum(least(next - time, interval '180 s'))
                     FROM (SELECT device_id, time, lead(time) OVER (PARTITION BY device_id ORDER BY time) AS next FROM beats) AS b
                     GROUP BY device_id";
    let by_ranges =
        "SELECT device_id, range_agg(tstzrange(time, time + interval '180 s')) FROM beats GROUP BY device_id";
    // The middle of many rounds scatters less.
    let [floor, ours] = in_turn(client, 3 * scale.rounds, [FLOOR, HEARTBEATS])?;
    table.times("heartbeat_agg ÷ count(*), max(time)", (ours, floor), 1.15);
    let [ours, window] = in_turn(client, scale.rounds, [HEARTBEATS, by_window])?;
    table.times("heartbeat_agg ÷ lead() window SQL", (ours, window), 0.22);
    let [ours, ranges] = in_turn(client, 3 * scale.rounds, [HEARTBEATS, by_ranges])?;
    table.times("heartbeat_agg ÷ range_agg", (ours, ranges), 0.28);
    Ok(())
}

/// One group of a million beats: in order, shuffled, and isolated, where every beat is an outage.
fn disorder(client: &mut Client, scale: Scale, table: &mut Table) -> Result<()> {
    let count = scale.of(1_000_000, 100_000);
    for (name, step, order, count) in [
        ("in_order", 60, "i", count),
        ("shuffled", 60, "hashint8(i)", count),
        ("isolated", 600, "i", count),
        ("scattered", 600, "hashint8(i)", count),
        ("shuffled_tenth", 60, "hashint8(i)", count / 10),
        ("isolated_tenth", 600, "i", count / 10),
        ("scattered_tenth", 600, "hashint8(i)", count / 10),
    ] {
        prepare(
            client,
            &format!(
                "CREATE TABLE {name} AS
                 SELECT timestamptz '2026-01-01 00:00+00' + i * interval '{step} s' AS time FROM generate_series(1, {count}) AS i ORDER BY {order}"
            ),
        )?;
        prepare(client, &format!("VACUUM (FREEZE, ANALYZE) {name}"))?;
    }
    let gather = |name| format!("SELECT iot_kpi.beat_count(iot_kpi.heartbeat_agg(time, '180 s')) FROM {name}");
    let (in_order, shuffled, isolated, scattered) = (
        gather("in_order"),
        gather("shuffled"),
        gather("isolated"),
        gather("scattered"),
    );
    let tenths = ["shuffled_tenth", "isolated_tenth", "scattered_tenth"].map(gather);
    let [
        base,
        shuffled,
        isolated,
        scattered,
        tenth_shuffled,
        tenth_isolated,
        tenth_scattered,
    ] = in_turn(
        client,
        5 * scale.rounds,
        [
            &in_order, &shuffled, &isolated, &scattered, &tenths[0], &tenths[1], &tenths[2],
        ],
    )?;
    table.times("heartbeat_agg, shuffled ÷ in order", (shuffled, base), 2.0);
    table.times("heartbeat_agg, isolated beats ÷ in order", (isolated, base), 2.0);
    table.times(
        "heartbeat_agg, ten times the shuffled beats",
        (shuffled, tenth_shuffled),
        12.0,
    );
    table.times(
        "heartbeat_agg, ten times the isolated beats",
        (isolated, tenth_isolated),
        12.0,
    );
    table.times(
        "heartbeat_agg, ten times the isolated, shuffled beats",
        (scattered, tenth_scattered),
        12.0,
    );
    Ok(())
}

fn others(client: &mut Client, scale: Scale, table: &mut Table) -> Result<()> {
    let minutes = scale.of(MINUTES / 3, MINUTES / 30);
    prepare(
        client,
        &format!(
            "CREATE TABLE communications (device_id text COLLATE \"C\" NOT NULL, time timestamptz NOT NULL, ms float8, bytes float8,
                                          status text);
             INSERT INTO communications
             SELECT device_id, time, 20 + abs(hashint8(extract(microsecond FROM time)::bigint * 31 + hashtext(device_id))) % 100000 / 1000.0,
                    100 + abs(hashint8(extract(microsecond FROM time)::bigint)) % 900,
                    CASE abs(hashint8(extract(epoch FROM time)::bigint / 3600)) % 20 WHEN 0 THEN 'degraded' WHEN 1 THEN 'offline' ELSE 'online' END
             FROM beats WHERE time < timestamptz '2026-01-01 00:00+00' + {minutes} * interval '1 min'"
        ),
    )?;
    prepare(client, "VACUUM (FREEZE, ANALYZE) communications")?;
    for (name, call) in [
        ("status_agg", "status_agg(time, status)"),
        ("cadence_agg", "cadence_agg(time)"),
        ("response_agg", "response_agg(ms)"),
        ("throughput_agg", "throughput_agg(time, bytes)"),
    ] {
        let ours = format!("SELECT device_id, iot_kpi.{call} FROM communications GROUP BY device_id");
        let floor = "SELECT device_id, count(*), max(time) FROM communications GROUP BY device_id";
        let [floor, ours] = in_turn(client, 3 * scale.rounds, [floor, &ours])?;
        table.times(format!("{name} ÷ count(*), max(time)"), (ours, floor), 1.6);
    }
    let size = client.query_one(
        "SELECT sum(octet_length(iot_kpi.cadence_send(c)))::float8 / sum(n)
         FROM (SELECT iot_kpi.cadence_agg(t) AS c, count(*) AS n FROM generate_series(timestamptz '2026-01-01', '2026-01-08', '60 s') AS t) AS s",
        &[],
    )?;
    table.add(
        "cadence_agg, bytes a beat, regular beats",
        size.get(0),
        Bound::AtMost(2.5),
        "one a minute",
    );
    let size = client.query_one(
        "SELECT sum(octet_length(iot_kpi.cadence_send(c)))::float8 / sum(n)
         FROM (SELECT iot_kpi.cadence_agg(time) AS c, count(*) AS n FROM beats GROUP BY device_id) AS s",
        &[],
    )?;
    table.add(
        "cadence_agg, bytes a beat, two seconds of jitter",
        size.get(0),
        Bound::AtMost(2.5),
        "one a minute",
    );
    Ok(())
}
