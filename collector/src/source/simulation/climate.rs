//! Temperature and humidity: a daily cycle and weather that both share, so they move against each other.

use super::rng::{Dice, Purpose, curve};
use super::time_of_day::{Moment, occupancy};
use std::f64::consts::TAU;

/// Everybody's weather: devices of one fleet stand in one town.
const TOWN: u64 = 0;

/// Degrees Celsius, before a device's own bias and noise.
fn common_temperature(seed: u64, moment: Moment) -> f64 {
    let daily = ((moment.hour_of_day() - 15.0) / 24.0 * TAU).cos();
    21.5 + 2.2 * daily + 1.2 * curve(seed, TOWN, Purpose::Weather, moment.hours() / 6.0) + 0.7 * occupancy(moment)
}

pub(super) fn temperature(seed: u64, key: u64, moment: Moment, dice: &mut Dice) -> f64 {
    common_temperature(seed, moment) + bias(seed, key, 0.8) + 0.05 * dice.normal()
}

/// Per cent: the same water in warmer air is less relative humidity.
pub(super) fn humidity(seed: u64, key: u64, moment: Moment, dice: &mut Dice) -> f64 {
    let dry = 2.4 * (common_temperature(seed, moment) - 21.5);
    let wet = 5.0 * curve(seed, TOWN, Purpose::Moisture, moment.hours() / 9.0);
    (46.0 - dry + wet + bias(seed, key, 3.0) + 0.25 * dice.normal()).clamp(5.0, 98.0)
}

/// What sets a device apart from its neighbours for good.
fn bias(seed: u64, key: u64, spread: f64) -> f64 {
    spread * Dice::new(seed, key, Purpose::Measurement, i64::MIN).between(-1.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_move_together_through_the_day() {
        let at = |hour: i64| Moment::from_micros(hour * 3_600_000_000);
        let mut dice = Dice::new(1, 1, Purpose::Measurement, 0);
        let pairs: Vec<(f64, f64)> = (0..24 * 28)
            .map(|hour| {
                (
                    temperature(1, 1, at(hour), &mut dice),
                    humidity(1, 2, at(hour), &mut dice),
                )
            })
            .collect();
        let count = pairs.len() as f64;
        let (mean_t, mean_h) = (
            pairs.iter().map(|p| p.0).sum::<f64>() / count,
            pairs.iter().map(|p| p.1).sum::<f64>() / count,
        );
        let sum = |f: &dyn Fn(f64, f64) -> f64| pairs.iter().map(|p| f(p.0 - mean_t, p.1 - mean_h)).sum::<f64>();
        let correlation = sum(&|t, h| t * h) / (sum(&|t, _| t * t) * sum(&|_, h| h * h)).sqrt();
        assert!(correlation < -0.6, "correlation {correlation}");
    }
}
