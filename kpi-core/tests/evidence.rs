//! Evidence: gathered in any order and split, over slots, it is the same; and so is what is put together from periods.

#![allow(
    clippy::unwrap_used,
    reason = "in tests, helpers outside a #[test] included, a panic is the message"
)]

mod common;

use common::{deal, near, survives};
use kpi_core::codec::Codec;
use kpi_core::evidence::{Evidence, MetricRole};
use kpi_core::throughput::AmountKind;
use kpi_core::time::SECOND;
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
        prop_oneof![0.0..1000.0f64, select(vec![0.0, 1.0])],
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

#[test]
fn a_sample_on_an_edge_belongs_to_the_slot_that_begins_there() {
    let slots = edges(&[0, 100, 200]);
    let mut evidence = Evidence::new(&slots).unwrap();
    for at in [-1, 0, 100 * SECOND - 1, 100 * SECOND, 200 * SECOND - 1, 200 * SECOND] {
        evidence
            .sample(at, MetricRole::Error, 1.0, true, AmountKind::Delta)
            .unwrap();
    }
    assert_eq!([0, 1].map(|slot| evidence.slot(slot).unwrap().attempts), [2, 2]);
    // Beats are kept wherever they are: those before a slot reach into it.
    assert_eq!(evidence.beats.to_vec().len(), 6);
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
