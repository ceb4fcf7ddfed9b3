//! Which database, and how to reach it: libpq's words in URL, environment and settings file, TLS, and the password.

mod id;

pub use self::id::DatabaseId;
use crate::error::{Cause, Error};
use crate::runtime::shutdown::Shutdown;
use crate::settings::Settings;
use crate::sink::backoff::Backoff;
use crate::sink::trouble::Trouble;
use iot_kpi_connection::SOCKET_FOLDERS;
use iot_kpi_connection::conninfo::ConnInfo;
use iot_kpi_connection::password::Source;
use iot_kpi_connection::tls::Tls;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config, Connection, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

/// A database, and its name without its password.
#[derive(Clone, Debug)]
pub struct Target {
    config: Config,
    tls: Tls,
    password: Source,
    name: String,
}

/// What the settings say.
#[derive(Debug, Default)]
struct Given {
    url: Option<String>,
    /// The URL stands on the command line, where everybody can read it.
    on_command_line: bool,
    /// libpq's words, by flag.
    words: HashMap<&'static str, String>,
    password_file: Option<PathBuf>,
    home: Option<PathBuf>,
}

impl Target {
    /// By flag or IOT_KPI_DATABASE_URL, else DATABASE_URL; the rest by the PG* variables; environment before file.
    pub fn from_settings(settings: &Settings) -> Result<Self, Error> {
        let lookup = |name: &str| {
            let environment = std::env::var(name).ok().filter(|value| !value.is_empty());
            environment.or_else(|| settings.file.get(name).map(str::to_owned))
        };
        let common = &settings.common;
        let flags = [
            ("sslmode", &common.sslmode),
            ("sslrootcert", &common.sslrootcert),
            ("sslcert", &common.sslcert),
            ("sslkey", &common.sslkey),
        ];
        let given = Given {
            url: common.database_url.clone(),
            on_command_line: settings.url_on_command_line,
            words: flags
                .into_iter()
                .filter_map(|(word, value)| Some((word, value.clone()?)))
                .collect(),
            password_file: common.password_file.clone(),
            home: std::env::var_os("HOME")
                .map(PathBuf::from)
                .filter(|home| home.is_absolute()),
        };
        Self::resolve(given, lookup)
    }

    /// As libpq does it: a URL first, and what it leaves out from the PG* variables; a flag before both.
    fn resolve(given: Given, lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let ConnInfo { mut config, words } = match given.url.or_else(|| lookup("DATABASE_URL")) {
            // The text is not repeated: it may hold a password.
            Some(url) => ConnInfo::parse(&url).map_err(|error| {
                let problem = format!("is no database URL ({})", Cause(error));
                Error::setting(
                    "--database-url",
                    problem,
                    "write it as postgresql://user@host:5432/name",
                )
            })?,
            None => ConnInfo::default(),
        };
        if given.on_command_line && config.get_password().is_some() {
            let remedy =
                "give it by --password-file, PGPASSWORD or PGPASSFILE, or the whole URL by IOT_KPI_DATABASE_URL";
            let problem = "has a password in it, which everybody on this machine can read in the list of processes";
            return Err(Error::setting("--database-url", problem, remedy));
        }
        let said = |word: &str| {
            let given = given.words.get(word).or_else(|| words.get(word)).cloned();
            let given = given.or_else(|| lookup(&format!("PG{}", word.to_uppercase())));
            given.filter(|value| !value.is_empty())
        };
        let tls = Tls::resolve(said, given.home.as_deref()).map_err(unusable)?;
        fill_in(&mut config, &lookup)?;
        let password = match (given.password_file, config.get_password().is_some()) {
            (Some(_), true) => {
                let problem = "is given, and a password in the database URL too";
                return Err(Error::setting("--password-file", problem, "keep one of them"));
            }
            (Some(file), false) => Source::File(file, "--password-file"),
            (None, true) => Source::None,
            (None, false) => match lookup("PGPASSWORD") {
                Some(password) => {
                    config.password(password);
                    Source::None
                }
                None => said("passfile")
                    .map(PathBuf::from)
                    .or_else(|| Some(given.home?.join(".pgpass")))
                    .map_or(Source::None, Source::Passfile),
            },
        };
        let target = Target {
            name: describe(&config),
            config,
            tls,
            password,
        };
        // Better now than at the first connection.
        target.prepare()?;
        Ok(target)
    }

    /// The configuration with its password, and TLS unless it goes without.
    fn prepare(&self) -> Result<(Config, Option<MakeRustlsConnect>), Error> {
        let mut config = self.config.clone();
        if let Some(password) = self.password.password(&config).map_err(unusable)? {
            config.password(password);
        }
        let tls = self.tls.protect(&mut config).map_err(unusable)?;
        Ok((config, tls))
    }

    /// For logs: `user@host:port/name`, never the password.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is known of the database before it is reached.
    pub fn id(&self) -> DatabaseId {
        let name = self.config.get_dbname().or(self.config.get_user());
        DatabaseId::asked_for(name.unwrap_or_default())
    }

    /// A new connection; its traffic runs in a task of its own that ends with the client.
    pub async fn connect(&self) -> Result<Client, Error> {
        let (config, tls) = self.prepare()?;
        match tls {
            None => self.started(config.connect(NoTls).await),
            Some(tls) => self.started(config.connect(tls).await),
        }
    }

    fn started<S, T>(
        &self,
        connected: Result<(Client, Connection<S, T>), tokio_postgres::Error>,
    ) -> Result<Client, Error>
    where
        Connection<S, T>: Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static,
    {
        let (client, connection) = connected.map_err(|source| self.refusal(source))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = %Cause(error), "the connection ended");
            }
        });
        Ok(client)
    }

    /// As [`Target::connect`], waiting for a database that is away, at most `wait`.
    pub async fn connect_within(&self, wait: Duration, shutdown: &mut Shutdown) -> Result<Client, Error> {
        let (since, mut backoff) = (Instant::now(), Backoff::new(Duration::from_secs(1)));
        loop {
            match self.connect().await {
                Err(error) if error.is_passing() && since.elapsed() < wait && !shutdown.is_requested() => {
                    if backoff.tries() == 0 {
                        tracing::warn!(%error, ?wait, "waiting for it");
                    }
                }
                done => return done,
            }
            shutdown.or_after(backoff.pause()).await;
        }
    }

    fn refusal(&self, error: tokio_postgres::Error) -> Error {
        let target = self.name.clone();
        if let Some(insecure) = self.tls.trouble(&error) {
            return Error::Insecure {
                target,
                problem: insecure.problem,
                remedy: insecure.remedy,
            };
        }
        let source = Cause(error);
        match source.trouble() {
            Trouble::Away => Error::Unreachable { target, source },
            _ => Error::Refused {
                target,
                remedy: remedy_of(&source),
                source,
            },
        }
    }
}

/// A setting that cannot be used.
fn unusable(error: iot_kpi_connection::Error) -> Error {
    Error::setting(error.setting, error.problem, error.remedy)
}

/// What to do about a refusal.
fn remedy_of(refusal: &Cause) -> &'static str {
    match (refusal.sqlstate(), refusal.trouble()) {
        (Some("42501"), _) => "as the database's owner, GRANT CONNECT on it to the collector's role",
        (_, Trouble::Rows | Trouble::Unexpected) => "check what --database-url, PGOPTIONS and the role's settings say",
        _ => refusal.remedy(),
    }
}

/// What a URL leaves out.
fn fill_in(config: &mut Config, lookup: impl Fn(&str) -> Option<String>) -> Result<(), Error> {
    let filled = |set: bool, name: &str| if set { None } else { lookup(name) };
    if let Some(host) = filled(!config.get_hosts().is_empty(), "PGHOST") {
        config.host(host);
    } else if config.get_hosts().is_empty() {
        // Certificates are for a name, if only that of an address.
        let addresses: Vec<String> = config.get_hostaddrs().iter().map(ToString::to_string).collect();
        addresses.iter().for_each(|address| _ = config.host(address));
        if addresses.is_empty() {
            config.host(usual_host());
        }
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
    if let Some(name) = filled(config.get_dbname().is_some(), "PGDATABASE") {
        config.dbname(name);
    }
    if let Some(options) = filled(config.get_options().is_some(), "PGOPTIONS") {
        config.options(options);
    }
    config.application_name("iot-kpi-collector");
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(Duration::from_secs(5));
    }
    config.tcp_user_timeout(Duration::from_secs(30));
    Ok(())
}

/// Where PostgreSQL listens when nobody says anything.
fn usual_host() -> &'static str {
    SOCKET_FOLDERS
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
    use iot_kpi_connection::tls::Mode;

    fn target(given: Given, variables: &[(&str, &str)]) -> Result<Target, String> {
        let lookup = |name: &str| variables.iter().find(|v| v.0 == name).map(|v| v.1.to_owned());
        Target::resolve(given, lookup).map_err(|error| error.to_string())
    }

    fn by_url(url: Option<&str>) -> Given {
        Given {
            url: url.map(str::to_owned),
            ..Given::default()
        }
    }

    fn name(url: Option<&str>, variables: &[(&str, &str)]) -> Result<String, String> {
        target(by_url(url), variables).map(|target| target.name)
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
            name(Some("postgresql://a@b/c?sslmode=verify-full"), &[])
                .unwrap_err()
                .contains("sslrootcert")
        );
        let shown = format!("{:?}", target(by_url(Some("postgresql://me:geheim@there/x")), &[]));
        assert!(shown.contains("there") && !shown.contains("geheim"), "{shown}");
    }

    #[test]
    fn a_flag_goes_before_the_url_and_the_url_before_a_variable() {
        let mode = |flag: Option<&str>, url: &str, variable: &str| {
            let words = flag.map(|mode| ("sslmode", mode.to_owned())).into_iter().collect();
            let given = Given {
                words,
                ..by_url(Some(url))
            };
            target(given, &[("PGSSLMODE", variable)]).unwrap().tls.mode
        };
        let url = "postgresql://there/x?sslmode=prefer";
        assert_eq!(mode(Some("disable"), url, "require"), Mode::Disable);
        assert_eq!(mode(None, url, "require"), Mode::Prefer);
        assert_eq!(mode(None, "postgresql://there/x", "require"), Mode::Require);
        assert_eq!(mode(None, "postgresql://there/x", ""), Mode::Prefer);
    }

    #[test]
    fn one_password_and_none_where_others_look() {
        let flagged = Given {
            on_command_line: true,
            ..by_url(Some("postgresql://me:geheim@there/x"))
        };
        let text = target(flagged, &[]).unwrap_err();
        assert!(text.contains("--password-file") && !text.contains("geheim"), "{text}");
        let twice = Given {
            password_file: Some("/dev/null".into()),
            ..by_url(Some("postgresql://me:geheim@there/x"))
        };
        assert!(target(twice, &[]).unwrap_err().contains("keep one"));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "from file\n").unwrap();
        let filed = Given {
            password_file: Some(file),
            ..by_url(Some("postgresql://me@there/x"))
        };
        let (config, _) = target(filed, &[("PGPASSWORD", "variable")]).unwrap().prepare().unwrap();
        assert_eq!(config.get_password(), Some(&b"from file"[..]));
    }
}
