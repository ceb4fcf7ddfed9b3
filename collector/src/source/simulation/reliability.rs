//! When a simulated device works, struggles or is away.
//!
//! A device's time is cut into *spells* of equal length. A spell holds at most one episode: a degraded state that ends
//! in an outage, or in several short ones (flapping). Episodes keep clear of a spell's ends, so each round's condition
//! follows from its own spell alone. Error bursts live in shorter spells of the same sort.

use super::rng::{Dice, Purpose};
use crate::source::simulation::fleet::Kind;

/// Rounds in a spell: twelve hours at one round a minute.
const SPELL: f64 = 720.0;
/// Rounds in the spells of error bursts.
const BURST_SPELL: f64 = 90.0;
/// Fewest reports missing in an outage. Liveness is three intervals, so three missing ones are always seen, whatever
/// the clock's jitter, and two are never an outage.
pub(crate) const SHORTEST_OUTAGE: i64 = 3;

/// How reliable one device is.
#[derive(Clone, Debug)]
pub(crate) struct Character {
    seed: u64,
    key: u64,
    /// Chance of an episode in a spell.
    episode: f64,
    /// Share of the episodes that flap.
    flapping: f64,
    /// Chance of an error burst in a burst spell.
    burst: f64,
    /// Chance that an attempt fails on a good day.
    pub(crate) failure: f64,
    /// Chance that a report is delivered late; half of it, that one is delivered twice.
    pub(crate) late: f64,
    spell: i64,
    burst_spell: i64,
    /// Where in its spells the device stands at round 0.
    offset: i64,
}

/// How a device is during a round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Condition {
    /// It reports. `strain` in [0, 1] grows towards a failure, `failure` is the chance that an attempt fails.
    Working {
        strain: f64,
        failure: f64,
        trouble: Trouble,
    },
    /// It reports nothing; the outage's first missed round, and whether the device itself is at fault.
    Away { first: i64, fault: bool },
}

/// What ails a device that reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    None,
    Burst,
    Degraded,
}

impl Character {
    /// `trouble` makes spells shorter, so that as many episodes come in less time; 1 is a normal life.
    pub(crate) fn new(seed: u64, key: u64, kind: Kind, trouble: f64) -> Self {
        let (episode, flapping, burst, failure) = match kind {
            Kind::Temperature => (0.20, 0.05, 0.04, 0.003),
            Kind::Humidity => (0.30, 0.10, 0.05, 0.005),
            Kind::Motion => (0.45, 0.50, 0.08, 0.010),
            Kind::AirQuality => (0.35, 0.15, 0.06, 0.006),
            Kind::Camera => (0.60, 0.25, 0.12, 0.020),
        };
        let mut dice = Dice::new(seed, key, Purpose::Character, 0);
        let mut own = |usual: f64| (usual * dice.log_normal(1.0, 0.4)).min(0.9);
        let (episode, burst, failure, late) = (own(episode), own(burst), own(failure), own(0.008));
        let spell = (SPELL / trouble).max(40.0) as i64;
        let burst_spell = (BURST_SPELL / trouble).max(20.0) as i64;
        let offset = dice.whole(0, spell - 1);
        Character {
            seed,
            key,
            episode,
            flapping,
            burst,
            failure,
            late,
            spell,
            burst_spell,
            offset,
        }
    }

    pub(crate) fn condition(&self, round: i64) -> Condition {
        match self.episode(round) {
            Some(condition) => condition,
            None => self.outside_episodes(round),
        }
    }

    pub(crate) fn is_away(&self, round: i64) -> bool {
        matches!(self.episode(round), Some(Condition::Away { .. }))
    }

    fn outside_episodes(&self, round: i64) -> Condition {
        let (spell, at) = position(round + self.offset, self.burst_spell);
        let mut dice = Dice::new(self.seed, self.key, Purpose::Burst, spell);
        if dice.chance(self.burst) {
            let length = dice.whole(4, self.burst_spell / 5);
            let start = dice.whole(0, self.burst_spell - length);
            if (start..start + length).contains(&at) {
                let failure = dice.between(0.35, 0.7);
                return Condition::Working {
                    strain: 0.3,
                    failure,
                    trouble: Trouble::Burst,
                };
            }
        }
        Condition::Working {
            strain: 0.0,
            failure: self.failure,
            trouble: Trouble::None,
        }
    }

    /// The condition inside an episode; none outside.
    fn episode(&self, round: i64) -> Option<Condition> {
        let (spell, at) = position(round + self.offset, self.spell);
        let mut dice = Dice::new(self.seed, self.key, Purpose::Episode, spell);
        if !dice.chance(self.episode) {
            return None;
        }
        let (twelfth, longest) = (self.spell / 12, self.spell * 3 / 10);
        let mut first = dice.whole(twelfth, self.spell * 55 / 100);
        let lead = dice.whole(2, twelfth - 1);
        let fault = dice.chance(0.25);
        if at < first - lead {
            return None;
        }
        if at < first {
            let strain = (at - (first - lead) + 1) as f64 / lead as f64;
            return Some(degraded(strain));
        }
        let outages = if dice.chance(self.flapping) {
            dice.whole(3, 7)
        } else {
            1
        };
        let end = first + longest;
        for turn in 0..outages {
            let length = if outages > 1 {
                dice.whole(SHORTEST_OUTAGE, 6)
            } else {
                dice.log_normal(12.0, 0.9).clamp(SHORTEST_OUTAGE as f64, longest as f64) as i64
            };
            let pause = dice.whole(2, 5);
            if turn > 0 && first + length > end {
                break;
            }
            if at < first {
                return Some(degraded(0.8));
            }
            if at < first + length {
                return Some(Condition::Away {
                    first: round - (at - first),
                    fault,
                });
            }
            first += length + pause;
        }
        None
    }
}

fn degraded(strain: f64) -> Condition {
    Condition::Working {
        strain,
        failure: 0.1 + 0.35 * strain,
        trouble: Trouble::Degraded,
    }
}

/// The spell that holds a round, and how far into it the round is.
fn position(round: i64, length: i64) -> (i64, i64) {
    (round.div_euclid(length), round.rem_euclid(length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::simulation::fleet::KINDS;

    /// The outages of many devices' lives: first round, length, and the working rounds before it.
    fn outages(trouble: f64) -> Vec<(i64, i64, i64)> {
        let mut found = Vec::new();
        for device in 0..20 {
            let character = Character::new(42, device, KINDS[device as usize % 5], trouble);
            let (mut length, mut working) = (0, 0);
            for round in 1_000_000..1_020_000 {
                match character.condition(round) {
                    Condition::Away { first, .. } => {
                        assert!(
                            first == round - length || first < 1_000_000,
                            "an outage knows its first round"
                        );
                        length += 1;
                    }
                    Condition::Working { strain, failure, .. } => {
                        assert!((0.0..=1.0).contains(&strain) && (0.0..1.0).contains(&failure));
                        if length > 0 {
                            found.push((round - length, length, working));
                            (length, working) = (0, 0);
                        }
                        working += 1;
                    }
                }
            }
        }
        found
    }

    #[test]
    fn every_outage_is_long_enough_to_be_seen_and_stands_alone() {
        for trouble in [0.5, 1.0, 3.0, 20.0] {
            let outages = outages(trouble);
            assert!(outages.len() > 50, "only {} outages", outages.len());
            // A device may be away where the look begins: its first outage is cut short.
            for &(first, length, working) in outages.iter().filter(|o| o.0 > 1_000_000) {
                assert!(length >= SHORTEST_OUTAGE, "outage at {first} misses only {length}");
                assert!(working >= 2, "outages at {first} run together");
            }
        }
    }

    #[test]
    fn trouble_brings_more_outages() {
        assert!(outages(5.0).len() > 3 * outages(1.0).len());
    }

    #[test]
    fn a_failure_is_announced_by_a_degraded_state() {
        let character = Character::new(1, 4, Kind::Camera, 1.0);
        let away = (0..50_000).find(|&round| character.is_away(round + 1) && !character.is_away(round));
        let before = away.map(|round| character.condition(round));
        assert!(
            matches!(
                before,
                Some(Condition::Working {
                    trouble: Trouble::Degraded,
                    ..
                })
            ),
            "{before:?}"
        );
    }
}
