//! What the SQL functions say, compared with what the oracle says.

use std::collections::BTreeMap;

use postgres::{Client, Row};

use crate::judge::{Case, Outage, Verdict};
use crate::world::{Asked, MINUTE, World};

/// Every word in which the two disagree.
pub(crate) struct Disagreements(pub(crate) Vec<String>);

struct Where<'a> {
    what: String,
    found: &'a mut Vec<String>,
}

impl Where<'_> {
    fn same<T: PartialEq + std::fmt::Debug>(&mut self, name: &str, sql: &T, oracle: &T) {
        if sql != oracle {
            self.found
                .push(format!("{}: {name} is {sql:?}, the oracle says {oracle:?}", self.what));
        }
    }

    fn close(&mut self, name: &str, sql: Option<f64>, oracle: Option<f64>, tolerance: f64) {
        let agree = match (sql, oracle) {
            (Some(a), Some(b)) => (a - b).abs() <= tolerance * b.abs().max(1.0),
            (a, b) => a == b,
        };
        if !agree {
            self.found
                .push(format!("{}: {name} is {sql:?}, the oracle says {oracle:?}", self.what));
        }
    }

    fn between(&mut self, name: &str, sql: Option<f64>, oracle: Option<(f64, f64)>) {
        let agree = match (sql, oracle) {
            (Some(a), Some((low, high))) => low - 1e-12 <= a && a <= high + 1e-12,
            (a, b) => a.is_none() && b.is_none(),
        };
        if !agree {
            self.found
                .push(format!("{}: {name} is {sql:?}, the oracle says {oracle:?}", self.what));
        }
    }
}

fn all_beats(world: &World) -> Vec<Vec<i64>> {
    world.devices.iter().map(crate::world::Device::beats).collect()
}

fn numbers(world: &World) -> BTreeMap<&str, usize> {
    world
        .devices
        .iter()
        .enumerate()
        .map(|(n, d)| (d.id.as_str(), n))
        .collect()
}

const DURING: &str = "tstzrange(at($1), at($2))";

/// How many devices the reports have spoken of, and in what they are wrong.
pub(crate) fn compare(
    client: &mut Client,
    world: &World,
    (start, end, as_of): Asked,
    only: Option<&[&str]>,
    found: &mut Disagreements,
) -> usize {
    let beats = all_beats(world);
    let numbers = numbers(world);
    let mut outages = outages(client, (start, end, as_of), only);
    let mut periods = periods(client, (start, end, as_of), only);
    let rows = client
        .query(
            &format!(
                "SELECT device_id, us(up_time), us(down_time), us(unknown_time), us(excluded_time), failures, us(longest_outage),
                        us(mtbf), us(mttr), uptime, availability, completeness, regularity, stability, consistency, jitter,
                        missed_beats, response_count, response_mean, response_p50, response_p90, response_p95, response_p99, apdex,
                        attempts, failed, error_rate, error_rate_low, error_rate_high, bytes_per_second, messages_per_second,
                        status, live, never_seen, us(last_measured)
                 FROM iot_kpi.device_kpis({DURING}, $4, at($3))"
            ),
            &[&start, &end, &as_of, &only],
        )
        .unwrap();
    let expected = only.map_or(world.devices.len(), <[&str]>::len);
    assert_eq!(rows.len(), expected, "rows of device_kpis");
    for row in &rows {
        let id: &str = row.get(0);
        let case = Case::new(world, &beats, numbers[id]);
        let verdict = case.judge(start, end.min(as_of));
        let mut here = Where {
            what: format!("{id} in [{start}, {end}) as of {as_of}"),
            found: &mut found.0,
        };
        compare_row(&mut here, row, world, numbers[id], &verdict);
        let present = case.present(as_of);
        here.same("live", &row.get::<_, bool>(32), &present.live);
        here.same("status", &row.get::<_, &str>(31), &present.status);
        here.same("never_seen", &row.get::<_, bool>(33), &beats[numbers[id]].is_empty());
        let last_measured = world.devices[numbers[id]].samples.keys().map(|k| k.1).max();
        here.same("last_measured", &row.get::<_, Option<i64>>(34), &last_measured);
        here.same("outages", &outages.remove(id).unwrap_or_default(), &verdict.outages);
        let said = periods.remove(id).unwrap_or_default();
        let expected: Vec<_> = verdict.periods.iter().map(|p| (p.0, p.1, p.2.to_owned())).collect();
        here.same("status_periods", &said, &expected);
    }
    assert!(outages.is_empty() && periods.is_empty(), "rows of unknown devices");
    rows.len()
}

fn compare_row(here: &mut Where<'_>, row: &Row, world: &World, number: usize, verdict: &Verdict) {
    let float = |n: usize| row.get::<_, Option<f64>>(n);
    let count = |n: usize| row.get::<_, i64>(n);
    let time = |n: usize| row.get::<_, Option<i64>>(n).map(|us| us as f64);
    let times = verdict.times;
    here.same("up_time", &count(1), &times.up);
    here.same("down_time", &count(2), &times.down);
    here.same("unknown_time", &count(3), &times.unknown);
    here.same("excluded_time", &count(4), &times.excluded);
    here.same("failures", &count(5), &verdict.failures);
    here.same("longest_outage", &row.get::<_, Option<i64>>(6), &verdict.longest_outage);
    // Rounded to the microsecond.
    here.same("mtbf", &time(7), &verdict.mtbf().map(f64::round));
    here.same("mttr", &time(8), &verdict.mttr().map(f64::round));
    here.close("uptime", float(9), verdict.uptime, 1e-15);
    here.close("availability", float(10), verdict.availability, 1e-15);
    here.close("completeness", float(11), verdict.completeness, 1e-12);
    here.close("regularity", float(12), verdict.regularity, 1e-9);
    here.close("stability", float(13), verdict.stability, 1e-12);
    here.close("consistency", float(14), verdict.consistency, 1e-9);
    here.close("jitter", float(15), verdict.jitter, 1e-9);
    here.same("missed_beats", &count(16), &verdict.missed);
    here.same("response_count", &count(17), &(verdict.responses.len() as i64));
    here.close("response_mean", float(18), verdict.mean(), 1e-12);
    for (n, q) in [(19, 0.5), (20, 0.9), (21, 0.95), (22, 0.99)] {
        let exact = verdict.percentile(q);
        let range = exact.map(|v| (v * 0.99, v * 1.01));
        here.between(&format!("response_p{}", q * 100.0), float(n), range);
    }
    let apdex = world.devices[number]
        .response_target
        .and_then(|target| verdict.apdex(target));
    here.between("apdex", float(23), apdex);
    here.same("attempts", &count(24), &verdict.attempts);
    here.same("failed", &count(25), &verdict.failed);
    here.close("error_rate", float(26), verdict.error_rate(), 1e-15);
    here.close("error_rate_low", float(27), verdict.wilson().map(|w| w.0), 1e-12);
    here.close("error_rate_high", float(28), verdict.wilson().map(|w| w.1), 1e-12);
    here.close("bytes_per_second", float(29), verdict.bytes_per_second, 1e-9);
    here.close("messages_per_second", float(30), verdict.messages_per_second, 1e-12);
}

fn outages(client: &mut Client, at: Asked, only: Option<&[&str]>) -> BTreeMap<String, Vec<Outage>> {
    let mut found: BTreeMap<String, Vec<Outage>> = BTreeMap::new();
    let sql = format!(
        "SELECT device_id, us(started_at), us(ended_at), us(duration), ongoing, began_before, us(last_beat)
         FROM iot_kpi.outages({DURING}, '0', $4, at($3))"
    );
    for row in client.query(&sql, &[&at.0, &at.1, &at.2, &only]).unwrap() {
        found.entry(row.get(0)).or_default().push(Outage {
            started_at: row.get(1),
            ended_at: row.get(2),
            duration: row.get(3),
            ongoing: row.get(4),
            began_before: row.get(5),
            last_beat: row.get(6),
        });
    }
    found
}

fn periods(
    client: &mut Client,
    at: (i64, i64, i64),
    only: Option<&[&str]>,
) -> BTreeMap<String, Vec<(i64, i64, String)>> {
    let mut found: BTreeMap<String, Vec<_>> = BTreeMap::new();
    let sql = format!(
        "SELECT device_id, us(started_at), us(ended_at), status FROM iot_kpi.status_periods({DURING}, $4, at($3))"
    );
    for row in client.query(&sql, &[&at.0, &at.1, &at.2, &only]).unwrap() {
        found
            .entry(row.get(0))
            .or_default()
            .push((row.get(1), row.get(2), row.get(3)));
    }
    found
}

/// A KPI as kpi_series has it, from a verdict about the bucket as a window of its own.
type FromVerdict = fn(&Verdict) -> Option<f64>;

const SERIES: [(&str, FromVerdict); 20] = [
    ("uptime", |v| v.uptime),
    ("availability", |v| v.availability),
    ("up_time", |v| Some(v.times.up as f64 / 1e6)),
    ("down_time", |v| Some(v.times.down as f64 / 1e6)),
    ("unknown_time", |v| Some(v.times.unknown as f64 / 1e6)),
    ("excluded_time", |v| Some(v.times.excluded as f64 / 1e6)),
    ("failures", |v| Some(v.failures as f64)),
    ("longest_outage", |v| v.longest_outage.map(|o| o as f64 / 1e6)),
    ("completeness", |v| v.completeness),
    ("regularity", |v| v.regularity),
    ("stability", |v| v.stability),
    ("consistency", |v| v.consistency),
    ("jitter", |v| v.jitter),
    ("missed_beats", |v| Some(v.missed as f64)),
    ("response_count", |v| Some(v.responses.len() as f64)),
    ("response_mean", Verdict::mean),
    ("attempts", |v| Some(v.attempts as f64)),
    ("error_rate", Verdict::error_rate),
    ("bytes_per_second", |v| v.bytes_per_second),
    ("messages_per_second", |v| v.messages_per_second),
];

/// Compares kpi_series with the oracle, bucket by bucket; returns how many buckets there were.
pub(crate) fn compare_series(
    client: &mut Client,
    world: &World,
    (start, end, as_of): Asked,
    minutes: i64,
    kpi: usize,
    found: &mut Disagreements,
) -> usize {
    let beats = all_beats(world);
    let numbers = numbers(world);
    let (name, from_verdict) = SERIES[kpi % SERIES.len()];
    let bucket = minutes * MINUTE;
    let end = end.min(as_of);
    // Buckets count from Monday, 3 January 2000.
    let next = |t: i64| {
        let origin = 2 * 24 * 60 * MINUTE;
        origin + ((t - origin).div_euclid(bucket) + 1) * bucket
    };
    let sql = format!(
        "SELECT us(time), series, value FROM iot_kpi.kpi_series('{name}', {DURING}, $4::bigint * interval '1 microsecond',
             time_zone => 'UTC', as_of => at($3))"
    );
    let rows = client
        .query(&sql, &[&start, &end.max(start + 1), &as_of, &bucket])
        .unwrap();
    let mut starts = vec![];
    let mut t = start;
    while t < end {
        starts.push(t);
        t = next(t);
    }
    assert_eq!(
        rows.len(),
        starts.len() * world.devices.len(),
        "buckets of {name} in [{start}, {end}) as of {as_of} by {minutes} min"
    );
    for (i, row) in rows.iter().enumerate() {
        let (time, series): (i64, &str) = (row.get(0), row.get(1));
        assert_eq!(time, starts[i % starts.len()], "bucket {i} of {name}");
        let case = Case::new(world, &beats, numbers[series]);
        let verdict = case.judge(time, next(time).min(end));
        let mut here = Where {
            what: format!("{series} in the bucket of {minutes} min at {time}"),
            found: &mut found.0,
        };
        here.close(name, row.get(2), from_verdict(&verdict), 1e-9);
    }
    rows.len()
}

/// Compares fleet_kpis by device type with the oracle's verdicts put together.
pub(crate) fn compare_fleet(client: &mut Client, world: &World, (start, end, as_of): Asked, found: &mut Disagreements) {
    let beats = all_beats(world);
    let sql = format!(
        "SELECT group_value, devices, required, live, mean_uptime, pooled_uptime, availability, consistency, failures,
                us(mtbf)::float8, us(mttr)::float8, us(longest_outage), response_count, response_mean, response_p95, apdex, attempts,
                failed, bytes_per_second, messages_per_second, device_availability
         FROM iot_kpi.fleet_kpis({DURING}, 'device_type', as_of => at($3))"
    );
    for row in client.query(&sql, &[&start, &end, &as_of]).unwrap() {
        let group: &str = row.get(0);
        let observes = |n: usize| world.devices.iter().any(|d| d.collector == Some(n));
        let members: Vec<usize> = (0..world.devices.len())
            .filter(|n| world.devices[*n].device_type == group && !observes(*n))
            .collect();
        let cases: Vec<Case<'_>> = members.iter().map(|n| Case::new(world, &beats, *n)).collect();
        let verdicts: Vec<Verdict> = cases.iter().map(|c| c.judge(start, end.min(as_of))).collect();
        let present: Vec<_> = cases.iter().map(|c| c.present(as_of)).collect();
        let mut here = Where {
            what: format!("{group} in [{start}, {end}) as of {as_of}"),
            found: &mut found.0,
        };
        let count = |n: usize| row.get::<_, i64>(n);
        let float = |n: usize| row.get::<_, Option<f64>>(n);
        let required = present.iter().filter(|p| p.required).count();
        let live = present.iter().filter(|p| p.required && p.live).count();
        here.same("devices", &count(1), &(members.len() as i64));
        here.same("required", &count(2), &(required as i64));
        here.same("live", &count(3), &(live as i64));
        here.close(
            "device_availability",
            float(20),
            (required > 0).then(|| live as f64 / required as f64),
            1e-12,
        );
        let mean = |of: fn(&Verdict) -> Option<f64>| {
            let known: Vec<f64> = verdicts.iter().filter_map(of).collect();
            (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
        };
        here.close("mean_uptime", float(4), mean(|v| v.uptime), 1e-12);
        here.close("consistency", float(7), mean(|v| v.consistency), 1e-9);
        let pooled = Pooled::new(world, &members, &verdicts);
        here.close("pooled_uptime", float(5), pooled.whole.uptime, 1e-12);
        here.close("availability", float(6), pooled.whole.availability, 1e-12);
        here.same("failures", &count(8), &pooled.whole.failures);
        // Divided as an interval: to the microsecond, or two.
        here.close(
            "mtbf",
            float(9).map(|us| us / 2e6),
            pooled.whole.mtbf().map(|us| us / 2e6),
            1e-6,
        );
        here.close(
            "mttr",
            float(10).map(|us| us / 2e6),
            pooled.whole.mttr().map(|us| us / 2e6),
            1e-6,
        );
        here.same(
            "longest_outage",
            &row.get::<_, Option<i64>>(11),
            &pooled.whole.longest_outage,
        );
        here.same("response_count", &count(12), &(pooled.whole.responses.len() as i64));
        here.close("response_mean", float(13), pooled.whole.mean(), 1e-12);
        here.between(
            "response_p95",
            float(14),
            pooled.whole.percentile(0.95).map(|v| (v * 0.99, v * 1.01)),
        );
        here.between("apdex", float(15), pooled.apdex);
        here.same("attempts", &count(16), &pooled.whole.attempts);
        here.same("failed", &count(17), &pooled.whole.failed);
        here.close("bytes_per_second", float(18), pooled.whole.bytes_per_second, 1e-9);
        here.close("messages_per_second", float(19), pooled.whole.messages_per_second, 1e-9);
    }
}

/// The verdicts of a group as one.
struct Pooled {
    whole: Verdict,
    apdex: Option<(f64, f64)>,
}

impl Pooled {
    fn new(world: &World, members: &[usize], verdicts: &[Verdict]) -> Self {
        let mut whole = Verdict::default();
        let mut apdex = (0.0, 0.0, 0.0);
        let add = |sum: &mut Option<f64>, more: Option<f64>| {
            if let Some(more) = more {
                *sum = Some(sum.unwrap_or(0.0) + more);
            }
        };
        for (n, v) in members.iter().zip(verdicts) {
            whole.times.up += v.times.up;
            whole.times.down += v.times.down;
            whole.status_times.up += v.status_times.up;
            whole.status_times.down += v.status_times.down;
            whole.failures += v.failures;
            whole.longest_outage = whole.longest_outage.max(v.longest_outage);
            whole.responses.extend(&v.responses);
            whole.attempts += v.attempts;
            whole.failed += v.failed;
            add(&mut whole.bytes_per_second, v.bytes_per_second);
            add(&mut whole.messages_per_second, v.messages_per_second);
            if let Some(target) = world.devices[*n].response_target {
                let counts = v.apdex_counts(target);
                apdex = (apdex.0 + counts.0, apdex.1 + counts.1, apdex.2 + counts.2);
            }
        }
        whole.responses.sort_by(f64::total_cmp);
        whole.uptime = whole.times.ratio();
        whole.availability = whole.status_times.ratio();
        let apdex = (apdex.2 > 0.0).then(|| (apdex.0 / 2.0 / apdex.2, apdex.1 / 2.0 / apdex.2));
        Self { whole, apdex }
    }
}
