//! A child process that ends with its owner, in order where there is time for it.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::identity::Identity;
use crate::watchdog::Watchdog;

/// A running program; it ends with this value, or with this process.
#[derive(Debug)]
pub struct Guarded {
    child: Child,
    watchdog: Option<Watchdog>,
    grace: Duration,
}

impl Guarded {
    /// Starts it; `grace` is the time that it gets to end by itself when it is asked to.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(mut command: Command, grace: Duration) -> Result<Self> {
        let program = command.get_program().to_owned();
        // A process group of its own: Ctrl-C is for the owner, who stops things in order.
        let child = command
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let watchdog = Watchdog::start(&Identity::Own, Pid::from_child(&child), None)?;
        Ok(Self {
            child,
            watchdog: Some(watchdog),
            grace,
        })
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// When it is no child of this process any more.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context("look after a child process")
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let ended = |child: &mut Child| matches!(child.try_wait(), Ok(Some(_)) | Err(_));
        if !ended(&mut self.child) {
            // The errors of this function have no reader; the watchdog is the second line.
            let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
            let deadline = Instant::now() + self.grace;
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
