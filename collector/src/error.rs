//! What can go wrong, in words that name the value and the remedy.

use crate::sink::trouble::Trouble;
use std::path::PathBuf;

/// The collector's errors; each one's text ends with what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting that cannot be used.
    #[error("{setting}: {problem}; {remedy}")]
    Setting {
        /// Which one.
        setting: String,
        /// What is wrong with its value.
        problem: String,
        /// What to give instead.
        remedy: String,
    },
    /// Several errors at once, as of a settings file.
    #[error("{} mistakes{}", .0.len(), .0.iter().map(|one| format!("\n  {one}")).collect::<String>())]
    Several(Vec<Error>),
    /// A file that cannot be read or written.
    #[error("cannot {action} {}: {source}; {remedy}", path.display())]
    File {
        /// `read`, `write`, …
        action: &'static str,
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
        /// What to do.
        remedy: &'static str,
    },
    /// The database does not answer.
    #[error("cannot reach {target}: {source}; start it, or name another with --database-url")]
    Unreachable {
        /// Which database, without its password.
        target: String,
        /// What the client library says.
        source: Cause,
    },
    /// The database answers with a refusal that trying again will not change.
    #[error("{target} refuses: {source}; {remedy}")]
    Refused {
        /// Which database, without its password.
        target: String,
        /// What the server says.
        source: Cause,
        /// What to do.
        remedy: &'static str,
    },
    /// No connection is as secure as it must be.
    #[error("cannot reach {target} by TLS: {problem}; {remedy}")]
    Insecure {
        /// Which database, without its password.
        target: String,
        /// What is wrong.
        problem: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The extension or its store is not there.
    #[error(
        "{target} has no store of pg_iot_kpi ({missing}); run CREATE EXTENSION pg_iot_kpi; SELECT iot_kpi.create_store(); \
         or start with --create-store"
    )]
    NoStore {
        /// Which database, without its password.
        target: String,
        /// What was looked for.
        missing: &'static str,
    },
    /// What waits in the spool is for another database.
    #[error(
        "the spool in {} waits for {waiting}, and this is {found}; name that database, or another folder with --spool-dir. \
         Where this one has taken the other's place (restored, upgraded), start with --spool-adopt until that is delivered",
        folder.display()
    )]
    OtherDatabase {
        /// The spool's.
        folder: PathBuf,
        /// Which one it waits for.
        waiting: String,
        /// Which one this is.
        found: String,
    },
    /// A statement failed.
    #[error("{doing} failed: {source}; {}", source.remedy())]
    Statement {
        /// What it was for.
        doing: &'static str,
        /// What the server says.
        source: Cause,
    },
    /// A statement took too long.
    #[error("{doing} took longer than {seconds} s; see in pg_stat_activity what it waits for")]
    TimedOut {
        /// What it was for.
        doing: &'static str,
        /// How long it was waited for.
        seconds: u64,
    },
    /// A port that cannot be listened on.
    #[error("cannot listen on {address}: {source}; name a free port with --metrics-listen")]
    Listen {
        /// Which one.
        address: std::net::SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// A collector that is not well, or not there.
    #[error("the collector at {address} {problem}; see its log, and whether it runs with that --metrics-listen")]
    Unwell {
        /// Where it was asked.
        address: std::net::SocketAddr,
        /// What it answers.
        problem: String,
    },
    /// Dead letters that are still refused.
    #[error("{still} rows of {} are still not taken; they are printed on stdout with the reasons, to be mended and sent again", file.display())]
    StillRefused {
        /// Where they came from.
        file: PathBuf,
        /// How many.
        still: usize,
    },
    /// The system does not let the process hear signals.
    #[error("cannot listen for signals: {0}; run it where SIGTERM and SIGINT can be handled")]
    Signals(std::io::Error),
    /// A part of the program ended before its time.
    #[error("the {0} ended unexpectedly; its reason is in the log above")]
    Ended(&'static str),
}

impl Error {
    pub(crate) fn setting(setting: impl Into<String>, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Error::Setting {
            setting: setting.into(),
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }

    /// None, the only one, or all of them.
    pub(crate) fn all(mut errors: Vec<Error>) -> Result<(), Self> {
        match (errors.pop(), errors.is_empty()) {
            (None, _) => Ok(()),
            (Some(only), true) => Err(only),
            (Some(last), false) => {
                errors.push(last);
                Err(Error::Several(errors))
            }
        }
    }

    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
        remedy: &'static str,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Error::File {
            action,
            path,
            source,
            remedy,
        }
    }

    pub(crate) fn statement(doing: &'static str) -> impl FnOnce(tokio_postgres::Error) -> Self {
        move |source| Error::Statement {
            doing,
            source: Cause(source),
        }
    }

    /// What kind of trouble it is.
    pub fn trouble(&self) -> Trouble {
        match self {
            Error::Unreachable { .. } | Error::TimedOut { .. } => Trouble::Away,
            // Rows that are at fault never come as far as here: then it is something else's, a setting's for example.
            Error::Statement { source, .. } | Error::Refused { source, .. } => match source.trouble() {
                Trouble::Rows => Trouble::Unexpected,
                trouble => trouble,
            },
            Error::Insecure { .. } => Trouble::Permission,
            Error::NoStore { .. } => Trouble::Store,
            Error::OtherDatabase { .. } => Trouble::OtherDatabase,
            _ => Trouble::Unexpected,
        }
    }

    /// Whether the same try may succeed later by itself.
    pub fn is_passing(&self) -> bool {
        self.trouble() == Trouble::Away
    }
}

/// The database's own words: the client library alone says "db error".
#[derive(Debug)]
pub struct Cause(pub tokio_postgres::Error);

impl Cause {
    /// The SQLSTATE, where the server answered at all.
    pub fn sqlstate(&self) -> Option<&str> {
        self.0.code().map(|code| code.code())
    }

    /// What kind of trouble it is.
    pub fn trouble(&self) -> Trouble {
        match self.sqlstate() {
            Some(code) => Trouble::of_sqlstate(code, &self.message()),
            None => Trouble::of_client(&self.0.to_string(), &self.message()),
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        self.trouble().remedy(self.sqlstate())
    }

    /// The server's hint.
    pub fn hint(&self) -> Option<&str> {
        self.0.as_db_error()?.hint()
    }

    fn message(&self) -> String {
        match self.0.as_db_error() {
            Some(answer) => answer.message().to_owned(),
            None => std::error::Error::source(&self.0).map_or_else(String::new, ToString::to_string),
        }
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(answer) = self.0.as_db_error() {
            write!(f, "{} (SQLSTATE {})", answer.message(), answer.code().code())?;
            return self.hint().map_or(Ok(()), |hint| write!(f, "; hint: {hint}"));
        }
        match std::error::Error::source(&self.0) {
            Some(source) => write!(f, "{}: {source}", self.0),
            None => write!(f, "{}", self.0),
        }
    }
}

impl std::error::Error for Cause {}
