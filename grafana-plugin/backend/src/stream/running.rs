//! How many streams run: each data source may have so many, or one dashboard could take all connections.

use super::MOST;
use crate::settings::SourceId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// How many streams run, by data source.
#[derive(Clone, Default)]
pub(crate) struct Running(Arc<Mutex<HashMap<SourceId, usize>>>);

/// A stream that is counted as long as this lives.
pub(super) struct Slot {
    running: Running,
    source: SourceId,
}

impl Running {
    /// All of them, for CollectMetrics.
    pub(crate) fn counts(&self) -> HashMap<SourceId, usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn count(&self, source: &SourceId) -> usize {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.get(source).copied().unwrap_or(0)
    }

    /// None where there are as many as there may be.
    pub(super) fn begin(&self, source: &SourceId) -> Option<Slot> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = running.entry(source.clone()).or_default();
        (*count < MOST).then(|| {
            *count += 1;
            Slot {
                running: self.clone(),
                source: source.clone(),
            }
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut running = self.running.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = running.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                running.remove(&self.source);
            }
        }
    }
}
