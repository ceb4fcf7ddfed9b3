//! Evidence: gathered in any order and split, over slots, it is the same; and so is what is put together from periods.

#![allow(
    clippy::unwrap_used,
    reason = "in tests, helpers outside a #[test] included, a panic is the message"
)]

mod common;

use common::{deal, duration, instant, near, survives};
use kpi_core::catalogue::KPIS;
use kpi_core::classes::Exemptions;
use kpi_core::codec::Codec;
use kpi_core::evidence::{Evidence, MetricRole};
use kpi_core::report::{DeviceSettings, Dossier};
use kpi_core::status::{StatusRules, StatusTimeline};
use kpi_core::throughput::AmountKind;
use kpi_core::time::{LATEST, SECOND, Window};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

type Sample = (i64, MetricRole, f64, bool);

const ROLES: [MetricRole; 4] = [
    MetricRole::ResponseTime,
    MetricRole::Error,
    MetricRole::Bytes,
    MetricRole::Other,
];

fn sample() -> impl Strategy<Value = Sample> {
    (
        near(),
        select(ROLES.to_vec()),
        prop_oneof![
            4 => 0.0..1000.0f64,
            3 => select(vec![0.0, 1.0]),
            1 => select(vec![-1.0, -0.0, 5e-324, f64::MIN_POSITIVE, 1.797e308, f64::MAX, f64::MIN]),
        ],
        any::<bool>(),
    )
}

fn of<'a>(edges: &[i64], kind: AmountKind, samples: impl IntoIterator<Item = &'a Sample>) -> Evidence {
    let mut evidence = Evidence::new(edges).unwrap();
    for (at, role, value, is_beat) in samples {
        evidence.sample(*at, *role, *value, *is_beat, kind).unwrap();
    }
    evidence
}

fn edges(seconds: &[i64]) -> Vec<i64> {
    seconds.iter().map(|s| s * SECOND).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn merging_parts_is_the_whole(samples in vec(sample(), 0..80), deal in deal(), counter: bool) {
        let kind = if counter { AmountKind::Counter } else { AmountKind::Delta };
        let slots = edges(&[100, 200, 250, 500]);
        let whole = of(&slots, kind, &samples);
        let merged = deal.merged(&samples, |part| of(&slots, kind, part.iter().copied()), |a, b| a.merge(b).unwrap());
        prop_assert_eq!(merged.encode(), whole.encode());
        survives(&whole);
    }

    #[test]
    fn periods_put_together_are_what_rows_give(samples in vec(sample(), 0..80), counter: bool) {
        // Every sample lies inside, and each period in one slot: fine slots calculated, coarse ones asked for.
        let kind = if counter { AmountKind::Counter } else { AmountKind::Delta };
        let fine = of(&edges(&[0, 100, 200, 300, 400, 500, 600]), kind, &samples);
        let coarse = edges(&[0, 200, 600]);
        let mut together = Evidence::new(&coarse).unwrap();
        for part in fine.parts().unwrap() {
            together.absorb(Evidence::decode(&part.encode()).unwrap()).unwrap();
        }
        prop_assert_eq!(together.encode(), of(&coarse, kind, &samples).encode());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn whatever_samples_say_a_report_has_finite_figures_or_none(
        samples in vec(extreme_sample(), 0..60), counter: bool, start in instant(), length in duration(), interval in duration(), target in amount(),
    ) {
        let Ok(window) = Window::new(start, start.saturating_add(length).min(LATEST - 1)) else { return Ok(()) };
        let kind = if counter { AmountKind::Counter } else { AmountKind::Delta };
        let evidence = of(&[window.start, window.end], kind, &samples);
        survives(&evidence);
        let Ok(settings) = DeviceSettings::new(interval, None, Some(target), StatusRules::default()) else { return Ok(()) };
        let dossier = Dossier::new(Some(evidence), StatusTimeline::default(), Exemptions::default(), settings).unwrap();
        let report = dossier.report(0, window);
        for kpi in KPIS {
            let value = kpi.value(&report).unwrap();
            prop_assert!(value.is_none_or(|v| v.is_finite() && v >= 0.0), "{}: {:?}", kpi.name, value);
            let is_ratio = kpi.name.ends_with("uptime") || kpi.name.ends_with("ability") || kpi.name.starts_with("error_rate")
                || ["completeness", "regularity", "stability", "consistency", "apdex"].contains(&kpi.name);
            prop_assert!(!is_ratio || value.is_none_or(|v| v <= 1.0), "{}: {:?}", kpi.name, value);
        }
        // Two devices in one group.
        let mut group = report.responses().cloned().unwrap_or_default();
        group.merge(&group.clone()).unwrap();
        prop_assert!(group.mean().is_none_or(f64::is_finite));
    }
}

/// Any role at any time with any value that a store can hold.
fn extreme_sample() -> impl Strategy<Value = Sample> {
    let value = prop_oneof![2 => amount(), 1 => Just(f64::MIN), 1 => Just(-5e-324), 1 => select(vec![0.0, 1.0])];
    (instant(), select(ROLES.to_vec()), value, any::<bool>())
}

fn amount() -> impl Strategy<Value = f64> {
    select(vec![
        5e-324,
        f64::MIN_POSITIVE,
        1e-300,
        0.001,
        1.0,
        1e300,
        f64::MAX / 2.0,
        1.797e308,
        f64::MAX,
    ])
}

#[test]
fn a_figure_that_cannot_be_said_spoils_no_other() {
    let slots = edges(&[0, 100, 200]);
    let mut evidence = Evidence::new(&slots).unwrap();
    for (at, role, value) in [
        (1, MetricRole::ResponseTime, f64::MAX),
        (2, MetricRole::ResponseTime, f64::MAX),
        (3, MetricRole::Bytes, 100.0),
        (101, MetricRole::ResponseTime, 20.0),
        (102, MetricRole::ResponseTime, -1.0),
        (103, MetricRole::Bytes, -1.0),
        (104, MetricRole::Error, 1.0),
    ] {
        evidence
            .sample(at * SECOND, role, value, true, AmountKind::Delta)
            .unwrap();
    }
    let [first, second] = [0, 1].map(|slot| evidence.slot(slot).unwrap());
    assert_eq!((first.responses.mean(), first.responses.count()), (None, 2));
    assert_eq!((second.responses.mean(), second.responses.count()), (None, 1));
    assert_eq!((first.bytes.total(), second.bytes.total()), (Some(100.0), None));
    assert_eq!((second.attempts, second.failed), (1, 1));
}

#[test]
fn a_sample_on_an_edge_belongs_to_the_slot_that_begins_there() {
    let slots = edges(&[0, 100, 200]);
    let mut evidence = Evidence::new(&slots).unwrap();
    for at in [-1, 0, 100 * SECOND - 1, 100 * SECOND, 200 * SECOND - 1, 200 * SECOND] {
        evidence
            .sample(at, MetricRole::Error, 0.0, true, AmountKind::Delta)
            .unwrap();
    }
    assert_eq!([0, 1].map(|slot| evidence.slot(slot).unwrap().attempts), [2, 2]);
    // Beats are kept wherever they are: those before a slot reach into it.
    assert_eq!(evidence.beats.to_vec().len(), 6);
}

#[test]
fn what_failed_and_a_heartbeat_of_nought_prove_nothing() {
    let mut evidence = Evidence::new(&edges(&[0, 100])).unwrap();
    let samples = [
        (MetricRole::Error, 1.0),
        (MetricRole::Error, 0.0),
        (MetricRole::Heartbeat, 0.0),
        (MetricRole::Heartbeat, -0.0),
        (MetricRole::Heartbeat, 1.0),
        (MetricRole::Other, 0.0),
    ];
    for (at, (role, value)) in (0..).zip(samples) {
        evidence.sample(at, role, value, true, AmountKind::Delta).unwrap();
    }
    assert_eq!(evidence.beats.to_vec(), [1, 4, 5]);
    // It was tried all the same.
    assert_eq!(evidence.slot(0).map(|slot| (slot.attempts, slot.failed)), Some((2, 1)));
}

#[test]
fn slots_must_be_in_order() {
    for wrong in [
        edges(&[]),
        edges(&[1]),
        edges(&[2, 1]),
        edges(&[1, 1]),
        vec![0, i64::MAX],
        vec![i64::MIN, 0],
    ] {
        assert!(Evidence::new(&wrong).is_err(), "{wrong:?}");
    }
    let mut one = Evidence::new(&edges(&[0, 100])).unwrap();
    assert!(one.merge(&Evidence::new(&edges(&[0, 200])).unwrap()).is_err());
    assert!(one.absorb(Evidence::new(&edges(&[50, 150])).unwrap()).is_err());
}
