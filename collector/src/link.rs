//! The way to the database, made anew whenever it is lost.

use crate::backoff::Backoff;
use crate::batch::Batch;
use crate::counters::Counters;
use crate::database::Target;
use crate::door::Door;
use crate::error::Error;
use crate::stop::Stop;
use crate::store::{self, Registration};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio_postgres::Client;

/// A connection that knows how to come back: store and devices are made sure of each time.
#[derive(Debug)]
pub struct Link {
    target: Target,
    registration: Registration,
    create_store: bool,
    door: Option<Door>,
    counters: Arc<Counters>,
}

impl Link {
    /// Not connected yet.
    pub fn new(target: Target, registration: Registration, create_store: bool, counters: Arc<Counters>) -> Self {
        Link {
            target,
            registration,
            create_store,
            door: None,
            counters,
        }
    }

    /// Whether the last try reached the database.
    pub fn is_open(&self) -> bool {
        self.door.is_some()
    }

    /// Connects, unless it is connected.
    pub async fn open(&mut self) -> Result<&Door, Error> {
        if self.door.is_none() {
            let opened = self.connect().await;
            self.counters.connected.store(opened.is_ok(), Relaxed);
            self.door = Some(opened?);
            tracing::info!(database = self.target.name(), "connected");
        }
        self.door.as_ref().ok_or(Error::Ended("connection"))
    }

    async fn connect(&self) -> Result<Door, Error> {
        self.furnish(self.target.connect().await?).await
    }

    async fn furnish(&self, client: Client) -> Result<Door, Error> {
        store::ensure(&client, &self.target, self.create_store).await?;
        store::register(&client, &self.registration).await?;
        Door::open(client).await
    }

    /// Writes a batch; after an error the next try connects anew. An empty batch only makes sure of the connection.
    pub async fn write(&mut self, batch: &Batch) -> Result<(), Error> {
        let written = match self.open().await {
            Ok(door) => door.write(batch).await,
            Err(error) => Err(error),
        };
        match written {
            Ok(receipt) => {
                if !batch.is_empty() {
                    self.counters.written(&receipt);
                }
                Ok(())
            }
            Err(error) => {
                self.counters.failed();
                self.door = None;
                Err(error)
            }
        }
    }

    /// Connects, waiting for a database that is away, at most `wait`.
    pub async fn open_within(&mut self, wait: Duration, stop: &mut Stop) -> Result<(), Error> {
        let client = self.target.connect_within(wait, stop).await?;
        self.door = Some(self.furnish(client).await?);
        self.counters.connected.store(true, Relaxed);
        Ok(())
    }

    /// Writes a batch however long it takes; false when a stop was asked for before it succeeded.
    pub async fn write_at_last(&mut self, batch: &Batch, longest: Duration, stop: &mut Stop) -> Result<bool, Error> {
        let mut backoff = Backoff::new(longest);
        loop {
            match self.write(batch).await {
                Ok(()) => return Ok(true),
                Err(error) if error.is_passing() => tracing::warn!(%error, "trying again"),
                Err(error) => return Err(error),
            }
            if stop.is_asked() {
                return Ok(false);
            }
            stop.or_after(backoff.pause()).await;
        }
    }
}
