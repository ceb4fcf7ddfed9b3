//! Movements seen at a door: people who come, go and pass.

use super::rng::Dice;
use super::time_of_day::{Moment, occupancy, traffic};

/// How many in a round of `minutes`.
pub(super) fn movements(moment: Moment, minutes: f64, dice: &mut Dice) -> f64 {
    let a_minute = 0.02 + 4.0 * traffic(moment) + 1.5 * occupancy(moment);
    dice.poisson(a_minute * minutes)
}
