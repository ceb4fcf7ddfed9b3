//! What is unusual: scores, control charts.

use crate::error::{KpiError, Result};
use crate::exact_sum::ExactSum;
use crate::interrupts::{interruptible, sort_unstable_by};

/// Makes the median absolute deviation comparable to a standard deviation (Iglewicz and Hoaglin 1993).
const MAD_SCALE: f64 = 0.6745;
/// The same for the mean absolute deviation.
const MEAN_DEVIATION_SCALE: f64 = 1.2533;

/// How far a value lies from the median, in robust standard deviations: `0.6745 (x − median)/MAD`; with a MAD of zero
/// `(x − median)/(1.2533 · mean absolute deviation)`; none where that is zero too. A score beyond the largest float is an error.
pub fn modified_z_score(value: f64, median: f64, mad: f64, mean_deviation: f64) -> Result<Option<f64>> {
    for (name, number) in [("value", value), ("median", median)] {
        check_finite(name, number)?;
    }
    for (name, spread) in [("mad", mad), ("mean_deviation", mean_deviation)] {
        check_spread(name, spread)?;
    }
    score(value, median, mad, mean_deviation)
        .map(|score| in_range("score", score))
        .transpose()
}

/// The same of finite numbers; infinite where it is beyond the largest float.
fn score(value: f64, median: f64, mad: f64, mean_deviation: f64) -> Option<f64> {
    let scaled = |by: f64| {
        let distance = value * by - median * by;
        match (mad > 0.0, mean_deviation > 0.0) {
            (true, _) => Some(MAD_SCALE * distance / (mad * by)),
            (false, true) => Some(distance / (MEAN_DEVIATION_SCALE * (mean_deviation * by))),
            (false, false) => None,
        }
    };
    // Near the end of floats the distance may be beyond it, though the score is not.
    let near_the_end = [value, median, mean_deviation].iter().any(|x| x.abs() > f64::MAX / 4.0);
    scaled(if near_the_end { 0.25 } else { 1.0 })
}

/// A value that is far from the others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Unusual {
    /// Which of the values it is.
    pub index: usize,
    /// Its modified z-score; none where that is beyond the largest float.
    pub score: Option<f64>,
}

/// The values whose modified z-score among all of them exceeds the cut-off, and their median; none of no values.
pub fn unusual(values: &[f64], cut_off: f64) -> Result<Option<(f64, Vec<Unusual>)>> {
    interruptible(values).try_for_each(|v| check_finite("value", *v).map(drop))?;
    if cut_off.is_nan() || cut_off <= 0.0 {
        return Err(KpiError::parameter(
            format!("cut_off must be positive, not {cut_off}"),
            "The usual cut-off is 3.5.",
        ));
    }
    let mut sorted = values.to_vec();
    sort_unstable_by(&mut sorted, f64::total_cmp);
    let Some(median) = median_of(&sorted) else {
        return Ok(None);
    };
    // A quarter of any two floats is no further apart than the largest.
    let extremes = [sorted[0], sorted[sorted.len() - 1]];
    let by = if extremes.iter().any(|x| x.abs() > f64::MAX / 4.0) {
        0.25
    } else {
        1.0
    };
    let deviation = |value: f64| (value * by - median * by).abs();
    interruptible(&mut sorted).for_each(|value| *value = deviation(*value));
    sort_unstable_by(&mut sorted, f64::total_cmp);
    let mad = median_of(&sorted).unwrap_or(0.0);
    let mean_deviation = mean_of(&sorted);
    let scores = interruptible(values).map(|value| score(value * by, median * by, mad, mean_deviation));
    let found = scores.enumerate().filter_map(|(index, score)| {
        let score = score.filter(|score| score.abs() > cut_off)?;
        Some(Unusual {
            index,
            score: score.is_finite().then_some(score),
        })
    });
    Ok(Some((median, found.collect())))
}

/// The median of sorted values, between the middle two where they are even in number.
fn median_of(sorted: &[f64]) -> Option<f64> {
    let (low, high) = (*sorted.get(sorted.len().checked_sub(1)? / 2)?, sorted[sorted.len() / 2]);
    let distance = high - low;
    Some(if distance.is_finite() {
        low + 0.5 * distance
    } else {
        low / 2.0 + high / 2.0
    })
}

/// The mean of values, in whatever order.
fn mean_of(values: &[f64]) -> f64 {
    let mut sum = ExactSum::default();
    interruptible(values).for_each(|value| sum.add(*value));
    let count = values.len() as f64;
    // A sum beyond the largest float has a mean all the same.
    sum.value()
        .map_or_else(|| values.iter().map(|v| v / count).sum(), |sum| sum / count)
}

/// The next point of an EWMA chart, `z = λx + (1 − λ)z`, which begins with its first value.
pub fn ewma(previous: Option<f64>, value: f64, lambda: f64) -> Result<f64> {
    check_finite("value", value)?;
    check_lambda(lambda)?;
    let Some(z) = previous.map(|z| check_finite("state", z)).transpose()? else {
        return Ok(value);
    };
    let next = lambda * value + (1.0 - lambda) * z;
    // It lies between both; at the end of floats rounding may lead a hair beyond.
    Ok(if next.is_finite() {
        next
    } else {
        next.clamp(value.min(z), value.max(z))
    })
}

/// The control limits of an EWMA chart after `n` values: `μ ± Lσ√(λ/(2−λ)·(1−(1−λ)^2n))`. Limits beyond the largest float are
/// an error.
pub fn ewma_limits(mean: f64, deviation: f64, lambda: f64, width: f64, n: u64) -> Result<(f64, f64)> {
    check_finite("mean", mean)?;
    check_spread("deviation", deviation)?;
    check_lambda(lambda)?;
    check_spread("width", width)?;
    let settled = 1.0 - (1.0 - lambda).powf(2.0 * n as f64);
    let share = (lambda / (2.0 - lambda) * settled).sqrt();
    let product = width * deviation;
    let reach = if product.is_finite() {
        product * share
    } else {
        width * (deviation * share)
    };
    Ok((
        in_range("lower limit", mean - reach)?,
        in_range("upper limit", mean + reach)?,
    ))
}

/// The next point of an upper CUSUM chart, `S⁺ = max(0, S⁺ + x − μ − k)`, which begins at zero. A sum beyond the largest float
/// is an error.
pub fn cusum(previous: Option<f64>, value: f64, mean: f64, slack: f64) -> Result<f64> {
    let previous = check_finite("state", previous.unwrap_or(0.0))?;
    check_finite("value", value)?;
    check_finite("mean", mean)?;
    check_spread("slack", slack)?;
    let next = previous + value - mean - slack;
    if next.is_finite() {
        return Ok(next.max(0.0));
    }
    // On the way it was beyond the largest float; the sum itself need not be.
    let mut sum = ExactSum::default();
    [previous, value, -mean, -slack].iter().for_each(|x| sum.add(*x));
    let is_low = previous / 4.0 + value / 4.0 < mean / 4.0 + slack / 4.0;
    match sum.value() {
        Some(next) => Ok(next.max(0.0)),
        None if is_low => Ok(0.0),
        None => in_range("cumulative sum", f64::INFINITY),
    }
}

fn in_range(name: &str, value: f64) -> Result<f64> {
    if value.is_finite() {
        return Ok(value);
    }
    Err(KpiError::number(
        format!("{name} is out of range for type double precision"),
        "Leave out the values near 1.8e308, or scale all of them.",
    ))
}

fn check_finite(name: &str, value: f64) -> Result<f64> {
    if value.is_finite() {
        return Ok(value);
    }
    Err(KpiError::number(
        format!("{name} must be finite, not {value}"),
        "Leave NaN and infinity out: filter them, or use NULL.",
    ))
}

fn check_spread(name: &str, value: f64) -> Result<f64> {
    if check_finite(name, value)? >= 0.0 {
        return Ok(value);
    }
    Err(KpiError::parameter(
        format!("{name} must not be negative, not {value}"),
        "Give zero or more.",
    ))
}

fn check_lambda(lambda: f64) -> Result<f64> {
    if lambda > 0.0 && lambda <= 1.0 {
        return Ok(lambda);
    }
    Err(KpiError::parameter(
        format!("lambda must be above 0 and at most 1, not {lambda}"),
        "Give the weight of the newest value, such as 0.2.",
    ))
}
