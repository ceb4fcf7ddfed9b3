//! What is said of single samples: metric_series, metric_before and anomalies.

use std::collections::BTreeMap;

use postgres::Client;

use crate::dice::Dice;
use crate::kpis::Turns;
use crate::reports::Disagreements;
use crate::world::{Asked, Device, HOUR, MINUTE, World};

const METRICS: [&str; 5] = ["temperature", "heartbeat", "response_time", "error", "bytes"];

/// A device's samples of a metric in `[start, end)`.
fn samples(device: &Device, metric: &str, start: i64, end: i64) -> Vec<(i64, f64)> {
    let all = device.samples.iter().filter(|(key, _)| key.0 == metric);
    all.map(|(key, value)| (key.1, *value))
        .filter(|(time, _)| (start..end).contains(time))
        .collect()
}

/// Those that are drawn: all, or where they are too many, the first, the last, the least and the greatest of each of a
/// fourth as many stretches; of several as small or great, the first.
fn drawn(all: &[(i64, f64)], (start, end): (i64, i64), max_points: i64) -> Vec<(i64, f64)> {
    if all.len() as i64 <= max_points {
        return all.to_vec();
    }
    let stretch = ((end - start) as f64 / (max_points / 4) as f64).round().max(1.0) as i64;
    let mut found = Vec::new();
    for of_stretch in all.chunk_by(|a, b| (a.0 - start) / stretch == (b.0 - start) / stretch) {
        let least = of_stretch.iter().map(|s| s.1).fold(f64::INFINITY, f64::min);
        let greatest = of_stretch.iter().map(|s| s.1).fold(f64::NEG_INFINITY, f64::max);
        let first_of = |value: f64| of_stretch.iter().position(|s| s.1 == value).unwrap();
        let mut places = [0, first_of(least), first_of(greatest), of_stretch.len() - 1].to_vec();
        places.sort_unstable();
        places.dedup();
        found.extend(places.into_iter().map(|place| of_stretch[place]));
    }
    found
}

fn compare_series(
    client: &mut Client,
    world: &World,
    (start, end, as_of): Asked,
    metric: &str,
    max_points: i32,
    (found, turns): (&mut Disagreements, &mut Turns),
) {
    let sql = "SELECT device_id, us(time), value FROM iot_kpi.metric_series($1, tstzrange(at($2), at($3)), $4, as_of => at($5))";
    let mut said: BTreeMap<String, Vec<(i64, f64)>> = BTreeMap::new();
    for row in client
        .query(sql, &[&metric, &start, &end, &max_points, &as_of])
        .unwrap()
    {
        said.entry(row.get(0)).or_default().push((row.get(1), row.get(2)));
    }
    let end = end.min(as_of);
    for device in &world.devices {
        let all = samples(device, metric, start, end);
        let should_be = drawn(&all, (start, end), i64::from(max_points));
        turns.note("metric_series", "all", !all.is_empty());
        turns.note("metric_series", "thinned", should_be.len() < all.len());
        let is = said.remove(&device.id).unwrap_or_default();
        if is != should_be {
            found.0.push(format!(
                "{metric} of {} in [{start}, {end}) by {max_points} points is {is:?}, the oracle says {should_be:?}",
                device.id
            ));
        }
    }
    assert!(said.is_empty(), "unknown devices: {said:?}");
}

fn compare_before(
    client: &mut Client,
    world: &World,
    (before, look_back): (i64, i64),
    metric: &str,
    (found, turns): (&mut Disagreements, &mut Turns),
) {
    let sql = "SELECT device_id, us(time), value FROM iot_kpi.metric_before($1, at($2), look_back => $3::bigint * interval '1 microsecond')";
    let rows = client.query(sql, &[&metric, &before, &look_back]).unwrap();
    let is: BTreeMap<String, (i64, f64)> = rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect();
    for device in &world.devices {
        let should_be = samples(device, metric, before - look_back, before).pop();
        turns.note("metric_before", "rows", should_be.is_some());
        let is = is.get(&device.id).copied();
        if is != should_be {
            found.0.push(format!(
                "{metric} of {} before {before} is {is:?}, the oracle says {should_be:?}",
                device.id
            ));
        }
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}

/// The median of some values, and what turns a distance from it into a score (Iglewicz & Hoaglin 1993).
fn scale(values: &[f64]) -> (f64, f64) {
    let middle = median(&mut values.to_vec());
    let mut distances: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
    let mean = distances.iter().sum::<f64>() / distances.len() as f64;
    let spread = median(&mut distances);
    let factor = match (spread, mean) {
        (0.0, 0.0) => 0.0,
        (0.0, mean) => 1.0 / (1.2533 * mean),
        (spread, _) => 0.6745 / spread,
    };
    (middle, factor)
}

fn compare_anomalies(
    client: &mut Client,
    world: &World,
    (start, end, as_of): Asked,
    metric: &str,
    (cut_off, baseline): (f64, Option<i64>),
    (found, turns): (&mut Disagreements, &mut Turns),
) {
    let sql = "SELECT device_id, us(time), value, expected, score
               FROM iot_kpi.anomalies($1, tstzrange(at($2), at($3)), $4, $5::bigint IS NOT NULL, coalesce($5, 0) * interval '1 microsecond',
                   'UTC', as_of => at($6))";
    let mut said: BTreeMap<(String, i64), [f64; 3]> = BTreeMap::new();
    for row in client
        .query(sql, &[&metric, &start, &end, &cut_off, &baseline, &as_of])
        .unwrap()
    {
        said.insert((row.get(0), row.get(1)), [row.get(2), row.get(3), row.get(4)]);
    }
    let form = if baseline.is_some() { "seasonal" } else { "robust" };
    for device in &world.devices {
        // Seasonal: by the hour of the week.
        let season = |time: i64| baseline.map(|_| time.div_euclid(HOUR).rem_euclid(7 * 24));
        let mut seasons: BTreeMap<Option<i64>, Vec<(i64, f64)>> = BTreeMap::new();
        for sample in samples(device, metric, start - baseline.unwrap_or(0), end.min(as_of)) {
            seasons.entry(season(sample.0)).or_default().push(sample);
        }
        for of_season in seasons.values() {
            let (middle, factor) = scale(&of_season.iter().map(|s| s.1).collect::<Vec<_>>());
            for (time, value) in of_season.iter().filter(|s| s.0 >= start) {
                let score = (value - middle) * factor;
                let is = said.remove(&(device.id.clone(), *time));
                turns.note("anomalies", form, is.is_some());
                let close = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.abs().max(1.0);
                let agree = match is {
                    Some(is) => is[0] == *value && close(is[1], middle) && close(is[2], score) && score.abs() > cut_off,
                    None => score.abs() <= cut_off * (1.0 + 1e-12),
                };
                if !agree {
                    found.0.push(format!(
                        "{metric} of {} at {time}, {form}: {is:?}, the oracle says {value}, {middle}, {score}",
                        device.id
                    ));
                }
            }
        }
    }
    assert!(said.is_empty(), "no samples: {said:?}");
}

/// All three of them, of some metric.
pub(crate) fn compare(
    client: &mut Client,
    world: &World,
    asked: Asked,
    dice: &mut Dice,
    (found, turns): (&mut Disagreements, &mut Turns),
) {
    for metric in METRICS {
        compare_series(
            client,
            world,
            asked,
            metric,
            dice.pick(&[4, 11, 40, 1000]),
            (found, turns),
        );
        let look_back = dice.pick(&[MINUTE, HOUR, 24 * HOUR]);
        compare_before(client, world, (asked.0, look_back), metric, (found, turns));
        let baseline = dice.pick(&[0, 2 * HOUR, 24 * HOUR]);
        for baseline in [None, Some(baseline)] {
            let cut_off = dice.pick(&[1.0, 3.5]);
            compare_anomalies(client, world, asked, metric, (cut_off, baseline), (found, turns));
        }
    }
}

/// Each had something to say.
pub(crate) fn check_turns(turns: &Turns) {
    turns.all("metric_series", ["all", "thinned"].iter());
    turns.all("metric_before", ["rows"].iter());
    turns.all("anomalies", ["robust", "seasonal"].iter());
}
