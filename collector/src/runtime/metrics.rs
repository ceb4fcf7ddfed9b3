//! What the collector counts about itself, as Prometheus reads it, and how well it is.

use crate::error::Error;
use crate::runtime::time_grid::{Micros, now, text};
use crate::sink::ingest::Receipt;
use crate::sink::trouble::{TROUBLES, Trouble};
use prometheus_client::encoding::{EncodeLabelSet, prometheus_text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Metric, Registry};
use serde_json::json;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard};

/// Shared by everything that counts.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Rows that the sources have sent, second deliveries included.
    pub produced: Counter,
    /// Rows the database took as new.
    pub stored: Counter,
    /// Rows the database had already.
    pub duplicates: Counter,
    /// Rows the database had already, with another value.
    pub conflicts: Counter,
    /// Rows from the future.
    pub future_clamped: Counter,
    /// Rows the database refused.
    pub refused: Counter,
    /// Refused rows that were put into the dead-letter file.
    pub dead_letters: Counter,
    /// Rows that found the spool full, or no spool that can be written, or were damaged in it.
    pub lost: Counter,
    /// Batches that were damaged in the spool.
    pub spool_damaged: Counter,
    /// Batches written.
    pub batches: Counter,
    /// Tries to reach the database that failed.
    pub failures: Counter,
    /// Bytes that wait in the spool.
    pub spool_bytes: Gauge,
    /// Batches that wait in the spool.
    pub spool_batches: Gauge,
    /// Whether refused rows find no room in the dead-letter file.
    pub dead_letters_full: Gauge,
    /// Whether new data are lost at the moment.
    pub losing: AtomicBool,
    connected: Gauge,
    /// Seconds since 1970.
    last_write: Gauge<f64, AtomicU64>,
    problem: Family<ProblemLabels, Gauge>,
    more: Mutex<More>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ProblemLabels {
    kind: &'static str,
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

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("iot_kpi_collector");
        // `_total` is put behind the name of a counter.
        let mut counter = |name, help| registered(&mut registry, name, help, Counter::default());
        let produced = counter("samples", "Rows that the sources have sent, second deliveries included");
        let stored = counter("stored", "Rows the database took as new");
        let duplicates = counter("duplicates", "Rows the database had already");
        let conflicts = counter("conflicts", "Rows the database had already with another value");
        let future_clamped = counter("future_clamped", "Rows from the future");
        let refused = counter("refused", "Rows the database refused");
        let dead_letters = counter("dead_letters", "Refused rows that were put into the dead-letter file");
        let lost = counter("lost", "Rows that found no room in the spool, or were damaged in it");
        let spool_damaged = counter("spool_damaged", "Batches that were damaged in the spool");
        let batches = counter("batches", "Batches written");
        let failures = counter("failures", "Tries to reach the database that failed");
        let mut gauge = |name, help| registered(&mut registry, name, help, Gauge::default());
        let spool_bytes = gauge("spool_bytes", "Bytes that wait in the spool");
        let spool_batches = gauge("spool_batches", "Batches that wait in the spool");
        let connected = gauge("database_up", "Whether the last try reached the database");
        let dead_letters_full = gauge(
            "dead_letters_full",
            "Whether refused rows find no room in the dead-letter file",
        );
        let (name, help) = ("last_write_timestamp_seconds", "When the last batch was written");
        let last_write = registered(&mut registry, name, help, Gauge::default());
        let help = "Why the database takes nothing at the moment: 1 at the kind of trouble";
        let problem = registered(&mut registry, "problem", help, Family::default());
        let metrics = Metrics {
            registry,
            produced,
            stored,
            duplicates,
            conflicts,
            future_clamped,
            refused,
            dead_letters,
            lost,
            spool_damaged,
            batches,
            failures,
            spool_bytes,
            spool_batches,
            dead_letters_full,
            losing: AtomicBool::new(false),
            connected,
            last_write,
            problem,
            more: Mutex::default(),
        };
        metrics.show_problem(None);
        metrics
    }
}

fn registered<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

impl Metrics {
    /// A batch was written.
    pub fn written(&self, receipt: &Receipt) {
        self.stored.inc_by(receipt.stored);
        self.duplicates.inc_by(receipt.duplicates);
        self.conflicts.inc_by(receipt.conflicts);
        self.future_clamped.inc_by(receipt.future_clamped);
        self.refused.inc_by(receipt.refused);
        self.batches.inc();
        self.last_write.set(now() as f64 / 1e6);
        self.reached();
    }

    /// The database took what it was given, if only a connection.
    pub fn reached(&self) {
        self.connected.set(1);
        self.more().problem = None;
        self.show_problem(None);
    }

    /// A try failed.
    pub fn failed(&self, error: &Error) {
        self.failures.inc();
        self.connected.set(0);
        let mut more = self.more();
        let (trouble, text) = (error.trouble(), error.to_string());
        let before = more.problem.take().filter(|before| before.trouble == trouble);
        let since = before.map_or_else(now, |before| before.since);
        more.problem = Some(Problem { trouble, text, since });
        self.show_problem(Some(trouble));
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

    fn show_problem(&self, problem: Option<Trouble>) {
        for trouble in TROUBLES {
            let kind = trouble.name();
            let shown = self.problem.get_or_create(&ProblemLabels { kind });
            shown.set(i64::from(problem == Some(trouble)));
        }
    }

    /// The text exposition format, version 0.0.4.
    pub fn prometheus(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        _ = prometheus_text::encode(&mut text, &self.registry);
        text
    }

    /// Whether it is well, and as JSON how it is: `ok`; `spooling`, the database is away and nothing is lost; `refused`, it
    /// is there and takes nothing, and will not without help; `ended`, a part of the collector has; `losing` data.
    pub fn health(&self) -> (bool, String) {
        let more = self.more();
        let connected = self.connected.get() == 1;
        let full = self.dead_letters_full.get() == 1;
        let losing = self.losing.load(Relaxed) || full;
        let waits = |problem: &Problem| problem.trouble == Trouble::Away;
        let status = match (losing, more.ended, &more.problem) {
            (true, ..) => "losing",
            (_, Some(_), _) => "ended",
            (_, _, Some(problem)) if !waits(problem) => "refused",
            (_, _, Some(_)) => "spooling",
            (_, _, None) if connected => "ok",
            (_, _, None) => "spooling",
        };
        let last = (self.last_write.get() * 1e6).round() as Micros;
        let problem = more.problem.as_ref().map(|problem| {
            let (kind, message, since) = (problem.trouble.name(), &problem.text, text(problem.since));
            json!({ "kind": kind, "message": message, "since": since })
        });
        let body = json!({
            "status": status,
            "database_up": connected,
            "problem": problem,
            "ended": more.ended,
            "spool_bytes": self.spool_bytes.get(),
            "lost": self.lost.get(),
            "dead_letters": self.dead_letters.get(),
            "dead_letter_file": more.dead_letter_file,
            "dead_letters_full": full,
            "last_write": (last > 0).then(|| text(last)),
        });
        (matches!(status, "ok" | "spooling"), body.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Dashboards and alerts ask for these: no name, type or label may change.
    #[test]
    fn names_types_and_labels() {
        let metrics = Metrics::default();
        metrics.stored.inc_by(7);
        let trouble = Error::TimedOut { doing: "x", seconds: 1 };
        metrics.failed(&trouble);
        let page = metrics.prometheus();
        for counter in [
            "samples",
            "stored",
            "duplicates",
            "conflicts",
            "future_clamped",
            "refused",
            "dead_letters",
            "lost",
            "spool_damaged",
            "batches",
            "failures",
        ] {
            let line =
                format!("\n# TYPE iot_kpi_collector_{counter}_total counter\niot_kpi_collector_{counter}_total ");
            assert!(page.contains(&line), "{line} is not in {page}");
        }
        for gauge in [
            "spool_bytes",
            "spool_batches",
            "database_up",
            "dead_letters_full",
            "last_write_timestamp_seconds",
        ] {
            let line = format!("\n# TYPE iot_kpi_collector_{gauge} gauge\niot_kpi_collector_{gauge} 0");
            assert!(page.contains(&line), "{line} is not in {page}");
        }
        let lines: Vec<&str> = page.lines().collect();
        for line in [
            "iot_kpi_collector_stored_total 7",
            "iot_kpi_collector_failures_total 1",
            "iot_kpi_collector_problem{kind=\"away\"} 1",
            "iot_kpi_collector_problem{kind=\"other_database\"} 0",
        ] {
            assert!(lines.contains(&line), "{line} is not in {page}");
        }
        metrics.reached();
        assert!(
            metrics
                .prometheus()
                .contains("iot_kpi_collector_problem{kind=\"away\"} 0")
        );
    }
}
