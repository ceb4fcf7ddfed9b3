//! A connection in use: runs statements, and has PostgreSQL cancel what nobody waits for.

use crate::cancel::Canceller;
use crate::error::Error;
use crate::frame::columns::{Columns, Table};
use crate::manager::{self, Manager};
use crate::statement::Statement;
use deadpool::managed::Object;
use futures_util::TryStreamExt;
use std::time::Duration;
use tokio_postgres::Row;

/// How long a cancelled connection gets to come back to its senses.
const CANCEL_PATIENCE: Duration = Duration::from_secs(5);

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

    /// Does something with a session where its connection lives: the more rows it reads, the more that saves.
    ///
    /// # Errors
    /// As what is done.
    pub async fn beside<T, E, F>(self, work: impl FnOnce(Session) -> F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let thread = self.client()?.thread().clone();
        manager::on(&thread, work(self)).await
    }

    /// Runs a statement; its rows, at most `limit`, as columns.
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
    pub async fn foreign_table(&mut self, sql: &str, limit: usize) -> Result<Table, Error> {
        self.busy = true;
        let begun = self.client()?.batch_execute("BEGIN READ ONLY").await;
        self.settle(begun)?;
        self.busy = true;
        let table = self.fetch_foreign(sql, limit).await;
        let table = self.finish(table).await;
        if self.object.is_none() {
            return table;
        }
        self.busy = true;
        // What a person set is undone by the rollback, what they locked or prepared by the rest.
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

    async fn fetch_foreign(&self, sql: &str, limit: usize) -> Result<Table, Error> {
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

    /// Runs a statement for its rows, few of them.
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

    /// The result of a statement that has ended.
    fn settle<T>(&mut self, result: Result<T, tokio_postgres::Error>) -> Result<T, Error> {
        self.busy = false;
        let result = result.map_err(Error::Database);
        if result.as_ref().is_err_and(Error::wants_new_connection) {
            self.discard();
        }
        result
    }

    /// A result after which rows may still be on their way.
    async fn finish(&mut self, result: Result<Table, Error>) -> Result<Table, Error> {
        let unread = match &result {
            Ok(table) => table.cut.is_some(),
            Err(error) => !matches!(error, Error::Database(_)),
        };
        if unread {
            if let Some(object) = &self.object {
                quieten(object, &self.canceller).await?;
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
        // The connection stays counted in its pool until it is quiet again.
        runtime.spawn(async move {
            let quiet = tokio::time::timeout(CANCEL_PATIENCE, quieten(&object, &canceller)).await;
            if !matches!(quiet, Ok(Ok(()))) {
                drop(Object::take(object));
            }
        });
    }
}

/// Cancels what runs on a connection, and waits until it is ready for the next statement.
async fn quieten(object: &Object<Manager>, canceller: &Canceller) -> Result<(), Error> {
    tracing::debug!("cancelling a statement");
    canceller.cancel().await?;
    // The first one waits for the statement's end, and may itself be what is cancelled.
    let _ = object.batch_execute("ROLLBACK").await;
    object.batch_execute("ROLLBACK").await?;
    Ok(())
}
