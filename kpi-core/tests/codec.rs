//! Binary forms: whatever is truncated, altered, foreign or made up is an error or a state that works, and never a panic.

#![allow(
    clippy::unwrap_used,
    reason = "in tests, helpers outside a #[test] included, a panic is the message"
)]

mod common;

use common::used::{EXPECT, Used};
use kpi_core::cadence::Cadence;
use kpi_core::codec::Codec;
use kpi_core::evidence::{Evidence, MetricRole};
use kpi_core::heartbeats::Heartbeats;
use kpi_core::response::ResponseSketch;
use kpi_core::status::{Status, StatusTimeline};
use kpi_core::throughput::{AmountKind, Throughput};
use kpi_core::time::SECOND;

/// Random numbers that are the same in every run (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }
}

/// A few states of each type.
trait Subject: Used {
    /// Whether each state has one form only, in the newest version. Those with sums of floats are read from any list of terms.
    const ONE_FORM: bool = false;

    fn samples(random: &mut Random) -> Self;
}

impl Subject for Heartbeats {
    const ONE_FORM: bool = true;

    fn samples(random: &mut Random) -> Self {
        let mut state = Self::default();
        for _ in 0..random.below(30) {
            state
                .beat(
                    random.below(1000) as i64 * SECOND,
                    1 + random.below(100) as i64 * SECOND,
                )
                .unwrap();
        }
        state
    }
}

impl Subject for StatusTimeline {
    const ONE_FORM: bool = true;

    fn samples(random: &mut Random) -> Self {
        let mut state = Self::default();
        for _ in 0..random.below(30) {
            state
                .sample(random.below(1000) as i64 * SECOND, Status::ALL[random.below(6)])
                .unwrap();
        }
        state
    }
}

impl Subject for Cadence {
    const ONE_FORM: bool = true;

    fn samples(random: &mut Random) -> Self {
        let mut state = Self::default();
        for _ in 0..random.below(30) {
            state.beat(random.below(1_000_000_000) as i64).unwrap();
        }
        state
    }
}

impl Subject for ResponseSketch {
    fn samples(random: &mut Random) -> Self {
        let mut state = Self::default();
        for _ in 0..random.below(30) {
            state.add(random.below(100_000) as f64 / 7.0).unwrap();
        }
        state
    }
}

impl Subject for Throughput {
    fn samples(random: &mut Random) -> Self {
        let mut state = Self::default();
        for i in 0..random.below(30) {
            let kind = if i % 2 == 0 {
                AmountKind::Counter
            } else {
                AmountKind::Delta
            };
            state
                .add(
                    random.below(1000) as i64 * SECOND,
                    random.below(1000) as f64 / 3.0,
                    kind,
                )
                .unwrap();
        }
        state
    }
}

impl Subject for Evidence {
    fn samples(random: &mut Random) -> Self {
        let mut state = Self::new(&[0, 400 * SECOND, 1000 * SECOND]).unwrap();
        let roles = [
            MetricRole::ResponseTime,
            MetricRole::Error,
            MetricRole::Bytes,
            MetricRole::Other,
        ];
        for i in 0..random.below(30) {
            let kind = if i % 2 == 0 {
                AmountKind::Counter
            } else {
                AmountKind::Delta
            };
            state
                .sample(
                    random.below(1200) as i64 * SECOND - 100 * SECOND,
                    roles[i % 4],
                    1.0,
                    true,
                    kind,
                )
                .unwrap();
        }
        if random.below(2) == 0 {
            return state;
        }
        let mut put_together = Self::new(state.edges()).unwrap();
        for part in state.parts().unwrap() {
            put_together.absorb(part.summary(EXPECT).unwrap()).unwrap();
        }
        put_together
    }
}

/// Makes the checksum right, so that what is behind it is put to the test.
fn seal(bytes: &mut [u8]) {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&bytes[..2]);
    crc.update(&bytes[6..]);
    let sum = crc.finalize().to_le_bytes();
    bytes[2..6].copy_from_slice(&sum);
}

fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    let bits = bytes.len() * 8;
    match random.below(6) {
        0 => {
            let bit = random.below(bits);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        1 => {
            let kept = random.below(bytes.len());
            bytes.truncate(kept);
        }
        2 => bytes.insert(random.below(bytes.len() + 1), random.below(256) as u8),
        3 => drop(bytes.remove(random.below(bytes.len()))),
        4 => {
            // The largest of numbers, and the largest of counts.
            let at = 6.min(bytes.len()) + random.below(bytes.len().saturating_sub(6).max(1));
            let at = at.min(bytes.len());
            let largest: [&[u8]; 2] = [
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
            ];
            let count_follows = 6.min(bytes.len());
            // The first number of most forms is a count.
            let at = if random.below(2) == 0 { count_follows } else { at };
            let end = (at + 1).min(bytes.len());
            bytes.splice(at..end, largest[random.below(2)].iter().copied());
        }
        _ => {
            let at = random.below(bytes.len());
            bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)];
        }
    }
}

fn storm<S: Subject>(tries: usize) {
    let mut random = Random(7);
    let mut read = 0;
    for _ in 0..tries {
        let state = S::samples(&mut random);
        let whole = state.encode();
        let mut bytes = whole.clone();
        for _ in 0..=random.below(3) {
            if !bytes.is_empty() {
                damage(&mut bytes, &mut random);
            }
        }
        assert!(
            bytes == whole || S::decode(&bytes).is_err(),
            "damage to {} was not noticed: {bytes:?}",
            S::NAME
        );
        let mut handed = state.hand_over();
        for _ in 0..=random.below(3) {
            if !handed.is_empty() {
                damage(&mut handed, &mut random);
            }
        }
        // It comes from a process of the same server and has no checksum: it need not be noticed, but may not panic.
        if let Ok(mut taken) = S::take_over(&handed) {
            taken.use_it(&state);
        }
        if bytes.len() >= 6 {
            bytes[0] = S::LETTER;
            bytes[1] = 1 + random.below(S::NEWEST.into()) as u8;
            seal(&mut bytes);
            if let Ok(mut forged) = S::decode(&bytes) {
                read += 1;
                assert!(
                    !S::ONE_FORM || bytes[1] != S::NEWEST || forged.encode() == bytes,
                    "{} has two forms: {bytes:?}",
                    S::NAME
                );
                let again = S::decode(&forged.encode()).expect("what was read is written so that it can be read");
                assert_eq!(again.encode(), forged.encode(), "{}: {bytes:?}", S::NAME);
                forged.use_it(&state);
                let mut mine = state.clone();
                mine.use_it(&forged);
            }
        }
    }
    // Otherwise the storm hits nothing but the checksum.
    assert!(
        read > tries / 100,
        "only {read} of {tries} forgeries of {} were read",
        S::NAME
    );
}

#[test]
fn a_storm_over_heartbeats() {
    storm::<Heartbeats>(100_000);
}

#[test]
fn a_storm_over_status() {
    storm::<StatusTimeline>(100_000);
}

#[test]
fn a_storm_over_cadence() {
    storm::<Cadence>(100_000);
}

#[test]
fn a_storm_over_responses() {
    storm::<ResponseSketch>(100_000);
}

#[test]
fn a_storm_over_throughput() {
    storm::<Throughput>(100_000);
}

#[test]
fn a_storm_over_evidence() {
    storm::<Evidence>(50_000);
}

#[test]
fn noise_is_refused() {
    let mut random = Random(11);
    for _ in 0..200_000 {
        let noise: Vec<u8> = (0..random.below(40)).map(|_| random.below(256) as u8).collect();
        assert!(Heartbeats::decode(&noise).is_err());
        assert!(Evidence::decode(&noise).is_err());
        assert!(ResponseSketch::decode(&noise).is_err());
        let _ = Cadence::from_text(&String::from_utf8_lossy(&noise));
    }
}

#[test]
fn a_foreign_state_is_refused() {
    let mut random = Random(13);
    let heartbeats = Heartbeats::samples(&mut random).encode();
    let cadence = Cadence::samples(&mut random).encode();
    assert!(Heartbeats::decode(&cadence).is_err());
    assert!(Cadence::decode(&heartbeats).is_err());
    assert!(StatusTimeline::decode(&heartbeats).is_err());
    assert!(ResponseSketch::decode(&cadence).is_err());
    assert!(Throughput::decode(&cadence).is_err());
    assert!(Evidence::decode(&heartbeats).is_err());
}

#[test]
fn no_length_reserves_memory_for_nothing() {
    for letter in *b"HSCRTE" {
        let mut bytes = vec![letter, 1, 0, 0, 0, 0];
        bytes.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01].repeat(3));
        seal(&mut bytes);
        assert!(
            Heartbeats::decode(&bytes).is_err()
                && StatusTimeline::decode(&bytes).is_err()
                && Cadence::decode(&bytes).is_err()
        );
        assert!(
            ResponseSketch::decode(&bytes).is_err()
                && Throughput::decode(&bytes).is_err()
                && Evidence::decode(&bytes).is_err()
        );
    }
}
