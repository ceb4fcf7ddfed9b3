//! The clock of a silence, judged second by second as it is defined.

#![allow(
    clippy::unwrap_used,
    reason = "in tests, helpers outside a #[test] included, a panic is the message"
)]

use kpi_core::cadence::Expectation;
use kpi_core::classes::{Class, Exemptions, Timeline};
use kpi_core::heartbeats::Heartbeats;
use kpi_core::outages::failures;
use kpi_core::runs::{Runs, judge_beats};
use kpi_core::silence::{Hearing, Silence, class_at};
use kpi_core::spans::Spans;
use kpi_core::time::{Instant, SECOND, Window};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

const SECONDS: i64 = 300;

fn whole() -> Window {
    Window::new(0, SECONDS * SECOND).unwrap()
}

/// Some stretches of whole seconds.
fn stretches() -> impl Strategy<Value = Spans> {
    vec((0..SECONDS, 1..80i64), 0..5).prop_map(|stretches| {
        let spans = stretches
            .into_iter()
            .map(|(start, length)| (start * SECOND, (start + length) * SECOND));
        Spans::union_of(spans.collect())
    })
}

fn exemptions() -> impl Strategy<Value = Exemptions> {
    (stretches(), stretches()).prop_map(|(excluded, unknown)| Exemptions { excluded, unknown })
}

/// Beats at whole seconds.
fn beats() -> impl Strategy<Value = Vec<Instant>> {
    btree_set(0..SECONDS, 0..12).prop_map(|seconds| seconds.into_iter().map(|s| s * SECOND).collect())
}

/// The classes of each second, by a clock that is read each second.
fn by_the_second(beats: &[Instant], liveness: i64, exempt: &Exemptions) -> Vec<Class> {
    // Before the first beat the device has been silent since ever, and all time before the first second was heard.
    let mut clock = i64::MAX;
    let mut last = None;
    (0..SECONDS)
        .map(|s| {
            let now = s * SECOND;
            if beats.contains(&now) {
                (last, clock) = (Some(now), 0);
            }
            let excluded = exempt.excluded.contains(now);
            let unknown = exempt.unknown.contains(now);
            let class = if excluded {
                Class::Excluded
            } else if last.is_some_and(|beat| now < beat + liveness) {
                Class::Up
            } else if unknown || clock < liveness {
                Class::Unknown
            } else {
                Class::Down
            };
            if !excluded && !unknown {
                clock = clock.saturating_add(SECOND);
            }
            class
        })
        .collect()
}

fn seconds_of(timeline: &Timeline) -> Vec<Class> {
    let stretches = timeline.stretches().iter();
    stretches
        .flat_map(|s| std::iter::repeat_n(s.class, ((s.end - s.start) / SECOND) as usize))
        .collect()
}

fn runs_of(beats: &[Instant], liveness: i64) -> Runs {
    let interval = SECOND * 10;
    Runs::of(beats, Expectation { interval, liveness })
}

fn states_of(beats: &[Instant], liveness: i64) -> Heartbeats {
    let mut state = Heartbeats::default();
    beats.iter().for_each(|beat| state.beat(*beat, liveness).unwrap());
    state
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn each_second_is_what_the_clock_says(beats in beats(), liveness in 1..90i64, exempt in exemptions()) {
        let liveness = liveness * SECOND;
        let expected = by_the_second(&beats, liveness, &exempt);
        let judged = runs_of(&beats, liveness).judge(whole(), None, &exempt, &Hearing::of(&exempt)).timeline;
        prop_assert_eq!(seconds_of(&judged), expected.clone());
        prop_assert_eq!(seconds_of(&states_of(&beats, liveness).judge(whole(), &exempt)), expected.clone());
        let last_until = |t: i64| beats[..beats.partition_point(|beat| *beat <= t)].last().copied();
        let one_by_one: Vec<Class> = (0..SECONDS).map(|s| s * SECOND).map(|t| class_at(t, last_until(t), liveness, &exempt)).collect();
        prop_assert_eq!(one_by_one, expected);
    }

    #[test]
    fn no_class_depends_on_where_a_window_begins(beats in beats(), liveness in 1..90i64, exempt in exemptions(), cut in 1..SECONDS) {
        let liveness = liveness * SECOND;
        let cut = cut * SECOND;
        let hearing = Hearing::of(&exempt);
        let all = seconds_of(&runs_of(&beats, liveness).judge(whole(), None, &exempt, &hearing).timeline);
        let (before, after) = beats.split_at(beats.partition_point(|beat| *beat < cut));
        let later = Window::new(cut, whole().end).unwrap();
        let judged = runs_of(after, liveness).judge(later, before.last().copied(), &exempt, &hearing).timeline;
        prop_assert_eq!(&seconds_of(&judged), &all[(cut / SECOND) as usize..]);
    }

    #[test]
    fn a_beat_more_never_lowers_uptime_nor_raises_down_time(beats in beats(), more in 0..SECONDS, liveness in 1..90i64, exempt in exemptions()) {
        let liveness = liveness * SECOND;
        let times = |beats: &[Instant]| runs_of(beats, liveness).judge(whole(), None, &exempt, &Hearing::of(&exempt)).timeline.times();
        let mut with = beats.clone();
        with.push(more * SECOND);
        with.sort_unstable();
        let (without, with) = (times(&beats), times(&with));
        prop_assert!(with.down <= without.down && with.up >= without.up, "{without:?} became {with:?}");
    }

    #[test]
    fn a_longer_liveness_never_lowers_uptime(beats in beats(), liveness in 1..90i64, longer in 0..60i64, exempt in exemptions()) {
        let times = |liveness: i64| runs_of(&beats, liveness * SECOND).judge(whole(), None, &exempt, &Hearing::of(&exempt)).timeline.times();
        let (one, other) = (times(liveness), times(liveness + longer));
        prop_assert!(other.up >= one.up && other.down <= one.down);
    }

    #[test]
    fn an_outage_of_the_collector_makes_nobody_down_that_reports_every_half_liveness(
        start in 20..100i64, length in 1..150i64, liveness in 4..90i64, phase in 0..90i64, delivered in any::<bool>(),
    ) {
        let step = liveness / 2;
        let outage = (start * SECOND, (start + length) * SECOND);
        let lost = |beat: &i64| !delivered && (outage.0..outage.1).contains(beat);
        // From before the window on, so that it is alive at its start.
        let all: Vec<Instant> = (0..).map(|i| (phase % step - liveness + i * step) * SECOND).take_while(|b| *b < whole().end).filter(|b| !lost(b)).collect();
        let unknown = Spans::union_of(vec![outage]);
        let exempt = Exemptions { excluded: Spans::empty(), unknown };
        let expect = Expectation { interval: step * SECOND, liveness: liveness * SECOND };
        let (timeline, consistency) = judge_beats(&all, whole(), expect, &exempt);
        prop_assert_eq!(timeline.times().down, 0);
        prop_assert!(!delivered || timeline.times().unknown == 0);
        prop_assert_eq!(states_of(&all, liveness * SECOND).outages(whole(), &exempt, 0).len(), 0);
        // What was due while the beats before still proved it alive; after that nobody could tell.
        prop_assert!(consistency.missed_beats <= 2);
    }

    #[test]
    fn the_ends_of_time_are_no_trouble(since in proptest::option::of(any::<i64>()), liveness in 1..=i64::MAX, until in any::<i64>(), spans in vec((any::<i64>(), any::<i64>()), 0..6)) {
        let exempt = Exemptions { excluded: Spans::union_of(spans), unknown: Spans::empty() };
        Hearing::of(&exempt).undecided([Silence { since, liveness, until }]);
    }
}

/// A window of seconds and a silence in it, whose classes are told as text: `u`p, `d`own, `?` unknown, `-` excluded.
fn told(beats: &[i64], liveness: i64, exempt: &Exemptions) -> String {
    let beats: Vec<Instant> = beats.iter().map(|s| s * SECOND).collect();
    let classes = seconds_of(
        &runs_of(&beats, liveness * SECOND)
            .judge(whole(), None, exempt, &Hearing::of(exempt))
            .timeline,
    );
    let letter = |class: &Class| match class {
        Class::Up => 'u',
        Class::Down => 'd',
        Class::Unknown => '?',
        Class::Excluded => '-',
    };
    classes.iter().take(20).map(letter).collect()
}

fn seconds(spans: &[(i64, i64)]) -> Spans {
    Spans::union_of(spans.iter().map(|s| (s.0 * SECOND, s.1 * SECOND)).collect())
}

#[test]
fn what_is_left_of_a_liveness_after_maintenance_is_unknown() {
    let excluded = seconds(&[(4, 10)]);
    let exempt = Exemptions {
        excluded,
        unknown: Spans::empty(),
    };
    // Two of five seconds were heard before it: three are left.
    assert_eq!(told(&[0, 2], 5, &exempt), "uuuu------???ddddddd");
    // A beat within them, and there was no outage.
    assert_eq!(told(&[0, 2, 12, 16], 5, &exempt), "uuuu------??uuuuuuuu");
}

#[test]
fn a_beat_that_came_late_makes_unobserved_time_up() {
    let exempt = Exemptions {
        excluded: Spans::empty(),
        unknown: seconds(&[(4, 14)]),
    };
    assert_eq!(told(&[0, 2], 5, &exempt), "uuuuuuu??????????ddd");
    assert_eq!(told(&[0, 2, 6, 10], 5, &exempt), "uuuuuuuuuuuuuuu????d");
}

#[test]
fn one_commissioned_and_never_seen_is_down_after_a_liveness() {
    let exempt = Exemptions {
        excluded: Spans::union_of(vec![(Instant::MIN, 3 * SECOND)]),
        unknown: seconds(&[(5, 7)]),
    };
    assert_eq!(told(&[], 4, &exempt), "---??????ddddddddddd");
    assert_eq!(failures(&states_of(&[], 1).outages(whole(), &exempt, 0)), 0);
}
