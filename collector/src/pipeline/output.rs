//! Where a source hands its batches on, and hears what became of them.

use super::batch::Batch;
use crate::error::Error;
use crate::runtime::metrics::Metrics;
use crate::runtime::time_grid::Micros;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// Batches between the sources and the delivery; while one is being written, it takes no more than these.
const QUEUE: usize = 256;
/// Batches of one source that waits to hear of them, that may be under way at the same time.
const UNDER_WAY: usize = 16;

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It is in the store.
    Written,
    /// It is on disk, and will be in the store.
    Spooled,
    /// It is neither.
    Lost,
}

/// Tells, once, what became of a batch.
#[derive(Debug)]
#[must_use = "nobody hears of the batch otherwise"]
pub struct Acknowledgement(Vec<oneshot::Receiver<Outcome>>);

impl Acknowledgement {
    /// Waits until the batch is safe, or lost.
    pub async fn outcome(self) -> Outcome {
        let mut worst = Outcome::Written;
        for part in self.0 {
            // A delivery that ended has told nobody that the batch is safe.
            worst = worst.max(part.await.unwrap_or(Outcome::Lost));
        }
        worst
    }
}

/// What travels from a source to the delivery.
#[derive(Debug)]
pub(crate) enum Message {
    Batch(Parcel),
    /// The source has looked at all its devices up to these instants.
    Observed {
        source: usize,
        times: Vec<Micros>,
    },
}

/// A batch, and who waits to hear of it.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) source: usize,
    pub(crate) batch: Batch,
    pub(crate) receipt: Receipt,
    /// Of a source that rather waits than loses data.
    pub(crate) patient: bool,
}

/// What is given back for a batch: one answer, and room for the next.
#[derive(Debug)]
pub(crate) struct Receipt {
    answer: oneshot::Sender<Outcome>,
    _room: Option<OwnedSemaphorePermit>,
}

impl Receipt {
    pub(crate) fn give(self, outcome: Outcome) {
        // Many do not listen.
        _ = self.answer.send(outcome);
    }
}

/// The end of the pipeline that a source holds.
#[derive(Clone, Debug)]
pub struct Output {
    source: usize,
    queue: mpsc::Sender<Message>,
    /// Of a source that waits to hear of its batches: it gets no further ahead than this.
    room: Option<Arc<Semaphore>>,
    rows: usize,
    metrics: Arc<Metrics>,
}

impl Output {
    /// An output for each source, by whether it acknowledges; and the other end of all of them.
    pub(crate) fn channel(
        acknowledges: impl IntoIterator<Item = bool>,
        rows: usize,
        metrics: &Arc<Metrics>,
    ) -> (Vec<Output>, mpsc::Receiver<Message>) {
        let (queue, messages) = mpsc::channel(QUEUE);
        let output = |(source, acknowledges): (usize, bool)| Output {
            source,
            queue: queue.clone(),
            room: acknowledges.then(|| Arc::new(Semaphore::new(UNDER_WAY))),
            rows,
            metrics: metrics.clone(),
        };
        (acknowledges.into_iter().enumerate().map(output).collect(), messages)
    }

    /// Hands a batch on. A source that acknowledges is kept waiting while too much of it is not safe yet.
    pub async fn send(&self, batch: Batch) -> Result<Acknowledgement, Error> {
        self.metrics.produced.inc_by(batch.len() as u64);
        let mut parts = Vec::new();
        for batch in batch.split(self.rows) {
            let room = match &self.room {
                Some(room) => Some(
                    room.clone()
                        .acquire_owned()
                        .await
                        .map_err(|_| Error::Ended("delivery"))?,
                ),
                None => None,
            };
            let (answer, outcome) = oneshot::channel();
            let parcel = Parcel {
                source: self.source,
                batch,
                patient: room.is_some(),
                receipt: Receipt { answer, _room: room },
            };
            self.hand_on(Message::Batch(parcel)).await?;
            parts.push(outcome);
        }
        Ok(Acknowledgement(parts))
    }

    /// Says that all devices have been looked at up to these instants, and everything seen by then is handed on. It is from
    /// this that the collector's own heartbeats are made: without it, its devices are unknown.
    pub async fn observed(&self, times: Vec<Micros>) -> Result<(), Error> {
        match times.is_empty() {
            true => Ok(()),
            false => {
                self.hand_on(Message::Observed {
                    source: self.source,
                    times,
                })
                .await
            }
        }
    }

    async fn hand_on(&self, message: Message) -> Result<(), Error> {
        self.queue.send(message).await.map_err(|_| Error::Ended("delivery"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::batch::Sample;

    fn batch(rows: i64) -> Batch {
        let sample = |time| Sample {
            device: "D".into(),
            metric: "m".into(),
            time,
            value: 0.0,
        };
        Batch {
            samples: (0..rows).map(sample).collect(),
            ..Batch::default()
        }
    }

    fn parcel(message: Option<Message>) -> Parcel {
        match message {
            Some(Message::Batch(parcel)) => parcel,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn the_worst_outcome_of_its_parts_is_a_batchs() {
        let metrics = Arc::new(Metrics::default());
        let (outputs, mut messages) = Output::channel([false], 2, &metrics);
        for (outcomes, expected) in [
            ([Outcome::Written, Outcome::Written], Outcome::Written),
            ([Outcome::Written, Outcome::Spooled], Outcome::Spooled),
            ([Outcome::Lost, Outcome::Spooled], Outcome::Lost),
        ] {
            let acknowledgement = outputs[0].send(batch(3)).await.unwrap();
            for outcome in outcomes {
                parcel(messages.recv().await).receipt.give(outcome);
            }
            assert_eq!(acknowledgement.outcome().await, expected);
        }
        // Nobody says it is safe.
        let acknowledgement = outputs[0].send(batch(1)).await.unwrap();
        drop(messages);
        assert_eq!(acknowledgement.outcome().await, Outcome::Lost);
        assert!(outputs[0].send(batch(1)).await.is_err());
        assert_eq!(metrics.produced.get(), 11);
    }

    /// Who waits to hear of its batches is held back by those it has not heard of; who does not, is not.
    #[tokio::test]
    async fn a_source_that_acknowledges_is_kept_waiting() {
        let (outputs, mut messages) = Output::channel([true, false], 10, &Arc::new(Metrics::default()));
        for _ in 0..UNDER_WAY {
            let _ = outputs[0].send(batch(1)).await.unwrap();
        }
        let one_more = outputs[0].send(batch(1));
        tokio::pin!(one_more);
        let soon = std::time::Duration::from_millis(50);
        assert!(tokio::time::timeout(soon, &mut one_more).await.is_err(), "it went on");
        let _ = outputs[1].send(batch(1)).await.unwrap();
        let first = parcel(messages.recv().await);
        assert!(first.patient);
        first.receipt.give(Outcome::Spooled);
        assert!(
            tokio::time::timeout(soon, &mut one_more).await.is_ok(),
            "there is room again"
        );
    }
}
