//! Shares of failures and what they do to an objective.

use crate::error::{KpiError, Result};
use crate::time::{Duration, check_not_negative};

/// The 97.5th percentile of the normal distribution: 95 % lie within ± this.
const Z_95: f64 = 1.959_963_984_540_054;

/// `failed / attempts`; none without attempts.
pub fn error_rate(failed: u64, attempts: u64) -> Result<Option<f64>> {
    check_counts(failed, attempts)?;
    Ok((attempts > 0).then(|| failed as f64 / attempts as f64))
}

/// The Wilson score interval of `failed / attempts` at 95 % (Wilson 1927); none without attempts.
pub fn wilson_interval(failed: u64, attempts: u64) -> Result<Option<(f64, f64)>> {
    check_counts(failed, attempts)?;
    if attempts == 0 {
        return Ok(None);
    }
    let n = attempts as f64;
    let p = failed as f64 / n;
    let zz = Z_95 * Z_95;
    let centre = p + zz / (2.0 * n);
    let reach = Z_95 * (p * (1.0 - p) / n + zz / (4.0 * n * n)).sqrt();
    let scale = 1.0 + zz / n;
    // At the ends the bound is exactly 0 or 1; rounding would leave it a hair off.
    let low = if failed == 0 { 0.0 } else { (centre - reach) / scale };
    let high = if failed == attempts {
        1.0
    } else {
        (centre + reach) / scale
    };
    Ok(Some((low.clamp(0.0, 1.0), high.clamp(0.0, 1.0))))
}

fn check_counts(failed: u64, attempts: u64) -> Result<()> {
    if failed <= attempts {
        return Ok(());
    }
    Err(KpiError::parameter(
        format!("{failed} failed of {attempts} attempts is not possible"),
        "Give the failed attempts first, then all attempts.",
    ))
}

/// `(1 − uptime)/(1 − objective)`: 1 uses up the budget exactly by the end of the period (Google SRE Workbook, ch. 5).
pub fn burn_rate(uptime: f64, objective: f64) -> Result<f64> {
    Ok((1.0 - check_ratio("uptime", uptime)?) / (1.0 - check_objective(objective)?))
}

/// The down time an objective allows in so much required and observed time, to the microsecond.
pub fn error_budget(objective: f64, eligible: Duration) -> Result<Duration> {
    let eligible = check_not_negative("eligible time", eligible)?;
    Ok(((1.0 - check_objective(objective)?) * eligible as f64).round() as Duration)
}

/// `−log10(1 − availability)`: 0.999 has three nines; none at 1.
pub fn nines(availability: f64) -> Result<Option<f64>> {
    let a = check_ratio("availability", availability)?;
    Ok((a < 1.0).then(|| -(1.0 - a).log10() + 0.0))
}

fn check_ratio(name: &str, value: f64) -> Result<f64> {
    if (0.0..=1.0).contains(&value) {
        return Ok(value);
    }
    Err(KpiError::parameter(
        format!("{name} must be between 0 and 1, not {value}"),
        "Ratios are fractions: write 99.9 % as 0.999.",
    ))
}

fn check_objective(objective: f64) -> Result<f64> {
    if objective > 0.0 && objective < 1.0 {
        return Ok(objective);
    }
    Err(KpiError::parameter(
        format!("objective must be above 0 and below 1, not {objective}"),
        "Write an objective of 99.9 % as 0.999; 100 % leaves no budget to burn.",
    ))
}
