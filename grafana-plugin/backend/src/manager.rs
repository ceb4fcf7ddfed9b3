//! Opens connections for a pool, each on one of the threads of [`crate::threads`].

use crate::error::Error;
use crate::threads;
use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use deadpool_postgres::ClientWrapper;
use std::ops::Deref;
use std::sync::Arc;
use tokio::runtime::Handle;

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
    /// SQL that each connection runs first.
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
        let (inner, prepare, thread) = (Arc::clone(&self.inner), Arc::clone(&self.prepare), threads::next());
        let opened = threads::run_on(&thread, async move {
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
