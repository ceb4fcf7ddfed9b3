//! What a data source's configuration says. Nothing here is ever logged: it holds the password.

use crate::error::Error;
use grafana_plugin_sdk::pluginv2::{DataSourceInstanceSettings, PluginContext};
use iot_kpi_connection::tls::{Mode, Tls};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

#[cfg(fuzzing)]
pub(crate) use json::read;
mod json;

/// How a connection is protected, as libpq names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// No TLS.
    Disable,
    /// TLS; the server's certificate is not looked at, unless a CA is given.
    Require,
    /// TLS; the certificate must be signed by the CA.
    VerifyCa,
    /// TLS; the certificate must be signed by the CA and name the host.
    #[default]
    VerifyFull,
}

/// Which data source. Grafana keeps a uid unique within an organisation only, and one process serves all organisations:
/// whatever is kept between two calls is kept under both.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId {
    /// Grafana's number of the organisation.
    pub organisation: i64,
    /// Grafana's id of the data source, unique in it.
    pub uid: String,
}

/// A data source's configuration, checked.
#[derive(Clone)]
pub struct Settings {
    /// The data source that it belongs to.
    pub id: SourceId,
    /// When it was last changed, in ms since 1970.
    pub updated: i64,
    /// A hash of everything in it.
    pub fingerprint: [u8; 32],
    /// Host name, address or socket folder.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Database.
    pub database: String,
    /// Role.
    pub user: String,
    /// Its password.
    pub(crate) password: String,
    /// Protection of the connection.
    pub tls_mode: TlsMode,
    /// CA certificates, PEM.
    pub(crate) tls_ca: String,
    /// Client certificate, PEM.
    pub(crate) tls_certificate: String,
    /// Client key, PEM.
    pub(crate) tls_key: String,
    /// Most connections at once.
    pub pool_size: usize,
    /// Longest wait for a connection, new or from the pool.
    pub connect_timeout: Duration,
    /// Longest run of a statement.
    pub statement_timeout: Duration,
    /// Most rows of an answer.
    pub row_limit: usize,
    /// Whether people may write SQL.
    pub allow_sql: bool,
    /// Whether the REST routes may write.
    pub allow_writes: bool,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Settings({}@{}:{}/{})",
            self.user, self.host, self.port, self.database
        )
    }
}

impl Settings {
    /// Of a call's context.
    ///
    /// # Errors
    /// When the data source is missing or a setting is missing or malformed; the message names it.
    pub fn from_context(context: Option<&PluginContext>) -> Result<Arc<Self>, Error> {
        let named = context.and_then(|context| Some((context.org_id, context.data_source_instance_settings.as_ref()?)));
        let (organisation, instance) = named.ok_or_else(|| Error::Query("the call names no data source".to_owned()))?;
        let uid = instance.uid.clone();
        Self::from_instance(SourceId { organisation, uid }, instance).map(Arc::new)
    }

    /// How its connections are protected.
    pub(crate) fn tls(&self) -> Tls {
        let mode = match self.tls_mode {
            TlsMode::Disable => Mode::Disable,
            TlsMode::Require => Mode::Require,
            TlsMode::VerifyCa => Mode::VerifyCa,
            TlsMode::VerifyFull => Mode::VerifyFull,
        };
        Tls::from_text(mode, &self.tls_ca, &self.tls_certificate, &self.tls_key)
    }

    fn from_instance(id: SourceId, instance: &DataSourceInstanceSettings) -> Result<Self, Error> {
        let open = json::parse(&instance.json_data)?;
        let secret = |name: &str| {
            let value = instance.decrypted_secure_json_data.get(name);
            value.cloned().unwrap_or_default()
        };
        let settings = Settings {
            id,
            updated: instance.last_updated_ms,
            fingerprint: fingerprint(instance),
            host: required("host", open.host, "give the name or address of the PostgreSQL server")?,
            port: bounded("port", open.port, 5432, 1, 65_535)? as u16,
            database: required(
                "database",
                open.database,
                "give the database that has pg_iot_kpi's store",
            )?,
            user: required("user", open.user, "give a role that may read the store")?,
            password: secret("password"),
            tls_mode: open.tls_mode,
            tls_ca: secret("tlsCa"),
            tls_certificate: secret("tlsCertificate"),
            tls_key: secret("tlsKey"),
            pool_size: bounded("poolSize", open.pool_size, 10, 1, 200)? as usize,
            connect_timeout: Duration::from_secs(bounded("connectTimeout", open.connect_timeout, 10, 1, 300)?),
            statement_timeout: Duration::from_secs(bounded("statementTimeout", open.statement_timeout, 60, 1, 3_600)?),
            row_limit: bounded("rowLimit", open.row_limit, 1_000_000, 1, 10_000_000)? as usize,
            allow_sql: open.allow_sql,
            allow_writes: open.allow_writes,
        };
        Ok(settings)
    }
}

fn required(setting: &'static str, value: String, remedy: &'static str) -> Result<String, Error> {
    let value = value.trim().to_owned();
    if value.is_empty() {
        return Err(Error::Setting {
            setting,
            problem: "is empty".to_owned(),
            remedy,
        });
    }
    Ok(value)
}

fn bounded(setting: &'static str, value: Option<u64>, preset: u64, least: u64, most: u64) -> Result<u64, Error> {
    let value = value.unwrap_or(preset);
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(Error::Setting {
        setting,
        problem: format!("is {value}, but must be from {least} to {most}"),
        remedy: "correct it, or clear the field for the default",
    })
}

fn fingerprint(instance: &DataSourceInstanceSettings) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(&instance.json_data);
    let mut secrets: Vec<_> = instance.decrypted_secure_json_data.iter().collect();
    secrets.sort();
    for (name, value) in secrets {
        for part in [name, value] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
    }
    hash.finalize().into()
}
