//! The way to the database, made anew whenever it is lost. Large batches go over several connections at once.

use crate::database::{DatabaseId, Target};
use crate::error::Error;
use crate::pipeline::batch::Batch;
use crate::pipeline::dead_letters::{DeadLetters, Letter};
use crate::runtime::metrics::Metrics;
use crate::runtime::shutdown::Shutdown;
use crate::settings::{Common, Settings};
use crate::sink::backoff::Backoff;
use crate::sink::ingest::{Ingest, Receipt};
use crate::sink::registry::{self, Registration};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::task::JoinSet;

/// Fewer rows are not worth a second connection's while.
const WORTH_SPLITTING: usize = 1000;
/// Refused rows that are logged one by one, for each statement.
const LOGGED: usize = 20;

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
    doors: Vec<Arc<Ingest>>,
    /// The server refused another one.
    enough: bool,
    books: Books,
}

/// Where what became of a batch is written down.
#[derive(Clone, Debug)]
pub struct Books {
    /// Numbers.
    pub metrics: Arc<Metrics>,
    /// Rows that were refused; without it they are only logged.
    pub dead_letters: Option<Arc<DeadLetters>>,
}

impl Books {
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
        Books { metrics, dead_letters }
    }

    fn write(&self, receipt: &Receipt) {
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
        self.metrics.dead_letters.fetch_add(kept as u64, Relaxed);
        self.metrics.lost.fetch_add(lost as u64, Relaxed);
        self.metrics.dead_letters_full.store(file.is_full(), Relaxed);
    }
}

impl Link {
    /// Not connected yet.
    pub fn new(target: Target, registration: Registration, common: &Common, books: Books) -> Self {
        Link {
            target,
            registration,
            create_store: common.create_store,
            writers: common.writers as usize,
            rows: common.batch as usize,
            doors: Vec::new(),
            enough: false,
            books,
        }
    }

    /// Another one over a connection of its own, beside this one that made sure of the store. Neither splits its batches.
    pub async fn beside(&mut self) -> Result<Self, Error> {
        self.writers = 1;
        let client = self.target.connect().await?;
        Ok(Link {
            target: self.target.clone(),
            registration: self.registration.clone(),
            doors: vec![Arc::new(Ingest::open(client).await?)],
            books: self.books.clone(),
            ..*self
        })
    }

    /// Whether the last try reached the database.
    pub fn is_open(&self) -> bool {
        !self.doors.is_empty()
    }

    /// Connects, unless it is connected. `check` has a look at which database it is before anything is written to it.
    pub async fn open(&mut self, check: impl FnOnce(&DatabaseId) -> Result<(), Error>) -> Result<(), Error> {
        if self.doors.is_empty() {
            let opened = match self.target.connect().await {
                Ok(client) => self.furnish(client, check).await,
                Err(error) => Err(error),
            };
            match &opened {
                Ok(()) => self.books.metrics.reached(),
                Err(error) => self.books.metrics.failed(error),
            }
            opened?;
            tracing::info!(database = self.target.name(), "connected");
        }
        Ok(())
    }

    async fn furnish(
        &mut self,
        client: tokio_postgres::Client,
        check: impl FnOnce(&DatabaseId) -> Result<(), Error>,
    ) -> Result<(), Error> {
        check(&self.target.id().reached(&client).await?)?;
        registry::ensure(&client, &self.target, self.create_store).await?;
        registry::register(&client, &self.registration).await?;
        self.doors.push(Arc::new(Ingest::open(client).await?));
        self.enough = false;
        Ok(())
    }

    /// More connections, for a batch that is worth it; with fewer it only takes longer.
    async fn open_more(&mut self) {
        while self.doors.len() < self.writers && !self.enough {
            let opened = match self.target.connect().await {
                Ok(client) => Ingest::open(client).await,
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

    /// Writes a batch over what is open; after an error it must be opened anew.
    pub async fn write(&mut self, batch: &Batch) -> Result<(), Error> {
        let written = self.write_parts(batch).await;
        if let Err(error) = &written {
            self.books.metrics.failed(error);
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
            writing.spawn(write(door.clone(), part, self.rows, self.books.clone()));
        }
        while let Some(written) = writing.join_next().await {
            written.map_err(|_| Error::Ended("writer"))??;
        }
        match self.doors.first() {
            Some(door) => write(door.clone(), last, self.rows, self.books.clone()).await,
            None => Ok(()),
        }
    }

    /// Connects, waiting for a database that is away, at most `wait`.
    pub async fn open_within(&mut self, wait: Duration, shutdown: &mut Shutdown) -> Result<(), Error> {
        let client = self.target.connect_within(wait, shutdown).await?;
        self.furnish(client, |_| Ok(())).await?;
        self.books.metrics.reached();
        Ok(())
    }

    /// Writes a batch however long it takes; false when a stop was asked for before it succeeded.
    pub async fn write_at_last(
        &mut self,
        batch: &Batch,
        longest: Duration,
        shutdown: &mut Shutdown,
    ) -> Result<bool, Error> {
        let mut backoff = Backoff::new(longest);
        loop {
            let written = match self.open(|_| Ok(())).await {
                Ok(()) => self.write(batch).await,
                Err(error) => Err(error),
            };
            match written {
                Ok(()) => return Ok(true),
                Err(error) if error.is_passing() => tracing::warn!(%error, "trying again"),
                Err(error) => return Err(error),
            }
            if shutdown.is_requested() {
                return Ok(false);
            }
            shutdown.or_after(backoff.pause()).await;
        }
    }
}

/// Writes a batch statement by statement.
async fn write(door: Arc<Ingest>, batch: Batch, rows: usize, books: Books) -> Result<(), Error> {
    for part in batch.split(rows) {
        books.write(&door.write(&part).await?);
    }
    Ok(())
}
