//! Heartbeats: any order, any split, any duplicates give the same state.

#![allow(
    clippy::unwrap_used,
    reason = "in tests, helpers outside a #[test] included, a panic is the message"
)]

mod common;

use common::{deal, duration, instant, items, near, short, spans, survives, window};
use kpi_core::classes::Exemptions;
use kpi_core::codec::Codec;
use kpi_core::heartbeats::{Heartbeats, default_liveness};
use kpi_core::spans::Spans;
use kpi_core::time::{EARLIEST, LATEST, SECOND, Window};
use proptest::collection::vec;
use proptest::prelude::*;

fn of<'a>(beats: impl IntoIterator<Item = &'a (i64, i64)>) -> Heartbeats {
    let mut state = Heartbeats::default();
    beats.into_iter().for_each(|b| state.beat(b.0, b.1).unwrap());
    state
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn merging_parts_is_the_whole(beats in items((instant(), duration()), 60), deal in deal()) {
        let whole = of(&beats);
        let merged = deal.merged(&beats, |part| of(part.iter().copied()), |a, b| a.merge(b));
        prop_assert_eq!(merged.encode(), whole.encode());
        survives(&whole);
    }

    #[test]
    fn live_time_is_the_union_of_the_intervals(beats in vec((instant(), duration()), 0..60)) {
        let intervals = beats.iter().map(|b| (b.0, b.0.saturating_add(b.1).min(LATEST))).collect();
        let state = of(&beats);
        prop_assert_eq!(state.live_ranges(), Spans::union_of(intervals));
        prop_assert_eq!(state.last_beat(), beats.iter().map(|b| b.0).max());
        prop_assert_eq!(state.beat_count(), beats.len() as u64);
        prop_assert_eq!(Heartbeats::beat_count_of(&state.encode()).unwrap(), beats.len() as u64);
    }

    #[test]
    fn reading_changes_nothing(beats in vec((instant(), duration()), 1..60), more in vec((instant(), duration()), 0..60)) {
        let mut read_between = of(&beats);
        read_between.live_ranges();
        read_between.encode();
        more.iter().for_each(|b| read_between.beat(b.0, b.1).unwrap());
        prop_assert_eq!(read_between.encode(), of(beats.iter().chain(&more)).encode());
    }

    #[test]
    fn another_beat_never_lowers_uptime(
        beats in vec((near(), short()), 0..30), more in (near(), short()), window in window(), excluded in spans(), unknown in spans(),
    ) {
        let exempt = Exemptions { excluded, unknown };
        let times = |beats: &[(i64, i64)]| of(beats).times(window, &exempt);
        let with_more = [beats.as_slice(), &[more]].concat();
        prop_assert!(times(&with_more).up >= times(&beats).up);
        // One that proves less than those before it shortens what is left to hear of a silence; so they are alike.
        let alike = |beats: &[(i64, i64)]| times(&beats.iter().map(|beat| (beat.0, more.1)).collect::<Vec<_>>());
        let (before, after) = (alike(&beats), alike(&with_more));
        prop_assert!(after.up >= before.up && after.down <= before.down);
        prop_assert!(after.ratio().is_none_or(|ratio| Some(ratio) >= before.ratio()));
    }

    #[test]
    fn more_liveness_never_lowers_uptime(beats in vec(near(), 0..30), liveness in short(), more in short(), window in window()) {
        let with = |liveness| of(&beats.iter().map(|b| (*b, liveness)).collect::<Vec<_>>()).times(window, &Exemptions::default());
        prop_assert!(with(liveness + more).up >= with(liveness).up);
    }

    #[test]
    fn no_beat_no_window_panics(
        beats in vec((instant(), duration()), 0..20), start in instant(), end in instant(), excluded in vec((instant(), instant()), 0..4),
        unknown in vec((instant(), instant()), 0..4), min_outage in duration(),
    ) {
        let exempt = Exemptions { excluded: Spans::union_of(excluded), unknown: Spans::union_of(unknown) };
        let state = of(&beats);
        if let Ok(window) = Window::new(start, end) {
            let report = state.availability(window, &exempt);
            let times = report.times;
            prop_assert_eq!(times.up + times.down + times.unknown + times.excluded, window.length());
            report.mtbf();
            report.mttr();
            state.outages(window, &exempt, min_outage);
        }
        state.live_at(start);
    }
}

#[test]
fn a_long_shuffled_stream_is_the_ordered_one() {
    // More than may wait, so that they are merged many times on the way.
    let ordered: Vec<(i64, i64)> = (0..20_000).map(|i| (i * 100 * SECOND, 60 * SECOND)).collect();
    let shuffled: Vec<(i64, i64)> = (0..20_000).map(|i| ordered[i * 7919 % 20_000]).collect();
    assert_eq!(of(&shuffled).encode(), of(&ordered).encode());
    assert_eq!(of(ordered.iter().rev()).encode(), of(&ordered).encode());
}

#[test]
fn a_long_shuffled_stream_may_change_its_liveness() {
    let liveness = |i: i64| (1 + i % 3 + i / 7000) * 60 * SECOND;
    let ordered: Vec<(i64, i64)> = (0..20_000).map(|i| (i * 100 * SECOND, liveness(i))).collect();
    let shuffled: Vec<(i64, i64)> = (0..20_000).map(|i| ordered[i * 7919 % 20_000]).collect();
    assert_eq!(of(&shuffled).encode(), of(&ordered).encode());
}

#[test]
fn stretches_of_any_length_survive() {
    let half_word = i64::from(u32::MAX);
    let mut beats = vec![(EARLIEST, 60)];
    for (i, gap) in [1, half_word - 1, half_word, half_word + 1, i64::MAX / 4]
        .into_iter()
        .enumerate()
    {
        // A stretch as long as the gap, then one that begins so long after its end, then one with another liveness.
        let start = beats.last().map_or(0, |b: &(i64, i64)| b.0 + b.1) + gap;
        let alive = (0..=4).map(|k| (start + gap / 4 * k, gap / 4 + 60));
        beats.extend(alive.chain([(start + 2 * gap + 120, 60), (start + 2 * gap + 300, 7 + i as i64)]));
        survives(&of(&beats));
        let shuffled: Vec<(i64, i64)> = (0..beats.len()).map(|k| beats[k * 7919 % beats.len()]).collect();
        assert_eq!(of(&shuffled).encode(), of(&beats).encode());
    }
    assert!(of(&beats).live_ranges().as_slice().len() > 10);
    survives(&of(&[(LATEST - 1, i64::MAX)]));
    survives(&of(&[]));
}

#[test]
fn a_stretch_that_looks_like_the_mark_of_a_long_one_survives() {
    let half_word = i64::from(u32::MAX);
    let start = 60 + half_word;
    let end = start + half_word + 60;
    let state = of(&[
        (0, 60),
        (start, half_word),
        (start + half_word, 60),
        (end + 1, 60),
        (end + 100, 60),
    ]);
    let live = [(0, 60), (start, end), (end + 1, end + 61), (end + 100, end + 160)];
    assert_eq!(state.live_ranges().as_slice(), &live);
    survives(&state);
}

/// Adds beats, each at once where it can be; how many could not.
fn asked(state: &mut Heartbeats, beats: impl Iterator<Item = i64>) -> usize {
    beats
        .filter(|&beat| {
            let before = state.heap_size();
            let at_once = state.go_on(beat, 60);
            if at_once {
                assert_eq!(state.heap_size(), before);
            } else {
                state.beat(beat, 60).unwrap();
            }
            !at_once
        })
        .count()
}

#[test]
fn nearly_every_beat_asks_for_no_memory() {
    let (mut in_order, mut late, mut again) = <(Heartbeats, Heartbeats, Heartbeats)>::default();
    let beats = (0..10_000).map(|i| i * 100);
    let few = 0..100;
    assert!(few.contains(&asked(&mut in_order, beats.clone())));
    assert!(few.contains(&asked(&mut late, beats.clone().rev())));
    let within = (0..10_000).map(|i| i * 37 % 1000);
    assert!(few.contains(&asked(&mut again, [0, 30, 60].into_iter().cycle().take(10_000))));
    assert!(few.contains(&asked(&mut again, (0..1000).chain(within.clone()))));
    late.settle();
    assert_eq!(late.encode(), in_order.encode());
    assert_eq!(in_order.live_ranges().as_slice().len(), 10_000);
    assert_eq!(
        (again.beat_count(), again.live_ranges().as_slice()),
        (21_000, &[(0, 1059)][..])
    );
}

#[test]
fn a_gap_of_exactly_liveness_is_no_gap() {
    assert_eq!(of(&[(0, 60), (60, 60)]).live_ranges().as_slice(), &[(0, 120)]);
    assert_eq!(of(&[(0, 60), (61, 60)]).live_ranges().as_slice(), &[(0, 60), (61, 121)]);
    let many: Vec<(i64, i64)> = (0..20).map(|i| (i * 100, 60)).chain([(1960, 60)]).collect();
    assert_eq!(of(&many).live_ranges().as_slice().last(), Some(&(1900, 2020)));
    assert_eq!(of(&many).encode(), of(many.iter().rev()).encode());
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut alive_to_the_end = Heartbeats::default();
    alive_to_the_end.beat(EARLIEST, 1).unwrap();
    alive_to_the_end.beat(0, i64::MAX).unwrap();
    let mut with_room = of(&[(-400, 60), (-300, 60), (-200, 60), (-100, 60)]);
    assert!(with_room.go_on(0, 60));
    for mut state in [Heartbeats::default(), alive_to_the_end, with_room] {
        refuses_what_makes_no_sense(&mut state);
    }
    assert!(default_liveness(i64::MAX / 3).is_ok());
    assert!(default_liveness(i64::MAX / 3 + 1).is_err());
}

fn refuses_what_makes_no_sense(state: &mut Heartbeats) {
    let before = state.encode();
    for (at, liveness) in [
        (i64::MAX, 1),
        (i64::MIN, 1),
        (EARLIEST - 1, 1),
        (LATEST, 1),
        (0, 0),
        (0, -1),
        (0, i64::MIN),
        (1000, 0),
        (1000, -1),
    ] {
        assert!(state.beat(at, liveness).is_err(), "{at} {liveness}");
    }
    assert_eq!(state.encode(), before);
}

#[test]
fn a_window_longer_than_a_duration_is_refused() {
    assert!(Window::new(EARLIEST, LATEST - 1).is_err());
    assert!(Window::new(EARLIEST, EARLIEST + (i64::MAX)).is_ok());
    assert!(Window::new(1, 1).is_err());
    assert!(Window::new(2, 1).is_err());
}
