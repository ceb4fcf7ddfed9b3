//! Whatever plan PostgreSQL chooses, the numbers stay the same to the last bit.

use iot_kpi_tests::postgres::shared;
use postgres::Client;

use crate::dice::Dice;
use crate::store;
use crate::world::World;

const SERIAL: &str = "SET max_parallel_workers_per_gather = 0; SET enable_partitionwise_aggregate = off";
const PARALLEL: &str = "SET max_parallel_workers_per_gather = 2; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;
    SET min_parallel_table_scan_size = 0; SET min_parallel_index_scan_size = 0; SET enable_partitionwise_aggregate = off";
const PARTITIONWISE: &str = "SET max_parallel_workers_per_gather = 0; SET enable_partitionwise_aggregate = on";
const BOTH: &str = "SET max_parallel_workers_per_gather = 2; SET enable_partitionwise_aggregate = on";

/// Every aggregate over the store's own table, as text, so that one bit more or less shows.
const AGGREGATES: &str = "SELECT device_id, iot_kpi.heartbeat_agg(time, '90 s')::text AS h, iot_kpi.cadence_agg(time)::text AS c,
        iot_kpi.response_agg(value) FILTER (WHERE value >= 0)::text AS r, iot_kpi.throughput_agg(time, abs(value))::text AS t,
        iot_kpi.throughput_agg(time, abs(value), 'counter')::text AS n,
        iot_kpi.evidence_agg(time, metric, value, NULL, false, ARRAY['2024-03-09', '2024-03-10', '2024-03-11']::timestamptz[])::text AS e
    FROM iot.device_metrics GROUP BY device_id";

const REPORTS: &str = "SELECT (SELECT md5(string_agg(k::text, ' ')) FROM iot_kpi.device_kpis('[2024-03-09 22:30+00, 2024-03-10 01:10+00)') AS k)
    || (SELECT md5(string_agg(k::text, ' ')) FROM iot_kpi.fleet_kpis('[2024-03-09 22:30+00, 2024-03-10 01:10+00)', 'device_type') AS k)
    || (SELECT md5(string_agg(k::text, ' ')) FROM iot_kpi.outages('[2024-03-09 22:30+00, 2024-03-10 01:10+00)') AS k)";

fn plan(client: &mut Client, sql: &str) -> String {
    let rows = client.query(&format!("EXPLAIN (COSTS OFF) {sql}"), &[]).unwrap();
    rows.iter().map(|row| row.get::<_, String>(0) + "\n").collect()
}

#[test]
fn plans_make_no_difference() {
    let mut dice = Dice::new(crate::seed());
    let world = World::new(&mut dice, 40, false);
    let mut client = shared().store("oracle_plans").client();
    store::fill(&mut client, &world, &mut dice);
    client
        .batch_execute("ANALYZE iot.device_metrics; SET jit = off")
        .unwrap();
    let all = format!("SELECT md5(string_agg(a::text, ' ' ORDER BY device_id)) FROM ({AGGREGATES}) AS a");
    let mut answers = Vec::new();
    for (settings, marks) in [
        (SERIAL, [].as_slice()),
        (PARALLEL, &["Gather", "Partial"]),
        (PARTITIONWISE, &["Append", "Partial"]),
        (BOTH, &["Gather", "Partial"]),
    ] {
        client.batch_execute(settings).unwrap();
        let plan = plan(&mut client, AGGREGATES);
        assert!(
            marks.iter().all(|mark| plan.contains(mark)),
            "{settings}: {marks:?} is missing in\n{plan}"
        );
        let aggregates: String = client.query_one(&all, &[]).unwrap().get(0);
        let reports: String = client.query_one(REPORTS, &[]).unwrap().get(0);
        answers.push((aggregates, reports));
    }
    assert!(answers.iter().all(|a| *a == answers[0]), "{answers:?}");
}

#[test]
fn window_frames_agree_with_range_agg() {
    let mut dice = Dice::new(crate::seed());
    let world = World::new(&mut dice, 20, false);
    let mut client = shared().store("oracle_frames").client();
    store::fill(&mut client, &world, &mut dice);
    let sql = "SELECT count(*), count(*) FILTER (WHERE ours <> naive) FROM (
        SELECT iot_kpi.live_ranges(iot_kpi.heartbeat_agg(time, liveness) OVER w) AS ours,
               range_agg(tstzrange(time, time + liveness)) OVER w AS naive
        FROM (SELECT *, (1 + abs(hashint8(us(time))) % 200) * interval '1 s' AS liveness FROM iot.device_metrics) AS m
        WINDOW w AS (PARTITION BY device_id, metric ORDER BY time ROWS BETWEEN $1::bigint PRECEDING AND $2::bigint FOLLOWING)) AS f";
    for (before, after) in [(0, 0), (5, 0), (3, 3), (40, 0)] {
        let row = client.query_one(sql, &[&(before as i64), &(after as i64)]).unwrap();
        assert!(row.get::<_, i64>(0) > 0);
        assert_eq!(row.get::<_, i64>(1), 0, "frames from {before} before to {after} after");
    }
}
