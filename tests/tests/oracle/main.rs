//! The oracle: device KPIs written down plainly from their definitions, sharing no code with kpi-core, against what the SQL
//! functions say of thousands of random device-windows. `IOT_KPI_SEED=…` repeats a run.

#![allow(
    clippy::unwrap_used,
    reason = "in tests, helpers outside a #[test] included, a panic is the message"
)]

mod dice;
mod judge;
mod kpis;
mod objectives;
mod plans;
mod reports;
mod samples;
mod series;
mod store;
mod world;

use std::time::{SystemTime, UNIX_EPOCH};

use iot_kpi_tests::postgres::shared;
use postgres::Client;

use crate::dice::Dice;
use crate::kpis::{Turns, kpi_names};
use crate::reports::{Disagreements, compare, compare_fleet};
use crate::world::{COLLECTORS, FIRST, GROUPS, HOUR, LAST, MIDNIGHT, World, maintenance};

const DEVICES: usize = 150;
const WINDOWS: usize = 10;
/// All that are judged here.
const REPORTS: [&str; 10] = [
    "anomalies",
    "burn_rate_alerts",
    "device_kpis",
    "fleet_kpis",
    "kpi_series",
    "metric_series",
    "outages",
    "sla_calendar",
    "slo_report",
    "status_periods",
];

fn seed() -> u64 {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64;
    let seed = std::env::var("IOT_KPI_SEED").map_or_else(|_| now(), |s| s.parse().unwrap());
    println!("IOT_KPI_SEED={seed}");
    seed
}

/// A number of random reports, all of whose rows the oracle has judged.
fn judge_reports(client: &mut Client, world: &World, dice: &mut Dice, turns: &mut Turns, when: &str) {
    let mut found = Disagreements(Vec::new());
    let (mut judged, mut buckets) = (0, 0);
    for _ in 0..WINDOWS / 2 {
        // Short ones that end in the moment at which something changes.
        let now = world.instant(dice);
        let window = (now - dice.between(1, 5 * world::MINUTE), now, now);
        judged += compare(client, world, window, None, (&mut found, turns));
    }
    for _ in 0..WINDOWS {
        let window = world.window(dice);
        let mut some: Vec<&str> = (0..5)
            .map(|_| world.devices[dice.between(0, DEVICES as i64) as usize].id.as_str())
            .collect();
        some.sort_unstable();
        some.dedup();
        let only = dice.chance(20).then_some(some.as_slice());
        judged += compare(client, world, window, only, (&mut found, turns));
        compare_fleet(client, world, window, dice.pick(&GROUPS), (&mut found, turns));
    }
    // Every KPI has its turn, in company that is another each time.
    let mut kpis = kpi_names(client);
    dice.shuffle(&mut kpis);
    for some in kpis.chunks(kpis.len().div_ceil(WINDOWS)) {
        let window = series::window(world, dice);
        let minutes = dice.pick(&[7, 13, 20, 60, 120]);
        buckets += series::compare(
            client,
            world,
            window,
            (minutes, dice.pick(&GROUPS)),
            some,
            (&mut found, turns),
        );
    }
    for _ in 0..WINDOWS / 5 {
        let window = series::window(world, dice);
        objectives::compare(client, world, window, dice.pick(&[13, 60]), (&mut found, turns));
        samples::compare(client, world, window, dice, (&mut found, turns));
    }
    println!("{when}: {judged} device-windows and {buckets} buckets");
    let shown = found.0.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
    assert!(
        found.0.is_empty(),
        "{when}: {} disagreements, the first of them:\n{shown}",
        found.0.len()
    );
}

fn judge_everything(name: &str, bytes_is_counter: bool) {
    let mut dice = Dice::new(seed());
    let mut world = World::new(&mut dice, DEVICES, bytes_is_counter);
    let database = shared().store(name);
    let mut client = database.client();
    store::fill(&mut client, &world, &mut dice);
    let mut turns = Turns::default();
    judge_reports(&mut client, &world, &mut dice, &mut turns, "from rows");

    // Some hours and days of some devices as mergeable parts: the numbers stay what they are.
    calculate(&mut client, &world, &mut dice);
    judge_reports(&mut client, &world, &mut dice, &mut turns, "with calculated parts");

    // Everything that a calculation depends on changes, and what is stale serves no more.
    change(&mut client, &mut world, &mut dice);
    judge_reports(&mut client, &world, &mut dice, &mut turns, "after changes");
    calculate(&mut client, &world, &mut dice);
    judge_reports(&mut client, &world, &mut dice, &mut turns, "calculated anew");
    check_turns(&mut client, &turns);
}

/// Every report has had its turn, and every figure in it.
fn check_turns(client: &mut Client, turns: &Turns) {
    reports::check_turns(client, turns);
    series::check_turns(turns, &kpi_names(client));
    objectives::check_turns(client, turns);
    samples::check_turns(turns);
    // A report is what speaks of now unless it is told another instant.
    let sql = "SELECT array_agg(proname::text ORDER BY proname) FROM pg_proc
               WHERE pronamespace = 'iot_kpi'::regnamespace AND proretset AND array_position(proargnames, 'as_of') > pronargs - pronargdefaults";
    let known: Vec<String> = client.query_one(sql, &[]).unwrap().get(0);
    assert_eq!(known, REPORTS, "a report that the oracle does not judge");
}

#[test]
fn reports_agree_with_the_oracle() {
    judge_everything("oracle_amounts", false);
}

#[test]
fn reports_agree_with_the_oracle_where_bytes_are_counted() {
    judge_everything("oracle_counter", true);
}

fn calculate(client: &mut Client, world: &World, dice: &mut Dice) {
    let most: Vec<&str> = world
        .devices
        .iter()
        .map(|d| d.id.as_str())
        .filter(|_| dice.chance(80))
        .collect();
    let (start, end) = (FIRST - dice.between(0, 4) * HOUR, LAST + dice.between(-3, 24) * HOUR);
    let sql = "SELECT iot_kpi.calculate_kpis(tstzrange(at($1), at($2)), $3, at($4))";
    let as_of = MIDNIGHT + 48 * HOUR;
    let written: i64 = client.query_one(sql, &[&start, &end, &most, &as_of]).unwrap().get(0);
    assert!(written > 0, "nothing was calculated");
    if dice.chance(50) {
        let (first_day, last_day) = (MIDNIGHT - 24 * HOUR, MIDNIGHT + 24 * HOUR);
        client
            .execute(sql, &[&first_day, &last_day, &None::<Vec<&str>>, &as_of])
            .unwrap();
    }
}

/// Late samples, other settings, more maintenance, other statuses.
fn change(client: &mut Client, world: &mut World, dice: &mut Dice) {
    let mut late = Vec::new();
    for _ in 0..60 {
        // What an observer sends changes the numbers of all that it observes.
        let number = if dice.chance(30) {
            dice.between(0, COLLECTORS as i64)
        } else {
            dice.between(0, DEVICES as i64)
        } as usize;
        let at = world.instant(dice).clamp(FIRST - HOUR, LAST + HOUR);
        let device = &mut world.devices[number];
        let metric = dice.pick(&["temperature", "heartbeat", "error", "response_time", "bytes"]);
        if let std::collections::btree_map::Entry::Vacant(free) = device.samples.entry((metric, at)) {
            free.insert(1.0);
            late.push((number, metric, at, 1.0));
        }
    }
    store::write_samples(client, world, late, dice);
    for _ in 0..20 {
        let number = dice.between(0, DEVICES as i64) as usize;
        let at = world.instant(dice);
        world.devices[number].statuses.insert(at, dice.pick(&world::STATUSES));
        store::write_statuses(client, world, number, dice);
    }
    for _ in 0..20 {
        let device = &mut world.devices[dice.between(0, DEVICES as i64) as usize];
        match dice.between(0, 5) {
            0 => device.liveness = Some(dice.between(device.interval / 2, 6 * device.interval)),
            1 => device.interval = dice.between(device.interval / 2, 2 * device.interval),
            2 => device.heartbeat_metric = dice.pick(&[None, Some("heartbeat"), Some("temperature")]),
            3 => device.commissioned = dice.chance(50).then_some(FIRST),
            _ => device.degraded_counts_up = !device.degraded_counts_up,
        }
        device.decommissioned = device
            .decommissioned
            .max(device.decommissioned.and(device.commissioned));
    }
    for number in 0..DEVICES {
        store::write_device(client, world, number);
    }
    for _ in 0..5 {
        let window = maintenance(dice, DEVICES);
        store::write_maintenance(client, &window, world);
        world.maintenance.push(window);
    }
    remove_samples(client, world, dice);
}

fn remove_samples(client: &mut Client, world: &mut World, dice: &mut Dice) {
    for _ in 0..20 {
        let most = if dice.chance(30) { COLLECTORS } else { DEVICES };
        let device = &mut world.devices[dice.between(0, most as i64) as usize];
        let keys: Vec<(&'static str, i64)> = device.samples.keys().copied().collect();
        if keys.is_empty() {
            continue;
        }
        let key = dice.pick(&keys);
        device.samples.remove(&key);
        let sql = "DELETE FROM iot.device_metrics WHERE device_id = $1 AND metric = $2 AND time = at($3)";
        assert_eq!(client.execute(sql, &[&device.id, &key.0, &key.1]).unwrap(), 1);
    }
}
