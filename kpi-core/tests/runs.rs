//! Runs of beats: put together from any stretches they are the whole, and they say what the beats say.

#![allow(
    clippy::unwrap_used,
    reason = "in tests, helpers outside a #[test] included, a panic is the message"
)]

mod common;

use common::{duration, instant, near, short, spans, survives, window};
use kpi_core::cadence::Expectation;
use kpi_core::catalogue::KPIS;
use kpi_core::classes::Exemptions;
use kpi_core::codec::Codec;
use kpi_core::evidence::{Evidence, MetricRole};
use kpi_core::report::{DeviceSettings, Dossier};
use kpi_core::runs::{Runs, judge_beats};
use kpi_core::status::{StatusRules, StatusTimeline};
use kpi_core::throughput::AmountKind;
use kpi_core::time::{SECOND, Window};
use proptest::collection::vec;
use proptest::prelude::*;

/// Beats a minute that are late, extra and missing now and then: many of them on time, as real ones are.
fn beats() -> impl Strategy<Value = Vec<i64>> {
    let gap = prop_oneof![
        6 => Just(10 * SECOND),
        3 => 9 * SECOND..11 * SECOND,
        1 => prop_oneof![Just(15 * SECOND), Just(15 * SECOND - 1), Just(2 * SECOND), Just(30 * SECOND), Just(30 * SECOND + 1)],
        1 => 1..60 * SECOND,
    ];
    vec(gap, 0..80).prop_map(|gaps| {
        let mut at = 0;
        gaps.into_iter()
            .map(|gap| {
                at += gap;
                at
            })
            .collect()
    })
}

fn expectation() -> impl Strategy<Value = Expectation> {
    let interval = prop_oneof![4 => Just(10 * SECOND), 1 => short()];
    let liveness = prop_oneof![3 => Just(30 * SECOND), 1 => Just(12 * SECOND), 1 => Just(SECOND), 1 => short()];
    (interval, liveness).prop_map(|(interval, liveness)| Expectation { interval, liveness })
}

/// All that a report and the timelines say of a device, in every slot and over all of them.
fn told(evidence: Evidence, expect: Expectation, exempt: &Exemptions) -> String {
    let evidence = Evidence::decode(&evidence.encode()).unwrap();
    let edges = evidence.edges().to_vec();
    let settings = DeviceSettings::new(
        expect.interval,
        Some(expect.liveness),
        Some(50.0),
        StatusRules::default(),
    )
    .unwrap();
    let dossier = Dossier::new(Some(evidence), StatusTimeline::default(), exempt.clone(), settings).unwrap();
    let whole = Window::new(edges[0], edges[edges.len() - 1]).unwrap();
    let reports = edges.windows(2).enumerate().map(|(slot, pair)| {
        let window = Window {
            start: pair[0],
            end: pair[1],
        };
        let report = dossier.report(slot, window);
        let values: Vec<String> = KPIS
            .iter()
            .map(|kpi| format!("{}: {:?}", kpi.name, kpi.value(&report).unwrap()))
            .collect();
        format!("{values:?} {:?}", report.heartbeats())
    });
    format!(
        "{:?}\n{:?}\n{:?}\n{:?}",
        reports.collect::<Vec<_>>(),
        dossier.outages(whole, 0),
        dossier.timeline(whole),
        dossier.unobserved(whole)
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn stretches_put_together_are_the_whole(beats in beats(), expect in expectation(), mut cuts in vec(0..80usize, 0..6)) {
        cuts.iter_mut().for_each(|cut| *cut = (*cut).min(beats.len()));
        cuts.extend([0, beats.len()]);
        cuts.sort_unstable();
        let mut together = Runs::new(expect);
        for pair in cuts.windows(2) {
            together.append(&Runs::of(&beats[pair[0]..pair[1]], expect));
        }
        prop_assert_eq!(&together, &Runs::of(&beats, expect));
        prop_assert_eq!(together.beats(), beats.len() as u64);
    }

    #[test]
    fn what_does_not_come_later_adds_nothing(beats in beats(), expect in expectation()) {
        let whole = Runs::of(&beats, expect);
        let mut again = whole.clone();
        again.append(&whole);
        beats.iter().for_each(|b| again.beat(*b));
        prop_assert_eq!(again, whole);
    }

    #[test]
    fn a_summary_says_what_the_beats_say(
        beats in beats(), before in vec(-60 * SECOND..0, 0..3), expect in expectation(), summed in vec(any::<bool>(), 9),
        excluded in spans(), unknown in spans(), slots in 1..4usize,
    ) {
        let exempt = Exemptions { excluded, unknown };
        let periods: Vec<i64> = (0..=9).map(|i| i * 100 * SECOND).collect();
        let edges: Vec<i64> = periods.iter().copied().step_by(9 / slots).chain([900 * SECOND]).collect::<std::collections::BTreeSet<_>>().into_iter().collect();
        let gather = |edges: &[i64], beats: &mut dyn Iterator<Item = &i64>| {
            let mut evidence = Evidence::new(edges).unwrap();
            for at in beats {
                evidence.sample(*at, MetricRole::ResponseTime, 40.0 + (*at % 97) as f64, true, AmountKind::Delta).unwrap();
            }
            evidence
        };
        let mut sorted = before.clone();
        sorted.extend(beats.iter().filter(|b| **b <= 900 * SECOND));
        sorted.sort_unstable();
        let from_rows = gather(&edges, &mut sorted.iter());
        // What lies outside the periods comes from rows, and so do periods without a summary.
        let mut together = gather(&edges, &mut sorted.iter().filter(|b| !(0..900 * SECOND).contains(*b)));
        let parts = gather(&periods, &mut sorted.iter()).parts().unwrap();
        for (part, summed) in parts.into_iter().zip(summed) {
            let part = if summed { part.summary(expect).unwrap() } else { part };
            together.absorb(part).unwrap();
        }
        survives(&together);
        prop_assert_eq!(told(together, expect, &exempt), told(from_rows, expect, &exempt));
    }

    #[test]
    fn a_window_is_judged_as_defined(beats in beats(), expect in expectation(), w in window(), excluded in spans(), unknown in spans()) {
        let exempt = Exemptions { excluded, unknown };
        let (timeline, consistency) = judge_beats(&beats, w, expect, &exempt);
        let eligible = timeline.eligible();
        // Lost after each beat on its own, the one carried in among them, up to the next one or the end.
        let carried = beats.iter().rposition(|b| *b < w.start).filter(|i| w.start - beats[*i] <= expect.look_back());
        let inside: Vec<i64> = beats.iter().copied().filter(|b| w.contains(*b)).collect();
        let all: Vec<i64> = carried.map(|i| beats[i]).into_iter().chain(inside.iter().copied()).collect();
        let mut lost = if carried.is_none() { eligible.overlap(w.start, all.first().copied().unwrap_or(w.end)) } else { 0 };
        for (i, b) in all.iter().enumerate() {
            let next = all.get(i + 1).copied().unwrap_or(w.end);
            if 2 * (next - b) >= 3 * expect.interval {
                lost += eligible.overlap((b + expect.interval).max(w.start), next);
            }
        }
        let total = eligible.total();
        prop_assert_eq!(consistency.completeness, (total > 0).then(|| 1.0 - (lost as f64 / total as f64).min(1.0)));
        let gaps = || inside.windows(2).map(|pair| pair[1] - pair[0]);
        // Each report that was due in a gap, at an instant that counts.
        let due = inside.windows(2).flat_map(|pair| {
            let most = (2 * (pair[1] - pair[0]) - expect.interval).max(0) / (2 * expect.interval);
            (1..=most).map(|k| pair[0] + k * expect.interval)
        });
        prop_assert_eq!(consistency.missed_beats, due.filter(|at| eligible.contains(*at)).count() as u64);
        prop_assert_eq!(consistency.extra_beats, gaps().filter(|g| 4 * g < expect.interval).count() as u64);
    }

    #[test]
    fn no_beat_and_no_expectation_panics(
        mut beats in vec(instant(), 0..30), interval in duration(), liveness in duration(), start in instant(), end in instant(),
    ) {
        beats.sort_unstable();
        let expect = Expectation { interval, liveness };
        if let Some((first, last)) = beats.first().zip(beats.last())
            && let Ok(mut evidence) = Evidence::new(&[*first, *last + 1])
        {
            for at in &beats {
                evidence
                    .sample(*at, MetricRole::Other, 1.0, true, AmountKind::Delta)
                    .unwrap();
            }
            survives(&evidence.summary(expect).unwrap());
        }
        if let Ok(window) = Window::new(start, end) {
            judge_beats(&beats, window, expect, &Exemptions::default());
        }
    }

    #[test]
    fn every_instant_is_judged_as_by_the_beats(beats in beats(), expect in expectation(), t in near(), w in window()) {
        let runs = Runs::of(&beats, expect);
        let live = beats.iter().any(|b| *b <= t && t < *b + expect.liveness);
        prop_assert_eq!(runs.live_at(t), live);
        if !live {
            prop_assert_eq!(runs.last_before(t), beats.iter().copied().filter(|b| *b < t).max());
        }
        let proven = runs.live(None).clip(w);
        prop_assert_eq!(proven.contains(t), live && w.contains(t));
    }
}

#[test]
fn a_day_on_time_is_one_run() {
    let beats: Vec<i64> = (0..1440).map(|m| m * 60 + m % 7).collect();
    let evidence = at(&[0, 86_400], &beats);
    let whole = evidence.encode().len();
    let summary = evidence.summary(minutes(180)).unwrap().encode().len();
    assert!(summary < 100 && whole > 1440, "{summary} bytes, {whole} with the beats");
}

/// Evidence of beats at these seconds, in slots between those.
fn at(edges: &[i64], seconds: &[i64]) -> Evidence {
    let edges: Vec<i64> = edges.iter().map(|s| s * SECOND).collect();
    let mut evidence = Evidence::new(&edges).unwrap();
    for at in seconds {
        evidence
            .sample(at * SECOND, MetricRole::Other, 1.0, true, AmountKind::Delta)
            .unwrap();
    }
    evidence
}

/// A minute between beats, each good for so many seconds.
fn minutes(liveness: i64) -> Expectation {
    Expectation {
        interval: 60 * SECOND,
        liveness: liveness * SECOND,
    }
}

#[test]
fn a_beat_on_the_edge_belongs_to_the_period_that_begins_there() {
    let beats = [0, 240, 300, 360, 600];
    for liveness in [1, 60, 90, 180] {
        let expect = minutes(liveness);
        let mut together = at(&[0, 300, 600], &[600]);
        for part in at(&[0, 300, 600], &beats).parts().unwrap() {
            together.absorb(part.summary(expect).unwrap()).unwrap();
        }
        let said = told(together, expect, &Exemptions::default());
        assert_eq!(said, told(at(&[0, 300, 600], &beats), expect, &Exemptions::default()));
        assert_eq!(
            said.matches("live: Some(1.0)").count(),
            2,
            "alive at 300 and at 600 by the beats there\n{said}"
        );
    }
}

#[test]
fn a_beat_is_carried_in_up_to_the_last_instant() {
    // Alive until the window begins, and not from then on: that is a failure, not an outage that began before.
    for (beat, failures) in [(-180, 1), (-181, 0)] {
        let settings = DeviceSettings::new(60 * SECOND, None, None, StatusRules::default()).unwrap();
        let evidence = Some(at(&[0, 600], &[beat, 500]));
        let dossier = Dossier::new(evidence, StatusTimeline::default(), Exemptions::default(), settings).unwrap();
        let window = Window::new(0, 600 * SECOND).unwrap();
        assert_eq!(dossier.report(0, window).heartbeats().failures, failures, "{beat}");
    }
}

#[test]
fn periods_may_be_put_together_in_any_order() {
    let expect = minutes(180);
    let parts: Vec<Evidence> = at(&[0, 100, 200, 300], &[10, 70, 130, 190, 250]).parts().unwrap();
    let summaries: Vec<Evidence> = parts.into_iter().map(|part| part.summary(expect).unwrap()).collect();
    let put_together = |order: [usize; 3]| {
        let mut together = at(&[0, 300], &[]);
        order
            .iter()
            .for_each(|i| together.absorb(summaries[*i].clone()).unwrap());
        together.encode()
    };
    let in_order = put_together([0, 1, 2]);
    for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        assert_eq!(put_together(order), in_order, "{order:?}");
    }
}

#[test]
fn summaries_of_the_same_time_are_refused() {
    let summary = |seconds: &[i64]| at(&[0, 1000], seconds).summary(minutes(180)).unwrap();
    let one = summary(&[100, 160, 220]);
    for other in [&[10, 130][..], &[100, 300], &[220, 300], &[10, 500], &[160], &[10, 100]] {
        assert!(one.clone().absorb(summary(other)).is_err(), "{other:?}");
        assert!(summary(other).merge(&one).is_err(), "{other:?}");
    }
    for other in [&[10, 99][..], &[221], &[]] {
        one.clone().absorb(summary(other)).unwrap();
    }
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for (edges, beats) in [(&[0, 10, 20][..], &[5][..]), (&[0, 10], &[-1]), (&[0, 10], &[10])] {
        let refused = at(edges, beats).summary(minutes(180)).unwrap_err().to_string();
        assert!(refused.contains("one slot and the beats in it"), "{refused}");
    }
    let summary = at(&[0, 1000], &[10, 70, 500]).summary(minutes(180)).unwrap();
    let apart = summary.parts().unwrap_err().to_string();
    assert!(apart.contains("beats are in runs"), "{apart}");
    let twice = summary.clone().absorb(summary.clone()).unwrap_err().to_string();
    assert!(twice.contains("two summaries of the same time"), "{twice}");

    let other = DeviceSettings::new(30 * SECOND, None, None, StatusRules::default()).unwrap();
    let refused = Dossier::new(Some(summary), StatusTimeline::default(), Exemptions::default(), other).unwrap_err();
    assert!(
        refused.to_string().contains("another expected_interval or liveness"),
        "{refused}"
    );
}
