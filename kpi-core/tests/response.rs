//! Response times: merging is exact, percentiles are within the promised error, counts and the mean are exact.

#![allow(
    clippy::unwrap_used,
    reason = "in tests, helpers outside a #[test] included, a panic is the message"
)]

mod common;

use common::{deal, items, survives};
use kpi_core::codec::Codec;
use kpi_core::response::{RELATIVE_ERROR, ResponseSketch};
use proptest::collection::vec;
use proptest::prelude::*;

fn of<'a>(values: impl IntoIterator<Item = &'a f64>) -> ResponseSketch {
    let mut sketch = ResponseSketch::default();
    values.into_iter().for_each(|v| sketch.add(*v).unwrap());
    sketch
}

fn ms() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => 0.1..5000.0f64,
        2 => (0..1000u32).prop_map(f64::from),
        // Any size at all; two of the greatest have a sum that is no float.
        1 => (-323.0..308.0f64).prop_map(|exponent| 10f64.powf(exponent)),
        1 => prop_oneof![Just(0.0), Just(-0.0), Just(5e-324), Just(f64::MIN_POSITIVE), Just(f64::MAX), Just(1.797e308)],
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn merging_parts_is_the_whole(values in items(ms(), 80), deal in deal()) {
        let whole = of(&values);
        let merged = deal.merged(&values, |part| of(part.iter().copied()), |a, b| a.merge(b).unwrap());
        prop_assert_eq!(merged.encode(), whole.encode());
        survives(&whole);
    }

    #[test]
    fn percentiles_are_within_the_error(values in vec(ms(), 1..80), q in 0.0..=1.0f64) {
        let sketch = of(&values);
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        let exact = sorted[(q * (sorted.len() - 1) as f64).floor() as usize];
        let found = sketch.percentile(q).unwrap().unwrap();
        // A nanosecond of a nanosecond is zero.
        prop_assert!((found - exact).abs() <= RELATIVE_ERROR * exact * (1.0 + 1e-9) + 1e-9, "{} is not {}", found, exact);
        prop_assert_eq!(sketch.count(), values.len() as u64);
        prop_assert_eq!(sketch.min(), sorted.first().copied());
        prop_assert_eq!(sketch.max(), sorted.last().copied());
        prop_assert_eq!(sketch.percentile(0.0).unwrap(), sketch.min());
        prop_assert_eq!(sketch.percentile(1.0).unwrap(), sketch.max());
        // The mean of values each below a hundredth of the largest float is there, and lies between them.
        let fits = values.iter().all(|v| *v < f64::MAX / 100.0);
        prop_assert!(sketch.mean().is_some() || !fits);
        if let (Some(mean), Some(lo), Some(hi)) = (sketch.mean(), sketch.min(), sketch.max()) {
            prop_assert!(lo <= mean * (1.0 + 1e-15) + 5e-324 && mean * (1.0 - 1e-15) <= hi);
        }
    }

    #[test]
    fn apdex_is_in_bounds_and_sure_but_for_a_bin(values in vec(0.1..1000.0f64, 0..60), target in 0.5..500.0f64, failed in 0..20u64) {
        let counts = of(&values).apdex_counts(target, failed).unwrap();
        let up_to = |limit: f64| values.iter().filter(|v| **v <= limit).count() as u64;
        let bin = (1.0 + RELATIVE_ERROR) / (1.0 - RELATIVE_ERROR) * (1.0 + 1e-9);
        prop_assert!((up_to(target)..=up_to(target * bin)).contains(&counts.satisfied));
        let tolerated = counts.satisfied + counts.tolerating;
        prop_assert!((up_to(4.0 * target)..=up_to(4.0 * target * bin)).contains(&tolerated));
        prop_assert_eq!(counts.total, values.len() as u64 + failed);
        prop_assert!(counts.score().is_none_or(|s| (0.0..=1.0).contains(&s)));
    }

    #[test]
    fn percentiles_do_not_fall(values in vec(ms(), 1..40), a in 0.0..=1.0f64, b in 0.0..=1.0f64) {
        let sketch = of(&values);
        prop_assert!(sketch.percentile(a.min(b)).unwrap() <= sketch.percentile(a.max(b)).unwrap());
    }
}

#[test]
fn apdex_by_hand() {
    // 1 to 100 ms, target 15: 15 satisfied, 45 tolerated up to 60: (15 + 22.5)/100.
    let hundred = of(&(1..=100).map(f64::from).collect::<Vec<_>>());
    assert_eq!(hundred.apdex_counts(15.0, 0).unwrap().score(), Some(0.375));
    assert_eq!(hundred.apdex_counts(15.0, 100).unwrap().score(), Some(0.1875));
    assert_eq!(hundred.apdex_counts(1000.0, 0).unwrap().score(), Some(1.0));
    assert_eq!(ResponseSketch::default().apdex_counts(15.0, 0).unwrap().score(), None);
    assert_eq!(
        ResponseSketch::default().apdex_counts(15.0, 2).unwrap().score(),
        Some(0.0)
    );
    assert_eq!(hundred.apdex_counts(f64::MAX, 0).unwrap().score(), Some(1.0));
}

#[test]
fn the_bound_holds_at_every_bin_border() {
    // γ^k and its neighbours, over the whole range of response times that anybody may ever measure.
    let gamma = (1.0 + RELATIVE_ERROR) / (1.0 - RELATIVE_ERROR);
    for k in -1000..3000 {
        let border = gamma.powi(k);
        for v in [border.next_down(), border, border.next_up()] {
            // Two others on either side, so that the extremes do not help.
            let found = of(&[v / 10.0, v, v * 10.0]).percentile(0.5).unwrap().unwrap();
            assert!((found / v - 1.0).abs() <= RELATIVE_ERROR * (1.0 + 1e-9), "{v}: {found}");
        }
    }
}

#[test]
fn extremes_are_kept() {
    let sketch = of(&[0.0, f64::MIN_POSITIVE, f64::from_bits(1), 1e-9, f64::MAX]);
    assert_eq!(
        (sketch.min(), sketch.max(), sketch.count()),
        (Some(0.0), Some(f64::MAX), 5)
    );
    assert_eq!(sketch.percentile(1.0).unwrap(), Some(f64::MAX));
    survives(&sketch);
    assert_eq!(of(&[-0.0]).min().map(f64::to_bits), Some(0));
}

#[test]
fn percentiles_0_and_1_are_the_extremes_to_the_bit() {
    for values in [
        &[100.0, 200.0][..],
        &[0.1, 0.2, 0.3],
        &[0.0, 5e-324],
        &[1e-300, 7.0, 1.7e308],
    ] {
        let sketch = of(values);
        assert_eq!(sketch.percentile(0.0).unwrap(), sketch.min());
        assert_eq!(sketch.percentile(1.0).unwrap(), sketch.max());
    }
}

#[test]
fn a_sum_beyond_the_largest_float_leaves_all_but_the_mean() {
    let mut sketch = of(&[1.797e308, 1.797e308, 20.0]);
    assert_eq!((sketch.mean(), sketch.count()), (None, 3));
    assert_eq!((sketch.min(), sketch.max()), (Some(20.0), Some(1.797e308)));
    assert!((sketch.percentile(0.5).unwrap().unwrap() / 1.797e308 - 1.0).abs() <= RELATIVE_ERROR);
    assert_eq!(sketch.apdex_counts(100.0, 1).unwrap().score(), Some(0.25));
    survives(&sketch);
    sketch.merge(&sketch.clone()).unwrap();
    assert_eq!((sketch.mean(), sketch.count()), (None, 6));
    survives(&sketch);
}

#[test]
fn two_values_at_either_end_take_as_little_as_any_two() {
    let sketch = of(&[1e-8, f64::MAX]);
    let read = ResponseSketch::decode(&sketch.encode()).unwrap();
    assert!(
        sketch.heap_size() < 1000 && read.heap_size() < 1000,
        "{} and {} bytes",
        sketch.heap_size(),
        read.heap_size()
    );
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut sketch = ResponseSketch::default();
    for v in [-1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1e-300] {
        assert!(sketch.add(v).is_err(), "{v}");
    }
    for q in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        assert!(sketch.percentile(q).is_err(), "{q}");
    }
    for target in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(sketch.apdex_counts(target, 0).is_err(), "{target}");
    }
    assert_eq!(sketch.percentile(0.5).unwrap(), None);
}
