//! Air quality follows the people in the room, with the time it takes to breathe it and to air it out.

use super::rng::{Dice, Purpose, curve};
use super::time_of_day::{Moment, occupancy};

/// Breathed air that is still in the room.
fn used_air(moment: Moment) -> f64 {
    [0.0, 0.5, 1.0, 1.5]
        .iter()
        .map(|&hours| occupancy(moment.earlier(hours)) * 0.25)
        .sum()
}

/// Tasks per million.
pub(super) fn co2(moment: Moment, dice: &mut Dice) -> f64 {
    415.0 + 620.0 * used_air(moment) + 8.0 * dice.normal()
}

/// The air quality index: people and the town's own dust.
pub(super) fn index(seed: u64, key: u64, moment: Moment, dice: &mut Dice) -> f64 {
    let dust = 12.0 * curve(seed, key, Purpose::Air, moment.hours() / 5.0);
    (32.0 + 48.0 * used_air(moment) + dust + 1.5 * dice.normal()).clamp(1.0, 500.0)
}
