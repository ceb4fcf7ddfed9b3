//! Throughput: amounts and counters in any order and split.

#![allow(
    clippy::unwrap_used,
    reason = "in tests, helpers outside a #[test] included, a panic is the message"
)]

mod common;

use std::collections::BTreeMap;

use common::{deal, instant, items, survives};
use kpi_core::codec::Codec;
use kpi_core::throughput::{AmountKind, Throughput};
use proptest::collection::vec;
use proptest::prelude::*;

type Sample = (i64, f64, bool);

fn of<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> Throughput {
    let mut state = Throughput::default();
    for (at, value, counter) in samples {
        let kind = if *counter {
            AmountKind::Counter
        } else {
            AmountKind::Delta
        };
        state.add(*at, *value, kind).unwrap();
    }
    state
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn merging_parts_is_the_whole(samples in items((instant(), 0.0..1e9f64, any::<bool>()), 60), deal in deal()) {
        let whole = of(&samples);
        let merged = deal.merged(&samples, |part| of(part.iter().copied()), |a, b| a.merge(b).unwrap());
        prop_assert_eq!(merged.encode(), whole.encode());
        prop_assert_eq!(merged.total().unwrap().to_bits(), whole.total().unwrap().to_bits());
        survives(&whole);
    }

    #[test]
    fn a_counter_adds_its_increases(samples in vec((instant(), (0..1000u32).prop_map(f64::from)), 0..60), amounts in vec(0..1000u32, 0..20)) {
        let mut largest: BTreeMap<i64, f64> = BTreeMap::new();
        for (at, value) in &samples {
            let kept = largest.entry(*at).or_insert(*value);
            *kept = kept.max(*value);
        }
        let values: Vec<f64> = largest.into_values().collect();
        let increase = |pair: &[f64]| if pair[1] >= pair[0] { pair[1] - pair[0] } else { pair[1] };
        let counted: f64 = values.windows(2).map(increase).sum();
        let all: Vec<Sample> = samples.iter().map(|s| (s.0, s.1, true)).chain(amounts.iter().map(|a| (0, f64::from(*a), false))).collect();
        let state = of(&all);
        prop_assert_eq!(state.total().unwrap(), counted + f64::from(amounts.iter().sum::<u32>()));
        prop_assert_eq!(state.resets(), values.windows(2).filter(|pair| pair[1] < pair[0]).count() as u64);
    }
}

#[test]
fn a_counter_near_the_limit_of_floats_does_not_overflow_on_the_way() {
    let rising: Vec<Sample> = [0.0, 1e308, 1.5e308, 1.7e308]
        .iter()
        .zip(0..)
        .map(|(v, i)| (i, *v, true))
        .collect();
    assert_eq!(of(&rising).total().unwrap(), 1.7e308);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut state = Throughput::default();
    for kind in [AmountKind::Delta, AmountKind::Counter] {
        for value in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(state.add(0, value, kind).is_err());
        }
        assert!(state.add(i64::MAX, 1.0, kind).is_err());
    }
    assert!("gauge".parse::<AmountKind>().is_err());
    assert_eq!("counter".parse(), Ok(AmountKind::Counter));
}
