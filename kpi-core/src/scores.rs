//! What is unusual: scores, control charts.

use crate::error::{KpiError, Result};

/// Makes the median absolute deviation comparable to a standard deviation (Iglewicz and Hoaglin 1993).
const MAD_SCALE: f64 = 0.6745;
/// The same for the mean absolute deviation.
const MEAN_DEVIATION_SCALE: f64 = 1.2533;

/// How far a value lies from the median, in robust standard deviations: `0.6745 (x − median)/MAD`; with a MAD of zero
/// `(x − median)/(1.2533 · mean absolute deviation)`; none where that is zero too.
pub fn modified_z_score(value: f64, median: f64, mad: f64, mean_deviation: f64) -> Result<Option<f64>> {
    for (name, number) in [("value", value), ("median", median)] {
        check_finite(name, number)?;
    }
    for (name, spread) in [("mad", mad), ("mean_deviation", mean_deviation)] {
        check_spread(name, spread)?;
    }
    let distance = value - median;
    Ok(match (mad > 0.0, mean_deviation > 0.0) {
        (true, _) => Some(MAD_SCALE * distance / mad),
        (false, true) => Some(distance / (MEAN_DEVIATION_SCALE * mean_deviation)),
        (false, false) => None,
    })
}

/// The next point of an EWMA chart, `z = λx + (1 − λ)z`, which begins with its first value.
pub fn ewma(previous: Option<f64>, value: f64, lambda: f64) -> Result<f64> {
    check_finite("value", value)?;
    check_lambda(lambda)?;
    Ok(previous.map_or(value, |z| lambda * value + (1.0 - lambda) * z))
}

/// The control limits of an EWMA chart after `n` values: `μ ± Lσ√(λ/(2−λ)·(1−(1−λ)^2n))`.
pub fn ewma_limits(mean: f64, deviation: f64, lambda: f64, width: f64, n: u64) -> Result<(f64, f64)> {
    check_finite("mean", mean)?;
    check_spread("deviation", deviation)?;
    check_lambda(lambda)?;
    check_spread("width", width)?;
    let settled = 1.0 - (1.0 - lambda).powf(2.0 * n as f64);
    let reach = width * deviation * (lambda / (2.0 - lambda) * settled).sqrt();
    Ok((mean - reach, mean + reach))
}

/// The next point of an upper CUSUM chart, `S⁺ = max(0, S⁺ + x − μ − k)`, which begins at zero.
pub fn cusum(previous: Option<f64>, value: f64, mean: f64, slack: f64) -> Result<f64> {
    check_finite("value", value)?;
    check_finite("mean", mean)?;
    check_spread("slack", slack)?;
    Ok((previous.unwrap_or(0.0) + value - mean - slack).max(0.0))
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
