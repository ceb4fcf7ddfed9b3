use super::*;
use crate::pipeline::batch::Batch;
use crate::runtime::time_grid::Micros;
use proptest::prelude::*;
use std::time::Duration;

fn scenario(seed: u64, seconds: u64) -> Scenario {
    Scenario {
        seed,
        grid: TimeGrid::new(Duration::from_secs(seconds)),
        trouble: 3.0,
    }
}

fn simulator(seed: u64, devices: usize) -> Simulator {
    Simulator::new(scenario(seed, 60), &Fleet::new(devices))
}

/// A Thursday in 2025.
const START: i64 = 29_000_000;

proptest! {
    #[test]
    fn a_report_depends_on_seed_device_and_round_alone(seed: u64, round in START..START + 100_000, device in 0usize..7) {
        let (small, large) = (simulator(seed, 7), simulator(seed, 50));
        let _ = large.devices[49].report(round, false);
        prop_assert_eq!(small.devices[device].report(round, false), large.devices[device].report(round, false));
    }

    #[test]
    fn reports_keep_to_their_part_of_the_round(seed: u64, round in START..START + 100_000, device in 0usize..5) {
        let grid = TimeGrid::new(Duration::from_secs(60));
        let report = simulator(seed, 5).devices[device].report(round, true);
        let times = report.content.span();
        prop_assert_eq!(report.content.statuses.len(), 1);
        for time in times.into_iter().flat_map(|(first, last)| [first, last]).chain([report.time]) {
            prop_assert!(time >= grid.start(round) && time < grid.within(round, REPORT_SPAN));
        }
        prop_assert!(times.is_none_or(|(_, last)| last <= report.time));
    }
}

#[test]
fn another_seed_is_another_life() {
    assert_ne!(
        simulator(1, 1).devices[0].report(START, false),
        simulator(2, 1).devices[0].report(START, false)
    );
}

/// The relation that lets the ground truth be found again: see the module's text.
#[test]
fn a_gap_is_longer_than_liveness_exactly_in_an_outage() {
    let grid = TimeGrid::new(Duration::from_secs(60));
    let liveness = 3 * grid.interval();
    for device in simulator(9, 20).devices {
        let mut last: Option<Micros> = None;
        let mut since = None;
        for round in START..START + 20_000 {
            let report = device.report(round, false);
            since = since.or(report.away_since);
            let Some(beat) = report.beat else { continue };
            if let Some(last) = last {
                assert_eq!(
                    beat - last > liveness,
                    since.is_some(),
                    "{} at round {round}",
                    device.id()
                );
                if let Some(since) = since.filter(|_| beat - last > liveness) {
                    let seen = last + liveness;
                    assert!(last < since && since <= seen && seen - since < liveness);
                }
            }
            (last, since) = (Some(beat), None);
        }
    }
}

#[test]
fn identities_are_unique_and_values_finite() {
    let simulator = simulator(3, 10);
    let mut all = Batch::default();
    for round in START..START + 2_000 {
        simulator
            .devices
            .iter()
            .for_each(|device| all.append(device.report(round, false).content));
    }
    let mut seen = std::collections::HashSet::new();
    for sample in &all.samples {
        assert!(sample.value.is_finite(), "{sample:?}");
        assert!(
            seen.insert((&sample.device, &sample.metric, sample.time)),
            "twice: {sample:?}"
        );
    }
    let statuses: std::collections::HashSet<_> = all.statuses.iter().map(|s| &*s.status).collect();
    assert!(
        ["online", "degraded", "offline"].iter().all(|s| statuses.contains(s)),
        "{statuses:?}"
    );
}

#[test]
fn errors_come_in_bursts() {
    let camera = &simulator(4, 5).devices[4];
    let failed: Vec<f64> = (START..START + 50_000)
        .map(|round| f64::from(!camera.report(round, false).failures.is_empty()))
        .collect();
    let mean = failed.iter().sum::<f64>() / failed.len() as f64;
    let pairs = failed.windows(2).map(|w| w[0] * w[1]).sum::<f64>() / (failed.len() - 1) as f64;
    assert!(
        pairs > 3.0 * mean * mean,
        "a failure makes the next one no likelier: {pairs} and {mean}"
    );
}

#[test]
#[ignore = "a measurement: cargo test --release -p iot-kpi-collector -- --ignored --nocapture speed"]
fn speed() {
    let simulator = simulator(4, 10_000);
    let began = std::time::Instant::now();
    let mut samples = 0;
    for round in START..START + 60 {
        samples += simulator
            .devices
            .iter()
            .map(|device| device.report(round, false).content.len())
            .sum::<usize>();
    }
    println!("{:.0} samples/s", samples as f64 / began.elapsed().as_secs_f64());
}
