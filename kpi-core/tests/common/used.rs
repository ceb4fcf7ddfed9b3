//! Everything that can be done with a state that was read.

use kpi_core::cadence::{Cadence, Expectation};
use kpi_core::classes::Exemptions;
use kpi_core::codec::Codec;
use kpi_core::evidence::Evidence;
use kpi_core::heartbeats::Heartbeats;
use kpi_core::response::ResponseSketch;
use kpi_core::runs::judge_beats;
use kpi_core::silence::Hearing;
use kpi_core::status::StatusTimeline;
use kpi_core::throughput::Throughput;
use kpi_core::time::{EARLIEST, LATEST, SECOND, Window};

pub(crate) const EXPECT: Expectation = Expectation {
    interval: 60 * SECOND,
    liveness: 1,
};

/// A state that is put to use, with another one that it is merged with. What is refused is refused; nothing may panic.
pub(crate) trait Used: Codec + Clone {
    fn use_it(&mut self, other: &Self);
}

fn windows() -> [Window; 3] {
    let middle = Window::new(0, 1000 * SECOND).unwrap();
    let far = |start, end| Window::new(start, end).unwrap();
    [middle, far(EARLIEST, EARLIEST + 1000), far(0, LATEST - 1)]
}

impl Used for Heartbeats {
    fn use_it(&mut self, other: &Self) {
        self.merge(other);
        self.merge(&self.clone());
        self.beat(0, SECOND).unwrap();
        for window in windows() {
            self.availability(window, &Exemptions::default());
        }
        let _ = (self.live_at(0), self.last_beat());
    }
}

impl Used for StatusTimeline {
    fn use_it(&mut self, other: &Self) {
        self.merge(other).unwrap();
        self.merge(&self.clone()).unwrap();
        let history = self.history();
        for window in windows() {
            history.transitions(window, Some(SECOND));
            history.times(window, Default::default(), &Exemptions::default());
        }
        let _ = (history.status_at(0, None), self.flapping());
    }
}

impl Used for Cadence {
    fn use_it(&mut self, other: &Self) {
        self.merge(other).unwrap();
        for window in windows() {
            judge_beats(&self.times.to_vec(), window, EXPECT, &Exemptions::default());
        }
    }
}

impl Used for ResponseSketch {
    fn use_it(&mut self, other: &Self) {
        // Made-up counts may be more than are counted: an error, too.
        let _ = self.merge(other);
        let _ = self.merge(&self.clone());
        let _ = self.add(1.0);
        for q in [0.0, 0.5, 1.0] {
            self.percentile(q).unwrap();
        }
        self.apdex_counts(100.0, 5).unwrap().score();
        self.mean();
    }
}

impl Used for Throughput {
    fn use_it(&mut self, other: &Self) {
        let _ = self.merge(other);
        let _ = self.total();
        self.resets();
    }
}

impl Used for Evidence {
    fn use_it(&mut self, other: &Self) {
        let _ = self.merge(other);
        let _ = self.merge(&self.clone());
        let _ = self.absorb(other.clone());
        let _ = self.parts();
        for runs in self.runs() {
            for window in windows() {
                runs.judge(window, Some(window.start), &Exemptions::default(), &Hearing::default());
            }
            let _ = (runs.live_at(0), runs.last_before(0));
        }
        for (slot, before) in self.counters_before().into_iter().enumerate() {
            let _ = self.slot(slot).map(|s| s.bytes.total_since(before));
        }
    }
}
