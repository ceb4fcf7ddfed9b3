//! The collector as a child process: it fills the past, then sends live data until it is stopped.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::guarded::Guarded;
use crate::collector;

/// Time that the collector gets to put aside what it has in hand.
const GRACE: Duration = Duration::from_secs(15);

/// How the collector is called: on which database, and where it keeps its things.
#[derive(Debug)]
pub struct Feeder {
    program: PathBuf,
    database_url: String,
    folder: PathBuf,
    interval: String,
}

impl Feeder {
    /// The collector that was built beside this program.
    ///
    /// # Errors
    /// When it was not, or is older than its sources.
    pub fn find(database_url: String, folder: &Path, interval: String) -> Result<Self> {
        Ok(Self {
            program: collector::program()?,
            database_url,
            folder: folder.to_path_buf(),
            interval,
        })
    }

    /// Writes the history of the last `span`, with visible progress. True when it got to its end.
    ///
    /// # Errors
    /// When the collector fails.
    pub fn backfill(&self, span: Duration, stopped: impl Fn() -> bool) -> Result<bool> {
        let mut command = self.command("backfill");
        command.arg("--span").arg(format!("{}s", span.as_secs()));
        let mut collector = Guarded::start(command, GRACE)?;
        loop {
            if let Some(status) = collector.ended()? {
                if !status.success() {
                    bail!("the collector could not write the history ({status})");
                }
                return Ok(!stopped());
            }
            if stopped() {
                return Ok(false);
            }
            sleep(Duration::from_millis(20));
        }
    }

    /// Starts to send live data; what it logs goes to [`Feeder::log`].
    ///
    /// # Errors
    /// When it does not start.
    pub fn simulate(&self) -> Result<Guarded> {
        let mut command = self.command("simulate");
        let log = File::create(self.log()).with_context(|| format!("make {}", self.log().display()))?;
        command
            .arg("--spool-dir")
            .arg(self.folder.join("spool"))
            .stdout(Stdio::null())
            .stderr(log);
        Guarded::start(command, GRACE)
    }

    /// Where the live collector logs.
    pub fn log(&self) -> PathBuf {
        self.folder.join("collector.log")
    }

    fn command(&self, action: &str) -> Command {
        let mut command = Command::new(&self.program);
        // The password is in the URL: the environment is not in everybody's list of processes.
        command
            .env("IOT_KPI_DATABASE_URL", &self.database_url)
            .env("COLLECTION_INTERVAL", &self.interval);
        command.arg(action).stdin(Stdio::null());
        command
    }
}
