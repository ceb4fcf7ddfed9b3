//! Groups of devices: one alone is what the device is, the order of devices changes no bit, and what adds up adds up.

#![allow(
    clippy::unwrap_used,
    reason = "in tests, helpers outside a #[test] included, a panic is the message"
)]

mod common;

use common::{duration, instant, near, short, spans};
use kpi_core::catalogue::{Figure, KPIS, Kpi, Type};
use kpi_core::classes::{Class, Exemptions};
use kpi_core::evidence::{Evidence, MetricRole};
use kpi_core::pool::Pool;
use kpi_core::report::{DeviceSettings, Dossier};
use kpi_core::response::ResponseSketch;
use kpi_core::status::{Status, StatusRules, StatusTimeline};
use kpi_core::throughput::AmountKind;
use kpi_core::time::{LATEST, SECOND, Window};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

const EDGES: [i64; 4] = [0, 200 * SECOND, 300 * SECOND, 600 * SECOND];
const ROLES: [MetricRole; 4] = [
    MetricRole::ResponseTime,
    MetricRole::Error,
    MetricRole::Bytes,
    MetricRole::Other,
];

fn windows(edges: &[i64]) -> Vec<Window> {
    edges
        .windows(2)
        .map(|pair| Window::new(pair[0], pair[1]).unwrap())
        .collect()
}

/// A device with its settings and some time that does not count.
fn device() -> impl Strategy<Value = Dossier> {
    let sample = (
        near(),
        select(&ROLES[..]),
        prop_oneof![0.0..500.0f64, Just(0.1), Just(1e16)],
    );
    let statuses = vec(
        (near(), select(vec![Status::Online, Status::Error, Status::Degraded])),
        0..4,
    );
    let settings = (short(), short(), prop::option::of(1.0..200.0f64));
    (vec(sample, 0..60), statuses, spans(), spans(), settings).prop_map(
        |(samples, said, excluded, unknown, (interval, liveness, target))| {
            let mut evidence = Evidence::new(&EDGES).unwrap();
            for (at, role, value) in samples {
                evidence.sample(at, role, value, true, AmountKind::Delta).unwrap();
            }
            let mut statuses = StatusTimeline::default();
            for (at, status) in said {
                statuses.sample(at, status).unwrap();
            }
            let settings = DeviceSettings::new(interval, Some(liveness), target, StatusRules::default()).unwrap();
            Dossier::new(Some(evidence), statuses, Exemptions { excluded, unknown }, settings).unwrap()
        },
    )
}

fn all() -> Vec<&'static Kpi> {
    KPIS.iter().collect()
}

fn pooled<'a>(kpis: Vec<&'static Kpi>, devices: impl Iterator<Item = &'a Dossier>) -> Vec<Figure> {
    let windows = windows(&EDGES);
    let mut pool = Pool::new(kpis, windows.len()).unwrap();
    for device in devices {
        let slots = windows.iter().enumerate().map(|(n, window)| device.report(n, *window));
        pool.add(slots, None).unwrap();
    }
    pool.figures().collect::<Result<_, _>>().unwrap()
}

fn told(device: &Dossier) -> Vec<Figure> {
    let windows = windows(&EDGES).into_iter().enumerate();
    let slots = windows.map(|(n, window)| device.report(n, window));
    slots
        .flat_map(|slot| KPIS.iter().map(move |kpi| kpi.figure(&slot).unwrap()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn one_alone_is_what_the_device_is(device in device()) {
        let (together, alone) = (pooled(all(), std::iter::once(&device)), told(&device));
        for (n, (together, alone)) in together.iter().zip(&alone).enumerate() {
            let kpi = &KPIS[n % KPIS.len()];
            // Of a device it is told whether it is alive, of a group how many are of those that are required.
            if kpi.name != "live" {
                prop_assert_eq!(together, alone, "{}", kpi.name);
            }
        }
    }

    #[test]
    fn the_order_of_devices_and_the_company_of_kpis_change_no_bit(devices in vec(device(), 0..6)) {
        let whole = pooled(all(), devices.iter());
        prop_assert_eq!(format!("{whole:?}"), format!("{:?}", pooled(all(), devices.iter().rev())));
        for (n, kpi) in KPIS.iter().enumerate() {
            let single = pooled(vec![kpi], devices.iter());
            let same: Vec<Figure> = whole.iter().skip(n).step_by(KPIS.len()).copied().collect();
            prop_assert_eq!(single, same, "{}", kpi.name);
        }
    }

    #[test]
    fn counts_and_times_add_up_and_percentiles_are_those_of_all_responses(devices in vec(device(), 1..6)) {
        let whole = pooled(all(), devices.iter());
        let each: Vec<Vec<Figure>> = devices.iter().map(told).collect();
        for (n, figure) in whole.iter().enumerate() {
            let kpi = &KPIS[n % KPIS.len()];
            let of_devices = each.iter().map(|figures| figures[n]);
            match (kpi.sql_type, *figure) {
                (Type::Time, Figure::Time(Some(sum))) => {
                    let times = of_devices.map(|f| if let Figure::Time(Some(time)) = f { time } else { panic!("{f:?}") });
                    prop_assert_eq!(sum, times.sum::<i64>(), "{}", kpi.name);
                }
                (Type::Count, Figure::Count(sum)) if kpi.name != "live" => {
                    let counts = of_devices.map(|f| if let Figure::Count(count) = f { count } else { panic!("{f:?}") });
                    prop_assert_eq!(sum, counts.sum::<u64>(), "{}", kpi.name);
                }
                _ => {}
            }
        }
        for (slot, window) in windows(&EDGES).into_iter().enumerate() {
            let mut responses = ResponseSketch::default();
            for device in &devices {
                device.report(slot, window).responses().map_or(Ok(()), |r| responses.merge(r)).unwrap();
            }
            let at = slot * KPIS.len() + KPIS.iter().position(|kpi| kpi.name == "response_p95").unwrap();
            prop_assert_eq!(whole[at], Figure::Float(responses.percentile(0.95).unwrap()));
        }
    }

    #[test]
    fn at_the_ends_of_time_there_is_a_sum_or_a_clear_error(start in instant(), length in duration(), devices in 1..9usize) {
        let Ok(window) = Window::new(start, start.saturating_add(length).min(LATEST - 1)) else { return Ok(()) };
        let settings = DeviceSettings::new(SECOND, None, None, StatusRules::default()).unwrap();
        let device = Dossier::new(None, StatusTimeline::default(), Exemptions::default(), settings).unwrap();
        let mut pool = Pool::new(all(), 1).unwrap();
        for n in 1..=devices as i64 {
            let fits = window.length().checked_mul(n).is_some();
            let added = pool.add(std::iter::once(device.report(0, window)), None);
            prop_assert_eq!(added.is_ok(), fits, "{:?}", added);
            if !fits {
                return Ok(());
            }
        }
    }
}

#[test]
fn a_device_that_was_required_and_has_no_rate_leaves_the_group_without_one() {
    let settings = DeviceSettings::new(60 * SECOND, None, None, StatusRules::default()).unwrap();
    let device = |bytes: &[f64]| {
        let mut evidence = Evidence::new(&EDGES).unwrap();
        for (at, value) in (1..).zip(bytes) {
            evidence
                .sample(at, MetricRole::Bytes, *value, true, AmountKind::Delta)
                .unwrap();
        }
        Dossier::new(
            Some(evidence),
            StatusTimeline::default(),
            Exemptions::default(),
            settings,
        )
        .unwrap()
    };
    let rate = |devices: &[&Dossier]| {
        let kpi = Kpi::named("bytes_per_second").unwrap();
        pooled(vec![kpi], devices.iter().copied())[0]
    };
    let (some, beyond) = (device(&[2000.0]), device(&[f64::MAX, f64::MAX]));
    assert_eq!(rate(&[]), Figure::Float(None));
    assert_eq!(rate(&[&some, &some]), Figure::Float(Some(20.0)));
    assert_eq!(rate(&[&some, &beyond]), Figure::Float(None));
}

#[test]
fn a_class_that_is_given_is_that_at_the_end() {
    let settings = DeviceSettings::new(60 * SECOND, None, None, StatusRules::default()).unwrap();
    let silent = Dossier::new(None, StatusTimeline::default(), Exemptions::default(), settings).unwrap();
    let kpis = ["live", "unknown", "device_availability", "up_time"].map(|name| Kpi::named(name).unwrap());
    let mut pool = Pool::new(kpis.to_vec(), 0).unwrap();
    // Of these nothing else is known: their window has not begun.
    for class in [Class::Up, Class::Down, Class::Unknown, Class::Excluded] {
        pool.add(std::iter::empty(), Some(class)).unwrap();
    }
    let window = Window::new(0, SECOND).unwrap();
    pool.add(std::iter::once(silent.report(0, window)), Some(Class::Up))
        .unwrap();
    let figures: Vec<Figure> = pool.figures().collect::<Result<_, _>>().unwrap();
    let [live, unknown, share, up] = figures[..] else {
        panic!("{figures:?}")
    };
    assert_eq!((live, unknown), (Figure::Count(2), Figure::Count(1)));
    assert_eq!((share, up), (Figure::Float(Some(2.0 / 3.0)), Figure::Time(Some(0))));
    let two = (0..2).map(|n| silent.report(n, window));
    assert!(pool.add(two.collect::<Vec<_>>().into_iter(), None).is_err());
}
