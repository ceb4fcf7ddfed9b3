//! The world as a store: written by both doors, in any order, more than once.

use postgres::Client;

use crate::dice::Dice;
use crate::objectives;
use crate::world::{Maintenance, World};

/// Instants and durations cross the wire as microseconds.
const HELPERS: &str = "
    CREATE FUNCTION at(us bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
        $$ SELECT timestamptz '2000-01-01 00:00:00+00' + us * interval '1 microsecond' $$;
    CREATE FUNCTION us(t timestamptz) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
        $$ SELECT (extract(epoch FROM t) * 1000000)::bigint - 946684800000000 $$;
    CREATE FUNCTION us(i interval) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
        $$ SELECT (extract(epoch FROM i) * 1000000)::bigint $$;";

pub(crate) type Sample = (usize, &'static str, i64, f64);

pub(crate) fn fill(client: &mut Client, world: &World, dice: &mut Dice) {
    client.batch_execute(HELPERS).unwrap();
    client
        .execute("SELECT iot_kpi.make_partitions('[2024-03-09, 2024-03-11]')", &[])
        .unwrap();
    if world.bytes_is_counter {
        client
            .execute(
                "UPDATE iot.metric_types SET kind = 'counter' WHERE metric = 'bytes'",
                &[],
            )
            .unwrap();
    }
    for number in 0..world.devices.len() {
        write_device(client, world, number);
    }
    world
        .maintenance
        .iter()
        .for_each(|m| write_maintenance(client, m, world));
    objectives::write(client, &world.objectives);
    let mut samples: Vec<Sample> = Vec::new();
    for (number, device) in world.devices.iter().enumerate() {
        samples.extend(device.samples.iter().map(|(key, value)| (number, key.0, key.1, *value)));
        write_statuses(client, world, number, dice);
    }
    write_samples(client, world, samples, dice);
}

pub(crate) fn write_device(client: &mut Client, world: &World, number: usize) {
    let d = &world.devices[number];
    let collector = d.collector.map(|c| world.devices[c].id.as_str());
    client
        .execute(
            "INSERT INTO iot.devices (device_id, expected_interval, liveness, status_ttl, degraded_counts_up, response_target,
                                      heartbeat_metric, collector_id, commissioned_at, decommissioned_at, device_type, location)
             VALUES ($1, $2::bigint * interval '1 microsecond', $3::bigint * interval '1 microsecond',
                     $4::bigint * interval '1 microsecond', $5, $6, $7, $8, at($9), at($10), $11, $12)
             ON CONFLICT (device_id) DO UPDATE SET expected_interval = excluded.expected_interval,
                 liveness = excluded.liveness, status_ttl = excluded.status_ttl,
                 degraded_counts_up = excluded.degraded_counts_up, response_target = excluded.response_target,
                 heartbeat_metric = excluded.heartbeat_metric, collector_id = excluded.collector_id,
                 commissioned_at = excluded.commissioned_at, decommissioned_at = excluded.decommissioned_at",
            &[
                &d.id,
                &d.interval,
                &d.liveness,
                &d.status_ttl,
                &d.degraded_counts_up,
                &d.response_target,
                &d.heartbeat_metric,
                &collector,
                &d.commissioned,
                &d.decommissioned,
                &d.device_type,
                &d.location,
            ],
        )
        .unwrap();
}

pub(crate) fn write_maintenance(client: &mut Client, window: &Maintenance, world: &World) {
    let device = window.device.map(|n| world.devices[n].id.as_str());
    client
        .execute(
            "INSERT INTO iot.maintenance_windows (device_id, period) VALUES ($1, tstzrange(at($2), at($3)))",
            &[&device, &window.start, &window.end],
        )
        .unwrap();
}

pub(crate) fn write_statuses(client: &mut Client, world: &World, number: usize, dice: &mut Dice) {
    let device = &world.devices[number];
    let mut statuses: Vec<(i64, &str)> = device.statuses.iter().map(|s| (*s.0, *s.1)).collect();
    dice.shuffle(&mut statuses);
    let (times, words): (Vec<i64>, Vec<&str>) = statuses.into_iter().unzip();
    client
        .execute(
            "SELECT iot_kpi.ingest_status(array_fill($1::text, ARRAY[cardinality($2::bigint[])]),
                                          ARRAY(SELECT at(t) FROM unnest($2) WITH ORDINALITY AS u (t, n) ORDER BY n), $3,
                                          array_fill(NULL::text, ARRAY[cardinality($2)]))
             WHERE cardinality($2) > 0",
            &[&device.id, &times, &words],
        )
        .unwrap();
}

/// Writes samples shuffled and in batches; by the strict door, or by the forgiving one and then once more.
pub(crate) fn write_samples(client: &mut Client, world: &World, mut samples: Vec<Sample>, dice: &mut Dice) {
    dice.shuffle(&mut samples);
    for batch in samples.chunks(5000) {
        let ids: Vec<&str> = batch.iter().map(|s| world.devices[s.0].id.as_str()).collect();
        let metrics: Vec<&str> = batch.iter().map(|s| s.1).collect();
        let times: Vec<i64> = batch.iter().map(|s| s.2).collect();
        let values: Vec<f64> = batch.iter().map(|s| s.3).collect();
        let strict = "INSERT INTO iot.device_metrics (device_id, metric, time, value)
             SELECT d, m, at(t), v FROM unnest($1::text[], $2::text[], $3::bigint[], $4::float8[]) AS u (d, m, t, v)";
        let forgiving = "SELECT refused::text FROM iot_kpi.ingest_metrics($1,
             $2, ARRAY(SELECT at(t) FROM unnest($3::bigint[]) WITH ORDINALITY AS u (t, n) ORDER BY n), $4)";
        if dice.chance(50) {
            client.execute(strict, &[&ids, &metrics, &times, &values]).unwrap();
        } else {
            for _ in 0..2 {
                let refused: String = client
                    .query_one(forgiving, &[&ids, &metrics, &times, &values])
                    .unwrap()
                    .get(0);
                assert_eq!(refused, "0");
            }
        }
    }
}
