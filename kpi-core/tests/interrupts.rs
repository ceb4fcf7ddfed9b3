//! Every loop that grows with its input asks whether it shall go on, and can be ended there.

#![allow(
    clippy::unwrap_used,
    reason = "in tests, helpers outside a #[test] included, a panic is the message"
)]

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use kpi_core::cadence::Expectation;
use kpi_core::classes::Exemptions;
use kpi_core::codec::Codec;
use kpi_core::evidence::{Evidence, MetricRole};
use kpi_core::heartbeats::Heartbeats;
use kpi_core::interrupts::{STEPS, ask};
use kpi_core::outages::outages;
use kpi_core::report::{DeviceSettings, Dossier};
use kpi_core::runs::{Runs, judge_beats};
use kpi_core::scores::unusual;
use kpi_core::silence::Hearing;
use kpi_core::spans::Spans;
use kpi_core::status::{Status, StatusRules, StatusTimeline};
use kpi_core::throughput::{AmountKind, Throughput};
use kpi_core::time::{Instant, SECOND, Window};
use kpi_core::times::Times;

/// What there is of everything.
const MANY: i64 = 300_000;
const EXPECT: Expectation = Expectation {
    interval: SECOND,
    liveness: SECOND,
};

thread_local! {
    static ASKED: Cell<u64> = const { Cell::new(0) };
    /// The question that is answered with an end.
    static ENDS_AT: Cell<u64> = const { Cell::new(u64::MAX) };
}

struct Ended;

fn asked() {
    ASKED.set(ASKED.get() + 1);
    if ASKED.get() >= ENDS_AT.get() {
        resume_unwind(Box::new(Ended));
    }
}

/// How often the work asks; none where it was ended at that question.
fn questions(ends_at: u64, work: &dyn Fn()) -> Option<u64> {
    ask(asked);
    ASKED.set(0);
    ENDS_AT.set(ends_at);
    let ended = catch_unwind(AssertUnwindSafe(work));
    ENDS_AT.set(u64::MAX);
    match ended {
        Ok(()) => Some(ASKED.get()),
        Err(why) if why.is::<Ended>() => None,
        Err(why) => resume_unwind(why),
    }
}

/// Isolated beats, each an outage.
fn beats() -> Vec<Instant> {
    (0..MANY).map(|i| i * 10 * SECOND).collect()
}

fn all() -> Window {
    Window::new(0, MANY * 10 * SECOND).unwrap()
}

fn times(late: bool) -> Times {
    let mut times = Times::default();
    if late {
        // After all others, so that they have to wait.
        times.insert(MANY * 20 * SECOND).unwrap();
    }
    beats().into_iter().for_each(|b| times.insert(b).unwrap());
    times
}

fn evidence() -> Evidence {
    let mut evidence = Evidence::new(&beats()).unwrap();
    for b in beats() {
        evidence
            .sample(b, MetricRole::Error, 0.0, true, AmountKind::Delta)
            .unwrap();
    }
    evidence
}

fn heartbeats() -> Heartbeats {
    let mut state = Heartbeats::default();
    beats().into_iter().for_each(|b| state.beat(b, SECOND).unwrap());
    state
}

fn statuses(at: impl Fn(i64) -> Instant) -> StatusTimeline {
    let mut state = StatusTimeline::default();
    (0..MANY).for_each(|i| state.sample(at(i), Status::ALL[i as usize % 3]).unwrap());
    state
}

fn counter() -> Throughput {
    let mut state = Throughput::default();
    (0..MANY).for_each(|i| {
        state
            .add(i * SECOND, (i % 1000) as f64 / 3.0, AmountKind::Counter)
            .unwrap();
    });
    state
}

fn dossier(evidence: Evidence) -> Dossier {
    let settings = DeviceSettings::new(SECOND, Some(SECOND), None, StatusRules::default()).unwrap();
    Dossier::new(
        Some(evidence),
        StatusTimeline::default(),
        Exemptions::default(),
        settings,
    )
    .unwrap()
}

fn some() -> Spans {
    Spans::from_sorted(beats().into_iter().map(|b| (b, b + SECOND)))
}

/// A piece of work with much to do, and what it is.
type Work = (&'static str, Box<dyn Fn()>);

/// Everything that takes long with much to do.
fn works() -> Vec<Work> {
    let (runs, timeline) = (
        Runs::of(&beats(), EXPECT),
        heartbeats().judge(all(), &Exemptions::default()),
    );
    let (in_order, late, gathered) = (times(false), times(true), evidence());
    let (summed, told) = (evidence().summary_of_all(), dossier(evidence()));
    let exempt = Exemptions {
        excluded: some(),
        unknown: Spans::empty(),
    };
    let (read_evidence, read_beats) = (gathered.encode(), heartbeats().encode());
    let (alive, live) = (heartbeats(), some());
    let (even, uneven) = (statuses(|i| i * 10 * SECOND), statuses(|i| i * 10 * SECOND + 1 + i % 7));
    let (even_2, even_3, uneven_2) = (even.clone(), even.clone(), uneven.clone());
    // No two steps alike: those in equal steps are read together, and ask less often.
    let jagged = statuses(|i| i * 10 * SECOND + i * i % 7919);
    let (history, read_statuses) = (uneven.history(), uneven.encode());
    let counted = counter();
    let (counted_2, read_counter) = (counted.clone(), counted.encode());
    let (gathered_2, gathered_3) = (gathered.clone(), gathered.clone());
    let (alive_2, runs_2) = (alive.clone(), runs.clone());
    vec![
        ("times in order", Box::new(move || drop(in_order.to_vec()))),
        ("times out of order", Box::new(move || drop(late.to_vec()))),
        (
            "spans",
            Box::new(|| drop(Spans::union_of(beats().iter().map(|b| (*b, b + 1)).collect()))),
        ),
        ("gaps", Box::new(move || drop(some().gaps(all())))),
        ("runs", Box::new(|| drop(Runs::of(&beats(), EXPECT)))),
        ("live", Box::new(move || drop(runs.live(None)))),
        (
            "judge",
            Box::new(move || drop(runs_2.judge(all(), None, &Exemptions::default(), &Hearing::default()))),
        ),
        (
            "judge beats",
            Box::new(|| drop(judge_beats(&beats(), all(), EXPECT, &Exemptions::default()))),
        ),
        ("outages", Box::new(move || drop(outages(&timeline, &live, 0)))),
        ("evidence", Box::new(|| drop(Evidence::new(&beats())))),
        ("evidence to bytes", Box::new(move || drop(gathered.encode()))),
        (
            "evidence from bytes",
            Box::new(move || drop(Evidence::decode(&read_evidence))),
        ),
        (
            "evidence together",
            Box::new(move || gathered_2.clone().merge(&gathered_2).unwrap()),
        ),
        ("evidence in parts", Box::new(move || drop(gathered_3.parts()))),
        ("summaries", Box::new(move || drop(summed.encode()))),
        ("dossier's outages", Box::new(move || drop(told.outages(all(), 0)))),
        (
            "heartbeats from bytes",
            Box::new(move || drop(Heartbeats::decode(&read_beats))),
        ),
        ("heartbeats to bytes", Box::new(move || drop(alive.encode()))),
        ("statuses' history", Box::new(move || drop(jagged.history()))),
        (
            "statuses together",
            Box::new(move || {
                let mut both = even_2.clone();
                both.merge(&uneven_2).unwrap();
                drop(both.encode());
            }),
        ),
        (
            "statuses in order",
            Box::new(move || {
                // Backwards, so that all of them wait.
                let mut late = StatusTimeline::default();
                beats()
                    .into_iter()
                    .rev()
                    .for_each(|b| late.sample(b, Status::Online).unwrap());
                drop(late.encode());
            }),
        ),
        (
            "statuses from bytes",
            Box::new(move || drop(StatusTimeline::decode(&read_statuses))),
        ),
        (
            "even statuses from bytes",
            Box::new(move || drop(StatusTimeline::decode(&even_3.encode()))),
        ),
        (
            "periods",
            Box::new(move || {
                history.transitions(all(), Some(SECOND));
            }),
        ),
        (
            "a counter's total",
            Box::new(move || {
                counted.total().unwrap();
            }),
        ),
        (
            "a counter's resets",
            Box::new(move || {
                counted_2.resets();
            }),
        ),
        (
            "a counter from bytes",
            Box::new(move || drop(Throughput::decode(&read_counter))),
        ),
        (
            "unusual values",
            Box::new(|| {
                let values: Vec<f64> = beats().into_iter().map(|b| b as f64).collect();
                unusual(&values, 1.0).unwrap();
            }),
        ),
        (
            "heartbeats' outages",
            Box::new(move || drop(alive_2.outages(all(), &exempt, 0))),
        ),
    ]
}

trait Summed {
    fn summary_of_all(self) -> Evidence;
}

impl Summed for Evidence {
    /// The beats alone, as the runs of one slot.
    fn summary_of_all(self) -> Evidence {
        let mut whole = Evidence::new(&[0, MANY * 10 * SECOND]).unwrap();
        whole.beats = self.beats;
        whole.summary(EXPECT).unwrap()
    }
}

#[test]
fn long_loops_ask() {
    for (name, work) in works() {
        let asked = questions(u64::MAX, &work).unwrap();
        assert!(
            asked >= MANY as u64 / u64::from(STEPS) - 1,
            "{name} asks {asked} times in {MANY} steps"
        );
    }
}

#[test]
fn and_end_where_they_asked() {
    for (name, work) in works() {
        assert_eq!(questions(2, &work), None, "{name} goes on");
        // Nothing is left behind that would stand in the way of the next one.
        assert!(questions(u64::MAX, &work).is_some(), "{name}");
    }
}
