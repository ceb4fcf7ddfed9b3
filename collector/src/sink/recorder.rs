//! What became of what was written: counted, logged, and put among the dead letters where it was refused.

use super::ingest::Receipt;
use crate::pipeline::dead_letters::{DeadLetters, Letter};
use crate::runtime::metrics::Metrics;
use crate::settings::{Common, Settings};
use std::path::Path;
use std::sync::Arc;

/// Refused rows that are logged one by one, for each statement.
const LOGGED: usize = 20;

/// Shared by all connections.
#[derive(Clone, Debug)]
pub struct Recorder {
    /// Numbers.
    pub metrics: Arc<Metrics>,
    /// Rows that were refused; without it they are only logged.
    pub dead_letters: Option<Arc<DeadLetters>>,
}

impl Recorder {
    /// Refused rows go to the file that settings name, else to one in `folder`.
    pub fn new(settings: &Settings, folder: Option<&Path>, metrics: Arc<Metrics>) -> Self {
        let Common {
            dead_letters,
            dead_letters_max,
            ..
        } = &settings.common;
        let usual = folder.map(|folder| folder.join("dead-letters.jsonl"));
        let file = dead_letters.clone().or(usual);
        let dead_letters = file.map(|file| {
            metrics.keeps_dead_letters_in(file.clone());
            Arc::new(DeadLetters::new(file, *dead_letters_max))
        });
        Recorder { metrics, dead_letters }
    }

    /// A statement has succeeded.
    pub fn written(&self, receipt: &Receipt) {
        self.metrics.written(receipt);
        let Receipt {
            refused,
            conflicts,
            letters,
            ..
        } = receipt;
        for letter in letters.iter().take(LOGGED) {
            tracing::warn!(row = letter.line(), "a row was refused");
        }
        if *refused > LOGGED as u64 {
            tracing::warn!(refused, "more rows of this batch were refused");
        }
        if *conflicts > 0 {
            tracing::warn!(conflicts, "rows were there already with another value, which stays");
        }
        if !letters.is_empty() {
            self.keep(letters);
        }
    }

    fn keep(&self, letters: &[Letter]) {
        let Some(file) = &self.dead_letters else { return };
        let kept = file.keep(letters).unwrap_or_else(|error| {
            tracing::error!(%error, "refused rows are lost");
            0
        });
        let lost = letters.len() - kept;
        if lost > 0 {
            let file = file.path().display();
            tracing::error!(%file, lost, "the dead-letter file has no room for refused rows, which are lost; see --dead-letters-max");
        }
        self.metrics.dead_letters.inc_by(kept as u64);
        self.metrics.lost.inc_by(lost as u64);
        self.metrics.dead_letters_full.set(i64::from(file.is_full()));
    }
}
