//! The threads of connections.
//!
//! A connection's socket is read by one task, and its rows by another. On two threads these wake each other for each packet that
//! arrives, and a million points take a quarter longer: so both are put on one thread.

use crate::error::Error;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::runtime::{Builder, Handle};
use tokio_util::task::AbortOnDropHandle;

/// A thread for each processor, as long as the process lives.
static THREADS: LazyLock<Vec<Handle>> = LazyLock::new(|| {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let threads: std::io::Result<_> = (0..processors).map(|_| start()).collect();
    threads.unwrap_or_else(|error| {
        tracing::warn!(%error, "no threads for connections: long answers take longer");
        Vec::new()
    })
});

fn start() -> std::io::Result<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    std::thread::Builder::new()
        .name("connections".to_owned())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    Ok(handle)
}

/// The thread for a new connection: each in turn.
pub(crate) fn next() -> Handle {
    static TURN: AtomicUsize = AtomicUsize::new(0);
    let turn = TURN.fetch_add(1, Ordering::Relaxed);
    let index = turn.checked_rem(THREADS.len());
    let thread = index.and_then(|index| THREADS.get(index));
    thread.cloned().unwrap_or_else(Handle::current)
}

/// Runs `work` on a thread; dropping the future ends it there.
pub(crate) async fn run_on<T, E>(
    thread: &Handle,
    work: impl Future<Output = Result<T, E>> + Send + 'static,
) -> Result<T, E>
where
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    let done = AbortOnDropHandle::new(thread.spawn(work)).await;
    done.unwrap_or_else(|error| Err(Error::Server(error.to_string()).into()))
}
