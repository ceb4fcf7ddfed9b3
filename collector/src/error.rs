//! What can go wrong, in words that name the value and the remedy.

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
    /// A statement failed.
    #[error("{doing} failed: {source}")]
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

    /// Whether the same try may succeed later.
    pub fn is_passing(&self) -> bool {
        match self {
            Error::Unreachable { .. } | Error::TimedOut { .. } => true,
            Error::Statement { source, .. } => source.is_passing(),
            _ => false,
        }
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

    /// No answer, or one that says "not now": connection (08), rollback (40), resources (53), busy (55), operator
    /// intervention (57), system (58). Without a password there is no use in trying again.
    pub fn is_passing(&self) -> bool {
        match self.sqlstate() {
            None => std::error::Error::source(&self.0).is_none_or(|cause| cause.to_string() != "password missing"),
            Some(code) => ["08", "40", "53", "55", "57", "58"]
                .iter()
                .any(|class| code.starts_with(class)),
        }
    }

    /// The rows themselves are at fault: data (22) or a constraint (23).
    pub fn is_about_data(&self) -> bool {
        self.sqlstate()
            .is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(answer) = self.0.as_db_error() {
            write!(f, "{} (SQLSTATE {})", answer.message(), answer.code().code())?;
            return answer.hint().map_or(Ok(()), |hint| write!(f, "; hint: {hint}"));
        }
        match std::error::Error::source(&self.0) {
            Some(source) => write!(f, "{}: {source}", self.0),
            None => write!(f, "{}", self.0),
        }
    }
}

impl std::error::Error for Cause {}
