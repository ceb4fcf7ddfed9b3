//! What the property tests share: instants worth trying, and merging in any order.

#![allow(dead_code, reason = "each test uses a part of it")]

pub(crate) mod used;

use kpi_core::codec::Codec;
use kpi_core::time::{Duration, EARLIEST, Instant, LATEST, SECOND, Window};
use proptest::prelude::*;

/// Whole seconds near each other, so that bounds coincide; microseconds; and the ends of time.
pub(crate) fn instant() -> impl Strategy<Value = Instant> {
    prop_oneof![
        6 => (0..600i64).prop_map(|s| s * SECOND),
        3 => (0..15i64).prop_map(|s| s * SECOND),
        3 => 0..600 * SECOND,
        1 => EARLIEST..LATEST,
        1 => (0..5i64).prop_map(|d| EARLIEST + d),
        1 => (1..5i64).prop_map(|d| LATEST - d),
    ]
}

/// Instants and windows of ten minutes, on whole seconds mostly.
pub(crate) fn near() -> impl Strategy<Value = Instant> {
    prop_oneof![3 => (0..600i64).prop_map(|s| s * SECOND), 1 => 0..600 * SECOND]
}

/// Lengths of all sizes.
pub(crate) fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        6 => (1..120i64).prop_map(|s| s * SECOND),
        2 => 1..120 * SECOND,
        1 => 1..=i64::MAX,
        1 => (0..5i64).prop_map(|d| i64::MAX - d),
    ]
}

/// Lengths of up to two minutes.
pub(crate) fn short() -> impl Strategy<Value = Duration> {
    prop_oneof![3 => (1..120i64).prop_map(|s| s * SECOND), 1 => 1..120 * SECOND]
}

/// A window within ten minutes.
pub(crate) fn window() -> impl Strategy<Value = Window> {
    (near(), near()).prop_filter_map("empty", |(a, b)| Window::new(a.min(b), a.max(b)).ok())
}

/// A few spans within ten minutes.
pub(crate) fn spans() -> impl Strategy<Value = kpi_core::spans::Spans> {
    proptest::collection::vec((near(), short()), 0..6).prop_map(|spans| {
        kpi_core::spans::Spans::union_of(
            spans
                .into_iter()
                .map(|(start, length)| (start, start + length))
                .collect(),
        )
    })
}

/// Up to so many items, in order half the time.
pub(crate) fn items<T: Clone + std::fmt::Debug + PartialOrd>(
    item: impl Strategy<Value = T>,
    most: usize,
) -> impl Strategy<Value = Vec<T>> {
    let items = proptest::collection::vec(item, 0..most);
    (items, any::<bool>()).prop_map(|(mut items, in_order)| {
        if in_order {
            items.sort_by(|a, b| a.partial_cmp(b).expect("no NaN"));
        }
        items
    })
}

/// How items are dealt to parts, and in which order the parts are merged.
#[derive(Debug, Clone)]
pub(crate) struct Deal {
    parts: Vec<usize>,
    /// Neighbours stay together, and parts are merged from left to right.
    in_order: bool,
    order: Vec<usize>,
}

/// Any deal.
pub(crate) fn deal() -> impl Strategy<Value = Deal> {
    let parts = proptest::collection::vec(0..6usize, 1..40);
    let order = proptest::collection::vec(0..100usize, 12);
    (parts, any::<bool>(), order).prop_map(|(parts, in_order, order)| Deal { parts, in_order, order })
}

impl Deal {
    /// Builds six parts of the items, some empty, and merges them two at a time, whichever two.
    pub(crate) fn merged<I, S>(&self, items: &[I], build: impl Fn(&[&I]) -> S, merge: impl Fn(&mut S, &S)) -> S {
        let mut parts: Vec<Vec<&I>> = vec![Vec::new(); 6];
        for (i, item) in items.iter().enumerate() {
            let dealt = self.parts[i % self.parts.len()];
            parts[if self.in_order { i * 6 / items.len() } else { dealt }].push(item);
        }
        let mut states: Vec<S> = parts.iter().map(|p| build(p)).collect();
        for turn in 0.. {
            if states.len() == 1 {
                break;
            }
            if self.in_order {
                let next = states.remove(1);
                merge(&mut states[0], &next);
                continue;
            }
            let other = states.swap_remove(self.order[turn * 2 % 12] % states.len());
            let into = self.order[(turn * 2 + 1) % 12] % states.len();
            merge(&mut states[into], &other);
        }
        states.remove(0)
    }
}

/// The state survives its binary and its text form and the way from one process to another, and comes out with the same
/// bits.
pub(crate) fn survives<S: Codec>(state: &S) {
    let bytes = state.encode();
    assert_eq!(S::decode(&bytes).expect("its own form").encode(), bytes);
    assert_eq!(S::from_text(&state.to_text()).expect("its own text").encode(), bytes);
    let taken = S::take_over(&state.hand_over()).expect("what was handed over");
    assert_eq!(taken.encode(), bytes);
    assert_eq!(
        S::take_over(&taken.hand_over()).expect("the same again").encode(),
        bytes
    );
}

/// A binary form of any version, its checksum right.
pub(crate) fn sealed(letter: u8, version: u8, body: &[u8]) -> Vec<u8> {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&[letter, version]);
    crc.update(body);
    let mut bytes = vec![letter, version];
    bytes.extend(crc.finalize().to_le_bytes());
    bytes.extend(body);
    bytes
}

/// Appends seven bits a byte, lowest first.
pub(crate) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
