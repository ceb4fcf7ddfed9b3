//! Shares of failures and what they do to an objective, by hand.

#![allow(
    clippy::unwrap_used,
    reason = "in tests, helpers outside a #[test] included, a panic is the message"
)]

use kpi_core::rates::{burn_rate, error_budget, error_rate, nines, wilson_interval};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn the_wilson_interval_holds_the_rate(attempts in 1..1_000_000u64, share in 0.0..=1.0f64) {
        let failed = (attempts as f64 * share) as u64;
        let rate = error_rate(failed, attempts).unwrap().unwrap();
        let (low, high) = wilson_interval(failed, attempts).unwrap().unwrap();
        prop_assert!(0.0 <= low && low <= rate && rate <= high && high <= 1.0);
        // A mirror image: what does not fail, works.
        let (mirrored_low, mirrored_high) = wilson_interval(attempts - failed, attempts).unwrap().unwrap();
        prop_assert!((low - (1.0 - mirrored_high)).abs() < 1e-12 && (high - (1.0 - mirrored_low)).abs() < 1e-12);
        // Both are roots of (p̂ − p)² = z² p (1 − p)/n.
        let z = 1.959_963_984_540_054_f64;
        for p in [low, high] {
            prop_assert!(((rate - p).powi(2) - z * z * p * (1.0 - p) / attempts as f64).abs() < 1e-12);
        }
    }
}

#[test]
fn wilson_by_hand() {
    // Newcombe 1998, table I, method 3: 81/263, 15/148, 0/20, 1/29.
    for (failed, attempts, low, high) in [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ] {
        let found = wilson_interval(failed, attempts).unwrap().unwrap();
        assert!(
            (found.0 - low).abs() < 5e-5 && (found.1 - high).abs() < 5e-5,
            "{failed}/{attempts}: {found:?}"
        );
    }
    assert_eq!(wilson_interval(0, 0).unwrap(), None);
    assert_eq!(wilson_interval(0, 5).unwrap().unwrap().0, 0.0);
    assert_eq!(wilson_interval(5, 5).unwrap().unwrap().1, 1.0);
    assert!(wilson_interval(6, 5).is_err() && error_rate(6, 5).is_err());
}

#[test]
fn budgets_by_hand() {
    assert!((burn_rate(0.9856, 0.999).unwrap() - 14.4).abs() < 1e-9);
    assert_eq!(error_budget(0.999, 30 * 86_400_000_000).unwrap(), 2_592_000_000);
    assert!((nines(0.999).unwrap().unwrap() - 3.0).abs() < 1e-12);
    assert_eq!(nines(0.0).unwrap().map(f64::to_bits), Some(0));
    assert_eq!(nines(1.0).unwrap(), None);
    for wrong in [f64::NAN, -0.1, 1.1] {
        assert!(nines(wrong).is_err() && burn_rate(wrong, 0.5).is_err());
    }
    for wrong in [f64::NAN, 0.0, 1.0, 1.1] {
        assert!(burn_rate(0.5, wrong).is_err() && error_budget(wrong, 1).is_err());
    }
}
