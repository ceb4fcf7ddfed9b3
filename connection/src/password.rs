//! Passwords from files: one that holds nothing else, as container and service managers hand them out, or libpq's
//! `.pgpass`. Both are read anew for each connection, so that a password can be changed without a restart.

use crate::error::Error;
use std::fs::{self, Metadata};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Once;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// Where a password comes from that the configuration does not have.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file with the password and nothing else, and the setting that named it, for messages.
    File(PathBuf, &'static str),
    /// A file of lines `host:port:database:user:password`.
    Passfile(PathBuf),
    /// Nowhere.
    None,
}

impl Source {
    /// The password for a connection; none where no line fits.
    ///
    /// # Errors
    /// When a file that was named cannot be read, or holds anything but one password.
    pub fn password(&self, config: &Config) -> Result<Option<Vec<u8>>, Error> {
        match self {
            Source::File(path, setting) => alone(path, setting).map(Some),
            Source::Passfile(path) => Ok(looked_up(path, &Key::of(config))),
            Source::None => Ok(None),
        }
    }
}

fn alone(path: &Path, setting: &str) -> Result<Vec<u8>, Error> {
    let unreadable = |error| {
        let problem = format!("{} cannot be read ({error})", path.display());
        Error::setting(
            setting,
            problem,
            "name a file with the password that this user may read",
        )
    };
    let mut text = fs::read(path).map_err(unreadable)?;
    if text.last() == Some(&b'\n') {
        text.pop();
        text.pop_if(|last| *last == b'\r');
    }
    let refusal = |problem: &str| {
        let problem = format!("{} {problem}", path.display());
        Err(Error::setting(
            setting,
            problem,
            "write the password into it, on one line",
        ))
    };
    match text.as_slice() {
        [] => refusal("is empty"),
        text if text.contains(&b'\n') => refusal("has more than one line"),
        text if text.contains(&0) => refusal("has a zero byte in it"),
        _ => Ok(text),
    }
}

/// What a line must fit.
#[derive(Debug)]
struct Key {
    host: String,
    port: String,
    database: String,
    user: String,
}

impl Key {
    fn of(config: &Config) -> Self {
        let host = match config.get_hosts().first() {
            Some(Host::Tcp(name)) => name.clone(),
            Some(Host::Unix(folder)) if crate::SOCKET_FOLDERS.iter().any(|usual| folder == Path::new(usual)) => {
                "localhost".to_owned()
            }
            Some(Host::Unix(folder)) => folder.display().to_string(),
            None => config
                .get_hostaddrs()
                .first()
                .map(ToString::to_string)
                .unwrap_or_default(),
        };
        let user = config.get_user().map(str::to_owned);
        let user = user.or_else(|| std::env::var("USER").ok()).unwrap_or_default();
        Key {
            host,
            port: config.get_ports().first().copied().unwrap_or(5432).to_string(),
            database: config.get_dbname().unwrap_or(&user).to_owned(),
            user,
        }
    }

    fn fits(&self, fields: &[Vec<u8>]) -> bool {
        let wanted = [&self.host, &self.port, &self.database, &self.user];
        fields.len() > wanted.len()
            && fields
                .iter()
                .zip(wanted)
                .all(|(field, wanted)| field == b"*" || field == wanted.as_bytes())
    }
}

/// As libpq: a file that is missing, or that others can read, gives none.
fn looked_up(path: &Path, key: &Key) -> Option<Vec<u8>> {
    static WARNED: Once = Once::new();
    let metadata = fs::metadata(path).ok()?;
    if let Some(problem) = untrusted(&metadata) {
        WARNED.call_once(|| tracing::warn!(file = %path.display(), "{problem}; the file of passwords is not used"));
        return None;
    }
    let text = fs::read(path).ok()?;
    let lines = text
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines
        .filter(|line| !line.starts_with(b"#"))
        .map(fields)
        .find(|fields| key.fits(fields))
        .and_then(|fields| fields.into_iter().nth(4))
        .filter(|password| !password.is_empty())
}

fn untrusted(metadata: &Metadata) -> Option<&'static str> {
    if !metadata.is_file() {
        return Some("it is no plain file");
    }
    (metadata.permissions().mode() & 0o077 != 0).then_some("others have access to it; chmod 600 it")
}

/// Fields between colons; a backslash before what is meant as it stands.
fn fields(line: &[u8]) -> Vec<Vec<u8>> {
    let mut fields = vec![Vec::new()];
    let mut bytes = line.iter().copied();
    while let Some(byte) = bytes.next() {
        let meant = match byte {
            b':' => {
                fields.push(Vec::new());
                continue;
            }
            b'\\' => bytes.next().unwrap_or(byte),
            _ => byte,
        };
        if let Some(last) = fields.last_mut() {
            last.push(meant);
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked_up_in(text: &str, mode: u32, conninfo: &str) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passes");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let found = looked_up(&path, &Key::of(&conninfo.parse().unwrap()));
        found.map(|password| String::from_utf8(password).unwrap())
    }

    #[test]
    fn the_first_line_that_fits_counts() {
        let text = "# a comment:*:*:*:no\ntoo:few:fields\n\nthere:5433:x:me:by port\nthere:*:x:me:a\\:b\\\\c:ignored\n\
                    \\:\\:1:*:*:*:six\r\nlocalhost:*:*:*:socket\n/run/pg:*:*:*:folder\n*:*:*:*:any\n";
        for (conninfo, password) in [
            ("host=there port=5433 dbname=x user=me", "by port"),
            ("host=there dbname=x user=me", "a:b\\c"),
            ("host=::1 dbname=x user=me", "six"),
            ("host=/tmp dbname=x user=me", "socket"),
            ("host=/run/pg dbname=x user=me", "folder"),
            ("host=there dbname=y user=me", "any"),
        ] {
            assert_eq!(
                looked_up_in(text, 0o600, conninfo).as_deref(),
                Some(password),
                "{conninfo}"
            );
        }
        // Without a database it is named as its user.
        assert_eq!(
            looked_up_in("h:*:me:me:yes", 0o400, "host=h user=me").as_deref(),
            Some("yes")
        );
    }

    #[test]
    fn what_others_can_read_or_is_not_there_gives_none() {
        let (any, conninfo) = ("*:*:*:*:any\n", "host=there user=me");
        for mode in [0o640, 0o604, 0o660] {
            assert_eq!(looked_up_in(any, mode, conninfo), None, "{mode:o}");
        }
        assert_eq!(looked_up_in("", 0o600, conninfo), None);
        assert_eq!(looked_up_in("there:*:*:*:\n", 0o600, conninfo), None);
        assert_eq!(
            looked_up(Path::new("/no/such/file"), &Key::of(&conninfo.parse().unwrap())),
            None
        );
        assert_eq!(looked_up(Path::new("/tmp"), &Key::of(&conninfo.parse().unwrap())), None);
    }

    #[test]
    fn a_file_of_its_own_has_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        for (text, password) in [
            ("geheim", "geheim"),
            ("geheim\n", "geheim"),
            ("ge heim \r\n", "ge heim "),
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(alone(&path, "--password-file").unwrap(), password.as_bytes());
        }
        for (text, says) in [
            ("", "is empty"),
            ("\n", "is empty"),
            ("one\ntwo\n", "more than one line"),
            ("a\0b", "zero byte"),
        ] {
            fs::write(&path, text).unwrap();
            let error = alone(&path, "--password-file").unwrap_err().to_string();
            assert!(error.contains(says) && error.contains("--password-file"), "{error}");
            assert!(!error.contains("one\n") && !error.contains("two"), "{error}");
        }
        assert!(
            alone(&folder.path().join("none"), "--password-file")
                .unwrap_err()
                .to_string()
                .contains("--password-file")
        );
    }
}
