//! What a report costs grows with its slots, and with what the device did, one by one and not one times the other.

use super::{DeviceSettings, Dossier};
use crate::catalogue::KPIS;
use crate::classes::Exemptions;
use crate::codec::Codec;
use crate::evidence::{Evidence, MetricRole};
use crate::interrupts::steps_of;
use crate::spans::Spans;
use crate::status::{Status, StatusRules, StatusTimeline};
use crate::throughput::AmountKind;
use crate::time::{Instant, SECOND, Window};

/// Slots of a minute each, as many as said, of a device that sends nothing in most of them.
fn edges(slots: i64) -> Vec<Instant> {
    (0..=slots).map(|i| i * 60 * SECOND).collect()
}

/// A device to which something of every kind happens each hundred minutes.
fn eventful(slots: i64) -> Dossier {
    let edges = edges(slots);
    let mut evidence = Evidence::new(&edges).unwrap();
    let mut statuses = StatusTimeline::default();
    let mut spans = [Vec::new(), Vec::new()];
    for at in (0..slots).step_by(100).map(|i| i * 60 * SECOND) {
        for (role, value) in [
            (MetricRole::ResponseTime, 20.0),
            (MetricRole::Error, 0.0),
            (MetricRole::Bytes, at as f64),
        ] {
            evidence.sample(at, role, value, true, AmountKind::Counter).unwrap();
        }
        statuses.sample(at, Status::Maintenance).unwrap();
        statuses.sample(at + 90 * SECOND, Status::Online).unwrap();
        for (n, spans) in spans.iter_mut().enumerate() {
            let begin = at + (10 + n as i64) * 120 * SECOND;
            spans.push((begin, begin + 30 * SECOND));
        }
    }
    let [excluded, unknown] = spans.map(Spans::union_of);
    let settings = DeviceSettings::new(60 * SECOND, None, Some(50.0), StatusRules::default()).unwrap();
    Dossier::new(Some(evidence), statuses, Exemptions { excluded, unknown }, settings).unwrap()
}

fn slots(edges: &[Instant]) -> impl Iterator<Item = (usize, Window)> {
    let windows = edges.windows(2).map(|pair| Window::new(pair[0], pair[1]).unwrap());
    windows.enumerate()
}

#[test]
fn four_times_the_slots_are_four_times_the_steps() {
    for kpi in KPIS {
        let steps = [500, 2000].map(|n| {
            let (dossier, edges) = (eventful(n), edges(n));
            steps_of(|| {
                for (slot, window) in slots(&edges) {
                    kpi.value(&dossier.report(slot, window)).unwrap();
                }
            })
        });
        let [fewer, more] = steps;
        assert!(more <= 4 * fewer + 100, "{}: {fewer} steps become {more}", kpi.name);
    }
}

#[test]
fn timelines_are_as_long_as_the_window() {
    for (name, work) in [
        ("outages", (|d, w| drop(d.outages(w, 0))) as fn(&Dossier, Window)),
        ("timeline", |d, w| drop(d.timeline(w))),
        ("unobserved", |d, w| drop(d.unobserved(w))),
        ("status", |d, w| {
            let _ = d.statuses.times(w, d.settings.status, &d.exempt);
        }),
    ] {
        let [fewer, more] = [500, 2000].map(|n| {
            let dossier = eventful(n);
            steps_of(|| work(&dossier, Window::new(0, n * 60 * SECOND).unwrap()))
        });
        assert!(more <= 4 * fewer + 100, "{name}: {fewer} steps become {more}");
    }
}

#[test]
fn evidence_is_as_much_work_as_it_has_slots() {
    let gathered = |n: i64| {
        let mut evidence = Evidence::new(&edges(n)).unwrap();
        for at in (0..n).map(|i| i * 60 * SECOND) {
            evidence
                .sample(at, MetricRole::Error, 0.0, true, AmountKind::Delta)
                .unwrap();
        }
        evidence
    };
    for (name, work) in [
        ("merge", (|e| e.clone().merge(e).unwrap()) as fn(&Evidence)),
        ("encode", |e| drop(e.encode())),
        ("decode", |e| drop(Evidence::decode(&e.encode()).unwrap())),
        ("parts", |e| drop(e.parts().unwrap())),
        ("counters", |e| drop(e.counters_before())),
        ("absorb", |e| {
            let mut whole = Evidence::new(e.edges()).unwrap();
            // Each of two hours, the last first.
            for pair in e.edges().chunks(120).rev().filter(|pair| pair.len() > 1) {
                whole.absorb(Evidence::new(pair).unwrap()).unwrap();
            }
        }),
    ] {
        let [fewer, more] = [500, 2000].map(|n| {
            let evidence = gathered(n);
            steps_of(|| work(&evidence))
        });
        assert!(more <= 4 * fewer + 100, "{name}: {fewer} steps become {more}");
    }
}
