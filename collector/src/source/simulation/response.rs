//! How long a device takes to answer: a log-normal body, a Pareto tail that fattens under load and strain.

use super::rng::Dice;
use crate::source::simulation::fleet::Kind;

/// No answer takes longer than this many milliseconds: that would be a failed attempt.
const TIMEOUT: f64 = 10_000.0;

/// Milliseconds; `load` and `strain` in [0, 1].
pub(super) fn time(kind: Kind, load: f64, strain: f64, dice: &mut Dice) -> f64 {
    let idle = match kind {
        Kind::Temperature => 42.0,
        Kind::Humidity => 48.0,
        Kind::Motion => 28.0,
        Kind::AirQuality => 75.0,
        Kind::Camera => 130.0,
    };
    let median = idle * (1.0 + 1.2 * load * load) * (1.0 + 4.0 * strain);
    let body = dice.log_normal(median, 0.28 + 0.15 * load);
    let tail = if dice.chance(0.02 + 0.05 * load + 0.1 * strain) {
        // Pareto with exponent 1.3: the mean exists, the variance does not.
        (1.0 - dice.unit()).powf(-1.0 / 1.3)
    } else {
        1.0
    };
    (body * tail).min(TIMEOUT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::simulation::rng::Purpose;

    fn percentile(load: f64, strain: f64, q: f64) -> f64 {
        let mut dice = Dice::new(5, 5, Purpose::Response, 0);
        let mut times: Vec<f64> = (0..10_000)
            .map(|_| time(Kind::AirQuality, load, strain, &mut dice))
            .collect();
        times.sort_by(f64::total_cmp);
        times[(q * 9_999.0) as usize]
    }

    #[test]
    fn the_tail_is_long_and_rises_under_load() {
        assert!(percentile(0.0, 0.0, 0.999) > 3.0 * percentile(0.0, 0.0, 0.5));
        assert!(percentile(1.0, 0.0, 0.99) > 2.0 * percentile(0.0, 0.0, 0.99));
        assert!(percentile(0.0, 1.0, 0.5) > 3.0 * percentile(0.0, 0.0, 0.5));
        assert!(percentile(1.0, 1.0, 1.0) <= TIMEOUT);
    }
}
