//! A camera over a car park: vehicles, the frame rate it manages, and the video it sends.

use super::rng::Dice;
use super::time_of_day::{Moment, traffic};

/// How many in a round of `minutes`.
pub(super) fn vehicles(moment: Moment, minutes: f64, dice: &mut Dice) -> f64 {
    dice.poisson((0.05 + 9.0 * traffic(moment)) * minutes)
}

/// Frames a second: a struggling camera drops them.
pub(super) fn frame_rate(strain: f64, dice: &mut Dice) -> f64 {
    (25.0 - 14.0 * strain - 0.6 * dice.normal().abs()).max(1.0)
}

/// Bytes of video in a round of `minutes`: pictures in which things move compress badly.
pub(super) fn video(vehicles: f64, frame_rate: f64, minutes: f64) -> f64 {
    minutes * 60.0 * frame_rate * 900.0 + vehicles * 85_000.0
}
