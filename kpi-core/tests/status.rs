//! Status samples: any order and any split give the same timeline, and each holds until the next.

#![allow(
    clippy::unwrap_used,
    reason = "in tests, helpers outside a #[test] included, a panic is the message"
)]

mod common;

use std::collections::BTreeMap;

use common::{deal, duration, instant, items, near, sealed, short, spans, survives, varint, window};
use kpi_core::classes::{ClassTimes, Exemptions};
use kpi_core::codec::Codec;
use kpi_core::status::{Status, StatusRules, StatusTimeline, overlay};
use kpi_core::time::{LATEST, SECOND, Window};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

fn of<'a>(samples: impl IntoIterator<Item = &'a (i64, Status)>) -> StatusTimeline {
    let mut state = StatusTimeline::default();
    samples.into_iter().for_each(|s| state.sample(s.0, s.1).unwrap());
    state
}

fn status() -> impl Strategy<Value = Status> {
    select(Status::ALL.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn merging_parts_is_the_whole(samples in items((instant(), status()), 60), deal in deal()) {
        let whole = of(&samples);
        let merged = deal.merged(&samples, |part| of(part.iter().copied()), |a, b| a.merge(b).unwrap());
        prop_assert_eq!(merged.encode(), whole.encode());
        let mut at_once = StatusTimeline::default();
        for (at, status) in &samples {
            if !at_once.sample_in_place(*at, *status) {
                at_once.sample(*at, *status).unwrap();
            }
        }
        prop_assert_eq!(at_once.encode(), whole.encode());
        survives(&whole);
    }

    #[test]
    fn the_status_is_that_of_the_last_sample(samples in vec((near(), status()), 0..30), ttl in option::of(short()), at in near()) {
        // Of equal times the worst one counts.
        let mut worst = BTreeMap::new();
        for (t, s) in &samples {
            worst.entry(*t).and_modify(|w: &mut Status| *w = (*w).max(*s)).or_insert(*s);
        }
        let last = worst.range(..=at).next_back().filter(|s| ttl.is_none_or(|ttl| at - s.0 < ttl));
        prop_assert_eq!(of(&samples).history().status_at(at, ttl), last.map_or(Status::Unknown, |s| *s.1));
    }

    #[test]
    fn periods_tile_the_window(samples in vec((near(), status()), 0..30), ttl in option::of(short()), window in window()) {
        let state = of(&samples).history();
        let periods = state.periods(window, ttl);
        prop_assert_eq!(periods[0].start, window.start);
        prop_assert_eq!(periods[periods.len() - 1].end, window.end);
        for pair in periods.windows(2) {
            prop_assert_eq!(pair[0].end, pair[1].start);
            prop_assert_ne!(pair[0].status, pair[1].status);
        }
        for p in &periods {
            prop_assert!(p.start < p.end);
            prop_assert_eq!(p.status, Some(state.status_at(p.start, ttl)));
            prop_assert_eq!(p.status, Some(state.status_at(p.end - 1, ttl)));
        }
        prop_assert_eq!(state.transitions(window, ttl), periods.len() as u64 - 1);
        let total: i64 = Status::ALL.iter().map(|s| state.duration_in(*s, window, ttl)).sum();
        prop_assert_eq!(total, window.length());
    }

    #[test]
    fn classes_add_up_and_keep_their_precedence(
        samples in vec((near(), status()), 0..30), ttl in option::of(short()), degraded_counts_up: bool, window in window(),
        excluded in spans(), unknown in spans(),
    ) {
        let state = of(&samples).history();
        let exempt = Exemptions { excluded, unknown };
        let times = state.times(window, StatusRules { ttl, degraded_counts_up }, &exempt);
        prop_assert_eq!(times.up + times.down + times.unknown + times.excluded, window.length());
        prop_assert!(times.ratio().is_none_or(|r| (0.0..=1.0).contains(&r)));
        // The same, stretch by stretch between all instants at which anything may change.
        let ends = exempt.excluded.as_slice().iter().chain(exempt.unknown.as_slice()).flat_map(|s| [s.0, s.1]);
        let periods = state.periods(window, ttl);
        let mut cuts: Vec<i64> = ends.chain(periods.iter().flat_map(|p| [p.start, p.end])).filter(|t| (window.start..=window.end).contains(t)).collect();
        cuts.sort();
        let mut naive = ClassTimes::default();
        for pair in cuts.windows(2) {
            let length = pair[1] - pair[0];
            let status = state.status_at(pair[0], ttl);
            if exempt.excluded.contains(pair[0]) || status == Status::Maintenance {
                naive.excluded += length;
            } else if exempt.unknown.contains(pair[0]) || status == Status::Unknown {
                naive.unknown += length;
            } else if status == Status::Online || (status == Status::Degraded && degraded_counts_up) {
                naive.up += length;
            } else {
                naive.down += length;
            }
        }
        prop_assert_eq!(times, naive);
        let laid = overlay(&state.periods(window, ttl), window, &exempt);
        prop_assert_eq!(laid.iter().map(|p| p.end - p.start).sum::<i64>(), window.length());
        prop_assert!(laid.windows(2).all(|pair| pair[0].end == pair[1].start && pair[0].status != pair[1].status));
        prop_assert!(laid.iter().all(|p| p.status.is_none() == exempt.excluded.contains(p.start)));
    }

    #[test]
    fn no_window_panics(samples in vec((instant(), status()), 0..20), ttl in option::of(duration()), start in instant(), end in instant()) {
        let timeline = of(&samples);
        let state = timeline.history();
        if let Ok(window) = Window::new(start, end) {
            let times = state.times(window, StatusRules { ttl, degraded_counts_up: true }, &Exemptions::default());
            prop_assert_eq!(times.up + times.down + times.unknown + times.excluded, window.length());
            state.transitions(window, ttl);
        }
        state.status_at(start, ttl);
        prop_assert!((0.0..=100.0).contains(&timeline.flapping()));
    }
}

fn alternating(n: i64) -> StatusTimeline {
    let of_parity = |i| if i % 2 == 0 { Status::Online } else { Status::Offline };
    of(&(0..n).map(|i| (i * SECOND, of_parity(i))).collect::<Vec<_>>())
}

#[test]
fn nearly_every_sample_asks_for_no_memory() {
    let mut state = StatusTimeline::default();
    assert!(!state.sample_in_place(0, Status::Online), "no room yet");
    let asked = (0..10_000).filter(|i| {
        let size = state.heap_size();
        let at_once = state.sample_in_place(*i, Status::Online);
        assert!(!at_once || state.heap_size() == size);
        if !at_once {
            state.sample(*i, Status::Online).unwrap();
        }
        !at_once
    });
    assert!(asked.count() < 100);
    assert_eq!(state.history().transitions(Window::new(0, 10_000).unwrap(), Some(1)), 0);
    assert_eq!(state.history().status_at(10_000, Some(1)), Status::Unknown);
    // What is late, the same again, or no time is left to those who say what is wrong with it.
    let before = state.encode();
    for at in [0, 9_999, i64::MIN, i64::MAX, LATEST] {
        assert!(!state.sample_in_place(at, Status::Error), "{at}");
    }
    assert_eq!(state.encode(), before);
    assert!(state.sample_in_place(10_000, Status::Error));
}

#[test]
fn regular_samples_take_a_little() {
    // One a minute for six days and a half, offline for some of it; in order and not.
    let status = |i: i64| if i % 1000 < 30 { Status::Offline } else { Status::Online };
    let regular: Vec<(i64, Status)> = (0..9231).map(|i| (i * 60 * SECOND, status(i))).collect();
    let mut shuffled = regular.clone();
    shuffled.sort_by_key(|s| s.0.wrapping_mul(0x9e37_79b9_7f4a_7c15u64 as i64));
    for samples in [&regular, &shuffled] {
        let state = of(samples);
        let read = StatusTimeline::decode(&state.encode()).unwrap();
        assert!(state.encode().len() < 700, "{} bytes", state.encode().len());
        assert!(read.heap_size() < 1024, "{} bytes in memory", read.heap_size());
        let history = read.history();
        assert!(
            samples
                .iter()
                .all(|(at, status)| history.status_at(*at, Some(1)) == *status)
        );
        assert_eq!(history.status_at(59 * SECOND, Some(59 * SECOND)), Status::Unknown);
    }
}

#[test]
fn a_sample_between_two_of_a_run_parts_it() {
    let mut run = of(&(0..1000).map(|i| (i * SECOND, Status::Online)).collect::<Vec<_>>());
    run.merge(&of(&[(500 * SECOND + 1, Status::Error)])).unwrap();
    let history = run.history();
    assert_eq!(history.status_at(500 * SECOND, None), Status::Online);
    assert_eq!(history.status_at(500 * SECOND + 1, None), Status::Error);
    assert_eq!(history.status_at(501 * SECOND, None), Status::Online);
    assert_eq!(history.transitions(Window::new(0, 1000 * SECOND).unwrap(), None), 2);
}

#[test]
fn what_was_written_before_samples_were_compressed_is_read() {
    let samples: Vec<(i64, Status)> = (0..50)
        .map(|i| (i * 61 * SECOND + i * i, Status::ALL[i as usize * 7 % 6]))
        .collect();
    let mut body = vec![50];
    let mut at = 0;
    for (t, status) in &samples {
        varint(&mut body, ((t - at) << 1) as u64);
        body.push(*status as u8);
        at = *t;
    }
    let read = StatusTimeline::decode(&sealed(b'S', 1, &body)).unwrap();
    assert_eq!(read.encode(), of(&samples).encode());
}

#[test]
fn flapping_weighs_as_nagios_does() {
    // Transition i = 0..19 weighs 0.75 + i·0.5/19; together 20, so that all changed is 100 %.
    assert_eq!(alternating(0).flapping().to_bits(), 0.0f64.to_bits());
    assert_eq!(alternating(1).flapping(), 0.0);
    assert!((alternating(21).flapping() - 100.0).abs() < 1e-9);
    assert!((alternating(500).flapping() - 100.0).abs() < 1e-9);
    // The newest transition alone: 1.25 · 5.
    assert!((alternating(2).flapping() - 6.25).abs() < 1e-9);
    // The oldest of twenty alone: 0.75 · 5.
    let mut oldest = vec![(0, Status::Offline)];
    oldest.extend((1..21).map(|i| (i * SECOND, Status::Online)));
    assert!((of(&oldest).flapping() - 3.75).abs() < 1e-9);
}

#[test]
fn flapping_starts_at_30_and_stops_at_20() {
    // Five changes, the newest: 29.93 %. Six: 35.5 %.
    assert!(!alternating(6).is_flapping(false) && alternating(6).is_flapping(true));
    assert!(alternating(7).is_flapping(false));
    // Three changes: 18.4 %.
    assert!(!alternating(4).is_flapping(true));
}
