//! Brings batches to the database: straight when it answers, by way of the spool when it does not.
//!
//! Nothing is lost as long as the spool has room. When it has none, a source that acknowledges is kept waiting. Batches of the
//! others are not taken: they are counted, logged, and shown by `/health`. Such a loss goes on until a round is complete, whose
//! heartbeat stays away, so that the devices are unknown for that time, not down.
//!
//! One attempt to write is under way at a time, in a task of its own: whatever it waits for, batches go on to be taken.

use super::batch::Batch;
use super::heartbeats::Heartbeats;
use super::output::{Message, Outcome, Parcel, Receipt};
use super::spool::{Kept, Spool, Waiting};
use crate::error::Error;
use crate::runtime::metrics::Metrics;
use crate::runtime::time_grid::{Micros, text};
use crate::settings::Common;
use crate::sink::backoff::Backoff;
use crate::sink::trouble::Trouble;
use crate::sink::writers::Writers;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, sleep_until};

/// What comes while a batch is being written waits for it, and then travels together; but no longer than this. Then the batch,
/// and what has come behind it, goes to the spool.
const PATIENCE: Duration = Duration::from_secs(1);

/// The one who delivers.
#[derive(Debug)]
pub struct Delivery {
    /// None while they are under way.
    writers: Option<Writers>,
    under_way: Option<Attempt>,
    spool: Spool,
    heartbeats: Heartbeats,
    backoff: Backoff,
    metrics: Arc<Metrics>,
    /// Most rows that travel together.
    rows: usize,
    /// Why the last try failed.
    trouble: Option<Trouble>,
    next_try: Instant,
    /// What is lost at the moment.
    loss: Option<Loss>,
    /// Of sources that wait for room.
    held: VecDeque<Message>,
}

/// A try to write something.
#[derive(Debug)]
struct Attempt {
    task: JoinHandle<(Writers, Result<(), Error>)>,
    since: Instant,
    load: Load,
}

#[derive(Debug)]
enum Load {
    /// Only whether the database is back.
    Nothing,
    /// The first of the spool.
    Spooled(Waiting),
    /// Straight from the sources, which wait to hear of it.
    Fresh(Arc<Batch>, Vec<Receipt>),
    /// The same, put into the empty spool meanwhile: it is the first there.
    Copied,
}

/// New data that found no room.
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
    pub fn new(writers: Writers, spool: Spool, heartbeats: Heartbeats, common: &Common, metrics: Arc<Metrics>) -> Self {
        if !spool.is_empty() {
            tracing::info!(
                batches = spool.batches(),
                bytes = spool.bytes(),
                "the spool holds data of an earlier run"
            );
        }
        let mut delivery = Delivery {
            trouble: (!writers.is_open()).then_some(Trouble::Away),
            writers: Some(writers),
            under_way: None,
            spool,
            heartbeats,
            backoff: Backoff::new(common.retry_max),
            metrics,
            rows: common.rows(),
            next_try: Instant::now(),
            loss: None,
            held: VecDeque::new(),
        };
        delivery.count_spool();
        delivery
    }

    /// Delivers until the sources have ended, then for `grace` at most tries to bring home what is left.
    pub(crate) async fn run(mut self, mut messages: mpsc::Receiver<Message>, grace: Duration) -> Result<(), Error> {
        let mut deadline = None;
        loop {
            self.begin();
            if deadline.is_some_and(|deadline| Instant::now() >= deadline || self.is_idle()) {
                break;
            }
            let wake = self
                .wakes_at()
                .min(deadline.unwrap_or_else(|| Instant::now() + PATIENCE));
            let listens = deadline.is_none() && self.listens();
            tokio::select! {
                biased;
                done = done(&mut self.under_way) => self.end_attempt(done)?,
                message = messages.recv(), if listens => match message {
                    Some(message) => self.take(message, &mut messages),
                    None => deadline = Some(Instant::now() + grace),
                },
                () = sleep_until(wake) => self.look_after(),
            }
        }
        self.end_loss();
        self.give_up();
        Ok(())
    }

    /// Nothing is under way, and nothing waits.
    fn is_idle(&self) -> bool {
        self.under_way.is_none() && self.spool.is_empty()
    }

    /// What comes is better left where it is for a moment, to travel together.
    fn listens(&self) -> bool {
        !matches!(
            self.under_way,
            Some(Attempt {
                load: Load::Fresh(..),
                ..
            })
        )
    }

    fn wakes_at(&self) -> Instant {
        match &self.under_way {
            Some(Attempt {
                load: Load::Fresh(..),
                since,
                ..
            }) => *since + PATIENCE,
            None if self.trouble.is_some() || !self.spool.is_empty() => self.next_try,
            _ => Instant::now() + PATIENCE,
        }
    }

    /// Begins an attempt, where one is due.
    fn begin(&mut self) {
        let due = self.trouble.is_some() || !self.spool.is_empty();
        if self.under_way.is_some() || !due || Instant::now() < self.next_try {
            return;
        }
        let load = match self.spool.oldest(self.rows) {
            Ok(Some(waiting)) => Load::Spooled(waiting),
            Ok(None) => Load::Nothing,
            Err(error) => {
                tracing::error!(%error, "the spool cannot be read");
                self.next_try = Instant::now() + self.backoff.pause();
                return;
            }
        };
        // What cannot be read any more was passed.
        self.count_spool();
        let batch = match &load {
            Load::Spooled(waiting) => waiting.batch.clone(),
            _ => Arc::default(),
        };
        if !batch.is_empty() || self.trouble.is_some() {
            self.attempt(batch, load);
        }
    }

    fn attempt(&mut self, batch: Arc<Batch>, load: Load) {
        let Some(mut writers) = self.writers.take() else {
            return;
        };
        let guard = self.spool.guard();
        let task = tokio::spawn(async move {
            let written = async {
                writers.open(|database| guard.admits(database)).await?;
                writers.write(&batch).await
            };
            let written = written.await;
            (writers, written)
        });
        self.under_way = Some(Attempt {
            task,
            since: Instant::now(),
            load,
        });
    }

    fn end_attempt(&mut self, done: Result<(Writers, Result<(), Error>), JoinError>) -> Result<(), Error> {
        let load = self.under_way.take().map_or(Load::Nothing, |attempt| attempt.load);
        let (writers, written) = match done {
            Ok(done) => done,
            Err(panic) => {
                tracing::error!(%panic, "writing ended");
                self.put_away(load);
                return Err(Error::Ended("writer"));
            }
        };
        if let Some(Err(error)) = writers.database().map(|database| self.spool.belongs_to(database)) {
            // It was asked before anything was written.
            tracing::error!(%error, "the database has changed");
        }
        self.writers = Some(writers);
        match written {
            Ok(()) => {
                self.trouble = None;
                self.backoff.reset();
                self.next_try = Instant::now();
                self.delivered(load);
            }
            Err(error) => {
                self.note(&error);
                self.put_away(load);
            }
        }
        self.retry_held();
        self.count_spool();
        Ok(())
    }

    fn delivered(&mut self, load: Load) {
        let first = match load {
            Load::Nothing => return,
            Load::Fresh(_, receipts) => return give(receipts, Outcome::Written),
            Load::Spooled(waiting) => Some(waiting),
            Load::Copied => self.spool.oldest(1).ok().flatten(),
        };
        if let Some(first) = first {
            self.spool.delivered(&first);
        }
        if self.spool.is_empty() {
            tracing::info!("everything that waited is delivered");
        }
    }

    /// What was not written goes to the spool, unless it is there.
    fn put_away(&mut self, load: Load) {
        if let Load::Fresh(batch, receipts) = load {
            match self.keep(&batch) {
                true => give(receipts, Outcome::Spooled),
                false => {
                    self.lose(&batch);
                    give(receipts, Outcome::Lost);
                }
            }
        }
        self.count_spool();
    }

    fn note(&mut self, error: &Error) {
        let (tries, trouble) = (self.backoff.tries(), error.trouble());
        let pause = self.backoff.pause();
        self.next_try = Instant::now() + pause;
        // Said at once, and then ever more rarely.
        if self.trouble.replace(trouble) == Some(trouble) && tries > 0 && !tries.is_power_of_two() {
            return;
        }
        let tries = tries + 1;
        match trouble {
            Trouble::Away => tracing::warn!(%error, tries, ?pause, "the database is away; data go to the spool"),
            _ => {
                let kind = trouble.name();
                tracing::error!(%error, kind, tries, ?pause, "the database takes nothing; data go to the spool until this is mended");
            }
        }
    }

    /// An attempt takes long: what it has in hand is made safe, and what comes behind it is taken.
    fn look_after(&mut self) {
        if let Some(Attempt {
            load: load @ Load::Fresh(..),
            since,
            ..
        }) = &mut self.under_way
            && since.elapsed() >= PATIENCE
            && let Load::Fresh(batch, receipts) = std::mem::replace(load, Load::Copied)
        {
            if self.keep(&batch) {
                give(receipts, Outcome::Spooled);
            } else if let Some(attempt) = &mut self.under_way {
                // There is nowhere to put it: everybody waits.
                (attempt.load, attempt.since) = (Load::Fresh(batch, receipts), Instant::now());
            }
            self.count_spool();
        }
    }

    /// A message, and where nothing is in its way what has gathered behind it: straight to the database. Else to the spool.
    fn take(&mut self, message: Message, messages: &mut mpsc::Receiver<Message>) {
        if !self.is_idle() || self.trouble.is_some() || !self.held.is_empty() || self.loss.is_some() {
            self.store(message);
            self.count_spool();
            return;
        }
        let (mut batch, mut receipts) = (Batch::default(), Vec::new());
        let mut next = Some(message);
        while let Some(message) = next.take() {
            match message {
                Message::Batch(parcel) => {
                    batch.append(parcel.batch);
                    receipts.push(parcel.receipt);
                }
                Message::Observed { source, times } => batch.append(self.heartbeats.observed(source, &times)),
            }
            if batch.len() < self.rows {
                next = messages.try_recv().ok();
            }
        }
        let batch = Arc::new(batch);
        if !batch.is_empty() {
            self.attempt(batch.clone(), Load::Fresh(batch, receipts));
        }
    }

    /// A message to the spool; that of a source that rather waits is held where there is no room.
    fn store(&mut self, message: Message) {
        let waits = |held: &Message, source| match held {
            Message::Batch(parcel) => parcel.source == source,
            Message::Observed { source: other, .. } => *other == source,
        };
        let source = match &message {
            Message::Batch(parcel) => parcel.source,
            Message::Observed { source, .. } => *source,
        };
        if self.held.iter().any(|held| waits(held, source)) {
            self.held.push_back(message);
            return;
        }
        match message {
            Message::Batch(parcel) => {
                if let Some(parcel) = self.store_parcel(parcel) {
                    self.held.push_back(Message::Batch(parcel));
                }
            }
            Message::Observed { source, times } => self.observed(source, &times),
        }
    }

    /// Gives a parcel back that found no room and can wait.
    fn store_parcel(&mut self, parcel: Parcel) -> Option<Parcel> {
        if (self.loss.is_none() || parcel.patient) && self.keep(&parcel.batch) {
            parcel.receipt.give(Outcome::Spooled);
            return None;
        }
        if parcel.patient {
            return Some(parcel);
        }
        self.lose(&parcel.batch);
        parcel.receipt.give(Outcome::Lost);
        None
    }

    /// The heartbeats of a round; not of one in which something was lost.
    fn observed(&mut self, source: usize, times: &[Micros]) {
        let heartbeats = self.heartbeats.observed(source, times);
        match self.loss.is_some() {
            true if self.spool.has_room() => self.end_loss(),
            true => {}
            false if heartbeats.is_empty() || self.keep(&heartbeats) => {}
            // Nobody has looked, as far as anybody will know.
            false => self.loss = Some(Loss::default()),
        }
    }

    fn retry_held(&mut self) {
        while self.spool.has_room()
            && let Some(message) = self.held.pop_front()
        {
            match message {
                Message::Batch(parcel) => {
                    if let Some(parcel) = self.store_parcel(parcel) {
                        return self.held.push_front(Message::Batch(parcel));
                    }
                }
                Message::Observed { source, times } => self.observed(source, &times),
            }
        }
    }

    /// Whether it is in the spool.
    fn keep(&mut self, batch: &Batch) -> bool {
        match self.spool.push(batch) {
            Ok(Kept::Safe) => true,
            Ok(Kept::Full) => {
                if self.loss.is_none() {
                    tracing::error!("the spool is full; new data are not taken until it empties (see --spool-max)");
                }
                false
            }
            Err(error) => {
                if self.loss.is_none() {
                    tracing::error!(%error, "the spool cannot be written; new data are not taken");
                }
                false
            }
        }
    }

    fn lose(&mut self, batch: &Batch) {
        self.loss.get_or_insert_default().add(batch);
        self.metrics.lost.inc_by(batch.len() as u64);
    }

    fn end_loss(&mut self) {
        if let Some(Loss { rows, span }) = self.loss.take() {
            let (from, to) = span.map(|(from, to)| (text(from), text(to))).unwrap_or_default();
            tracing::error!(rows, from, to, "rows were lost");
        }
    }

    /// The end has come: what is under way is made safe, and what waits stays.
    fn give_up(&mut self) {
        if let Some(Attempt { task, load, .. }) = self.under_way.take() {
            task.abort();
            self.put_away(load);
        }
        self.count_spool();
        if !self.spool.is_empty() {
            let (batches, bytes) = (self.spool.batches(), self.spool.bytes());
            tracing::warn!(
                batches,
                bytes,
                "the database is away; the rest waits in the spool for the next start"
            );
        }
    }

    fn count_spool(&mut self) {
        let damaged = self.spool.losses();
        self.metrics.spool_damaged.inc_by(damaged.records);
        self.metrics.lost.inc_by(damaged.rows);
        let losing = self.loss.is_some() || !self.held.is_empty();
        self.metrics.losing.store(losing, Relaxed);
        self.metrics.spool_bytes.set(self.spool.bytes().cast_signed());
        self.metrics.spool_batches.set(self.spool.batches().cast_signed());
    }
}

/// Returns when the attempt is over; never, where there is none.
async fn done(under_way: &mut Option<Attempt>) -> Result<(Writers, Result<(), Error>), JoinError> {
    match under_way {
        Some(attempt) => (&mut attempt.task).await,
        None => std::future::pending().await,
    }
}

fn give(receipts: Vec<Receipt>, outcome: Outcome) {
    receipts.into_iter().for_each(|receipt| receipt.give(outcome));
}

#[cfg(test)]
mod tests;
