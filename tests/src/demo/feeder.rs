//! The collector as a child process: it fills the past, then sends live data until it is stopped.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::identity::Identity;
use crate::watchdog::Watchdog;

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
    /// When it was not.
    pub fn find(database_url: String, folder: &Path, interval: String) -> Result<Self> {
        let beside = std::env::current_exe().context("find this program")?;
        let program = beside.with_file_name("iot-kpi-collector");
        if !program.exists() {
            bail!("{} is missing; `cargo build` makes it", program.display());
        }
        Ok(Self {
            program,
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
        let mut collector = Collector::start(command)?;
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
    pub fn simulate(&self) -> Result<Collector> {
        let mut command = self.command("simulate");
        let log = File::create(self.log()).with_context(|| format!("make {}", self.log().display()))?;
        command
            .arg("--spool-dir")
            .arg(self.folder.join("spool"))
            .stdout(Stdio::null())
            .stderr(log);
        Collector::start(command)
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

/// A running collector; it ends with this value, or with this process.
#[derive(Debug)]
pub struct Collector {
    child: Child,
    watchdog: Option<Watchdog>,
}

impl Collector {
    fn start(mut command: Command) -> Result<Self> {
        // A process group of its own: Ctrl-C is for the owner, who stops things in order.
        let child = command.process_group(0).spawn().context("start the collector")?;
        let watchdog = Watchdog::start(&Identity::Own, Pid::from_child(&child), None)?;
        Ok(Self {
            child,
            watchdog: Some(watchdog),
        })
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// When it is no child of this process any more.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context("look after the collector")
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let ended = |child: &mut Child| matches!(child.try_wait(), Ok(Some(_)) | Err(_));
        if !ended(&mut self.child) {
            // The errors of this function have no reader; the watchdog is the second line.
            let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
            let deadline = Instant::now() + GRACE;
            while !ended(&mut self.child) && Instant::now() < deadline {
                sleep(Duration::from_millis(10));
            }
            if !ended(&mut self.child) {
                let _ = self.child.kill();
                let _ = self.child.wait();
            }
        }
        if let Some(watchdog) = self.watchdog.take() {
            watchdog.dismiss();
        }
    }
}
