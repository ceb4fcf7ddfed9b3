//! Sets of instants as sorted, disjoint, non-touching half-open spans.

use crate::interrupts::{interruptible, sort};
use crate::time::{Duration, Instant, Window, span};

/// A sorted set of disjoint spans `[start, end)`; touching spans are one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spans(Vec<(Instant, Instant)>);

impl Spans {
    /// No instants.
    pub fn empty() -> Self {
        Self::default()
    }

    /// The union of any spans, in any order; empty and reversed ones add nothing.
    pub fn union_of(mut spans: Vec<(Instant, Instant)>) -> Self {
        spans.retain(|(start, end)| start < end);
        sort(&mut spans);
        Self::from_sorted(spans)
    }

    /// The union of spans sorted by their start.
    pub fn from_sorted(spans: impl IntoIterator<Item = (Instant, Instant)>) -> Self {
        let mut set = Self::empty();
        for (start, end) in interruptible(spans) {
            set.append(start, end);
        }
        set
    }

    /// Adds a span that starts no earlier than every span so far.
    pub fn append(&mut self, start: Instant, end: Instant) {
        match self.0.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ if start < end => self.0.push((start, end)),
            _ => {}
        }
    }

    /// The spans in order.
    pub fn as_slice(&self) -> &[(Instant, Instant)] {
        &self.0
    }

    /// Whether the instant is inside.
    pub fn contains(&self, t: Instant) -> bool {
        let after = self.0.partition_point(|s| s.0 <= t);
        after > 0 && t < self.0[after - 1].1
    }

    /// What of the set lies in the window.
    pub fn clip(&self, window: Window) -> Self {
        let first = self.0.partition_point(|s| s.1 <= window.start);
        let after = first + self.0[first..].partition_point(|s| s.0 < window.end);
        let clipped = interruptible(&self.0[first..after]);
        Self(clipped.map(|s| (s.0.max(window.start), s.1.min(window.end))).collect())
    }

    /// What of the window is not in the set.
    pub fn gaps(&self, window: Window) -> Self {
        let mut free = window.start;
        let mut gaps = Self::empty();
        for &(start, end) in interruptible(self.clip(window).as_slice()) {
            gaps.append(free, start);
            free = end;
        }
        gaps.append(free, window.end);
        gaps
    }

    /// The time from `start` to `end` that is in the set.
    pub fn overlap(&self, start: Instant, end: Instant) -> Duration {
        let first = self.0.partition_point(|s| s.1 <= start);
        self.0[first..]
            .iter()
            .take_while(|s| s.0 < end)
            .map(|s| span(s.0.max(start), s.1.min(end)))
            .sum()
    }

    /// The length of the set.
    pub fn total(&self) -> Duration {
        self.0.iter().map(|s| span(s.0, s.1)).sum()
    }
}
