//! Cadence: beat times in any order and split; completeness, regularity and stability against their definitions.

#![allow(
    clippy::unwrap_used,
    reason = "in tests, helpers outside a #[test] included, a panic is the message"
)]

mod common;

use common::{deal, duration, instant, items, near, short, spans, survives, window};
use kpi_core::cadence::{Cadence, Consistency, Expectation};
use kpi_core::classes::Exemptions;
use kpi_core::codec::Codec;
use kpi_core::runs::judge_beats;
use kpi_core::spans::Spans;
use kpi_core::time::{EARLIEST, LATEST, SECOND, Window};
use kpi_core::times::Times;
use proptest::collection::vec;
use proptest::prelude::*;

fn of<'a>(beats: impl IntoIterator<Item = &'a i64>) -> Cadence {
    let mut state = Cadence::default();
    beats.into_iter().for_each(|b| state.beat(*b).unwrap());
    state
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn merging_parts_is_the_whole(beats in items(instant(), 80), deal in deal()) {
        let whole = of(&beats);
        let merged = deal.merged(&beats, |part| of(part.iter().copied()), |a, b| a.merge(b).unwrap());
        prop_assert_eq!(merged.encode(), whole.encode());
        survives(&whole);
        let mut sorted = beats.clone();
        sorted.sort_unstable();
        sorted.dedup();
        prop_assert_eq!(whole.times.to_vec(), sorted);
    }

    #[test]
    fn ratios_stay_in_bounds(
        beats in vec(near(), 0..40), interval in short(), liveness in short(), window in window(), excluded in spans(), unknown in spans(),
    ) {
        let exempt = Exemptions { excluded, unknown };
        let sorted = of(&beats).times.to_vec();
        let (timeline, judged) = judge_beats(&sorted, window, Expectation { interval, liveness }, &exempt);
        let times = timeline.times();
        prop_assert_eq!(times.up + times.down + times.unknown + times.excluded, window.length());
        for ratio in [judged.completeness, judged.regularity, judged.stability, judged.consistency] {
            prop_assert!(ratio.is_none_or(|r| (0.0..=1.0).contains(&r)), "{ratio:?}");
        }
        prop_assert_eq!(judged.completeness.is_some(), times.eligible() > 0);
    }

    #[test]
    fn no_window_and_no_interval_panics(
        beats in vec(instant(), 0..30), interval in duration(), liveness in duration(), start in instant(), end in instant(),
    ) {
        let sorted = of(&beats).times.to_vec();
        if let Ok(window) = Window::new(start, end) {
            judge_beats(&sorted, window, Expectation { interval, liveness }, &Exemptions::default());
        }
    }
}

/// Judges beats at these seconds, expected every minute and good for three, over ten minutes.
fn judge(seconds: &[i64], exempt: &Exemptions) -> Consistency {
    let beats: Vec<i64> = seconds.iter().map(|s| s * SECOND).collect();
    let expect = Expectation {
        interval: 60 * SECOND,
        liveness: 180 * SECOND,
    };
    judge_beats(&beats, Window::new(0, 600 * SECOND).unwrap(), expect, exempt).1
}

fn close(found: Option<f64>, expected: f64) {
    assert!(
        found.is_some_and(|f| (f - expected).abs() < 1e-12),
        "{found:?}, not {expected}"
    );
}

#[test]
fn clockwork_is_perfect() {
    let judged = judge(&[0, 60, 120, 180, 240, 300, 360, 420, 480, 540], &Exemptions::default());
    for part in [
        judged.completeness,
        judged.regularity,
        judged.stability,
        judged.consistency,
    ] {
        close(part, 1.0);
    }
    close(judged.jitter, 0.0);
    assert_eq!((judged.missed_beats, judged.extra_beats), (0, 0));
}

#[test]
fn a_gap_loses_all_but_its_first_interval() {
    // 300 s without a beat after 180: [240, 480) is lost; down from 360 to 480.
    let judged = judge(&[0, 60, 120, 180, 480, 540], &Exemptions::default());
    close(judged.completeness, 0.6);
    close(judged.stability, 1.0 - 2.0 * 60.0 / 600.0);
    close(judged.consistency, (0.6 * 1.0 * 0.8f64).cbrt());
    assert_eq!(judged.missed_beats, 4);
    // Of what was lost, what is exempt does not count.
    let exempt = Exemptions {
        excluded: Spans::union_of(vec![(240 * SECOND, 340 * SECOND)]),
        unknown: Spans::union_of(vec![(360 * SECOND, 410 * SECOND)]),
    };
    // Of the silence only 150 s could be heard, less than the three minutes of a liveness: nobody can tell after 360 s.
    let judged = judge(&[0, 60, 120, 180, 480, 540], &exempt);
    close(judged.completeness, 1.0 - 20.0 / 380.0);
    // The reports due at 240 and 300 s were not required, and of those due at 360 and 420 s nobody can tell.
    assert_eq!(judged.missed_beats, 0);
}

#[test]
fn the_gap_into_the_window_starts_at_the_carry_in() {
    let from_30 = [30, 90, 150, 210, 270, 330, 390, 450, 510, 570];
    let with = |carry_in: i64| judge(&[&[carry_in], from_30.as_slice()].concat(), &Exemptions::default()).completeness;
    close(judge(&from_30, &Exemptions::default()).completeness, 0.95);
    close(with(-30), 1.0);
    close(with(-59), 1.0);
    // Ninety seconds without a beat: from a minute after the carry-in on, so all of the window until the first beat.
    close(with(-60), 0.95);
    // Too far back to matter.
    close(with(-500), 0.95);
}

#[test]
fn regularity_is_burstiness_negated() {
    // Gaps of 50 and 70 s: μ = 60, σ = 10 with as many of each, r = 1/6, (1 − r)/(1 + r) = 5/7.
    close(
        judge(&[0, 50, 120, 170, 240], &Exemptions::default()).regularity,
        5.0 / 7.0,
    );
    // Two gaps are too few.
    assert_eq!(judge(&[0, 50, 120], &Exemptions::default()).regularity, None);
    // Gaps on the limits: 90 s is late, 15 s is on time, 14 s is neither.
    let judged = judge(&[0, 90, 105, 119, 179, 239], &Exemptions::default());
    assert_eq!(judged.extra_beats, 1);
    assert_eq!(judged.missed_beats, 1);
    // 15, 60, 60: μ = 45, σ = √450.
    let r = 450f64.sqrt() / 45.0;
    close(judged.regularity, (1.0 - r) / (1.0 + r));
    // Only gaps that follow each other directly are compared: 60 and 60.
    close(judged.jitter, 0.0);
}

#[test]
fn a_burst_earns_nothing() {
    let once = judge(&[0], &Exemptions::default());
    let burst = judge(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], &Exemptions::default());
    close(once.completeness, 0.1);
    close(burst.completeness, 1.0 - 531.0 / 600.0);
    assert_eq!(burst.regularity, None);
}

#[test]
fn a_distance_longer_than_an_i64_survives() {
    survives(&of(&[EARLIEST, LATEST - 1]));
    survives(&of(&[LATEST - 1, EARLIEST, 0]));
}

#[test]
fn many_late_instants_are_kept_in_order() {
    let mut times = Times::default();
    (0..50_000i64).for_each(|i| times.insert(i * 7919 % 50_000 * SECOND).unwrap());
    let all = times.to_vec();
    assert_eq!(all.len(), 50_000);
    assert!(all.windows(2).all(|pair| pair[0] < pair[1]));
}

#[test]
fn a_beat_takes_the_bytes_that_are_promised() {
    // A beat a minute: how much later it comes each time, at most, and the bytes it may take.
    let mut random = 1u64;
    for (jitter, unit, bytes) in [(0, 1, 1.0), (2_000, 1000, 2.0), (250_000, 1, 3.0), (30_000_000, 1, 4.0)] {
        let mut beats = Cadence::default();
        for n in 0..10_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let late = if jitter == 0 {
                0
            } else {
                (random >> 33) as i64 % jitter * unit
            };
            beats.beat(n * 60 * SECOND + late).unwrap();
        }
        let size = beats.encode().len() as f64 / 10_000.0;
        assert!(size <= bytes + 0.01, "{size} bytes a beat with a jitter of {jitter}");
    }
}
