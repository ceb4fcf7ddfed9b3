//! Whatever is read as a state is refused, or works in everything that can be done with it, and is written as it was read.

use crate::counting::{peak, unprobed};
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

/// So long a body may be made of few bytes.
const LONGEST: usize = 4 << 20;
/// A state that is longer is read and written, and not put to use as well: that takes its time.
const USED_UP_TO: usize = 64 << 10;
/// What reading a state may take in memory, however short it is.
const ANYWAY: usize = 64 << 10;

/// The first byte says which state the rest is of, and in which form.
pub fn run(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    match kind % 6 {
        0 => read::<Heartbeats>(kind / 6, rest),
        1 => read::<StatusTimeline>(kind / 6, rest),
        2 => read::<Cadence>(kind / 6, rest),
        3 => read::<ResponseSketch>(kind / 6, rest),
        4 => read::<Throughput>(kind / 6, rest),
        _ => read::<Evidence>(kind / 6, rest),
    }
}

/// A state and all that is done with it.
trait State: Codec + Clone {
    /// Whether each state has one form only, in the newest version. Those with sums of floats are read from any list of terms.
    const ONE_FORM: bool;

    fn use_it(&mut self, other: &Self);
}

fn read<S: State>(form: u8, data: &[u8]) {
    match form % 7 {
        0 => try_bytes::<S>(data),
        1 => {
            let _ = S::from_text(&String::from_utf8_lossy(data)).map(|state| try_state(&state, true));
        }
        4 => try_handed_over::<S>(data),
        // Behind the checksum, which no mutation gets right by itself.
        2 => try_bytes::<S>(&sealed::<S>(1, data)),
        3 => try_bytes::<S>(&sealed::<S>(S::NEWEST, data)),
        5 => try_bytes::<S>(&sealed::<S>(2.min(S::NEWEST), data)),
        _ => {
            let Some((version, body)) = repeated(data) else { return };
            try_bytes::<S>(&sealed::<S>(version, &body));
        }
    }
}

/// A body of megabytes from few bytes: its version; a number of sixteens; then parts, each after its length, whose highest bit
/// says that the part comes so many times.
fn repeated(data: &[u8]) -> Option<(u8, Vec<u8>)> {
    let ([version, low, high], mut rest) = data.split_first_chunk()?;
    let times = 16 * usize::from(u16::from_le_bytes([*low, *high]));
    let mut body = Vec::new();
    while let Some((length, parts)) = rest.split_first() {
        let (part, others) = parts.split_at_checked(usize::from(length & 0x7f))?;
        let times = if length & 0x80 == 0 { 1 } else { times };
        if body.len() + times * part.len() > LONGEST {
            return None;
        }
        body.extend(part.repeat(times));
        rest = others;
    }
    Some((*version, body))
}

fn try_bytes<S: State>(bytes: &[u8]) {
    let (read, taken) = peak(|| unprobed(S::READING * bytes.len(), || S::decode(bytes)));
    assert!(
        taken <= S::READING * bytes.len() + ANYWAY,
        "{} of {} bytes takes {taken}",
        S::NAME,
        bytes.len()
    );
    if let Ok(state) = read {
        // An older version is written as the newest.
        let has_one_form = S::ONE_FORM && bytes[1] == S::NEWEST;
        assert!(!has_one_form || state.encode() == bytes, "{} has two forms", S::NAME);
        try_state(&state, bytes.len() <= USED_UP_TO);
    }
}

#[expect(clippy::expect_used, reason = "this is what the fuzzer looks for")]
fn try_state<S: State>(state: &S, is_used: bool) {
    let written = state.encode();
    let again = S::decode(&written).expect("what was read is written so that it can be read");
    assert_eq!(
        again.encode(),
        written,
        "{} is written differently the second time",
        S::NAME
    );
    let text = S::from_text(&state.to_text()).expect("the text form can be read");
    assert_eq!(text.encode(), written, "{} differs in its text form", S::NAME);
    if is_used {
        state.clone().use_it(&again);
    }
}

/// What a worker hands over has no checksum and need not be a state that anybody made; but it works.
#[expect(clippy::expect_used, reason = "this is what the fuzzer looks for")]
fn try_handed_over<S: State>(bytes: &[u8]) {
    if let Ok(state) = S::take_over(bytes) {
        let again = S::take_over(&state.hand_over()).expect("what was taken over can be handed on");
        assert_eq!(again.encode(), state.encode(), "{} changes on its way", S::NAME);
        let mut used = state.clone();
        used.use_it(&again);
    }
}

fn sealed<S: Codec>(version: u8, body: &[u8]) -> Vec<u8> {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&[S::LETTER, version]);
    crc.update(body);
    let mut bytes = vec![S::LETTER, version];
    bytes.extend(crc.finalize().to_le_bytes());
    bytes.extend(body);
    bytes
}

fn windows() -> impl Iterator<Item = Window> {
    let bounds = [(0, 1000 * SECOND), (EARLIEST, EARLIEST + 1000), (0, LATEST - 1)];
    bounds
        .into_iter()
        .filter_map(|(start, end)| Window::new(start, end).ok())
}

impl State for Heartbeats {
    const ONE_FORM: bool = true;

    fn use_it(&mut self, other: &Self) {
        self.merge(other);
        let _ = self.beat(0, SECOND);
        for window in windows() {
            self.availability(window, &Exemptions::default());
            self.outages(window, &Exemptions::default(), SECOND);
        }
        let _ = (self.live_ranges(), self.live_at(0), self.last_beat(), self.beat_count());
    }
}

impl State for StatusTimeline {
    const ONE_FORM: bool = true;

    fn use_it(&mut self, other: &Self) {
        let _ = self.merge(other);
        let history = self.history();
        for window in windows() {
            history.periods(window, Some(SECOND));
            history.transitions(window, None);
            history.times(window, Default::default(), &Exemptions::default());
        }
        let _ = (history.status_at(0, None), self.flapping());
    }
}

impl State for Cadence {
    const ONE_FORM: bool = true;

    fn use_it(&mut self, other: &Self) {
        let _ = self.merge(other);
        let expect = Expectation {
            interval: 60 * SECOND,
            liveness: 1,
        };
        let times = self.times.to_vec();
        for window in windows() {
            judge_beats(&times, window, expect, &Exemptions::default());
        }
    }
}

impl State for ResponseSketch {
    const ONE_FORM: bool = false;

    fn use_it(&mut self, other: &Self) {
        // Sums of made-up floats may be out of range: an error, too.
        let _ = self.merge(other);
        let _ = self.add(1.0);
        for q in [0.0, 0.5, 0.99, 1.0] {
            let _ = self.percentile(q);
        }
        let _ = self.apdex_counts(100.0, 5).map(|counts| counts.score());
        let _ = (self.mean(), self.min(), self.max(), self.count());
    }
}

impl State for Throughput {
    const ONE_FORM: bool = false;

    fn use_it(&mut self, other: &Self) {
        let _ = self.merge(other);
        let _ = (self.total(), self.resets(), self.last_sample());
        for window in windows() {
            let _ = self.rate(window);
        }
    }
}

impl State for Evidence {
    const ONE_FORM: bool = false;

    fn use_it(&mut self, other: &Self) {
        let _ = self.merge(other);
        let _ = self.absorb(other.clone());
        for part in self.parts().into_iter().flatten() {
            let _ = self.absorb(part);
        }
        for (slot, before) in self.counters_before().into_iter().enumerate() {
            let _ = self.slot(slot).map(|s| s.bytes.total_since(before));
        }
        for (runs, window) in self.runs().flat_map(|runs| windows().map(move |w| (runs, w))) {
            runs.judge(window, Some(window.start), &Exemptions::default(), &Hearing::default());
            let _ = (runs.live_at(0), runs.last_before(0));
        }
    }
}
