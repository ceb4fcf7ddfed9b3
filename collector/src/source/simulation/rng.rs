//! Dice without a memory: what they show depends on the seed, the device, the purpose and the index alone.
//!
//! So any round of any device can be asked for at any time, in any order, and the answer is always the same.

use std::f64::consts::TAU;

/// What a throw is for: throws for different purposes are independent of each other.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    Character = 1,
    Episode,
    Burst,
    Clock,
    Attempt,
    Delivery,
    Measurement,
    Response,
    Bytes,
    Weather,
    Moisture,
    Air,
}

/// A short sequence of random numbers; SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64, device: u64, purpose: Purpose, index: i64) -> Self {
        let keyed = mix(seed ^ 0x6a09_e667_f3bc_c908) ^ device;
        let aimed = mix(keyed) ^ (purpose as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Dice(mix(aimed) ^ index as u64)
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// In [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// A whole number in [low, high].
    pub(crate) fn whole(&mut self, low: i64, high: i64) -> i64 {
        low + (self.unit() * (high - low + 1) as f64) as i64
    }

    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Standard normal (Box and Muller 1958).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (TAU * self.unit()).cos()
    }

    pub(crate) fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        median * (sigma * self.normal()).exp()
    }

    /// How many events happen when `mean` are expected: Knuth's product for few, the normal approximation for many.
    pub(crate) fn poisson(&mut self, mean: f64) -> f64 {
        if mean > 30.0 {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0);
        }
        let floor = (-mean).exp();
        let (mut events, mut product) = (0.0, self.unit());
        while product > floor {
            events += 1.0;
            product *= self.unit();
        }
        events
    }
}

/// A smooth random curve in [-1, 1] through one random value at every whole `x`.
pub(crate) fn curve(seed: u64, device: u64, purpose: Purpose, x: f64) -> f64 {
    let left = x.floor();
    let at = |index: f64| Dice::new(seed, device, purpose, index as i64).between(-1.0, 1.0);
    let way = x - left;
    let eased = way * way * (3.0 - 2.0 * way);
    at(left) + (at(left + 1.0) - at(left)) * eased
}

/// A number that stands for a name (FNV-1a), so that a device's data do not depend on its number in the fleet.
pub(crate) fn key(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throws_are_repeatable_and_differ_by_every_key() {
        let first = |seed, device, purpose, index| Dice::new(seed, device, purpose, index).bits();
        let base = first(1, 2, Purpose::Clock, 3);
        assert_eq!(base, first(1, 2, Purpose::Clock, 3));
        for other in [
            first(2, 2, Purpose::Clock, 3),
            first(1, 3, Purpose::Clock, 3),
            first(1, 2, Purpose::Bytes, 3),
            first(1, 2, Purpose::Clock, 4),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn moments_are_what_they_should_be() {
        let mut dice = Dice::new(7, 7, Purpose::Measurement, 0);
        let mean = |throw: &mut dyn FnMut() -> f64| (0..20_000).map(|_| throw()).sum::<f64>() / 20_000.0;
        assert!((mean(&mut || dice.unit()) - 0.5).abs() < 0.01);
        assert!(mean(&mut || dice.normal()).abs() < 0.03);
        assert!((mean(&mut || dice.poisson(3.0)) - 3.0).abs() < 0.1);
        assert!((mean(&mut || dice.poisson(80.0)) - 80.0).abs() < 1.0);
        assert!((0..1000).all(|_| (3..=5).contains(&dice.whole(3, 5))));
    }

    #[test]
    fn a_curve_has_no_jumps() {
        let at = |x: f64| curve(1, 1, Purpose::Weather, x);
        assert!((0..5000).all(|i| (at(f64::from(i) * 0.001) - at(f64::from(i + 1) * 0.001)).abs() < 0.01));
    }
}
