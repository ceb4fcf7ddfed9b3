//! Connections: one bounded pool a data source, closed when its settings change; what nobody waits for is cancelled.

use crate::cancel::Canceller;
use crate::error::Error;
use crate::frame::columns::{Columns, Table};
use crate::settings::Settings;
use crate::statement::Statement;
use crate::tls::Tls;
use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime, Timeouts,
};
use futures_util::TryStreamExt;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_postgres::{NoTls, Row};

/// Connections unused for so long are closed.
const IDLE: Duration = Duration::from_secs(300);
/// Data sources that were not asked for so long lose their pool.
const FORGOTTEN: Duration = Duration::from_secs(3_600);
/// How long a cancelled connection gets to come back to its senses.
const CANCEL_PATIENCE: Duration = Duration::from_secs(5);

/// The pools of all data sources of this process.
#[derive(Clone, Default)]
pub struct Pools {
    sources: Arc<Mutex<HashMap<String, Arc<Source>>>>,
}

/// A data source's pool and its settings.
pub struct Source {
    /// As they were when the pool was made.
    pub settings: Settings,
    pool: Pool,
    tls: Tls,
    used: Mutex<tokio::time::Instant>,
}

/// What CollectMetrics tells of a pool.
pub(crate) struct PoolState {
    pub(crate) uid: String,
    pub(crate) size: usize,
    pub(crate) available: usize,
    pub(crate) waiting: usize,
    pub(crate) limit: usize,
}

impl Pools {
    /// The pool of these settings; one of older settings is closed, its running queries end in peace.
    ///
    /// # Errors
    /// When TLS is configured wrongly.
    pub fn source(&self, settings: Settings) -> Result<Arc<Source>, Error> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(source) = sources.get(&settings.uid) {
            let same = source.settings.fingerprint == settings.fingerprint;
            // A request that was on its way when the settings changed is answered by the new ones.
            if same || source.settings.updated > settings.updated {
                *source.used.lock().unwrap_or_else(PoisonError::into_inner) = tokio::time::Instant::now();
                return Ok(Arc::clone(source));
            }
        }
        let source = Arc::new(Source::new(settings)?);
        if let Some(old) = sources.insert(source.settings.uid.clone(), Arc::clone(&source)) {
            old.pool.close();
        }
        Ok(source)
    }

    /// Closes idle connections, and the pools of data sources that nobody asks any more.
    pub(crate) fn tidy(&self) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.retain(|_, source| {
            source.pool.retain(|_, metrics| metrics.last_used() < IDLE);
            let used = *source.used.lock().unwrap_or_else(PoisonError::into_inner);
            let keep = used.elapsed() < FORGOTTEN || source.pool.status().size > 0;
            if !keep {
                source.pool.close();
            }
            keep
        });
    }

    /// Waits until no connection is in use.
    pub(crate) async fn quiet(&self) {
        while self.states().iter().any(|pool| pool.available < pool.size) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Closes all of them.
    pub(crate) fn close(&self) {
        for (_, source) in self.sources.lock().unwrap_or_else(PoisonError::into_inner).drain() {
            source.pool.close();
        }
    }

    pub(crate) fn states(&self) -> Vec<PoolState> {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let state = |source: &Arc<Source>| {
            let status = source.pool.status();
            PoolState {
                uid: source.settings.uid.clone(),
                size: status.size,
                available: status.available,
                waiting: status.waiting,
                limit: status.max_size,
            }
        };
        sources.values().map(state).collect()
    }
}

impl Source {
    fn new(settings: Settings) -> Result<Self, Error> {
        let tls = Tls::from_settings(&settings)?;
        let mut config = tokio_postgres::Config::new();
        config
            .host(&settings.host)
            .port(settings.port)
            .dbname(&settings.database)
            .user(&settings.user)
            .application_name("iot-kpi-grafana")
            .connect_timeout(settings.connect_timeout);
        if !settings.password.is_empty() {
            config.password(&settings.password);
        }
        let recycle = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let manager = match &tls {
            Tls::Off => {
                config.ssl_mode(tokio_postgres::config::SslMode::Disable);
                Manager::from_config(config, NoTls, recycle)
            }
            Tls::On(connector) => {
                config.ssl_mode(tokio_postgres::config::SslMode::Require);
                Manager::from_config(config, connector.clone(), recycle)
            }
        };
        // By statement, not by start-up options: connection poolers between us and the server refuse those.
        let prepare = format!(
            "SET statement_timeout = {}; SET TimeZone = 'UTC'; SET standard_conforming_strings = on",
            settings.statement_timeout.as_millis()
        );
        let pool = Pool::builder(manager)
            .max_size(settings.pool_size)
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts {
                wait: Some(settings.statement_timeout + settings.connect_timeout),
                create: Some(settings.connect_timeout),
                recycle: Some(settings.connect_timeout),
            })
            .post_create(Hook::async_fn(move |client, _| {
                let prepare = prepare.clone();
                Box::pin(async move { client.batch_execute(&prepare).await.map_err(HookError::Backend) })
            }))
            .build()
            .map_err(|error| Error::Server(error.to_string()))?;
        Ok(Source {
            settings,
            pool,
            tls,
            used: Mutex::new(tokio::time::Instant::now()),
        })
    }

    /// A connection, as soon as one is free.
    ///
    /// # Errors
    /// When none comes free in time, or none can be opened.
    pub async fn session(&self) -> Result<Session, Error> {
        let object = self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => Error::Database(error),
            PoolError::Timeout(deadpool_postgres::TimeoutType::Wait) => Error::Busy {
                size: self.settings.pool_size,
                seconds: (self.settings.statement_timeout + self.settings.connect_timeout).as_secs(),
            },
            PoolError::Timeout(_) => Error::ConnectTimeout(self.settings.connect_timeout.as_secs()),
            PoolError::Closed => Error::Replaced,
            other => Error::Server(other.to_string()),
        })?;
        Ok(Session {
            canceller: Canceller::new(object.cancel_token(), self.tls.clone(), &self.settings),
            object: Some(object),
            busy: false,
        })
    }
}

/// A connection in use. Dropped in the middle of a statement, it has PostgreSQL cancel it.
pub struct Session {
    object: Option<Object>,
    canceller: Canceller,
    busy: bool,
}

impl Session {
    fn client(&self) -> Result<&Object, Error> {
        self.object.as_ref().ok_or(Error::Replaced)
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
            if columns.rows() == limit {
                return Ok(columns.finish(true));
            }
            columns.push(&row)?;
        }
        Ok(columns.finish(false))
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
            Ok(table) => table.truncated,
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
async fn quieten(object: &Object, canceller: &Canceller) -> Result<(), Error> {
    tracing::debug!("cancelling a statement");
    canceller.cancel().await?;
    // The first one waits for the statement's end, and may itself be what is cancelled.
    let _ = object.batch_execute("ROLLBACK").await;
    object.batch_execute("ROLLBACK").await?;
    Ok(())
}
