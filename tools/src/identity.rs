//! As which user a server runs. PostgreSQL refuses to run as root, so root becomes `postgres`, or else `nobody`.

use std::ffi::OsStr;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Who runs a server and owns its files.
#[derive(Debug, Clone)]
pub enum Identity {
    /// This process's own user.
    Own,
    /// Another user, which root becomes by `setpriv`.
    Other {
        /// Its numeric user id.
        uid: u32,
        /// Its numeric group id.
        gid: u32,
        /// The one capability it keeps so that it may pass through folders that are closed to it, if it needs one.
        capability: Option<&'static str>,
    },
}

impl Identity {
    /// Finds out who can run `program` from a folder like `folder`.
    ///
    /// A checkout may lie in a folder that only root may enter. Instead of opening foreign folders, the server keeps the
    /// right to read: `dac_read_search`, or `dac_override` where a container grants only that.
    ///
    /// # Errors
    /// When this is root and no other user can run it.
    pub fn find(program: &Path, folder: &Path) -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Own);
        }
        let users = std::fs::read_to_string("/etc/passwd").context("read /etc/passwd")?;
        let Some((uid, gid)) = ["postgres", "nobody"].iter().find_map(|name| ids(&users, name)) else {
            bail!(
                "PostgreSQL does not run as root, and there is no user postgres or nobody; add one, or run this as a user"
            );
        };
        for capability in [None, Some("dac_read_search"), Some("dac_override")] {
            let identity = Self::Other { uid, gid, capability };
            let probe = identity
                .command("test")
                .args([
                    OsStr::new("-x"),
                    program.as_os_str(),
                    OsStr::new("-a"),
                    OsStr::new("-x"),
                    folder.as_os_str(),
                ])
                .stderr(Stdio::null())
                .status()
                .context("run setpriv (of the package util-linux)")?;
            if probe.success() {
                return Ok(identity);
            }
        }
        bail!(
            "user {uid} can neither run {} nor enter {}; move the checkout to a folder that others may enter, or run this as a user",
            program.display(),
            folder.display()
        )
    }

    /// A command that runs `program` as this user, in a folder that everybody may enter.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = match self {
            Self::Own => Command::new(program),
            Self::Other { uid, gid, capability } => {
                let mut command = Command::new("setpriv");
                command
                    .arg(format!("--reuid={uid}"))
                    .arg(format!("--regid={gid}"))
                    .arg("--clear-groups");
                if let Some(capability) = capability {
                    // PostgreSQL's programs ask access(2) about themselves, which forgets capabilities without this bit.
                    command.arg("--securebits=+no_setuid_fixup");
                    command
                        .arg(format!("--inh-caps=+{capability}"))
                        .arg(format!("--ambient-caps=+{capability}"));
                }
                command.arg(program);
                command
            }
        };
        command.current_dir("/");
        command
    }

    /// Gives a file or folder to this user.
    ///
    /// # Errors
    /// When this process may not.
    pub fn own(&self, path: &Path) -> Result<()> {
        match self {
            Self::Own => Ok(()),
            Self::Other { uid, gid, .. } => {
                chown(path, Some(*uid), Some(*gid)).with_context(|| format!("give {} to user {uid}", path.display()))
            }
        }
    }
}

/// A user's numeric ids, from the text of `/etc/passwd`.
fn ids(users: &str, name: &str) -> Option<(u32, u32)> {
    let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::ids;

    #[test]
    fn ids_of_a_user() {
        let users = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n";
        assert_eq!(ids(users, "nobody"), Some((65534, 65534)));
        assert_eq!(ids(users, "nob"), None);
    }
}
