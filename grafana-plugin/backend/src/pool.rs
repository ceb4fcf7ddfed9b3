//! Connections: one bounded pool a data source, closed when its settings change.

use crate::cancel::Canceller;
use crate::error::Error;
use crate::manager::Manager;
use crate::session::Session;
use crate::settings::{Settings, SourceId};
use deadpool::Runtime;
use deadpool::managed::{Pool, PoolError, TimeoutType, Timeouts};
use deadpool_postgres::{ManagerConfig, RecyclingMethod};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_postgres::NoTls;
use tokio_postgres_rustls::MakeRustlsConnect;

/// The pools of all data sources of this process, in whatever organisation.
#[derive(Clone, Default)]
pub struct Pools {
    sources: Arc<Mutex<HashMap<SourceId, Arc<Source>>>>,
}

/// A data source's pool and its settings.
pub struct Source {
    /// As they were when the pool was made.
    pub settings: Arc<Settings>,
    pool: Pool<Manager>,
    /// None in the clear.
    tls: Option<MakeRustlsConnect>,
    used: Mutex<tokio::time::Instant>,
}

/// How a pool stands.
pub struct PoolState {
    /// Whose it is.
    pub source: SourceId,
    /// Connections that are open.
    pub size: usize,
    /// Those of them that nobody uses.
    pub available: usize,
    /// Who waits for one.
    pub waiting: usize,
    /// The most there may be.
    pub limit: usize,
}

impl Pools {
    /// The pool of these settings; one of older settings is closed, its running queries end in peace.
    ///
    /// # Errors
    /// When TLS is configured wrongly.
    pub fn source(&self, settings: &Arc<Settings>) -> Result<Arc<Source>, Error> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(source) = sources.get(&settings.id) {
            let same = source.settings.fingerprint == settings.fingerprint;
            // A request that was on its way when the settings changed is answered by the new ones.
            if same || source.settings.updated > settings.updated {
                *source.used.lock().unwrap_or_else(PoisonError::into_inner) = tokio::time::Instant::now();
                return Ok(Arc::clone(source));
            }
        }
        let source = Arc::new(Source::new(Arc::clone(settings))?);
        if let Some(old) = sources.insert(source.settings.id.clone(), Arc::clone(&source)) {
            old.pool.close();
        }
        Ok(source)
    }

    /// Closes connections unused for `idle`, and the pools of data sources that nobody asked for `forgotten`.
    pub fn tidy(&self, idle: Duration, forgotten: Duration) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.retain(|_, source| {
            source.pool.retain(|_, metrics| metrics.last_used() < idle);
            let used = *source.used.lock().unwrap_or_else(PoisonError::into_inner);
            let keep = used.elapsed() < forgotten || source.pool.status().size > 0;
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

    /// How each of them stands.
    pub fn states(&self) -> Vec<PoolState> {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let state = |source: &Arc<Source>| {
            let status = source.pool.status();
            PoolState {
                source: source.settings.id.clone(),
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
    fn new(settings: Arc<Settings>) -> Result<Self, Error> {
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
        let tls = settings.tls().protect(&mut config)?;
        let manager = match &tls {
            None => deadpool_postgres::Manager::from_config(config, NoTls, recycle),
            Some(connector) => deadpool_postgres::Manager::from_config(config, connector.clone(), recycle),
        };
        // By statement, not by start-up options: connection poolers between us and the server refuse those.
        let prepare = format!(
            "SET statement_timeout = {}; SET TimeZone = 'UTC'; SET standard_conforming_strings = on",
            settings.statement_timeout.as_millis()
        );
        let pool = Pool::builder(Manager::new(manager, &prepare))
            .max_size(settings.pool_size)
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts {
                wait: Some(settings.statement_timeout + settings.connect_timeout),
                create: Some(settings.connect_timeout),
                recycle: Some(settings.connect_timeout),
            })
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
            PoolError::Backend(error) => error,
            PoolError::Timeout(TimeoutType::Wait) => Error::Busy {
                size: self.settings.pool_size,
                seconds: (self.settings.statement_timeout + self.settings.connect_timeout).as_secs(),
            },
            PoolError::Timeout(_) => Error::ConnectTimeout(self.settings.connect_timeout.as_secs()),
            PoolError::Closed => Error::Replaced,
            other => Error::Server(other.to_string()),
        })?;
        let canceller = Canceller::new(object.cancel_token(), self.tls.clone(), &self.settings);
        Ok(Session::new(object, canceller))
    }
}
