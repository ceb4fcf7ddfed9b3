//! Connections: one bounded pool a data source, closed when its settings change.

use crate::error::Error;
use crate::settings::{Settings, SourceId};
pub use source::Source;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

mod source;

/// The pools of all data sources of this process, in whatever organisation.
#[derive(Clone, Default)]
pub struct Pools {
    sources: Arc<Mutex<HashMap<SourceId, Arc<Source>>>>,
}

/// How many connections a pool has, and how many wait for one.
pub struct PoolState {
    /// The data source that it belongs to.
    pub source: SourceId,
    /// Connections that are open.
    pub size: usize,
    /// Those of them that nobody uses.
    pub available: usize,
    /// Queries that wait for one.
    pub waiting: usize,
    /// The most there may be.
    pub limit: usize,
}

impl Pools {
    /// The pool of these settings; one of older settings is closed, but answers the queries that run on it.
    ///
    /// # Errors
    /// When TLS is configured wrongly.
    pub fn source(&self, settings: &Arc<Settings>) -> Result<Arc<Source>, Error> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(source) = sources.get(&settings.id) {
            let same = source.settings.fingerprint == settings.fingerprint;
            // A request that carries older settings than the pool was sent before they changed, and is answered by the new ones.
            if same || source.settings.updated > settings.updated {
                source.touch();
                return Ok(Arc::clone(source));
            }
        }
        let source = Arc::new(Source::new(Arc::clone(settings))?);
        if let Some(old) = sources.insert(source.settings.id.clone(), Arc::clone(&source)) {
            old.pool.close();
        }
        Ok(source)
    }

    /// Closes connections unused for `idle`, and the pools of data sources that nobody asked for `forgotten`.
    pub fn tidy(&self, idle: Duration, forgotten: Duration) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.retain(|_, source| {
            source.pool.retain(|_, metrics| metrics.last_used() < idle);
            let keep = source.unused_for() < forgotten || source.pool.status().size > 0;
            if !keep {
                source.pool.close();
            }
            keep
        });
    }

    /// Waits until no connection is in use.
    pub(crate) async fn until_idle(&self) {
        while self.states().iter().any(|pool| pool.available < pool.size) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Closes all of them.
    pub(crate) fn close(&self) {
        for (_, source) in self.sources.lock().unwrap_or_else(PoisonError::into_inner).drain() {
            source.pool.close();
        }
    }

    /// The state of each.
    pub fn states(&self) -> Vec<PoolState> {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let state = |source: &Arc<Source>| {
            let status = source.pool.status();
            PoolState {
                source: source.settings.id.clone(),
                size: status.size,
                available: status.available,
                waiting: status.waiting,
                limit: status.max_size,
            }
        };
        sources.values().map(state).collect()
    }
}
