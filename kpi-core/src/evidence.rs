//! The evidence of a device: all that its metric samples say, gathered in one pass and mergeable.
//!
//! Beats are kept as they are, so that liveness, expected interval and exemptions may change without gathering again; a
//! summary has their runs instead, which a change of the first two makes useless. What is counted and not placed in time
//! (response times, errors, bytes) is gathered in slots, one a bucket.

use crate::cadence::Expectation;
use crate::codec::{Codec, Reader, Writer, add_tallies};
use crate::error::{KpiError, Result};
use crate::response::ResponseSketch;
use crate::runs::Runs;
use crate::throughput::{AmountKind, Throughput};
use crate::time::{Instant, Window, check_instant};
use crate::times::Times;

/// The metrics that have a meaning of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricRole {
    /// Milliseconds that a communication took.
    ResponseTime,
    /// Whether a communication failed: 0 or 1.
    Error,
    /// Bytes transferred.
    Bytes,
    /// Anything else, a beat at most.
    Other,
}

impl MetricRole {
    /// The role of a metric's name.
    #[inline]
    pub fn of(name: &[u8]) -> Self {
        match name {
            b"response_time" => Self::ResponseTime,
            b"error" => Self::Error,
            b"bytes" => Self::Bytes,
            _ => Self::Other,
        }
    }
}

/// What the communication of one slot adds up to.
#[derive(Debug, Clone, Default)]
pub struct Communication {
    /// Response times of the communications that were answered.
    pub responses: ResponseSketch,
    /// Communications tried.
    pub attempts: u64,
    /// Communications that failed.
    pub failed: u64,
    /// Bytes transferred.
    pub bytes: Throughput,
}

impl Communication {
    fn merge(&mut self, other: &Communication) -> Result<()> {
        self.responses.merge(&other.responses)?;
        self.attempts = add_tallies(self.attempts, other.attempts);
        self.failed = add_tallies(self.failed, other.failed);
        self.bytes.merge(&other.bytes)
    }
}

/// Accepts the edges of slots: at least two instants in ascending order, which bound a window.
pub fn check_edges(edges: &[Instant]) -> Result<Window> {
    match edges {
        [first, .., last] if edges.windows(2).all(|pair| pair[0] < pair[1]) => Window::new(*first, *last),
        _ => Err(KpiError::parameter(
            "slot edges must be at least two instants in ascending order",
            "Pass the bounds of the window, such as ARRAY[lower(during), upper(during)].",
        )),
    }
}

/// The evidence of one device over a window cut into slots.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// All beats, also those before the first slot, which may reach into it; without those that are in runs.
    pub beats: Times,
    /// Beats of whole periods, each of which lies in one slot; in the order of time.
    runs: Vec<Runs>,
    /// The bounds of the slots, one more than there are slots.
    edges: Vec<Instant>,
    slots: Vec<Communication>,
    /// The byte counter before the first slot, from which its first increase counts.
    before: Throughput,
    /// The slot of the sample before, where the next one most likely falls too.
    cursor: usize,
}

impl Evidence {
    /// No evidence yet, for slots between these instants.
    pub fn new(edges: &[Instant]) -> Result<Self> {
        check_edges(edges)?;
        let slots = vec![Communication::default(); edges.len() - 1];
        Ok(Self {
            beats: Times::default(),
            runs: Vec::new(),
            edges: edges.to_vec(),
            slots,
            before: Throughput::default(),
            cursor: 0,
        })
    }

    /// Adds a sample.
    #[inline]
    pub fn sample(
        &mut self,
        at: Instant,
        role: MetricRole,
        value: f64,
        is_beat: bool,
        bytes_kind: AmountKind,
    ) -> Result<()> {
        check_instant(at)?;
        if is_beat {
            self.beats.insert(at);
        }
        if role == MetricRole::Other {
            return Ok(());
        }
        let before_all = at < self.edges[0];
        let Some(slot) = self.slot_of(at) else {
            let counts_on = before_all && role == MetricRole::Bytes && bytes_kind == AmountKind::Counter;
            return if counts_on {
                self.before.add(at, value, bytes_kind)
            } else {
                Ok(())
            };
        };
        match role {
            MetricRole::ResponseTime => slot.responses.add(value)?,
            MetricRole::Error => {
                slot.attempts += 1;
                slot.failed += u64::from(value != 0.0);
            }
            MetricRole::Bytes => slot.bytes.add(at, value, bytes_kind)?,
            MetricRole::Other => {}
        }
        Ok(())
    }

    fn slot_of(&mut self, at: Instant) -> Option<&mut Communication> {
        let here = self.edges[self.cursor] <= at && at < self.edges[self.cursor + 1];
        if !here {
            let after = self.edges.partition_point(|e| *e <= at);
            self.cursor = after.checked_sub(1).filter(|i| *i < self.slots.len())?;
        }
        self.slots.get_mut(self.cursor)
    }

    /// Adds all of another's evidence over the same slots.
    pub fn merge(&mut self, other: &Evidence) -> Result<()> {
        if self.edges != other.edges {
            return Err(KpiError::parameter(
                "evidence over different slots cannot be merged",
                "Gather both with the same slot edges.",
            ));
        }
        self.take_beats(other)?;
        self.before.merge(&other.before)?;
        self.slots
            .iter_mut()
            .zip(&other.slots)
            .try_for_each(|(slot, others)| slot.merge(others))
    }

    fn take_beats(&mut self, other: &Evidence) -> Result<()> {
        self.beats.merge(&other.beats);
        other.runs.iter().try_for_each(|runs| self.take_runs(runs))
    }

    /// Keeps the beats of a period among those of the others.
    fn take_runs(&mut self, runs: &Runs) -> Result<()> {
        let Some((first, last)) = runs.bounds() else {
            return Ok(());
        };
        let place = self.runs.partition_point(|r| r.bounds().is_some_and(|b| b.0 < first));
        let after = place
            .checked_sub(1)
            .is_none_or(|i| self.runs[i].bounds().is_some_and(|b| b.1 < first));
        let before = self
            .runs
            .get(place)
            .is_none_or(|r| r.bounds().is_some_and(|b| last < b.0));
        if !(after && before) {
            return Err(KpiError::parameter(
                "two summaries of the same time cannot be put together",
                "Put together those of periods that do not overlap.",
            ));
        }
        self.runs.insert(place, runs.clone());
        Ok(())
    }

    /// Adds evidence that was gathered over other slots, each of which must lie within one of these.
    pub fn absorb(&mut self, part: &Evidence) -> Result<()> {
        if self.edges == part.edges {
            return self.merge(part);
        }
        self.take_beats(part)?;
        for (bounds, others) in part.edges.windows(2).zip(&part.slots) {
            let whole = self
                .edges
                .windows(2)
                .position(|slot| slot[0] <= bounds[0] && bounds[1] <= slot[1]);
            let whole = whole.ok_or_else(|| {
                KpiError::parameter(
                    "evidence of a period that lies in no single slot cannot be absorbed",
                    "Gather it anew from rows, or choose slots whose edges fall on the period's.",
                )
            })?;
            self.slots[whole].merge(others)?;
        }
        Ok(())
    }

    /// The same with the runs of its beats instead of the beats: what a report asks of a device with these settings. There must
    /// be one slot, and every beat in it.
    pub fn summary(mut self, expect: Expectation) -> Result<Self> {
        let beats = std::mem::take(&mut self.beats).to_vec();
        let is_inside = |slot: &[Instant]| beats.iter().all(|b| (slot[0]..slot[1]).contains(b));
        if self.slots.len() != 1 || !is_inside(&self.edges) {
            return Err(KpiError::parameter(
                "a summary is of one slot and the beats in it",
                "Take evidence apart by iot_kpi.evidence_parts() first.",
            ));
        }
        self.take_runs(&Runs::of(&beats, expect))?;
        Ok(self)
    }

    /// Beats of whole periods, in the order of time.
    pub fn runs(&self) -> &[Runs] {
        &self.runs
    }

    /// Each slot as evidence of its own, with the beats that lie in it; they must not be in runs.
    pub fn parts(&self) -> Result<Vec<Evidence>> {
        if !self.runs.is_empty() {
            return Err(KpiError::parameter(
                "evidence whose beats are in runs cannot be taken apart",
                "Gather it from rows or from parts, not from summaries.",
            ));
        }
        let beats = self.beats.to_vec();
        let bounds = self.edges.windows(2).zip(&self.slots);
        bounds
            .map(|(edges, slot)| {
                let mut part = Self::new(edges)?;
                let first = beats.partition_point(|b| *b < edges[0]);
                beats[first..]
                    .iter()
                    .take_while(|b| **b < edges[1])
                    .for_each(|b| part.beats.insert(*b));
                part.slots[0] = slot.clone();
                Ok(part)
            })
            .collect()
    }

    /// Bytes transferred in a slot. A counter's first increase counts from its last sample before the slot, where that
    /// is no earlier than `since`.
    pub fn bytes_in(&self, slot: usize, since: Instant) -> Result<Option<f64>> {
        let Some(here) = self.slots.get(slot) else {
            return Ok(None);
        };
        let earlier = self.slots[..slot].iter().rev().find_map(|s| s.bytes.last_sample());
        let before = earlier.or_else(|| self.before.last_sample()).filter(|s| s.0 >= since);
        here.bytes.total_since(before).map(Some)
    }

    /// The bounds of the slots.
    pub fn edges(&self) -> &[Instant] {
        &self.edges
    }

    /// The slots.
    pub fn slots(&self) -> &[Communication] {
        &self.slots
    }

    /// Bytes in use beyond the structure itself, roughly: of the slots only the one that was written last is asked, and of the
    /// runs those of the latest period.
    pub fn heap_size(&self) -> usize {
        let slot = &self.slots[self.cursor];
        let each = size_of::<Communication>() + slot.responses.heap_size() + slot.bytes.heap_size();
        let latest = self.runs.last().map_or(0, Runs::heap_size);
        let runs = self.runs.len() * (size_of::<Runs>() + latest);
        self.beats.heap_size() + runs + self.slots.len() * each
    }
}

impl Codec for Evidence {
    const NAME: &'static str = "evidence";
    const LETTER: u8 = b'E';
    const NEWEST: u8 = 2;

    fn version(&self) -> u8 {
        if self.runs.is_empty() { 1 } else { 2 }
    }

    fn write(&self, out: &mut Writer) {
        self.beats.write(out);
        out.unsigned(self.slots.len() as u64);
        let mut at = 0i64;
        for edge in &self.edges {
            out.signed(edge.wrapping_sub(at));
            at = *edge;
        }
        self.before.write_into(out);
        for slot in &self.slots {
            slot.responses.write(out);
            out.unsigned(slot.attempts);
            out.unsigned(slot.failed);
            slot.bytes.write_into(out);
        }
        if self.version() > 1 {
            out.unsigned(self.runs.len() as u64);
            self.runs.iter().for_each(|runs| runs.write(out));
        }
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        let beats = Times::read(input)?;
        let count = input.count()?;
        let mut edges = Vec::with_capacity(count + 1);
        let mut at = 0i64;
        for _ in 0..=count {
            at = at.wrapping_add(input.signed()?);
            edges.push(at);
        }
        let mut evidence = Self::new(&edges).map_err(|e| input.fail(e))?;
        evidence.beats = beats;
        evidence.before = Throughput::read_from(input)?;
        for slot in &mut evidence.slots {
            slot.responses = ResponseSketch::read(input)?;
            slot.attempts = input.tally()?;
            slot.failed = input.tally()?;
            slot.bytes = Throughput::read_from(input)?;
            if slot.failed > slot.attempts {
                return Err(input.fail("more failed than tried"));
            }
        }
        if input.version > 1 {
            for _ in 0..input.count()? {
                let runs = Runs::read(input)?;
                evidence.take_runs(&runs).map_err(|e| input.fail(e))?;
            }
            if evidence.runs.is_empty() {
                return Err(input.fail("it announces runs of beats and has none"));
            }
        }
        Ok(evidence)
    }
}
