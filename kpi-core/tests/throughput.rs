//! Throughput: amounts and counters in any order and split.

#![allow(
    clippy::unwrap_used,
    reason = "in tests, helpers outside a #[test] included, a panic is the message"
)]

mod common;

use std::collections::BTreeMap;

use common::{deal, instant, items, sealed, survives, varint};
use kpi_core::codec::Codec;
use kpi_core::throughput::{AmountKind, Throughput};
use kpi_core::time::{SECOND, Window};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

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

/// Whole, with up to three decimals, with as many as there are, and at the ends of floats.
fn amount() -> impl Strategy<Value = f64> {
    prop_oneof![
        3 => (0..1_000_000u32).prop_map(f64::from),
        2 => (0..1_000_000u32).prop_map(|n| f64::from(n) / 1000.0),
        2 => 0.0..1e9f64,
        1 => select(vec![0.0, -0.0, 5e-324, f64::MIN_POSITIVE, 1e300, 1.797e308, f64::MAX, 9_007_199_254_740_992.0]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn merging_parts_is_the_whole(samples in items((instant(), amount(), any::<bool>()), 60), deal in deal()) {
        let whole = of(&samples);
        let merged = deal.merged(&samples, |part| of(part.iter().copied()), |a, b| a.merge(b).unwrap());
        prop_assert_eq!(merged.encode(), whole.encode());
        prop_assert_eq!(merged.total().map(f64::to_bits), whole.total().map(f64::to_bits));
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
        prop_assert_eq!(state.total(), Some(counted + f64::from(amounts.iter().sum::<u32>())));
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
    assert_eq!(of(&rising).total(), Some(1.7e308));
}

#[test]
fn an_amount_beyond_the_largest_float_is_none_and_takes_nothing_with_it() {
    let window = Window::new(0, 10 * SECOND).unwrap();
    let beyond = of(&[(0, f64::MAX, false), (1, f64::MAX, false)]);
    assert_eq!((beyond.total(), beyond.rate(window), beyond.resets()), (None, None, 0));
    survives(&beyond);
    // A counter that was reset near the end of floats, twice.
    let resets = of(&[(0, f64::MAX, true), (1, 1e308, true), (2, 9e307, true)]);
    assert_eq!((resets.total(), resets.resets()), (None, 2));
    survives(&resets);
    // The amount is a float, the amount a second is not.
    let quick = Window::new(0, 1).unwrap();
    assert_eq!(of(&[(0, 1e308, false)]).rate(quick), None);
}

#[test]
fn regular_readings_take_a_little() {
    // One a minute, steadily counting, for six days and a half; in order and not.
    let steady: Vec<Sample> = (0..9231).map(|i| (i * 60 * SECOND, 512.0 * i as f64, true)).collect();
    let decimals: Vec<Sample> = (0..9231).map(|i| (i * 60 * SECOND, 0.125 * i as f64, true)).collect();
    let mut shuffled = steady.clone();
    shuffled.sort_by_key(|s| s.0.wrapping_mul(0x9e37_79b9_7f4a_7c15u64 as i64));
    for samples in [&steady, &decimals, &shuffled] {
        let state = of(samples);
        let read = Throughput::decode(&state.encode()).unwrap();
        assert!(state.encode().len() < 1300, "{} bytes", state.encode().len());
        assert!(read.heap_size() < 2048, "{} bytes in memory", read.heap_size());
        assert_eq!(state.total(), Some(samples.iter().map(|s| s.1).fold(0.0, f64::max)));
    }
}

#[test]
fn what_was_written_before_counters_were_compressed_is_read() {
    let samples: Vec<Sample> = (0..50)
        .map(|i| (i * 61 * SECOND + i * i, f64::from(i as u32 % 20) / 3.0, true))
        .collect();
    let mut body = vec![1];
    body.extend(5.5f64.to_le_bytes());
    body.push(50);
    let mut at = 0;
    for (t, value, _) in &samples {
        varint(&mut body, ((t - at) << 1) as u64);
        body.extend(value.to_le_bytes());
        at = *t;
    }
    let read = Throughput::decode(&sealed(b'T', 1, &body)).unwrap();
    let all: Vec<Sample> = samples.into_iter().chain([(0, 5.5, false)]).collect();
    assert_eq!(read.encode(), of(&all).encode());
}

#[test]
fn the_hint_does_not_advise_what_is_already_so() {
    let hint = |kind| Throughput::default().add(0, -1.0, kind).unwrap_err().hint;
    assert!(hint(AmountKind::Delta).contains("use the kind 'counter'"));
    assert!(!hint(AmountKind::Counter).contains("use the kind 'counter'"));
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
