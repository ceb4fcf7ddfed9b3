//! Several connections that write at the same time.
//!
//! Each device is written over one of them alone, so that they never wait for each other's rows, and its samples stay in their
//! order. The collector's own rows come after all others: a device whose collector was not there is unknown, not down.

use super::backoff::Backoff;
use super::ingest::Ingest;
use super::recorder::Recorder;
use super::registry::{self, Registration};
use crate::database::{DatabaseId, Target};
use crate::error::Error;
use crate::pipeline::batch::{Batch, Name};
use crate::runtime::shutdown::Shutdown;
use crate::settings::Common;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_postgres::Client;

/// Fewer rows are not worth a second connection's while.
const WORTH_SPLITTING: usize = 1000;
/// Batches that wait for a writer.
const AHEAD: usize = 2;

/// The connections, and how more are made.
#[derive(Debug)]
pub struct Writers {
    shared: Arc<Shared>,
    wanted: usize,
    create_store: bool,
    registration: Registration,
    /// None while the database is away.
    writers: Vec<mpsc::Sender<Work>>,
    /// Which device is written over which.
    of_device: HashMap<Name, usize>,
    /// The server refused another one.
    enough: bool,
    database: Option<DatabaseId>,
}

/// What each writer needs.
#[derive(Debug)]
struct Shared {
    target: Target,
    /// Most rows of a statement.
    rows: usize,
    longest_pause: Duration,
    recorder: Recorder,
}

#[derive(Debug)]
struct Work {
    batch: Batch,
    /// Tries again until it succeeds, or this is requested.
    insists: Option<Shutdown>,
    done: oneshot::Sender<Result<(), Error>>,
}

/// A batch that is being written.
#[derive(Debug)]
pub struct Pending(Vec<oneshot::Receiver<Result<(), Error>>>);

impl Pending {
    /// All of it is written, or the first error.
    pub async fn written(self) -> Result<(), Error> {
        let mut first = Ok(());
        for part in self.0 {
            let written = part.await.unwrap_or(Err(Error::Ended("writer")));
            first = first.and(written);
        }
        first
    }
}

impl Writers {
    /// Not connected yet.
    pub fn new(target: Target, registration: Registration, common: &Common, recorder: Recorder) -> Self {
        Writers {
            shared: Arc::new(Shared {
                target,
                rows: common.batch as usize,
                longest_pause: common.retry_max,
                recorder,
            }),
            wanted: common.writers as usize,
            create_store: common.create_store,
            registration,
            writers: Vec::new(),
            of_device: HashMap::new(),
            enough: false,
            database: None,
        }
    }

    /// Whether the last try reached the database.
    pub fn is_open(&self) -> bool {
        !self.writers.is_empty()
    }

    /// The database that was reached last.
    pub fn database(&self) -> Option<&DatabaseId> {
        self.database.as_ref()
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.writers.len()
    }

    /// Connects, unless it is connected, and makes sure of store and devices. `check` has a look at which database it is before
    /// anything is written to it.
    pub async fn open(&mut self, check: impl FnOnce(&DatabaseId) -> Result<(), Error>) -> Result<(), Error> {
        if self.is_open() {
            return Ok(());
        }
        let opened = match self.shared.target.connect().await {
            Ok(client) => self.furnish(client, check).await,
            Err(error) => Err(error),
        };
        match &opened {
            Ok(()) => {
                self.shared.recorder.metrics.reached();
                tracing::info!(database = self.shared.target.name(), "connected");
            }
            Err(error) => self.shared.recorder.metrics.failed(error),
        }
        opened
    }

    /// As [`Writers::open`], waiting for a database that is away, at most `wait`; and with as many connections as the server
    /// admits.
    pub async fn open_all_within(&mut self, wait: Duration, shutdown: &mut Shutdown) -> Result<(), Error> {
        let client = self.shared.target.connect_within(wait, shutdown).await?;
        self.furnish(client, |_| Ok(())).await?;
        self.shared.recorder.metrics.reached();
        self.open_more().await;
        Ok(())
    }

    async fn furnish(
        &mut self,
        client: Client,
        check: impl FnOnce(&DatabaseId) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let target = &self.shared.target;
        let database = target.id().reached(&client).await?;
        check(&database)?;
        registry::ensure(&client, target, self.create_store).await?;
        registry::register(&client, &self.registration).await?;
        self.database = Some(database);
        let connection = Ingest::open(client).await?;
        self.enough = false;
        self.start(connection);
        Ok(())
    }

    fn start(&mut self, connection: Ingest) {
        let (work, waiting) = mpsc::channel(AHEAD);
        tokio::spawn(run(self.shared.clone(), connection, waiting));
        self.writers.push(work);
        self.of_device.clear();
    }

    /// More connections, for a batch that is worth it; with fewer it only takes longer.
    async fn open_more(&mut self) {
        while self.writers.len() < self.wanted && !self.enough {
            let opened = match self.shared.target.connect().await {
                Ok(client) => Ingest::open(client).await,
                Err(error) => Err(error),
            };
            match opened {
                Ok(connection) => self.start(connection),
                Err(error) => {
                    tracing::warn!(%error, connections = self.writers.len(), "going on with fewer connections");
                    self.enough = true;
                }
            }
        }
    }

    /// Writes a batch over what is open; after an error it must be opened anew.
    pub async fn write(&mut self, batch: &Batch) -> Result<(), Error> {
        let written = self.write_all(batch).await;
        if let Err(error) = &written {
            self.shared.recorder.metrics.failed(error);
            self.writers.clear();
        }
        written
    }

    async fn write_all(&mut self, batch: &Batch) -> Result<(), Error> {
        let (parts, last) = if batch.len() >= WORTH_SPLITTING && self.wanted > 1 {
            self.open_more().await;
            self.deal(batch.clone())
        } else {
            (Vec::new(), batch.clone())
        };
        self.submit_parts(parts, None).await.written().await?;
        self.submit_parts(vec![last], None).await.written().await
    }

    /// Hands a batch to the writers, each of which tries until its part is written, or a shutdown is requested; returns when all
    /// of them have taken theirs. What is handed over later may be written before it, unless it is of the same device. The
    /// collector's own rows must wait until all that was [`Pending`] is written.
    pub async fn submit(&mut self, batch: Batch, shutdown: &Shutdown) -> Pending {
        let (parts, last) = self.deal(batch);
        let mut pending = self.submit_parts(parts, Some(shutdown)).await;
        pending.0.extend(self.submit_parts(vec![last], Some(shutdown)).await.0);
        pending
    }

    async fn submit_parts(&self, parts: Vec<Batch>, insists: Option<&Shutdown>) -> Pending {
        let mut pending = Vec::new();
        for (writer, batch) in self.writers.iter().zip(parts) {
            if batch.is_empty() {
                continue;
            }
            let (done, written) = oneshot::channel();
            let insists = insists.cloned();
            // A writer that has ended drops the work, and with it `done`.
            _ = writer.send(Work { batch, insists, done }).await;
            pending.push(written);
        }
        Pending(pending)
    }

    /// A part for each writer, and what comes after all of them.
    fn deal(&mut self, batch: Batch) -> (Vec<Batch>, Batch) {
        let (mut parts, mut last) = (vec![Batch::default(); self.writers.len()], Batch::default());
        let (of_device, writers) = (&mut self.of_device, self.writers.len().max(1));
        let collector = &self.registration.collector;
        let mut writer_of = |device: &Name| {
            if device == collector {
                return None;
            }
            if let Some(writer) = of_device.get(device) {
                return Some(*writer);
            }
            let next = of_device.len() % writers;
            of_device.insert(device.clone(), next);
            Some(next)
        };
        for sample in batch.samples {
            let part = writer_of(&sample.device).and_then(|writer| parts.get_mut(writer));
            part.unwrap_or(&mut last).samples.push(sample);
        }
        for status in batch.statuses {
            let part = writer_of(&status.device).and_then(|writer| parts.get_mut(writer));
            part.unwrap_or(&mut last).statuses.push(status);
        }
        (parts, last)
    }
}

/// A writer at work; it ends when nobody can give it any more.
async fn run(shared: Arc<Shared>, connection: Ingest, mut waiting: mpsc::Receiver<Work>) {
    let mut connection = Some(connection);
    while let Some(Work { batch, insists, done }) = waiting.recv().await {
        let written = match insists {
            None => shared.write(&mut connection, &batch).await,
            Some(shutdown) => shared.insist(&mut connection, &batch, shutdown).await,
        };
        // Nobody may be left who listens.
        _ = done.send(written);
    }
}

impl Shared {
    /// Writes a batch statement by statement, over a new connection where the old one is lost.
    async fn write(&self, connection: &mut Option<Ingest>, batch: &Batch) -> Result<(), Error> {
        let open = match connection.take() {
            Some(open) => open,
            None => Ingest::open(self.target.connect().await?).await?,
        };
        for part in batch.clone().split(self.rows) {
            self.recorder.written(&open.write(&part).await?);
        }
        *connection = Some(open);
        Ok(())
    }

    async fn insist(
        &self,
        connection: &mut Option<Ingest>,
        batch: &Batch,
        mut shutdown: Shutdown,
    ) -> Result<(), Error> {
        let mut backoff = Backoff::new(self.longest_pause);
        loop {
            match self.write(connection, batch).await {
                Err(error) if error.is_passing() && !shutdown.is_requested() => {
                    self.recorder.metrics.failed(&error);
                    tracing::warn!(%error, "trying again");
                }
                done => return done,
            }
            shutdown.or_after(backoff.pause()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::batch::Sample;
    use crate::runtime::metrics::Metrics;
    use crate::settings::Settings;
    use std::collections::HashSet;
    use std::sync::Mutex;

    type Written = Arc<Mutex<Vec<(usize, Batch)>>>;

    /// Writers that note what they are given; the later ones are slower, and each ends after so much.
    fn writers(count: usize, written: &Written, ends_after: usize) -> Writers {
        let url = "--database-url=postgresql://nobody@127.0.0.1:1/none";
        let settings = Settings::from(["iot-kpi-collector", "simulate", url]).unwrap();
        let target = Target::from_settings(&settings).unwrap();
        let registration = Registration::new("C".into(), Vec::new());
        let recorder = Recorder {
            metrics: Arc::new(Metrics::default()),
            dead_letters: None,
        };
        let mut writers = Writers::new(target, registration, &settings.common, recorder);
        writers.wanted = count;
        for index in 0..count {
            let (work, mut waiting) = mpsc::channel::<Work>(AHEAD);
            let written = written.clone();
            tokio::spawn(async move {
                for _ in 0..ends_after {
                    let Some(Work { batch, done, .. }) = waiting.recv().await else {
                        return;
                    };
                    for _ in 0..index * 100 {
                        tokio::task::yield_now().await;
                    }
                    written.lock().unwrap().push((index, batch));
                    _ = done.send(Ok(()));
                }
            });
            writers.writers.push(work);
        }
        writers
    }

    fn batch(devices: impl IntoIterator<Item = usize>, time: i64, and: &[&str]) -> Batch {
        let devices = devices.into_iter().map(|d| Name::from(format!("D{d}")));
        let sample = |device| Sample {
            device,
            metric: "m".into(),
            time,
            value: 0.0,
        };
        Batch {
            samples: devices.chain(and.iter().map(|d| Name::from(*d))).map(sample).collect(),
            ..Batch::default()
        }
    }

    fn writers_by_device(written: &Written) -> HashMap<Name, HashSet<usize>> {
        let mut of: HashMap<Name, HashSet<usize>> = HashMap::new();
        for (writer, batch) in written.lock().unwrap().iter() {
            for sample in &batch.samples {
                of.entry(sample.device.clone()).or_default().insert(*writer);
            }
        }
        of
    }

    #[tokio::test]
    async fn a_device_has_one_writer_and_keeps_its_order() {
        for count in 1..5 {
            let written = Written::default();
            let mut writers = writers(count, &written, usize::MAX);
            let shutdown = Shutdown::within();
            let mut pending = Vec::new();
            for time in 0..6 {
                pending.push(writers.submit(batch(0..10, time, &[]), &shutdown).await);
            }
            for pending in pending {
                pending.written().await.unwrap();
            }
            let of = writers_by_device(&written);
            assert!(
                of.len() == 10 && of.values().all(|writers| writers.len() == 1),
                "{of:?}"
            );
            let used: HashSet<usize> = of.values().flatten().copied().collect();
            assert_eq!(used.len(), count);
            for writer in 0..count {
                let written = written.lock().unwrap();
                let its = written.iter().filter(|(index, _)| *index == writer);
                let times: Vec<i64> = its
                    .flat_map(|(_, batch)| batch.samples.iter().map(|s| s.time))
                    .collect();
                assert!(times.is_sorted(), "{times:?}");
            }
        }
    }

    /// In a large batch, whose parts are written at the same time, and in a small one.
    #[tokio::test]
    async fn the_collector_comes_after_all() {
        for devices in [10, WORTH_SPLITTING] {
            let written = Written::default();
            let mut writers = writers(3, &written, usize::MAX);
            let mut whole = batch([], 0, &["C"]);
            whole.append(batch(0..devices, 0, &[]));
            writers.write(&whole).await.unwrap();
            let written = written.lock().unwrap();
            let (_, last) = written.last().unwrap();
            assert!(last.samples.iter().any(|sample| &*sample.device == "C"));
            let rows: usize = written.iter().map(|(_, batch)| batch.len()).sum();
            assert_eq!(rows, devices + 1);
            assert_eq!(written.len(), if devices < WORTH_SPLITTING { 1 } else { 4 });
        }
    }

    #[tokio::test]
    async fn a_writer_that_ends_fails_what_it_had() {
        let written = Written::default();
        let mut writers = writers(3, &written, 2);
        let large = batch(0..WORTH_SPLITTING, 0, &[]);
        writers.write(&large).await.unwrap();
        writers.write(&large).await.unwrap();
        let error = writers.write(&large).await.unwrap_err().to_string();
        assert!(error.contains("writer") && !writers.is_open(), "{error}");
    }
}
