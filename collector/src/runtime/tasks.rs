//! Tasks of the program that go on beside the others and must not end: if one does, by itself or by a panic, the process says
//! so, `/health` turns bad, and an end is asked for, so that whoever watches over the process can start it again.

use crate::error::Error;
use crate::runtime::metrics::Metrics;
use crate::runtime::shutdown::Shutdown;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::task::{Id, JoinError, JoinSet};

/// What goes on beside.
pub(crate) struct Tasks {
    running: JoinSet<()>,
    names: HashMap<Id, &'static str>,
    metrics: Arc<Metrics>,
    shutdown: Shutdown,
}

impl Tasks {
    pub(crate) fn new(metrics: Arc<Metrics>, shutdown: Shutdown) -> Self {
        Tasks {
            running: JoinSet::new(),
            names: HashMap::new(),
            metrics,
            shutdown,
        }
    }

    /// Starts a part; it ends with the process.
    pub(crate) fn start(&mut self, name: &'static str, part: impl Future<Output = ()> + Send + 'static) {
        let id = self.running.spawn(part).id();
        self.names.insert(id, name);
    }

    /// Does the work, which ends when an end is asked for; a part that ends before asks for it, and makes it an error.
    pub(crate) async fn watch_over(mut self, work: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
        tokio::pin!(work);
        let ended = tokio::select! {
            done = &mut work => return done,
            Some(ended) = self.running.join_next_with_id() => ended,
        };
        let (id, panic) = match &ended {
            Ok((id, ())) => (*id, None),
            Err(error) => (error.id(), Some(error)),
        };
        let name = self.names.get(&id).copied().unwrap_or("part");
        let reason = panic.map_or_else(|| "it returned".to_owned(), JoinError::to_string);
        tracing::error!(
            part = name,
            reason,
            "a part of the collector ended; so does the whole, in order"
        );
        self.metrics.ended(name);
        self.shutdown.request();
        work.await?;
        Err(Error::Ended(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    async fn work(shutdown: Shutdown) -> Result<(), Error> {
        shutdown.clone().requested().await;
        Ok(())
    }

    #[tokio::test]
    async fn a_part_that_ends_ends_all_and_is_seen() {
        for panics in [false, true] {
            let (metrics, shutdown) = (Arc::new(Metrics::default()), Shutdown::within());
            metrics.reached();
            let mut parts = Tasks::new(metrics.clone(), shutdown.clone());
            parts.start("other part", std::future::pending());
            parts.start("weak part", async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                assert!(!panics, "as asked for");
            });
            assert!(metrics.health().0);
            let ended = parts.watch_over(work(shutdown)).await.unwrap_err().to_string();
            assert!(ended.contains("weak part"), "{ended}");
            let (well, body) = metrics.health();
            assert!(
                !well && body.contains("\"ended\"") && body.contains("weak part"),
                "{body}"
            );
        }
    }

    #[tokio::test]
    async fn work_that_ends_is_all() {
        let (metrics, shutdown) = (Arc::new(Metrics::default()), Shutdown::within());
        let mut parts = Tasks::new(metrics.clone(), shutdown.clone());
        parts.start("other part", std::future::pending());
        shutdown.request();
        parts.watch_over(work(shutdown)).await.unwrap();
        assert!(!metrics.health().1.contains("other part"));
    }
}
