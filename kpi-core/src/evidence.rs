//! The evidence of a device: all that its metric samples say, gathered in one pass and mergeable.
//!
//! Beats are kept as they are, so that liveness, expected interval and exemptions may change without gathering again; a
//! summary has their runs instead, which a change of the first two makes useless. What is counted and not placed in time
//! (response times, errors, bytes) is gathered in slots, one a bucket.

use std::collections::BTreeMap;

use crate::cadence::Expectation;
use crate::codec::{Codec, Reader, Writer, add_tallies};
use crate::error::{KpiError, Result};
use crate::exact_sum::Form;
use crate::interrupts::interruptible;
use crate::response::ResponseSketch;
use crate::runs::Runs;
use crate::throughput::{AmountKind, Throughput};
use crate::time::{Instant, Window, check_instant};
use crate::times::Times;

/// The metrics that have a meaning of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricRole {
    /// Whether the device is alive: 0 says that somebody asked it and it was not.
    Heartbeat,
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
            b"heartbeat" => Self::Heartbeat,
            b"response_time" => Self::ResponseTime,
            b"error" => Self::Error,
            b"bytes" => Self::Bytes,
            _ => Self::Other,
        }
    }
}

impl MetricRole {
    /// Whether a sample proves the device alive: a communication that failed does not, nor does a heartbeat of 0.
    #[inline]
    fn proves_life(self, value: f64) -> bool {
        match self {
            Self::Error => value == 0.0,
            Self::Heartbeat => value != 0.0,
            _ => true,
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
    fn is_empty(&self) -> bool {
        self.responses.is_empty() && self.attempts == 0 && self.bytes.is_empty()
    }

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
        [first, .., last] if interruptible(edges.windows(2)).all(|pair| pair[0] < pair[1]) => {
            Window::new(*first, *last)
        }
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
    /// Beats of whole periods, each of which lies in one slot; by the first of them.
    runs: BTreeMap<Instant, Runs>,
    /// The bounds of the slots, one more than there are slots.
    edges: Vec<Instant>,
    /// What was communicated in each; none where nothing was, as in most of many short slots.
    slots: Vec<Option<Box<Communication>>>,
    /// How many are not empty.
    filled: usize,
    /// The byte counter before the first slot, from which its first increase counts.
    before: Throughput,
    /// The slot of the sample before, where the next one most likely falls too.
    cursor: usize,
}

impl Evidence {
    /// No evidence yet, for slots between these instants.
    pub fn new(edges: &[Instant]) -> Result<Self> {
        check_edges(edges)?;
        let slots = std::iter::repeat_with(|| None).take(edges.len() - 1).collect();
        Ok(Self {
            beats: Times::default(),
            runs: BTreeMap::new(),
            edges: edges.to_vec(),
            slots,
            filled: 0,
            before: Throughput::default(),
            cursor: 0,
        })
    }

    /// Adds a sample, a beat where it is of the device's heartbeat metric and proves it alive. Where its value cannot be what its role says, a negative response time or amount, that figure of the
    /// slot has no value.
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
        if is_beat && role.proves_life(value) {
            self.beats.insert(at)?;
        }
        if matches!(role, MetricRole::Other | MetricRole::Heartbeat) {
            return Ok(());
        }
        let before_all = at < self.edges[0];
        let Some(slot) = self.slot_of(at) else {
            let counts_on =
                before_all && role == MetricRole::Bytes && bytes_kind == AmountKind::Counter && value >= 0.0;
            return if counts_on {
                self.before.add(at, value, bytes_kind)
            } else {
                Ok(())
            };
        };
        match role {
            // What a row of one device says must not fail the report of all: it spoils its own figure.
            MetricRole::ResponseTime if value < 0.0 => slot.responses.spoil(),
            MetricRole::Bytes if value < 0.0 => slot.bytes.spoil(),
            MetricRole::ResponseTime => slot.responses.add(value)?,
            MetricRole::Error => {
                slot.attempts += 1;
                slot.failed += u64::from(value != 0.0);
            }
            MetricRole::Bytes => slot.bytes.add(at, value, bytes_kind)?,
            MetricRole::Other | MetricRole::Heartbeat => {}
        }
        Ok(())
    }

    fn slot_of(&mut self, at: Instant) -> Option<&mut Communication> {
        if !self.is_in(self.cursor, at) {
            // Samples come in the order of time, or nearly so.
            let next = self.cursor + 1;
            self.cursor = if self.is_in(next, at) { next } else { self.slot_at(at)? };
        }
        Some(self.slot_mut(self.cursor))
    }

    fn is_in(&self, slot: usize, at: Instant) -> bool {
        let edges = self.edges.get(slot..slot + 2);
        edges.is_some_and(|edges| edges[0] <= at && at < edges[1])
    }

    /// The number of the slot that an instant lies in.
    fn slot_at(&self, at: Instant) -> Option<usize> {
        let after = self.edges.partition_point(|e| *e <= at);
        after.checked_sub(1).filter(|i| *i < self.slots.len())
    }

    fn slot_mut(&mut self, slot: usize) -> &mut Communication {
        self.slots[slot].get_or_insert_with(|| {
            self.filled += 1;
            Box::default()
        })
    }

    /// Adds all of another's evidence over the same slots.
    pub fn merge(&mut self, other: &Evidence) -> Result<()> {
        if self.edges != other.edges {
            return Err(KpiError::parameter(
                "evidence over different slots cannot be merged",
                "Gather both with the same slot edges.",
            ));
        }
        self.beats.merge(&other.beats)?;
        for runs in other.runs.values() {
            self.take_runs(runs.clone())?;
        }
        self.before.merge(&other.before)?;
        for (slot, others) in interruptible(other.slots.iter().enumerate()) {
            if let Some(others) = others {
                self.slot_mut(slot).merge(others)?;
            }
        }
        Ok(())
    }

    /// Keeps the beats of a period among those of the others.
    fn take_runs(&mut self, runs: Runs) -> Result<()> {
        let Some((first, last)) = runs.bounds() else {
            return Ok(());
        };
        let before = self.runs.range(..=first).next_back();
        let follows = before.and_then(|(_, r)| r.bounds()).is_none_or(|b| b.1 < first);
        let precedes = self.runs.range(first..).next().is_none_or(|(next, _)| last < *next);
        if !(follows && precedes) {
            return Err(KpiError::parameter(
                "two summaries of the same time cannot be put together",
                "Put together those of periods that do not overlap.",
            ));
        }
        self.runs.insert(first, runs);
        Ok(())
    }

    /// Adds evidence that was gathered over other slots, each of which must lie within one of these.
    pub fn absorb(&mut self, mut part: Evidence) -> Result<()> {
        for runs in std::mem::take(&mut part.runs).into_values() {
            self.take_runs(runs)?;
        }
        if self.edges == part.edges {
            return self.merge(&part);
        }
        self.beats.merge(&part.beats)?;
        for (bounds, others) in interruptible(part.edges.windows(2).zip(&part.slots)) {
            let whole = self.slot_at(bounds[0]).filter(|i| bounds[1] <= self.edges[i + 1]);
            let whole = whole.ok_or_else(|| {
                KpiError::parameter(
                    "evidence of a period that lies in no single slot cannot be absorbed",
                    "Gather it anew from rows, or choose slots whose edges fall on the period's.",
                )
            })?;
            if let Some(others) = others {
                self.slot_mut(whole).merge(others)?;
            }
        }
        Ok(())
    }

    /// The same with the runs of its beats instead of the beats: what a report asks of a device with these settings. There must
    /// be one slot, and every beat in it.
    pub fn summary(mut self, expect: Expectation) -> Result<Self> {
        let beats = std::mem::take(&mut self.beats).to_vec();
        let is_inside = |slot: &[Instant]| {
            let ends = [beats.first(), beats.last()];
            ends.into_iter().flatten().all(|b| (slot[0]..slot[1]).contains(b))
        };
        if self.slots.len() != 1 || !is_inside(&self.edges) {
            return Err(KpiError::parameter(
                "a summary is of one slot and the beats in it",
                "Take evidence apart by iot_kpi.evidence_parts() first.",
            ));
        }
        self.take_runs(Runs::of(&beats, expect))?;
        Ok(self)
    }

    /// Beats of whole periods, in the order of time.
    pub fn runs(&self) -> impl Iterator<Item = &Runs> {
        self.runs.values()
    }

    /// Takes the beats out: those that are kept one by one, in order, and those of whole periods.
    pub(crate) fn take_beats(&mut self) -> (Vec<Instant>, Vec<Runs>) {
        let beats = std::mem::take(&mut self.beats).to_vec();
        (beats, std::mem::take(&mut self.runs).into_values().collect())
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
        interruptible(bounds)
            .map(|(edges, slot)| {
                let mut part = Self::new(edges)?;
                let first = beats.partition_point(|b| *b < edges[0]);
                interruptible(&beats[first..])
                    .take_while(|b| **b < edges[1])
                    .try_for_each(|b| part.beats.insert(*b))?;
                part.slots[0] = slot.clone();
                part.filled = usize::from(slot.is_some());
                Ok(part)
            })
            .collect()
    }

    /// The byte counter's last sample before each slot, however long before it.
    pub fn counters_before(&self) -> Vec<Option<(Instant, f64)>> {
        let mut last = self.before.last_sample();
        let before_each = self.slots.iter().map(|slot| {
            let before = last;
            last = slot.as_ref().and_then(|s| s.bytes.last_sample()).or(last);
            before
        });
        interruptible(before_each).collect()
    }

    /// The oldest form in which all sums and counters can be said.
    fn form(&self) -> Form {
        let slots = interruptible(&self.slots).flatten();
        let forms = slots.flat_map(|slot| [slot.responses.form(), slot.bytes.form()]);
        let needs_more = forms.chain([self.before.form()]).any(|form| form == Form::Wide);
        if needs_more { Form::Wide } else { Form::Floats }
    }

    /// The bounds of the slots.
    pub fn edges(&self) -> &[Instant] {
        &self.edges
    }

    /// What was communicated in a slot; none where nothing was.
    pub fn slot(&self, slot: usize) -> Option<&Communication> {
        self.slots.get(slot)?.as_deref()
    }

    /// Bytes in use beyond the structure itself, roughly: of the slots only the one that was written last is asked, and of the
    /// runs those of the latest period.
    pub fn heap_size(&self) -> usize {
        let slot = self.slots[self.cursor].as_deref();
        let each = size_of::<Communication>() + slot.map_or(0, |s| s.responses.heap_size() + s.bytes.heap_size());
        let latest = self.runs.last_key_value().map_or(0, |(_, runs)| runs.heap_size());
        let runs = self.runs.len() * (size_of::<Runs>() + latest);
        let places = self.edges.capacity() * size_of::<Instant>() + self.slots.capacity() * size_of::<usize>();
        self.beats.heap_size() + runs + places + self.filled * each
    }
}

impl Codec for Evidence {
    const NAME: &'static str = "evidence";
    const LETTER: u8 = b'E';
    const READING: usize = 64;
    const ANSWERING: usize = 320;
    const NEWEST: u8 = 3;

    fn version(&self) -> u8 {
        match (self.form(), self.runs.is_empty()) {
            (Form::Floats, true) => 1,
            (Form::Floats, false) => 2,
            (Form::Wide, _) => 3,
        }
    }

    fn write(&self, out: &mut Writer) {
        self.beats.write(out);
        out.unsigned(self.slots.len() as u64);
        let mut at = 0i64;
        for edge in interruptible(&self.edges) {
            out.signed(edge.wrapping_sub(at));
            at = *edge;
        }
        let form = self.form();
        self.before.write_into(out, form);
        let nothing = Communication::default();
        for slot in interruptible(&self.slots) {
            let slot = slot.as_deref().unwrap_or(&nothing);
            slot.responses.write_into(out, form);
            out.unsigned(slot.attempts);
            out.unsigned(slot.failed);
            slot.bytes.write_into(out, form);
        }
        if self.version() > 1 {
            out.unsigned(self.runs.len() as u64);
            self.runs.values().for_each(|runs| runs.write(out));
        }
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        let beats = Times::read(input)?;
        let count = input.count()?;
        let mut edges = Vec::with_capacity(count + 1);
        let mut at = 0i64;
        for _ in interruptible(0..=count) {
            at = at.wrapping_add(input.signed()?);
            edges.push(at);
        }
        let mut evidence = Self::new(&edges).map_err(|e| input.fail(e))?;
        evidence.beats = beats;
        let form = if input.version < 3 { Form::Floats } else { Form::Wide };
        evidence.before = Throughput::read_from(input, form)?;
        for slot in interruptible(0..count) {
            let read = Communication {
                responses: ResponseSketch::read_from(input, form)?,
                attempts: input.tally()?,
                failed: input.tally()?,
                bytes: Throughput::read_from(input, form)?,
            };
            if read.failed > read.attempts {
                return Err(input.fail("more failed than tried"));
            }
            if !read.is_empty() {
                *evidence.slot_mut(slot) = read;
            }
        }
        if input.version > 1 {
            for _ in 0..input.count()? {
                let runs = Runs::read(input)?;
                if runs.bounds().is_none() {
                    return Err(input.fail("a period has runs of no beats"));
                }
                evidence.take_runs(runs).map_err(|e| input.fail(e))?;
            }
            if evidence.runs.is_empty() && input.version == 2 {
                return Err(input.fail("it announces runs of beats and has none"));
            }
        }
        Ok(evidence)
    }
}
