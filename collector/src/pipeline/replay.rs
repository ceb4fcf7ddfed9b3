//! Straight to the store, for what can be made again: no spool, and the sources wait where the store is slower or away.

use super::batch::Batch;
use super::heartbeats::Heartbeats;
use super::output::{Message, Outcome, Receipt};
use crate::error::Error;
use crate::runtime::shutdown::Shutdown;
use crate::sink::writers::{Pending, Writers};
use std::collections::VecDeque;
use tokio::sync::mpsc;

/// Delivers by waiting.
#[derive(Debug)]
pub struct Replay {
    writers: Writers,
    heartbeats: Heartbeats,
    rows: usize,
    shutdown: Shutdown,
    under_way: VecDeque<(Pending, Option<Receipt>)>,
}

impl Replay {
    /// Over connections that are open.
    pub fn new(writers: Writers, heartbeats: Heartbeats, rows: usize, shutdown: Shutdown) -> Self {
        Replay {
            writers,
            heartbeats,
            rows,
            shutdown,
            under_way: VecDeque::new(),
        }
    }

    /// Delivers until the sources have ended and all is written. What was not, when a shutdown was requested or an error came,
    /// is told to nobody as safe.
    pub(crate) async fn run(mut self, mut messages: mpsc::Receiver<Message>) -> Result<(), Error> {
        while let Some(message) = messages.recv().await {
            match message {
                Message::Batch(parcel) => self.submit(parcel.batch, Some(parcel.receipt)).await?,
                Message::Observed { source, times } => {
                    // That somebody has looked must not be known before what was seen is.
                    self.settle(0).await?;
                    let heartbeats = self.heartbeats.observed(source, &times);
                    for part in heartbeats.split(self.rows) {
                        self.submit(part, None).await?;
                    }
                }
            }
        }
        self.settle(0).await
    }

    async fn submit(&mut self, batch: Batch, receipt: Option<Receipt>) -> Result<(), Error> {
        let pending = self.writers.submit(batch, &self.shutdown).await;
        self.under_way.push_back((pending, receipt));
        self.settle(4 * self.writers.connections()).await
    }

    /// Waits until no more than so many batches are under way; the oldest come first.
    async fn settle(&mut self, most: usize) -> Result<(), Error> {
        while self.under_way.len() > most
            && let Some((pending, receipt)) = self.under_way.pop_front()
        {
            pending.written().await?;
            if let Some(receipt) = receipt {
                receipt.give(Outcome::Written);
            }
        }
        Ok(())
    }
}
