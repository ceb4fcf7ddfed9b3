//! The bounds that every judged window keeps, whatever the beats and exemptions.

#![allow(
    clippy::unwrap_used,
    reason = "in tests, helpers outside a #[test] included, a panic is the message"
)]

mod common;

use common::{near, short, spans, window};
use kpi_core::classes::{Class, Exemptions, Timeline};
use kpi_core::heartbeats::Heartbeats;
use kpi_core::outages::{Availability, failures};
use kpi_core::spans::Spans;
use kpi_core::time::{Duration, Instant, Window};
use proptest::collection::vec;
use proptest::prelude::*;

fn beats() -> impl Strategy<Value = Heartbeats> {
    vec((near(), short()), 0..30).prop_map(|beats| {
        let mut state = Heartbeats::default();
        beats.into_iter().for_each(|b| state.beat(b.0, b.1).unwrap());
        state
    })
}

fn class_at(timeline: &Timeline, at: i64) -> Class {
    let stretches = timeline.stretches();
    stretches[stretches.partition_point(|s| s.end <= at)].class
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn the_four_classes_tile_the_window(beats in beats(), window in window(), excluded in spans(), unknown in spans()) {
        let exempt = Exemptions { excluded, unknown };
        let timeline = beats.judge(window, &exempt);
        let stretches = timeline.stretches();
        prop_assert_eq!(stretches[0].start, window.start);
        prop_assert_eq!(stretches[stretches.len() - 1].end, window.end);
        prop_assert!(stretches.windows(2).all(|pair| pair[0].end == pair[1].start && pair[0].class != pair[1].class));
        let times = timeline.times();
        prop_assert_eq!(times.up + times.down + times.unknown + times.excluded, window.length());
        prop_assert!(times.ratio().is_none_or(|r| (0.0..=1.0).contains(&r)));
        prop_assert_eq!(timeline.eligible().total(), times.eligible());
        for s in stretches {
            let expected = if exempt.excluded.contains(s.start) {
                Class::Excluded
            } else if beats.live_at(s.start) {
                Class::Up
            } else if exempt.unknown.contains(s.start) {
                Class::Unknown
            } else if s.class == Class::Unknown {
                // Some of the silence could not be heard; how much is told by the tests of silences.
                let since = beats.live_ranges().as_slice().iter().rev().find(|live| live.1 <= s.start).map_or(Instant::MIN, |live| live.0);
                prop_assert!(exempt.excluded.overlap(since, s.start) + exempt.unknown.overlap(since, s.start) > 0);
                Class::Unknown
            } else {
                Class::Down
            };
            prop_assert_eq!(s.class, expected);
        }
    }

    #[test]
    fn two_windows_side_by_side_are_one(beats in beats(), window in window(), cut in near(), excluded in spans(), unknown in spans()) {
        let exempt = Exemptions { excluded, unknown };
        if let (Ok(left), Ok(right)) = (Window::new(window.start, cut), Window::new(cut, window.end)) {
            let (one, two, both) = (beats.times(left, &exempt), beats.times(right, &exempt), beats.times(window, &exempt));
            prop_assert_eq!(one.up + two.up, both.up);
            prop_assert_eq!(one.down + two.down, both.down);
            prop_assert_eq!(one.unknown + two.unknown, both.unknown);
            prop_assert_eq!(one.excluded + two.excluded, both.excluded);
            // Without exempt time failures add up too.
            let plain = Exemptions::default();
            let count = |w| failures(&beats.outages(w, &plain, 0));
            prop_assert_eq!(count(left) + count(right), count(window));
        }
    }

    #[test]
    fn maintenance_changes_no_class_outside_it(beats in beats(), window in window(), excluded in spans(), unknown in spans(), more in spans()) {
        let before = beats.judge(window, &Exemptions { excluded: excluded.clone(), unknown: unknown.clone() });
        let all = [excluded.as_slice(), more.as_slice()].concat();
        let after = beats.judge(window, &Exemptions { excluded: Spans::union_of(all), unknown });
        let cuts: Vec<i64> = before.stretches().iter().chain(after.stretches()).map(|s| s.start).collect();
        for at in cuts {
            let expected = if more.contains(at) { Class::Excluded } else { class_at(&before, at) };
            // But that silences take longer to count.
            let is_put_off = expected == Class::Down && class_at(&after, at) == Class::Unknown;
            prop_assert!(is_put_off || class_at(&after, at) == expected);
        }
    }

    #[test]
    fn mtbf_and_mttr_give_uptime(beats in beats(), window in window(), excluded in spans(), unknown in spans()) {
        let report: Availability = beats.availability(window, &Exemptions { excluded, unknown });
        match (report.mtbf(), report.mttr(), report.times.ratio()) {
            (Some(mtbf), Some(mttr), Some(uptime)) => {
                // Both are rounded to the microsecond.
                let error = 1.0 / (mtbf + mttr) as f64;
                let n = report.failures as i64;
                prop_assert!((2 * (mtbf * n - report.times.up)).abs() <= n && (2 * (mttr * n - report.times.down)).abs() <= n);
                prop_assert!((mtbf as f64 / (mtbf + mttr) as f64 - uptime).abs() <= error);
            }
            (mtbf, mttr, _) => prop_assert!(report.failures == 0 && mtbf.is_none() && mttr.is_none()),
        }
    }

    #[test]
    fn outages_are_the_down_time(beats in beats(), window in window(), excluded in spans(), unknown in spans(), min_outage in short()) {
        let exempt = Exemptions { excluded, unknown };
        let all = beats.outages(window, &exempt, 0);
        prop_assert_eq!(all.iter().map(|o| o.duration).sum::<Duration>(), beats.times(window, &exempt).down);
        for o in &all {
            prop_assert_eq!(o.ongoing, o.ended_at.is_none());
            let end = o.ended_at.unwrap_or(window.end);
            prop_assert!(window.start <= o.started_at && o.started_at < end && end <= window.end);
            prop_assert!(0 < o.duration && o.duration <= end - o.started_at);
            prop_assert!(o.last_beat.is_none_or(|b| b < o.started_at));
            prop_assert_eq!(class_at(&beats.judge(window, &exempt), o.started_at), Class::Down);
            prop_assert_eq!(class_at(&beats.judge(window, &exempt), end - 1), Class::Down);
        }
        prop_assert!(all.windows(2).all(|pair| pair[0].ended_at.is_some_and(|end| end < pair[1].started_at)));
        prop_assert!(all.iter().skip(1).all(|o| !o.began_before));
        let long: Vec<_> = all.iter().copied().filter(|o| o.duration >= min_outage).collect();
        prop_assert_eq!(beats.outages(window, &exempt, min_outage), long);
    }
}
