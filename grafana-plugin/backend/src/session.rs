//! A connection in use: runs statements, and has PostgreSQL cancel what nobody waits for.

use crate::cancel::Canceller;
use crate::error::Error;
use crate::frame::columns::{Columns, Table};
use crate::manager::Manager;
use crate::statement::Statement;
use crate::threads;
use deadpool::managed::Object;
use futures_util::TryStreamExt;
use std::time::Duration;
use tokio_postgres::Row;

/// How long a cancelled statement may take to end; then its connection is closed instead.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection in use. Dropped in the middle of a statement, it has PostgreSQL cancel it.
pub struct Session {
    object: Option<Object<Manager>>,
    canceller: Canceller,
    busy: bool,
}

impl Session {
    pub(crate) fn new(object: Object<Manager>, canceller: Canceller) -> Self {
        Session {
            object: Some(object),
            canceller,
            busy: false,
        }
    }

    fn client(&self) -> Result<&Object<Manager>, Error> {
        self.object.as_ref().ok_or(Error::Replaced)
    }

    /// Uses a session on the thread of its connection: what reads rows elsewhere is woken across threads for each packet of them.
    ///
    /// # Errors
    /// As `work`.
    pub async fn on_its_thread<T, E, F>(self, work: impl FnOnce(Session) -> F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let thread = self.client()?.thread().clone();
        threads::run_on(&thread, work(self)).await
    }

    /// Runs a statement: its rows as columns, `limit` at most.
    ///
    /// # Errors
    /// As PostgreSQL says, and when a value does not fit into a frame.
    pub async fn table(&mut self, statement: &Statement, limit: usize) -> Result<Table, Error> {
        self.busy = true;
        let types: Vec<_> = statement.params.iter().map(|param| param.sql_type()).collect();
        let prepared = self.client()?.prepare_typed_cached(&statement.sql, &types).await;
        let prepared = self.settle(prepared)?;
        self.busy = true;
        let table = self.fetch(&prepared, statement, limit).await;
        self.finish(table).await
    }

    /// As [`Session::table`] for SQL that a person wrote: nothing of it outlives its read-only transaction.
    ///
    /// # Errors
    /// As [`Session::table`], and when the statement gives no rows.
    pub async fn untrusted_table(&mut self, sql: &str, limit: usize) -> Result<Table, Error> {
        self.busy = true;
        let begun = self.client()?.batch_execute("BEGIN READ ONLY").await;
        self.settle(begun)?;
        self.busy = true;
        let table = self.fetch_untrusted(sql, limit).await;
        let table = self.finish(table).await;
        if self.object.is_none() {
            return table;
        }
        self.busy = true;
        // The rollback undoes settings; advisory locks and LISTEN outlive it, and the next user of this connection must not find them.
        let undone = self
            .client()?
            .batch_execute("ROLLBACK; SELECT pg_advisory_unlock_all(); UNLISTEN *")
            .await;
        if undone.is_err() {
            self.discard();
        }
        self.busy = false;
        table
    }

    async fn fetch_untrusted(&self, sql: &str, limit: usize) -> Result<Table, Error> {
        let prepared = self.client()?.prepare(sql).await?;
        if prepared.columns().is_empty() {
            return Err(Error::Query(
                "this SQL gives no columns; write a query such as SELECT …".to_owned(),
            ));
        }
        let statement = Statement::new(sql, Vec::new());
        self.fetch(&prepared, &statement, limit).await
    }

    async fn fetch(
        &self,
        prepared: &tokio_postgres::Statement,
        statement: &Statement,
        limit: usize,
    ) -> Result<Table, Error> {
        let mut columns = Columns::new(prepared.columns())?;
        let stream = self.client()?.query_raw(prepared, &statement.params).await?;
        tokio::pin!(stream);
        while let Some(row) = stream.try_next().await? {
            if let Some(cut) = columns.full(limit) {
                return Ok(columns.finish(Some(cut)));
            }
            columns.push(&row)?;
        }
        Ok(columns.finish(None))
    }

    /// Runs a statement that gives few rows.
    ///
    /// # Errors
    /// As PostgreSQL says.
    pub async fn rows(&mut self, statement: &Statement) -> Result<Vec<Row>, Error> {
        self.busy = true;
        let types: Vec<_> = statement.params.iter().map(|param| param.sql_type()).collect();
        let prepared = self.client()?.prepare_typed_cached(&statement.sql, &types).await;
        let prepared = self.settle(prepared)?;
        self.busy = true;
        let stream = self.client()?.query_raw(&prepared, &statement.params).await;
        let rows: Result<Vec<Row>, _> = match stream {
            Ok(stream) => stream.try_collect().await,
            Err(error) => Err(error),
        };
        self.settle(rows)
    }

    /// Takes the result of a statement that has ended: nothing is left to cancel.
    fn settle<T>(&mut self, result: Result<T, tokio_postgres::Error>) -> Result<T, Error> {
        self.busy = false;
        let result = result.map_err(Error::Database);
        if result.as_ref().is_err_and(Error::wants_new_connection) {
            self.discard();
        }
        result
    }

    /// Takes a result after which rows may still be on their way: those that nobody reads are cancelled.
    async fn finish(&mut self, result: Result<Table, Error>) -> Result<Table, Error> {
        let unread = match &result {
            Ok(table) => table.cut.is_some(),
            Err(error) => !matches!(error, Error::Database(_)),
        };
        if unread {
            if let Some(object) = &self.object {
                cancel_and_wait(object, &self.canceller).await?;
            }
        } else if result.as_ref().is_err_and(Error::wants_new_connection) {
            self.discard();
        }
        self.busy = false;
        result
    }

    /// Closes the connection instead of giving it back.
    fn discard(&mut self) {
        self.object.take().map(Object::take);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(object) = self.object.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if !self.busy {
            return;
        }
        let canceller = self.canceller.clone();
        // Until the statement has ended, the pool counts the connection as in use.
        runtime.spawn(async move {
            let cancelled = tokio::time::timeout(CANCEL_TIMEOUT, cancel_and_wait(&object, &canceller)).await;
            if !matches!(cancelled, Ok(Ok(()))) {
                drop(Object::take(object));
            }
        });
    }
}

/// Cancels what runs on a connection, and waits until the next statement may run on it.
async fn cancel_and_wait(object: &Object<Manager>, canceller: &Canceller) -> Result<(), Error> {
    tracing::debug!("cancelling a statement");
    canceller.cancel().await?;
    // The first returns when the statement has ended, and may itself be what is cancelled.
    let _ = object.batch_execute("ROLLBACK").await;
    object.batch_execute("ROLLBACK").await?;
    Ok(())
}
