//! Huge pages for the server's shared memory, as a tuned server has them. Without, each worker of a query, a process of its own,
//! maps all that it reads in pages of four kilobytes, and two workers gain a tenth less.

use std::collections::HashMap;
use std::fs;
use std::process::{Child, Command, Stdio};

/// How many the kernel sets aside; written by root alone.
const SET_ASIDE: &str = "/proc/sys/vm/nr_hugepages";
/// Waits for the end of its input, which comes when the owner has ended, in whatever way, and gives them back.
const SCRIPT: &str = r#"
trap '' INT TERM HUP
while read -r word; do :; done
echo "$1" > "$2"
"#;

/// Huge pages that are set aside as long as this lives. Where they cannot be had, the server does without.
#[derive(Debug)]
pub(super) struct HugePages(Child);

impl HugePages {
    /// Sets aside what a server with so much shared memory takes; none where there are enough, or where it may not be done.
    pub(super) fn set_aside(megabytes: u64) -> Option<Self> {
        let memory = memory()?;
        let (free, before) = (*memory.get("HugePages_Free")?, *memory.get("HugePages_Total")?);
        let needed = (megabytes * 1024).div_ceil(*memory.get("Hugepagesize")?);
        // The rest of the machine goes on.
        let is_much = megabytes * 1024 > memory.get("MemAvailable")? / 3;
        if free >= needed || is_much {
            return None;
        }
        let warden = Command::new("sh")
            .args(["-c", SCRIPT, "warden", &before.to_string(), SET_ASIDE])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map(Self)
            .ok()?;
        fs::write(SET_ASIDE, (before + needed - free).to_string()).ok()?;
        // Memory may be in too many pieces; then the pages go back at once.
        (free_pages()? >= needed).then_some(warden)
    }
}

impl Drop for HugePages {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

fn free_pages() -> Option<u64> {
    memory()?.get("HugePages_Free").copied()
}

/// What the kernel says of memory: kilobytes, and numbers of huge pages.
fn memory() -> Option<HashMap<String, u64>> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let lines = text.lines().filter_map(|line| {
        let (name, rest) = line.split_once(':')?;
        Some((name.to_owned(), rest.split_whitespace().next()?.parse().ok()?))
    });
    Some(lines.collect())
}
