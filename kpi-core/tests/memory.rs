//! Memory keeps to what came in: reading a state of a megabyte, from outside and made to take as much as it can, and asking it
//! everything takes no more for each of its bytes than is promised.

#![allow(
    clippy::unwrap_used,
    reason = "in tests, helpers outside a #[test] included, a panic is the message"
)]

mod common;
#[path = "common/counting.rs"]
mod counting;

use common::used::Used;
use common::{sealed, varint};
use counting::{peak, unprobed};
use kpi_core::cadence::Cadence;
use kpi_core::evidence::Evidence;
use kpi_core::heartbeats::Heartbeats;
use kpi_core::response::ResponseSketch;
use kpi_core::status::StatusTimeline;
use kpi_core::throughput::Throughput;

/// About so long are the bodies.
const LENGTH: usize = 1 << 20;
/// What any state may take, however short.
const ANY: usize = 64 * 1024;

fn read<S: Used>(bytes: &[u8]) -> Option<S> {
    unprobed(S::READING * bytes.len(), || S::decode(bytes)).ok()
}

fn check<S: Used>(what: &str, version: u8, body: &[u8], is_read: bool) {
    let bytes = sealed(S::LETTER, version, body);
    assert!(
        bytes.len() > LENGTH / 16,
        "{} {what}: {} bytes are few",
        S::NAME,
        bytes.len()
    );
    let (state, reading) = peak(|| read::<S>(&bytes).inspect(|state| drop(state.encode())));
    assert_eq!(state.is_some(), is_read, "{} {what}", S::NAME);
    let answering = state.map_or(0, |mut state| {
        let other = state.clone();
        peak(|| state.use_it(&other)).1
    });
    println!(
        "{} {what}: for a byte {:.1} bytes to read it, {:.1} to answer",
        S::NAME,
        reading as f64 / bytes.len() as f64,
        answering as f64 / bytes.len() as f64
    );
    assert!(
        reading <= S::READING * bytes.len() + ANY,
        "{} {what}: {reading} bytes for {}",
        S::NAME,
        bytes.len()
    );
    assert!(
        answering <= S::ANSWERING * bytes.len() + ANY,
        "{} {what}: {answering} bytes for {}",
        S::NAME,
        bytes.len()
    );
}

/// Numbers, then as many pieces of a body as there is room for.
fn body(head: impl Fn(u64) -> Vec<u64>, piece: impl Fn(u64) -> Vec<u8>) -> Vec<u8> {
    let mut pieces = Vec::new();
    let mut count = 0;
    while pieces.len() < LENGTH {
        pieces.extend(piece(count));
        count += 1;
    }
    let mut body = Vec::new();
    head(count).into_iter().for_each(|n| varint(&mut body, n));
    body.extend(pieces);
    body
}

fn numbers(numbers: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    numbers.iter().for_each(|n| varint(&mut bytes, *n));
    bytes
}

/// A length and the bytes.
fn counted(bytes: &[u8]) -> Vec<u8> {
    [numbers(&[bytes.len() as u64]), bytes.to_vec()].concat()
}

#[test]
fn heartbeats() {
    // A stretch an outage, each as short as can be, all alike and no two alike.
    check::<Heartbeats>("all alike", 1, &body(|n| vec![n, n], |_| vec![2, 0, 1]), true);
    check::<Heartbeats>(
        "no two alike",
        1,
        &body(|n| vec![n, n], |i| vec![2, 0, 1 + (i % 100) as u8]),
        true,
    );
    check::<Heartbeats>(
        "too many announced",
        1,
        &body(|n| vec![n, 9 * n], |_| vec![2, 0, 1]),
        false,
    );
}

#[test]
fn status_timelines() {
    let bytes_of =
        |times: &[u8], statuses: &[u8], count: u64| [numbers(&[count]), counted(times), counted(statuses)].concat();
    // Distances that change each time, by a microsecond more or less: a byte each; and another status each time.
    let times: Vec<u8> = [5, 5]
        .into_iter()
        .chain((0..LENGTH).map(|i| if i % 2 == 0 { 4 } else { 2 }))
        .collect();
    let count = times.len() as u64;
    let statuses: Vec<u8> = (0..count).map(|i| 8 + (i % 2) as u8).collect();
    check::<StatusTimeline>("uneven and restless", 2, &bytes_of(&times, &statuses, count), true);
    check::<StatusTimeline>("uneven", 2, &bytes_of(&times, &numbers(&[count << 3]), count), true);
    // As many samples as can be said in so many bytes.
    let even: Vec<u8> = [5, 5].into_iter().chain([0, 31].repeat(LENGTH / 2)).collect();
    let count = 2 + 31 * (LENGTH / 2) as u64;
    check::<StatusTimeline>(
        "in equal steps",
        2,
        &bytes_of(&even, &numbers(&[count << 3 | 1]), count),
        true,
    );
    check::<StatusTimeline>(
        "fewer statuses than samples",
        2,
        &bytes_of(&even, &numbers(&[count << 2]), count),
        false,
    );
    check::<StatusTimeline>("one by one", 1, &body(|n| vec![n], |i| vec![2, (i % 5) as u8]), true);
}

#[test]
fn cadences() {
    let uneven = body(
        |n| vec![n, n],
        |i| {
            vec![if i == 0 {
                5
            } else if i % 2 == 0 {
                4
            } else {
                2
            }]
        },
    );
    check::<Cadence>(
        "uneven",
        1,
        &body(|n| vec![n + 2, n + 2, 5, 5], |i| vec![if i % 2 == 0 { 4 } else { 2 }]),
        true,
    );
    check::<Cadence>("even", 1, &body(|n| vec![n + 2, n + 2, 5, 5], |_| vec![1]), true);
    check::<Cadence>("not in order", 1, &uneven, false);
}

/// A sketch of values in as many bins as it has, two bytes a bin, and then as far apart as can be.
fn sketch(bins: u64, apart: u64, version: u8) -> Vec<u8> {
    let extremes = [1e-9f64.to_le_bytes(), f64::MAX.to_le_bytes()].concat();
    let sum = if version == 1 { vec![0] } else { vec![0, 0] };
    let parts = if version == 1 { [extremes, sum] } else { [sum, extremes] };
    let mut body = numbers(&[bins]);
    body.extend(parts.concat());
    body.extend(numbers(&[0, bins, 2071, 1]));
    (1..bins).for_each(|_| body.extend(numbers(&[2 * apart, 1])));
    body
}

#[test]
fn response_sketches() {
    check::<ResponseSketch>("every bin", 1, &sketch(36_500, 1, 1), true);
    check::<ResponseSketch>("every bin, a sum beyond", 2, &sketch(36_500, 1, 2), true);
    check::<ResponseSketch>("more bins than there are", 1, &sketch(40_000, 1, 1), false);
}

#[test]
fn throughputs() {
    let counter = |times: &[u8], kinds: &[u8], thousandths: &[u8], bits: &[u8], count: u64| {
        [
            vec![0, 0],
            numbers(&[count]),
            counted(times),
            counted(kinds),
            counted(thousandths),
            counted(bits),
        ]
        .concat()
    };
    let even: Vec<u8> = [5, 5].into_iter().chain([0, 31].repeat(LENGTH / 2)).collect();
    let count = 2 + 31 * (LENGTH / 2) as u64;
    let kinds = numbers(&[count << 3]);
    check::<Throughput>("in equal steps", 2, &counter(&even, &kinds, &even, &[], count), true);
    check::<Throughput>(
        "readings missing",
        2,
        &counter(&even, &kinds, &even[..LENGTH], &[], count),
        false,
    );
    let uneven: Vec<u8> = [5, 5]
        .into_iter()
        .chain((0..LENGTH).map(|i| if i % 2 == 0 { 4 } else { 2 }))
        .collect();
    let count = uneven.len() as u64;
    check::<Throughput>(
        "uneven",
        2,
        &counter(&uneven, &numbers(&[count << 3]), &uneven, &[], count),
        true,
    );
    let one_by_one = |i: u64| [vec![2], (i as f64 / 3.0).to_le_bytes().to_vec()].concat();
    check::<Throughput>("one by one", 1, &body(|n| vec![0, n], one_by_one), true);
}

#[test]
fn evidence() {
    let slots = |version, piece: &dyn Fn(u64) -> Vec<u8>, runs: &[u8]| {
        let mut slots = Vec::new();
        let mut count = 0u64;
        // An edge is a byte.
        while slots.len() < LENGTH {
            slots.extend(piece(count));
            count += 1;
        }
        let edges = vec![2; count as usize + 1];
        let before = if version < 3 { vec![0, 0] } else { vec![0, 0, 0] };
        [vec![0, 0], numbers(&[count]), edges, before, slots, runs.to_vec()].concat()
    };
    check::<Evidence>("empty slots", 1, &slots(1, &|_| vec![0, 0, 0, 0, 0], &[]), true);
    // What two response times at either end of floats take in a slot: the largest state for its bytes that was known.
    let far_apart = |version| {
        let mut slot = sketch(2, 36_000, version);
        slot.extend(if version == 1 {
            vec![0, 0, 0, 0]
        } else {
            vec![0, 0, 0, 0, 0]
        });
        slot
    };
    check::<Evidence>(
        "slots of two bins far apart",
        1,
        &slots(1, &|_| far_apart(1), &[]),
        true,
    );
    check::<Evidence>(
        "slots of a few bins",
        1,
        &slots(
            1,
            &|i| {
                let mut slot = sketch(2 + i % 30, 1 + i % 60, 1);
                slot.extend([0, 0, 0, 0]);
                slot
            },
            &[],
        ),
        true,
    );
    // A reading of a counter in each.
    let reading = |_| [vec![0, 0, 0, 0, 0], vec![0, 0, 1, 1, 5, 1, 8, 1, 5, 0]].concat();
    check::<Evidence>("slots of one reading", 3, &slots(3, &reading, &[0]), true);
    // Periods of one beat each, with runs.
    let period = |i: u64| [numbers(&[1, 1, 1, 1, 4 * i, 0]), vec![0; 10], vec![0, 0]].concat();
    let runs = body(|n| vec![0, 0, 1, 2, 2, 0, 0, 0, 0, 0, 0, 0, n], period);
    check::<Evidence>("periods with runs", 2, &runs, true);
    let backwards = body(
        |n| vec![0, 0, 1, 2, 2, 0, 0, 0, 0, 0, 0, 0, n],
        |i| period(1_000_000 - i),
    );
    check::<Evidence>("periods with runs, not in order", 2, &backwards, true);
    // Beats, each of them a byte.
    let beats = body(|n| vec![n + 2, n + 2, 5, 5], |i| vec![if i % 2 == 0 { 4 } else { 2 }]);
    check::<Evidence>("beats", 1, &[beats, vec![1, 2, 2, 0, 0, 0, 0, 0, 0, 0]].concat(), true);
}
