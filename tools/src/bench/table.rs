//! What was measured, for people and for programs.

use std::fmt;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;

/// What a ratio has to be.
#[derive(Debug, Clone, Copy)]
pub enum Bound {
    /// At most this.
    AtMost(f64),
    /// At least this.
    AtLeast(f64),
}

/// A ratio and its bound.
#[derive(Debug, Clone)]
pub struct Measure {
    /// What was divided by what.
    pub name: String,
    /// The ratio; or another number, if the name ends with a unit.
    pub ratio: f64,
    /// What it has to be.
    pub bound: Bound,
    /// What it came from.
    pub detail: String,
}

/// All measures of a run.
#[derive(Debug, Default)]
pub struct Table {
    measures: Vec<Measure>,
    notes: Vec<String>,
}

impl Measure {
    fn is_met(&self) -> bool {
        match self.bound {
            Bound::AtMost(limit) => self.ratio <= limit,
            Bound::AtLeast(limit) => self.ratio >= limit,
        }
    }

    fn limit(&self) -> f64 {
        match self.bound {
            Bound::AtMost(limit) | Bound::AtLeast(limit) => limit,
        }
    }
}

impl Table {
    /// Two times and the ratio of them, which must not be above a limit.
    pub(super) fn times(&mut self, name: impl Into<String>, (taken, baseline): (Duration, Duration), limit: f64) {
        let ratio = taken.as_secs_f64() / baseline.as_secs_f64();
        let detail = format!("{} ÷ {}", Shown(taken), Shown(baseline));
        self.add(name, ratio, Bound::AtMost(limit), detail);
    }

    /// Any other measure. It is printed at once: a run takes minutes.
    pub(crate) fn add(&mut self, name: impl Into<String>, ratio: f64, bound: Bound, detail: impl Into<String>) {
        let measure = Measure {
            name: name.into(),
            ratio,
            bound,
            detail: detail.into(),
        };
        println!("{measure}");
        self.measures.push(measure);
    }

    /// Lines that are shown below the table.
    pub(super) fn note(&mut self, lines: impl IntoIterator<Item = String>) {
        self.notes.extend(lines);
    }

    /// What is to be read after the last measure: the notes, and what is short.
    pub fn ending(&self) -> String {
        let mut text = String::new();
        for note in &self.notes {
            text += &format!("{note}\n");
        }
        let short: Vec<&Measure> = self.measures.iter().filter(|m| !m.is_met()).collect();
        text += &format!("\n{} measures, {} short", self.measures.len(), short.len());
        for measure in short {
            text += &format!("\n  short: {}", measure.name);
        }
        text
    }

    /// Writes the measures as JSON.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, file: &Path) -> Result<()> {
        let rows: Vec<_> = self
            .measures
            .iter()
            .map(|m| json!({"measure": m.name, "ratio": m.ratio, "limit": m.limit(), "ok": m.is_met()}))
            .collect();
        let text = serde_json::to_string_pretty(&rows).context("write JSON")?;
        fs::write(file, text + "\n").with_context(|| format!("write {}", file.display()))
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.bound {
            Bound::AtMost(_) => '≤',
            Bound::AtLeast(_) => '≥',
        };
        let verdict = if self.is_met() { "ok" } else { "short" };
        write!(
            f,
            "{:<72} {:>9.3} {sign} {:<6} {verdict:<5}  {}",
            self.name,
            self.ratio,
            self.limit(),
            self.detail
        )
    }
}

/// A time in milliseconds.
pub(super) struct Shown(pub(super) Duration);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} ms", self.0.as_secs_f64() * 1e3)
    }
}
