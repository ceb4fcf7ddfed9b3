//! Carries batches to the database: straight when it answers, by way of the spool when it does not.
//!
//! Nothing is lost as long as the spool has room. When it has none, new batches are not taken: they are counted, logged,
//! and shown by `/health`. The loss goes on until a round is complete, so the collector's own beat is lost with its
//! round and the devices are unknown for that time, not down.

use crate::error::Error;
use crate::pipeline::batch::Batch;
use crate::pipeline::spool::{Kept, Spool};
use crate::runtime::metrics::Metrics;
use crate::runtime::shutdown::Shutdown;
use crate::runtime::time_grid::{Micros, text};
use crate::settings::Common;
use crate::sink::backoff::Backoff;
use crate::sink::link::Link;
use crate::sink::trouble::Trouble;
use crate::source::simulation::fleet::Fleet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};

/// The one who carries.
#[derive(Debug)]
pub struct Delivery {
    link: Link,
    spool: Spool,
    backoff: Backoff,
    metrics: Arc<Metrics>,
    fleet: Fleet,
    /// Most rows that travel together.
    rows: usize,
    /// The last try failed.
    away: bool,
    /// For this reason.
    trouble: Option<Trouble>,
    next_try: Instant,
    /// What is lost at the moment.
    loss: Option<Loss>,
}

/// New data that found no place.
#[derive(Debug, Default)]
struct Loss {
    rows: usize,
    span: Option<(Micros, Micros)>,
}

impl Loss {
    fn add(&mut self, batch: &Batch) {
        self.rows += batch.len();
        self.span = match (self.span, batch.span()) {
            (Some((from, to)), Some((first, last))) => Some((from.min(first), to.max(last))),
            (one, other) => one.or(other),
        };
    }
}

impl Delivery {
    /// Begins with what an earlier process left in the spool.
    pub fn new(link: Link, spool: Spool, common: &Common, metrics: Arc<Metrics>) -> Self {
        if !spool.is_empty() {
            tracing::info!(
                batches = spool.batches(),
                bytes = spool.bytes(),
                "the spool holds data of an earlier run"
            );
        }
        let mut delivery = Delivery {
            away: !link.is_open(),
            trouble: None,
            link,
            spool,
            backoff: Backoff::new(common.retry_max),
            metrics,
            fleet: common.fleet(),
            rows: common.rows(),
            next_try: Instant::now(),
            loss: None,
        };
        delivery.count_spool();
        delivery
    }

    /// Carries until the inbox is closed, then for `grace` at most tries to bring home what is left. Stops early where a
    /// statement hangs after an end was asked for.
    pub async fn run(mut self, mut inbox: mpsc::Receiver<Batch>, mut shutdown: Shutdown, grace: Duration) {
        loop {
            let idle = self.spool.is_empty() && !self.away;
            tokio::select! {
                biased;
                batch = inbox.recv() => match batch {
                    Some(first) if idle => {
                        let batch = self.together(first, &mut inbox);
                        self.carry(batch, &mut shutdown, grace).await;
                    }
                    Some(batch) => self.keep(&batch),
                    None => break,
                },
                () = sleep_until(self.next_try), if !idle => self.carry_oldest(&mut shutdown, grace).await,
            }
        }
        let deadline = Instant::now() + grace;
        while (!self.spool.is_empty()) && Instant::now() < deadline {
            _ = timeout_at(deadline, sleep_until(self.next_try)).await;
            self.carry_oldest(&mut shutdown, deadline.saturating_duration_since(Instant::now()))
                .await;
        }
        self.end_loss();
        if !self.spool.is_empty() {
            let (batches, bytes) = (self.spool.batches(), self.spool.bytes());
            tracing::warn!(
                batches,
                bytes,
                "the database is away; the rest waits in the spool for the next start"
            );
        }
    }

    /// What has gathered in the inbox while the last batch was written travels in one statement.
    fn together(&self, mut batch: Batch, inbox: &mut mpsc::Receiver<Batch>) -> Batch {
        while batch.len() < self.rows
            && let Ok(next) = inbox.try_recv()
        {
            batch.append(next);
        }
        batch
    }

    /// A new batch while nothing waits: straight to the database, to the spool if that fails.
    async fn carry(&mut self, batch: Batch, shutdown: &mut Shutdown, grace: Duration) {
        if !self.attempt(&batch, shutdown, grace).await {
            self.keep(&batch);
        }
    }

    /// The oldest batch of the spool; without one, only sees whether the database is back.
    async fn carry_oldest(&mut self, shutdown: &mut Shutdown, grace: Duration) {
        let waiting = match self.spool.oldest(self.rows) {
            Ok(waiting) => waiting,
            Err(error) => {
                tracing::error!(%error, "the spool cannot be read");
                self.next_try = Instant::now() + self.backoff.pause();
                return;
            }
        };
        let nothing = Batch::default();
        let batch = waiting.as_ref().map_or(&nothing, |waiting| &waiting.batch);
        if self.attempt(batch, shutdown, grace).await
            && let Some(waiting) = waiting
        {
            self.spool.delivered(&waiting);
            if self.spool.is_empty() {
                tracing::info!("everything that waited is delivered");
            }
        }
        self.count_spool();
    }

    /// One try; keeps the time of the next.
    async fn attempt(&mut self, batch: &Batch, shutdown: &mut Shutdown, grace: Duration) -> bool {
        let hurried = async {
            shutdown.requested().await;
            tokio::time::sleep(grace).await;
        };
        let Delivery { link, spool, .. } = self;
        let writing = async {
            link.open(|database| spool.belongs_to(database)).await?;
            link.write(batch).await
        };
        let written = tokio::select! {
            written = writing => written,
            () = hurried => Err(Error::TimedOut { doing: "writing what was in hand", seconds: grace.as_secs() }),
        };
        let Err(error) = written else {
            (self.away, self.trouble) = (false, None);
            self.backoff.reset();
            self.next_try = Instant::now();
            return true;
        };
        let (tries, trouble) = (self.backoff.tries(), error.trouble());
        let pause = self.backoff.pause();
        // Said at once, and then ever more rarely.
        if self.trouble.replace(trouble) != Some(trouble) || tries.is_power_of_two() || tries == 0 {
            let tries = tries + 1;
            match trouble {
                Trouble::Away => tracing::warn!(%error, tries, ?pause, "the database is away; data go to the spool"),
                _ => {
                    let kind = trouble.name();
                    tracing::error!(%error, kind, tries, ?pause, "the database takes nothing; data go to the spool until this is mended");
                }
            }
        }
        self.away = true;
        self.next_try = Instant::now() + pause;
        false
    }

    fn keep(&mut self, batch: &Batch) {
        if self.loss.is_none() {
            match self.spool.push(batch) {
                Ok(Kept::Safe) => {}
                Ok(Kept::Full) => {
                    tracing::error!("the spool is full; new data are lost until it empties (see --spool-max)");
                    self.loss = Some(Loss::default());
                }
                Err(error) => {
                    tracing::error!(%error, "the spool cannot be written; new data are lost");
                    self.loss = Some(Loss::default());
                }
            }
        }
        if let Some(loss) = &mut self.loss {
            loss.add(batch);
            self.metrics.lost.fetch_add(batch.len() as u64, Relaxed);
            let ends_round = batch
                .samples
                .iter()
                .any(|s| self.fleet.is_collectors_beat(&s.device, &s.metric));
            if ends_round && self.spool.has_room() {
                self.end_loss();
            }
        }
        self.count_spool();
    }

    fn end_loss(&mut self) {
        if let Some(Loss { rows, span }) = self.loss.take() {
            let (from, to) = span.map(|(from, to)| (text(from), text(to))).unwrap_or_default();
            tracing::error!(rows, from, to, "rows were lost");
        }
    }

    fn count_spool(&mut self) {
        let damaged = self.spool.losses();
        self.metrics.spool_damaged.fetch_add(damaged.records, Relaxed);
        self.metrics.lost.fetch_add(damaged.rows, Relaxed);
        self.metrics.losing.store(self.loss.is_some(), Relaxed);
        self.metrics.spool_bytes.store(self.spool.bytes(), Relaxed);
        self.metrics.spool_batches.store(self.spool.batches(), Relaxed);
    }
}
