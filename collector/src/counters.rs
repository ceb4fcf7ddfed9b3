//! What the collector counts about itself, and Prometheus's text of it.

use crate::door::Receipt;
use crate::ticks::{Micros, now};
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

/// Shared by everything that counts.
#[derive(Debug, Default)]
pub struct Counters {
    /// Rows made by the simulator, second deliveries included.
    pub produced: AtomicU64,
    /// Rows the database took as new.
    pub stored: AtomicU64,
    /// Rows the database had already.
    pub duplicates: AtomicU64,
    /// Rows from the future.
    pub future_clamped: AtomicU64,
    /// Rows the database refused.
    pub refused: AtomicU64,
    /// Rows that found the spool full, or no spool that can be written.
    pub lost: AtomicU64,
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
    /// When the last batch was written.
    pub last_write: AtomicI64,
}

impl Counters {
    /// A batch was written.
    pub fn written(&self, receipt: &Receipt) {
        self.stored.fetch_add(receipt.stored, Relaxed);
        self.duplicates.fetch_add(receipt.duplicates, Relaxed);
        self.future_clamped.fetch_add(receipt.future_clamped, Relaxed);
        self.refused.fetch_add(receipt.refused, Relaxed);
        self.batches.fetch_add(1, Relaxed);
        self.connected.store(true, Relaxed);
        self.last_write.store(now(), Relaxed);
    }

    /// A try failed.
    pub fn failed(&self) {
        self.failures.fetch_add(1, Relaxed);
        self.connected.store(false, Relaxed);
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
                "future_clamped_total",
                "counter",
                "Rows from the future",
                &self.future_clamped,
            ),
            ("refused_total", "counter", "Rows the database refused", &self.refused),
            ("lost_total", "counter", "Rows that found the spool full", &self.lost),
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
        let connected = f64::from(u8::from(self.connected.load(Relaxed)));
        line(
            &mut text,
            "database_up",
            "gauge",
            "Whether the last try reached the database",
            connected,
        );
        let last = self.last_write.load(Relaxed) as f64 / 1e6;
        line(
            &mut text,
            "last_write_timestamp_seconds",
            "gauge",
            "When the last batch was written",
            last,
        );
        text
    }

    /// `ok`, `spooling` (the database is away, nothing is lost) or `losing`, as JSON.
    pub fn health(&self) -> (bool, String) {
        let (connected, losing) = (self.connected.load(Relaxed), self.losing.load(Relaxed));
        let status = match (losing, connected) {
            (true, _) => "losing",
            (false, true) => "ok",
            (false, false) => "spooling",
        };
        let last: Micros = self.last_write.load(Relaxed);
        let text = serde_json::json!({
            "status": status,
            "database_up": connected,
            "spool_bytes": self.spool_bytes.load(Relaxed),
            "last_write": (last > 0).then(|| crate::ticks::text(last)),
        });
        (!losing, text.to_string())
    }
}

fn line(text: &mut String, name: &str, kind: &str, help: &str, value: f64) {
    let name = format!("iot_kpi_collector_{name}");
    // Writing to a string cannot fail.
    _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
}
