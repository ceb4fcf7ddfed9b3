//! Stops a process when its owner has ended, in whatever way.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};

use anyhow::{Context, Result};
use rustix::process::Pid;

use crate::identity::Identity;

/// Waits for a word or for the end of its input: without a word the owner is gone.
const SCRIPT: &str = r#"
read -r word && exit
kill -INT "$1"
while kill -0 "$1"; do sleep 0.05; done
[ -z "$2" ] || rm -rf "$2"
"#;

/// A small process beside the one it watches.
#[derive(Debug)]
pub(crate) struct Watchdog(Child);

impl Watchdog {
    /// Watches over `process`; `rubbish` is removed when the owner is gone.
    pub(crate) fn start(identity: &Identity, process: Pid, rubbish: Option<&Path>) -> Result<Self> {
        identity
            .command("sh")
            .args(["-c", SCRIPT, "watchdog"])
            .arg(process.as_raw_nonzero().to_string())
            .arg(rubbish.unwrap_or(Path::new("")))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map(Self)
            .context("start a watchdog")
    }

    /// Sends it away: the process has ended, or may stay.
    pub(crate) fn dismiss(mut self) {
        if let Some(mut input) = self.0.stdin.take() {
            // An error means that it is gone already.
            let _ = input.write_all(b"dismissed\n");
        }
        let _ = self.0.wait();
    }
}
