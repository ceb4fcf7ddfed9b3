//! What the collector counts about itself, and Prometheus's text of it.

use crate::error::Error;
use crate::runtime::time_grid::{Micros, now, text};
use crate::sink::ingest::Receipt;
use crate::sink::trouble::{TROUBLES, Trouble};
use serde_json::json;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard};

/// Shared by everything that counts.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Rows made by the simulator, second deliveries included.
    pub produced: AtomicU64,
    /// Rows the database took as new.
    pub stored: AtomicU64,
    /// Rows the database had already.
    pub duplicates: AtomicU64,
    /// Rows the database had already, with another value.
    pub conflicts: AtomicU64,
    /// Rows from the future.
    pub future_clamped: AtomicU64,
    /// Rows the database refused.
    pub refused: AtomicU64,
    /// Refused rows that were put into the dead-letter file.
    pub dead_letters: AtomicU64,
    /// Rows that found the spool full, or no spool that can be written, or were damaged in it.
    pub lost: AtomicU64,
    /// Batches that were damaged in the spool.
    pub spool_damaged: AtomicU64,
    /// Batches written.
    pub batches: AtomicU64,
    /// Tries to reach the database that failed.
    pub failures: AtomicU64,
    /// Bytes that wait in the spool.
    pub spool_bytes: AtomicU64,
    /// Batches that wait in the spool.
    pub spool_batches: AtomicU64,
    /// Whether the last try reached the database.
    pub connected: AtomicBool,
    /// Whether new data are lost at the moment.
    pub losing: AtomicBool,
    /// Whether refused rows find no room in the dead-letter file.
    pub dead_letters_full: AtomicBool,
    /// When the last batch was written.
    pub last_write: AtomicI64,
    more: Mutex<More>,
}

/// What is not a number.
#[derive(Debug, Default)]
struct More {
    /// Why nothing can be written at the moment.
    problem: Option<Problem>,
    /// A part of the program that has ended before its time.
    ended: Option<&'static str>,
    dead_letter_file: Option<PathBuf>,
}

#[derive(Debug)]
struct Problem {
    trouble: Trouble,
    text: String,
    since: Micros,
}

impl Metrics {
    /// A batch was written.
    pub fn written(&self, receipt: &Receipt) {
        self.stored.fetch_add(receipt.stored, Relaxed);
        self.duplicates.fetch_add(receipt.duplicates, Relaxed);
        self.conflicts.fetch_add(receipt.conflicts, Relaxed);
        self.future_clamped.fetch_add(receipt.future_clamped, Relaxed);
        self.refused.fetch_add(receipt.refused, Relaxed);
        self.batches.fetch_add(1, Relaxed);
        self.last_write.store(now(), Relaxed);
        self.reached();
    }

    /// The database took what it was given, if only a connection.
    pub fn reached(&self) {
        self.connected.store(true, Relaxed);
        self.more().problem = None;
    }

    /// A try failed.
    pub fn failed(&self, error: &Error) {
        self.failures.fetch_add(1, Relaxed);
        self.connected.store(false, Relaxed);
        let mut more = self.more();
        let (trouble, text) = (error.trouble(), error.to_string());
        let before = more.problem.take().filter(|before| before.trouble == trouble);
        let since = before.map_or_else(now, |before| before.since);
        more.problem = Some(Problem { trouble, text, since });
    }

    /// A part of the program has ended before its time.
    pub fn ended(&self, part: &'static str) {
        self.more().ended = Some(part);
    }

    /// Where refused rows are kept.
    pub fn keeps_dead_letters_in(&self, file: PathBuf) {
        self.more().dead_letter_file = Some(file);
    }

    fn more(&self) -> MutexGuard<'_, More> {
        // Whoever panicked with it in hand had only looked, or put one value in another's place.
        self.more.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The text exposition format, version 0.0.4.
    pub fn prometheus(&self) -> String {
        let rows = [
            (
                "samples_total",
                "counter",
                "Rows made, second deliveries included",
                &self.produced,
            ),
            ("stored_total", "counter", "Rows the database took as new", &self.stored),
            (
                "duplicates_total",
                "counter",
                "Rows the database had already",
                &self.duplicates,
            ),
            (
                "conflicts_total",
                "counter",
                "Rows the database had already with another value",
                &self.conflicts,
            ),
            (
                "future_clamped_total",
                "counter",
                "Rows from the future",
                &self.future_clamped,
            ),
            ("refused_total", "counter", "Rows the database refused", &self.refused),
            (
                "dead_letters_total",
                "counter",
                "Refused rows that were put into the dead-letter file",
                &self.dead_letters,
            ),
            (
                "lost_total",
                "counter",
                "Rows that found no room in the spool, or were damaged in it",
                &self.lost,
            ),
            (
                "spool_damaged_total",
                "counter",
                "Batches that were damaged in the spool",
                &self.spool_damaged,
            ),
            ("batches_total", "counter", "Batches written", &self.batches),
            (
                "failures_total",
                "counter",
                "Tries to reach the database that failed",
                &self.failures,
            ),
            (
                "spool_bytes",
                "gauge",
                "Bytes that wait in the spool",
                &self.spool_bytes,
            ),
            (
                "spool_batches",
                "gauge",
                "Batches that wait in the spool",
                &self.spool_batches,
            ),
        ];
        let mut text = String::new();
        for (name, kind, help, value) in rows {
            line(&mut text, name, kind, help, value.load(Relaxed) as f64);
        }
        let flag = |on: bool| f64::from(u8::from(on));
        let connected = flag(self.connected.load(Relaxed));
        let help = "Whether the last try reached the database";
        line(&mut text, "database_up", "gauge", help, connected);
        let full = flag(self.dead_letters_full.load(Relaxed));
        let help = "Whether refused rows find no room in the dead-letter file";
        line(&mut text, "dead_letters_full", "gauge", help, full);
        let last = self.last_write.load(Relaxed) as f64 / 1e6;
        let help = "When the last batch was written";
        line(&mut text, "last_write_timestamp_seconds", "gauge", help, last);
        head(
            &mut text,
            "problem",
            "gauge",
            "Why the database takes nothing at the moment: 1 at the kind of trouble",
        );
        let problem = self.more().problem.as_ref().map(|problem| problem.trouble);
        for trouble in TROUBLES {
            let (kind, value) = (trouble.name(), flag(problem == Some(trouble)));
            // Writing to a string cannot fail.
            _ = writeln!(text, "iot_kpi_collector_problem{{kind=\"{kind}\"}} {value}");
        }
        text
    }

    /// Whether it is well, and as JSON how it is: `ok`; `spooling`, the database is away and nothing is lost; `refused`, it
    /// is there and takes nothing, and will not without help; `ended`, a part of the collector has; `losing` data.
    pub fn health(&self) -> (bool, String) {
        let more = self.more();
        let connected = self.connected.load(Relaxed);
        let losing = self.losing.load(Relaxed) || self.dead_letters_full.load(Relaxed);
        let waits = |problem: &Problem| problem.trouble == Trouble::Away;
        let status = match (losing, more.ended, &more.problem) {
            (true, ..) => "losing",
            (_, Some(_), _) => "ended",
            (_, _, Some(problem)) if !waits(problem) => "refused",
            (_, _, Some(_)) => "spooling",
            (_, _, None) if connected => "ok",
            (_, _, None) => "spooling",
        };
        let last: Micros = self.last_write.load(Relaxed);
        let problem = more.problem.as_ref().map(|problem| {
            let (kind, message, since) = (problem.trouble.name(), &problem.text, text(problem.since));
            json!({ "kind": kind, "message": message, "since": since })
        });
        let body = json!({
            "status": status,
            "database_up": connected,
            "problem": problem,
            "ended": more.ended,
            "spool_bytes": self.spool_bytes.load(Relaxed),
            "lost": self.lost.load(Relaxed),
            "dead_letters": self.dead_letters.load(Relaxed),
            "dead_letter_file": more.dead_letter_file,
            "dead_letters_full": self.dead_letters_full.load(Relaxed),
            "last_write": (last > 0).then(|| text(last)),
        });
        (matches!(status, "ok" | "spooling"), body.to_string())
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let name = format!("iot_kpi_collector_{name}");
    // Writing to a string cannot fail.
    _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
}

fn line(text: &mut String, name: &str, kind: &str, help: &str, value: f64) {
    head(text, name, kind, help);
    _ = writeln!(text, "iot_kpi_collector_{name} {value}");
}
