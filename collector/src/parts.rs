//! Parts of the program that go on beside the others and must not end: if one does, by itself or by a panic, the process says
//! so, `/health` turns bad, and an end is asked for, so that whoever watches over the process can start it again.

use crate::counters::Counters;
use crate::error::Error;
use crate::stop::Stop;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::task::{Id, JoinError, JoinSet};

/// What goes on beside.
pub(crate) struct Parts {
    running: JoinSet<()>,
    names: HashMap<Id, &'static str>,
    counters: Arc<Counters>,
    stop: Stop,
}

impl Parts {
    pub(crate) fn new(counters: Arc<Counters>, stop: Stop) -> Self {
        Parts {
            running: JoinSet::new(),
            names: HashMap::new(),
            counters,
            stop,
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
        self.counters.ended(name);
        self.stop.ask();
        work.await?;
        Err(Error::Ended(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    async fn work(stop: Stop) -> Result<(), Error> {
        stop.clone().asked().await;
        Ok(())
    }

    #[tokio::test]
    async fn a_part_that_ends_ends_all_and_is_seen() {
        for panics in [false, true] {
            let (counters, stop) = (Arc::new(Counters::default()), Stop::within());
            counters.reached();
            let mut parts = Parts::new(counters.clone(), stop.clone());
            parts.start("other part", std::future::pending());
            parts.start("weak part", async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                assert!(!panics, "as asked for");
            });
            assert!(counters.health().0);
            let ended = parts.watch_over(work(stop)).await.unwrap_err().to_string();
            assert!(ended.contains("weak part"), "{ended}");
            let (well, body) = counters.health();
            assert!(
                !well && body.contains("\"ended\"") && body.contains("weak part"),
                "{body}"
            );
        }
    }

    #[tokio::test]
    async fn work_that_ends_is_all() {
        let (counters, stop) = (Arc::new(Counters::default()), Stop::within());
        let mut parts = Parts::new(counters.clone(), stop.clone());
        parts.start("other part", std::future::pending());
        stop.ask();
        parts.watch_over(work(stop)).await.unwrap();
        assert!(!counters.health().1.contains("other part"));
    }
}
