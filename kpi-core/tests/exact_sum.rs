//! The exact sum: the correctly rounded total, whatever the order.

#![allow(
    clippy::unwrap_used,
    reason = "in tests, helpers outside a #[test] included, a panic is the message"
)]

mod common;

use common::{deal, items};
use kpi_core::exact_sum::ExactSum;
use proptest::collection::vec;
use proptest::prelude::*;

fn of<'a>(numbers: impl IntoIterator<Item = &'a f64>) -> ExactSum {
    let mut sum = ExactSum::default();
    numbers.into_iter().for_each(|x| sum.add(*x));
    sum
}

fn sum(numbers: &[f64]) -> f64 {
    of(numbers).value().unwrap()
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        2 => -1e6..1e6f64,
        2 => (-300.0..300.0f64, any::<bool>()).prop_map(|(e, minus)| if minus { -(10f64.powf(e)) } else { 10f64.powf(e) }),
        1 => (-1074..1000i32).prop_map(|e| 2f64.powi(e)),
        1 => Just(0.0),
        1 => large(),
    ]
}

/// Near the end of floats, so that two or three are beyond it.
fn large() -> impl Strategy<Value = f64> {
    let size = prop_oneof![
        Just(f64::MAX),
        1e307..f64::MAX,
        (950..1024i32).prop_map(|e| 2f64.powi(e))
    ];
    (size, any::<bool>()).prop_map(|(size, minus)| if minus { -size } else { size })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn any_split_and_order_is_the_whole(numbers in items(number(), 60), deal in deal()) {
        let merged = deal.merged(&numbers, |part| of(part.iter().copied()), |a, b| a.merge(b));
        prop_assert_eq!(merged.value().map(f64::to_bits), of(&numbers).value().map(f64::to_bits));
    }

    #[test]
    fn near_the_end_of_floats_it_is_what_it_is_far_from_it(numbers in items(prop_oneof![2 => large(), 1 => -1e6..1e6f64, 1 => Just(0.0)], 60)) {
        // Divided by 2^200 nothing is lost of any of them, and the sum is far from the end.
        let smaller: Vec<f64> = numbers.iter().map(|x| x * 2f64.powi(-200)).collect();
        let back = sum(&smaller) * 2f64.powi(200);
        prop_assert_eq!(of(&numbers).value(), back.is_finite().then_some(back));
    }

    #[test]
    fn the_way_that_a_sum_is_kept_does_not_show(numbers in vec(number(), 0..40)) {
        // Once a large number came, the sum is kept in another way; it is taken away again.
        let large = [f64::MAX, -f64::MAX];
        let wide = of(large.iter().chain(&numbers));
        prop_assert_eq!(wide.value().map(f64::to_bits), of(&numbers).value().map(f64::to_bits));
    }

    #[test]
    fn whole_numbers_add_up(numbers in vec(-(1i64 << 40)..1 << 40, 0..100)) {
        let floats: Vec<f64> = numbers.iter().map(|n| *n as f64).collect();
        prop_assert_eq!(sum(&floats), numbers.iter().sum::<i64>() as f64);
    }

    #[test]
    fn fractions_of_a_power_of_two_round_as_whole_numbers_do(numbers in vec(-(1i64 << 53)..1 << 53, 0..60), shift in vec(0..60u32, 60)) {
        // n·2^s, added up exactly in 128 bits and rounded once by the conversion, which rounds to nearest, ties to even.
        let scaled: Vec<i128> = numbers.iter().zip(&shift).map(|(n, s)| i128::from(*n) << s).collect();
        let floats: Vec<f64> = scaled.iter().map(|n| *n as f64).collect();
        prop_assert_eq!(sum(&floats), scaled.iter().sum::<i128>() as f64);
    }

    #[test]
    fn what_is_taken_away_again_leaves_nothing(numbers in vec(number(), 0..40)) {
        let back: Vec<f64> = numbers.iter().rev().map(|x| -x).collect();
        prop_assert_eq!(of(numbers.iter().chain(&back)).value(), Some(0.0));
    }
}

#[test]
fn sums_by_hand() {
    assert_eq!(sum(&[]), 0.0);
    assert_eq!(sum(&[0.1; 10]), 1.0);
    assert_eq!(sum(&[1e100, 1.0, -1e100]), 1.0);
    assert_eq!(sum(&[1e16, 1.0, 1.0]), 1e16 + 2.0);
    assert_eq!(sum(&[1e308, -1e308, 5e-324]), 5e-324);
}

#[test]
fn a_tie_is_broken_by_what_is_still_to_come() {
    let half_ulp = 2f64.powi(-53);
    // Alone, a tie goes to the even neighbour.
    assert_eq!(sum(&[1.0, half_ulp]), 1.0);
    assert_eq!(sum(&[1.0 + 2.0 * half_ulp, half_ulp]), 1.0 + 4.0 * half_ulp);
    // The least bit of more or less decides it.
    assert_eq!(sum(&[1.0, half_ulp, 5e-324]), 1.0 + 2.0 * half_ulp);
    assert_eq!(sum(&[1.0 + 2.0 * half_ulp, half_ulp, -5e-324]), 1.0 + 2.0 * half_ulp);
    assert_eq!(sum(&[-1.0, -half_ulp, -5e-324]), -1.0 - 2.0 * half_ulp);
}

#[test]
fn a_sum_beyond_the_largest_float_has_no_value_until_it_is_less() {
    let mut sum = of(&[f64::MAX, f64::MAX]);
    assert_eq!(sum.value(), None);
    sum.add(-f64::MAX);
    assert_eq!(sum.value(), Some(f64::MAX));
    // Half a unit in the last place more is what rounds to no float; the least bit less than that is still the largest.
    let half_ulp = 2f64.powi(970);
    assert_eq!(of(&[f64::MAX, half_ulp]).value(), None);
    assert_eq!(of(&[f64::MAX, half_ulp, -5e-324]).value(), Some(f64::MAX));
    assert_eq!(of(&[-f64::MAX, -half_ulp, 5e-324]).value(), Some(-f64::MAX));
    assert_eq!(of(&[f64::MIN, -1e291]).value(), Some(f64::MIN));
    assert_eq!(of(&vec![f64::MAX; 1_000_000]).value(), None);
}
