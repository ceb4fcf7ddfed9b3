//! Scores and charts: by hand, and at the ends of floats.

#![allow(
    clippy::unwrap_used,
    reason = "in tests, helpers outside a #[test] included, a panic is the message"
)]

use kpi_core::error::ErrorKind;
use kpi_core::scores::{cusum, ewma, ewma_limits, modified_z_score, unusual};
use proptest::collection::vec;
use proptest::prelude::*;

/// Any finite float, and more often one at an end.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        3 => -1000.0..1000.0f64,
        1 => any::<f64>().prop_filter("finite", |x| x.is_finite()),
        1 => prop_oneof![Just(f64::MAX), Just(f64::MIN), Just(0.0), Just(-0.0), Just(5e-324), Just(f64::MIN_POSITIVE), Just(1.7e308)],
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]

    #[test]
    fn scores_are_finite_or_an_error(value in number(), median in number(), mad in number(), deviation in number()) {
        match modified_z_score(value, median, mad.abs(), deviation.abs()) {
            Ok(score) => prop_assert!(score.is_none_or(f64::is_finite), "{:?}", score),
            Err(error) => prop_assert_eq!(error.kind, ErrorKind::NumberOutOfRange),
        }
    }

    #[test]
    fn charts_are_finite_or_an_error(values in vec(number(), 1..20), mean in number(), slack in number(), lambda in 0.001..=1.0f64, n in 0..100u64) {
        let mut average = None;
        for value in &values {
            average = Some(ewma(average, *value, lambda).unwrap());
            let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(*v), high.max(*v)));
            let slip = 1e-12 * low.abs().max(high.abs());
            prop_assert!(average.is_some_and(|a| a.is_finite() && a / 2.0 >= low / 2.0 - slip && a / 2.0 <= high / 2.0 + slip));
        }
        let mut sum = None;
        for value in &values {
            match cusum(sum, *value, mean, slack.abs()) {
                Ok(next) => {
                    prop_assert!(next.is_finite() && next >= 0.0);
                    sum = Some(next);
                }
                Err(error) => {
                    prop_assert_eq!(error.kind, ErrorKind::NumberOutOfRange);
                    break;
                }
            }
        }
        match ewma_limits(mean, slack.abs(), lambda, 3.0, n) {
            Ok((low, high)) => prop_assert!(low.is_finite() && high.is_finite() && low <= high),
            Err(error) => prop_assert_eq!(error.kind, ErrorKind::NumberOutOfRange),
        }
    }

    #[test]
    fn unusual_values_are_those_whose_score_exceeds(values in vec(-1000.0..1000.0f64, 1..40)) {
        let (median, found) = unusual(&values, 1.0).unwrap().unwrap();
        let middle = |mut numbers: Vec<f64>| {
            numbers.sort_by(f64::total_cmp);
            let (low, high) = (numbers[(numbers.len() - 1) / 2], numbers[numbers.len() / 2]);
            low + 0.5 * (high - low)
        };
        prop_assert_eq!(median, middle(values.clone()));
        let deviations: Vec<f64> = values.iter().map(|v| (v - median).abs()).collect();
        let mean = deviations.iter().sum::<f64>() / deviations.len() as f64;
        let mad = middle(deviations);
        for (index, value) in values.iter().enumerate() {
            let score = modified_z_score(*value, median, mad, mean).unwrap();
            let told = found.iter().find(|u| u.index == index).map(|u| u.score);
            if (score.unwrap_or(0.0).abs() - 1.0).abs() > 1e-9 {
                prop_assert_eq!(told.is_some(), score.is_some_and(|s| s.abs() > 1.0));
            }
            if let (Some(Some(told)), Some(score)) = (told, score) {
                prop_assert!((told / score - 1.0).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn nothing_is_unusual_by_its_size(values in vec(number(), 1..40)) {
        let (median, found) = unusual(&values, 3.5).unwrap().unwrap();
        prop_assert!(median.is_finite());
        prop_assert!(found.iter().all(|u| u.score.is_none_or(|s| s.is_finite() && s.abs() > 3.5)));
        // If any is, so is the one that is farthest away.
        let distance = |v: f64| (v / 4.0 - median / 4.0).abs();
        let farthest = (0..values.len()).max_by(|a, b| distance(values[*a]).total_cmp(&distance(values[*b])));
        prop_assert!(found.is_empty() || found.iter().any(|u| Some(distance(values[u.index])) == farthest.map(|i| distance(values[i]))));
    }
}

#[test]
fn by_hand() {
    assert_eq!(
        modified_z_score(14.0, 10.0, 2.0, 0.0).unwrap(),
        Some(0.6745 * 4.0 / 2.0)
    );
    assert_eq!(
        modified_z_score(14.0, 10.0, 0.0, 2.0).unwrap(),
        Some(4.0 / (1.2533 * 2.0))
    );
    assert_eq!(modified_z_score(14.0, 10.0, 0.0, 0.0).unwrap(), None);
    assert_eq!(cusum(Some(3.0), 5.0, 1.0, 0.5).unwrap(), 6.5);
    assert_eq!(cusum(None, 1.0, 5.0, 0.5).unwrap(), 0.0);
    assert_eq!(ewma(Some(10.0), 20.0, 0.25).unwrap(), 12.5);
    assert_eq!(unusual(&[], 3.5).unwrap(), None);
}

#[test]
fn at_the_ends_of_floats() {
    // The distance is beyond the largest float, the score is not.
    let score = modified_z_score(f64::MAX, -f64::MAX, f64::MAX, 0.0).unwrap().unwrap();
    assert!((score - 2.0 * 0.6745).abs() < 1e-12);
    assert!(modified_z_score(f64::MAX, 0.0, 1e-10, 0.0).is_err());
    // On the way it is beyond the largest float, in the end it is not; and far below zero it is zero.
    assert_eq!(
        cusum(Some(f64::MAX), f64::MAX, f64::MAX, 1e308).unwrap(),
        f64::MAX - 1e308
    );
    assert_eq!(cusum(None, f64::MIN, f64::MAX, f64::MAX).unwrap(), 0.0);
    assert!(cusum(Some(f64::MAX), f64::MAX, 0.0, 0.0).is_err());
    assert!(cusum(Some(f64::INFINITY), 1.0, 0.0, 0.0).is_err());
    // One of many is as far away as can be: it is told, without a score.
    let (median, found) = unusual(&[1.0, 1.0 + 1e-9, 1.0, 1.0 - 1e-9, f64::MAX], 3.5)
        .unwrap()
        .unwrap();
    assert_eq!(median, 1.0);
    assert_eq!(
        found.iter().map(|u| (u.index, u.score)).collect::<Vec<_>>(),
        [(4, None)]
    );
    // Three at the one end and two at the other: the mean deviation is what there is.
    let (median, found) = unusual(&[f64::MAX, f64::MAX, f64::MAX, f64::MIN, f64::MIN], 1.0)
        .unwrap()
        .unwrap();
    assert_eq!(median, f64::MAX);
    assert_eq!(found.len(), 2);
    assert!(
        found
            .iter()
            .all(|u| u.score.is_some_and(|s| (s + 5.0 / 2.0 / 1.2533).abs() < 1e-9)),
        "{found:?}"
    );
}
