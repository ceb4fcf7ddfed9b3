//! The pool of one data source.

use crate::cancel::Canceller;
use crate::error::Error;
use crate::manager::Manager;
use crate::session::Session;
use crate::settings::Settings;
use deadpool::Runtime;
use deadpool::managed::{Pool, PoolError, TimeoutType, Timeouts};
use deadpool_postgres::{ManagerConfig, RecyclingMethod};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_postgres::NoTls;
use tokio_postgres_rustls::MakeRustlsConnect;

/// A data source's pool and its settings.
pub struct Source {
    /// As they were when the pool was made.
    pub settings: Arc<Settings>,
    pub(super) pool: Pool<Manager>,
    /// None without TLS.
    tls: Option<MakeRustlsConnect>,
    /// When it was asked for last.
    used: Mutex<Instant>,
}

impl Source {
    pub(super) fn new(settings: Arc<Settings>) -> Result<Self, Error> {
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
            used: Mutex::new(Instant::now()),
        })
    }

    pub(super) fn touch(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    pub(super) fn unused_for(&self) -> Duration {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
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
