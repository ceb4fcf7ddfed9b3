//! The way to the database, made anew whenever it is lost. Large batches go over several connections at once.

use crate::backoff::Backoff;
use crate::batch::Batch;
use crate::counters::Counters;
use crate::database::Target;
use crate::door::Door;
use crate::error::Error;
use crate::settings::Common;
use crate::stop::Stop;
use crate::store::{self, Registration};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::task::JoinSet;

/// Fewer rows are not worth a second connection's while.
const WORTH_SPLITTING: usize = 1000;

/// Connections that know how to come back: store and devices are made sure of each time.
#[derive(Debug)]
pub struct Link {
    target: Target,
    registration: Registration,
    create_store: bool,
    writers: usize,
    /// Most rows of a statement.
    rows: usize,
    /// None while the database is away.
    doors: Vec<Arc<Door>>,
    /// The server refused another one.
    enough: bool,
    counters: Arc<Counters>,
}

impl Link {
    /// Not connected yet.
    pub fn new(target: Target, registration: Registration, common: &Common, counters: Arc<Counters>) -> Self {
        Link {
            target,
            registration,
            create_store: common.create_store,
            writers: common.writers as usize,
            rows: common.batch as usize,
            doors: Vec::new(),
            enough: false,
            counters,
        }
    }

    /// Another one over a connection of its own, beside this one that made sure of the store. Neither splits its batches.
    pub async fn beside(&mut self) -> Result<Self, Error> {
        self.writers = 1;
        let client = self.target.connect().await?;
        Ok(Link {
            target: self.target.clone(),
            registration: self.registration.clone(),
            doors: vec![Arc::new(Door::open(client).await?)],
            counters: self.counters.clone(),
            ..*self
        })
    }

    /// Whether the last try reached the database.
    pub fn is_open(&self) -> bool {
        !self.doors.is_empty()
    }

    /// Connects, unless it is connected.
    pub async fn open(&mut self) -> Result<(), Error> {
        if self.doors.is_empty() {
            let opened = async {
                let client = self.target.connect().await?;
                self.furnish(client).await
            };
            let opened = opened.await;
            self.counters.connected.store(opened.is_ok(), Relaxed);
            opened?;
            tracing::info!(database = self.target.name(), "connected");
        }
        Ok(())
    }

    async fn furnish(&mut self, client: tokio_postgres::Client) -> Result<(), Error> {
        store::ensure(&client, &self.target, self.create_store).await?;
        store::register(&client, &self.registration).await?;
        self.doors.push(Arc::new(Door::open(client).await?));
        self.enough = false;
        Ok(())
    }

    /// More connections, for a batch that is worth it; with fewer it only takes longer.
    async fn open_more(&mut self) {
        while self.doors.len() < self.writers && !self.enough {
            let opened = match self.target.connect().await {
                Ok(client) => Door::open(client).await,
                Err(error) => Err(error),
            };
            match opened {
                Ok(door) => self.doors.push(Arc::new(door)),
                Err(error) => {
                    tracing::warn!(%error, connections = self.doors.len(), "going on with fewer connections");
                    self.enough = true;
                }
            }
        }
    }

    /// Writes a batch; after an error the next try connects anew. An empty batch only makes sure of the connection.
    pub async fn write(&mut self, batch: &Batch) -> Result<(), Error> {
        let written = match self.open().await {
            Ok(()) => self.write_parts(batch).await,
            Err(error) => Err(error),
        };
        if written.is_err() {
            self.counters.failed();
            self.doors.clear();
        }
        written
    }

    /// The collector's own rows come last: a device whose collector was not there is unknown, not down.
    async fn write_parts(&mut self, batch: &Batch) -> Result<(), Error> {
        let (parts, last) = if self.writers > 1 && batch.len() >= WORTH_SPLITTING {
            self.open_more().await;
            batch
                .clone()
                .by_device(self.doors.len(), &self.registration.fleet.collector)
        } else {
            (Vec::new(), batch.clone())
        };
        let mut writing = JoinSet::new();
        for (door, part) in self.doors.iter().zip(parts) {
            writing.spawn(write(door.clone(), part, self.rows, self.counters.clone()));
        }
        while let Some(written) = writing.join_next().await {
            written.map_err(|_| Error::Ended("writer"))??;
        }
        match self.doors.first() {
            Some(door) => write(door.clone(), last, self.rows, self.counters.clone()).await,
            None => Ok(()),
        }
    }

    /// Connects, waiting for a database that is away, at most `wait`.
    pub async fn open_within(&mut self, wait: Duration, stop: &mut Stop) -> Result<(), Error> {
        let client = self.target.connect_within(wait, stop).await?;
        self.furnish(client).await?;
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

/// Writes a batch statement by statement.
async fn write(door: Arc<Door>, batch: Batch, rows: usize, counters: Arc<Counters>) -> Result<(), Error> {
    for part in batch.split(rows) {
        counters.written(&door.write(&part).await?);
    }
    Ok(())
}
