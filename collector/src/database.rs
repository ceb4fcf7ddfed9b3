//! Which database, and how to reach it. The one place to put TLS: [`Target::connect`].

use crate::backoff::Backoff;
use crate::error::{Cause, Error};
use crate::settings::Settings;
use crate::stop::Stop;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config, NoTls};

/// A database, and its name without its password.
#[derive(Clone, Debug)]
pub struct Target {
    config: Config,
    name: String,
}

impl Target {
    /// By flag or IOT_KPI_DATABASE_URL, else DATABASE_URL; the rest by the PG* variables; environment before file.
    pub fn from_settings(settings: &Settings) -> Result<Self, Error> {
        let lookup = |name: &str| {
            let environment = std::env::var(name).ok().filter(|value| !value.is_empty());
            environment.or_else(|| settings.file.get(name).map(str::to_owned))
        };
        Self::resolve(settings.common.database_url.clone(), lookup)
    }

    /// As libpq does it: a URL first, and what it leaves out from the PG* variables.
    fn resolve(url: Option<String>, lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let url = url.or_else(|| lookup("DATABASE_URL"));
        let mut config = match url {
            // The text is not repeated: it may hold a password.
            Some(url) => url.parse::<Config>().map_err(|error| {
                let problem = format!("is no database URL ({})", Cause(error));
                Error::setting(
                    "--database-url",
                    problem,
                    "write it as postgresql://user@host:5432/name",
                )
            })?,
            None => Config::new(),
        };
        let filled = |set: bool, name: &str| if set { None } else { lookup(name) };
        if let Some(host) = filled(!config.get_hosts().is_empty(), "PGHOST") {
            config.host(host);
        } else if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            config.host(usual_host());
        }
        if let Some(port) = filled(!config.get_ports().is_empty(), "PGPORT") {
            let remedy = "use a port's number, as in 5432";
            config.port(
                port.parse()
                    .map_err(|_| Error::setting("PGPORT", format!("{port:?} is no port"), remedy))?,
            );
        }
        if let Some(user) = filled(config.get_user().is_some(), "PGUSER") {
            config.user(user);
        }
        if let Some(password) = filled(config.get_password().is_some(), "PGPASSWORD") {
            config.password(password);
        }
        if let Some(name) = filled(config.get_dbname().is_some(), "PGDATABASE") {
            config.dbname(name);
        }
        if let Some(options) = filled(config.get_options().is_some(), "PGOPTIONS") {
            config.options(options);
        }
        let demands_tls =
            lookup("PGSSLMODE").is_some_and(|mode| ["require", "verify-ca", "verify-full"].contains(&&*mode));
        if demands_tls || config.get_ssl_mode() == SslMode::Require {
            let remedy = "use sslmode=prefer over a trusted network or a tunnel";
            return Err(Error::setting(
                "sslmode",
                "asks for TLS, which this collector does not speak",
                remedy,
            ));
        }
        config.application_name("iot-kpi-collector");
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(Duration::from_secs(5));
        }
        config.tcp_user_timeout(Duration::from_secs(30));
        let name = describe(&config);
        Ok(Target { config, name })
    }

    /// For logs: `user@host:port/name`, never the password.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A new connection; its traffic runs in a task of its own that ends with the client.
    pub async fn connect(&self) -> Result<Client, Error> {
        let (client, connection) = self
            .config
            .connect(NoTls)
            .await
            .map_err(|source| self.refusal(source))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = %Cause(error), "the connection ended");
            }
        });
        Ok(client)
    }

    /// As [`Target::connect`], waiting for a database that is away, at most `wait`.
    pub async fn connect_within(&self, wait: Duration, stop: &mut Stop) -> Result<Client, Error> {
        let (since, mut backoff) = (Instant::now(), Backoff::new(Duration::from_secs(1)));
        loop {
            match self.connect().await {
                Err(error) if error.is_passing() && since.elapsed() < wait && !stop.is_asked() => {
                    if backoff.tries() == 0 {
                        tracing::warn!(%error, ?wait, "waiting for it");
                    }
                }
                done => return done,
            }
            stop.or_after(backoff.pause()).await;
        }
    }

    fn refusal(&self, error: tokio_postgres::Error) -> Error {
        let (target, source) = (self.name.clone(), Cause(error));
        match source.is_passing() {
            true => Error::Unreachable { target, source },
            false => Error::Refused { target, source },
        }
    }
}

/// Where PostgreSQL listens when nobody says anything.
fn usual_host() -> &'static str {
    let sockets = ["/var/run/postgresql", "/tmp"];
    sockets
        .into_iter()
        .find(|folder| Path::new(folder).join(".s.PGSQL.5432").exists())
        .unwrap_or("localhost")
}

fn describe(config: &Config) -> String {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        #[cfg(unix)]
        Some(Host::Unix(path)) => path.display().to_string(),
        None => config
            .get_hostaddrs()
            .first()
            .map(ToString::to_string)
            .unwrap_or_default(),
    };
    let user = config.get_user().map(|user| format!("{user}@")).unwrap_or_default();
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let name = config.get_dbname().or(config.get_user()).unwrap_or_default();
    format!("{user}{host}:{port}/{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(url: Option<&str>, variables: &[(&str, &str)]) -> Result<String, String> {
        let lookup = |name: &str| variables.iter().find(|v| v.0 == name).map(|v| v.1.to_owned());
        Target::resolve(url.map(str::to_owned), lookup)
            .map(|t| t.name)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_url_goes_first_and_variables_fill_in() {
        let pg = [
            ("PGHOST", "db"),
            ("PGPORT", "6000"),
            ("PGUSER", "u"),
            ("PGDATABASE", "d"),
            ("PGPASSWORD", "geheim"),
        ];
        assert_eq!(name(None, &pg), Ok("u@db:6000/d".into()));
        assert_eq!(
            name(Some("postgresql://me:geheim@there/x"), &pg),
            Ok("me@there:5432/x".into())
        );
        assert_eq!(
            name(Some("host=/run/pg dbname=x user=me"), &[]),
            Ok("me@/run/pg:5432/x".into())
        );
        assert_eq!(
            name(None, &[("DATABASE_URL", "postgresql://a@b/c")]),
            Ok("a@b:5432/c".into())
        );
    }

    #[test]
    fn what_is_wrong_is_named_and_no_password_shown() {
        let text = name(Some("postgresql://me:geheim@there:x/x"), &[]).unwrap_err();
        assert!(text.contains("--database-url") && !text.contains("geheim"), "{text}");
        assert!(name(None, &[("PGPORT", "many")]).unwrap_err().contains("\"many\""));
        assert!(
            name(Some("postgresql://a@b/c?sslmode=require"), &[])
                .unwrap_err()
                .contains("TLS")
        );
    }
}
