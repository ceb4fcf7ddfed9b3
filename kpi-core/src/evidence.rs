//! The evidence of a device: all that its metric samples say, gathered in one pass and mergeable.
//!
//! Beats are kept as they are, so that liveness, expected interval and exemptions may change without gathering again.
//! What is counted and not placed in time (response times, errors, bytes) is gathered in slots, one a bucket.

use crate::codec::{Codec, Reader, Writer};
use crate::error::{KpiError, Result};
use crate::response::ResponseSketch;
use crate::throughput::{AmountKind, Throughput};
use crate::time::{Instant, check_instant};
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

/// The evidence of one device over a window cut into slots.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// All beats, also those before the first slot, which may reach into it.
    pub beats: Times,
    /// The bounds of the slots, one more than there are slots.
    edges: Vec<Instant>,
    slots: Vec<Communication>,
    /// The slot of the sample before, where the next one most likely falls too.
    cursor: usize,
}

impl Evidence {
    /// No evidence yet, for slots between these instants.
    pub fn new(edges: &[Instant]) -> Result<Self> {
        let ordered = edges.windows(2).all(|pair| pair[0] < pair[1]);
        if edges.len() < 2 || !ordered {
            return Err(KpiError::parameter(
                "slot edges must be at least two instants in ascending order",
                "Pass the bounds of the window, such as ARRAY[lower(during), upper(during)].",
            ));
        }
        edges.iter().try_for_each(|t| check_instant(*t).map(drop))?;
        let slots = vec![Communication::default(); edges.len() - 1];
        Ok(Self {
            beats: Times::default(),
            edges: edges.to_vec(),
            slots,
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
        let Some(slot) = self.slot_of(at) else { return Ok(()) };
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
        self.beats.merge(&other.beats);
        for (slot, others) in self.slots.iter_mut().zip(&other.slots) {
            slot.responses.merge(&others.responses)?;
            slot.attempts += others.attempts;
            slot.failed += others.failed;
            slot.bytes.merge(&others.bytes)?;
        }
        Ok(())
    }

    /// The bounds of the slots.
    pub fn edges(&self) -> &[Instant] {
        &self.edges
    }

    /// The slots.
    pub fn slots(&self) -> &[Communication] {
        &self.slots
    }

    /// Bytes in use beyond the structure itself.
    pub fn heap_size(&self) -> usize {
        let slots = self.slots.iter().map(|s| s.responses.heap_size() + s.bytes.heap_size());
        self.beats.heap_size() + self.slots.capacity() * size_of::<Communication>() + slots.sum::<usize>()
    }
}

impl Codec for Evidence {
    const NAME: &'static str = "evidence";
    const LETTER: u8 = b'E';

    fn write(&self, out: &mut Writer) {
        self.beats.write(out);
        out.unsigned(self.slots.len() as u64);
        let mut at = 0i64;
        for edge in &self.edges {
            out.signed(edge.wrapping_sub(at));
            at = *edge;
        }
        for slot in &self.slots {
            slot.responses.write(out);
            out.unsigned(slot.attempts);
            out.unsigned(slot.failed);
            slot.bytes.write_into(out);
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
        for slot in &mut evidence.slots {
            slot.responses = ResponseSketch::read(input)?;
            slot.attempts = input.unsigned()?;
            slot.failed = input.unsigned()?;
            slot.bytes = Throughput::read_from(input)?;
            if slot.failed > slot.attempts {
                return Err(input.fail("more failed than tried"));
            }
        }
        Ok(evidence)
    }
}
