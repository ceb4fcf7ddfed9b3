//! Connections. Each lives on one of a few threads, and so does what reads its rows.
//!
//! A connection and what reads from it are two tasks. On two threads they wake each other for each piece of an answer that
//! comes in, and a million points take a quarter longer.

use crate::error::Error;
use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use deadpool_postgres::ClientWrapper;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use tokio::runtime::{Builder, Handle};
use tokio_util::task::AbortOnDropHandle;

/// One for each processor. They last as long as the process.
static THREADS: LazyLock<Vec<Handle>> = LazyLock::new(|| {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let threads: std::io::Result<_> = (0..processors).map(|_| start_thread()).collect();
    threads.unwrap_or_else(|error| {
        tracing::warn!(%error, "no threads for connections: long answers take longer");
        Vec::new()
    })
});

fn start_thread() -> std::io::Result<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    std::thread::Builder::new()
        .name("connections".to_owned())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    Ok(handle)
}

/// The threads in turn.
fn next_thread() -> Handle {
    static TURN: AtomicUsize = AtomicUsize::new(0);
    let turn = TURN.fetch_add(1, Ordering::Relaxed);
    let index = turn.checked_rem(THREADS.len());
    let thread = index.and_then(|index| THREADS.get(index));
    thread.cloned().unwrap_or_else(Handle::current)
}

/// Does something on a thread; it ends when nobody waits for it any more.
pub(crate) async fn on<T, E>(thread: &Handle, work: impl Future<Output = Result<T, E>> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    let done = AbortOnDropHandle::new(thread.spawn(work)).await;
    done.unwrap_or_else(|error| Err(Error::Server(error.to_string()).into()))
}

/// A connection and its thread.
pub(crate) struct Connection {
    client: ClientWrapper,
    thread: Handle,
}

impl Connection {
    pub(crate) fn thread(&self) -> &Handle {
        &self.thread
    }
}

impl Deref for Connection {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        &self.client
    }
}

/// Opens connections for a pool.
pub(crate) struct Manager {
    inner: Arc<deadpool_postgres::Manager>,
    /// What each begins with.
    prepare: Arc<str>,
}

impl Manager {
    pub(crate) fn new(inner: deadpool_postgres::Manager, prepare: &str) -> Self {
        Manager {
            inner: Arc::new(inner),
            prepare: prepare.into(),
        }
    }
}

impl managed::Manager for Manager {
    type Type = Connection;
    type Error = Error;

    async fn create(&self) -> Result<Connection, Error> {
        let (inner, prepare, thread) = (Arc::clone(&self.inner), Arc::clone(&self.prepare), next_thread());
        let opened = on(&thread, async move {
            let client = managed::Manager::create(&*inner).await?;
            client.batch_execute(&prepare).await?;
            Ok::<_, Error>(client)
        });
        Ok(Connection {
            client: opened.await?,
            thread,
        })
    }

    async fn recycle(&self, connection: &mut Connection, metrics: &Metrics) -> RecycleResult<Error> {
        let recycled = self.inner.recycle(&mut connection.client, metrics).await;
        recycled.map_err(|error| match error {
            RecycleError::Message(message) => RecycleError::Message(message),
            RecycleError::Backend(error) => RecycleError::Backend(Error::Database(error)),
        })
    }

    fn detach(&self, connection: &mut Connection) {
        self.inner.detach(&mut connection.client);
    }
}
