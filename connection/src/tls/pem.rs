//! Certificates and keys in PEM: from files, which are read anew for each connection so that they can be renewed without a restart, or as
//! text.

use crate::Error;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::borrow::Cow;
use std::fmt;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

/// Where certificates or a key come from.
#[derive(Clone)]
pub(super) struct Pem {
    /// As its user calls it, for messages.
    pub(super) setting: &'static str,
    from: From,
}

#[derive(Clone)]
enum From {
    File(PathBuf),
    Text(String),
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pem({self})")
    }
}

/// For messages: the file, or what the text is; never the text.
impl fmt::Display for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.from {
            From::File(path) => path.display().fmt(f),
            From::Text(_) => f.write_str(self.setting),
        }
    }
}

impl Pem {
    pub(super) fn file(setting: &'static str, path: impl Into<PathBuf>) -> Self {
        let from = From::File(path.into());
        Pem { setting, from }
    }

    pub(super) fn text(setting: &'static str, pem: &str) -> Self {
        let from = From::Text(pem.to_owned());
        Pem { setting, from }
    }

    /// That it cannot be used.
    pub(super) fn refusal(&self, problem: &str, remedy: &str) -> Error {
        match &self.from {
            From::File(path) => Error::setting(self.setting, format!("{} {problem}", path.display()), remedy),
            From::Text(_) => Error::setting(self.setting, problem, remedy),
        }
    }

    /// The certificates in it, at least one.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, Error> {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.read()?).collect();
        match found {
            Ok(found) if !found.is_empty() => Ok(found),
            _ => Err(self.refusal(
                "has no certificate in PEM",
                "it begins with -----BEGIN CERTIFICATE-----",
            )),
        }
    }

    /// The private key in it. As libpq, a file that others can read is none; one of root's may be read by its group.
    pub(super) fn private_key(&self) -> Result<PrivateKeyDer<'static>, Error> {
        let text = self.read()?;
        if let From::File(path) = &self.from {
            let metadata = fs::metadata(path)
                .map_err(|error| self.refusal(&format!("cannot be looked at ({error})"), "see its folder"))?;
            let forbidden = if metadata.uid() == 0 { 0o037 } else { 0o077 };
            if metadata.permissions().mode() & forbidden != 0 {
                return Err(self.refusal("can be read by others", "chmod 600 it"));
            }
        }
        PrivateKeyDer::from_pem_slice(&text).map_err(|_| {
            if text.windows(9).any(|part| part == b"ENCRYPTED") {
                let remedy = "decrypt it: openssl pkey -in KEY -out NEW, and chmod 600 that";
                self.refusal("is encrypted", remedy)
            } else {
                self.refusal(
                    "has no private key in PEM",
                    "it begins with -----BEGIN PRIVATE KEY-----",
                )
            }
        })
    }

    fn read(&self) -> Result<Cow<'_, [u8]>, Error> {
        match &self.from {
            From::Text(text) => Ok(Cow::Borrowed(text.as_bytes())),
            From::File(path) => fs::read(path).map(Cow::Owned).map_err(|error| {
                let remedy = "name a file that this user may read";
                self.refusal(&format!("cannot be read ({error})"), remedy)
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_hold_something_else_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        let key = Pem::file("sslkey", &path);
        for (text, mode, says) in [
            ("-----BEGIN PRIVATE KEY-----", 0o644, "can be read by others"),
            (
                "-----BEGIN ENCRYPTED PRIVATE KEY-----\n-----END ENCRYPTED PRIVATE KEY-----\n",
                0o600,
                "is encrypted",
            ),
            ("nonsense", 0o600, "has no private key"),
        ] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = key.private_key().unwrap_err().to_string();
            assert!(
                error.contains(says) && error.contains("sslkey: ") && error.contains("key.pem"),
                "{error}"
            );
        }
        let error = Pem::file("sslrootcert", &path).certificates().unwrap_err().to_string();
        assert!(error.contains("no certificate in PEM"), "{error}");
        let error = Pem::file("sslrootcert", "/no/such")
            .certificates()
            .unwrap_err()
            .to_string();
        assert!(error.contains("/no/such"), "{error}");
    }

    #[test]
    fn text_is_named_and_never_shown() {
        let pasted = Pem::text("client key", "Kirschkuchen");
        for error in [
            pasted.private_key().map(|_| ()).unwrap_err(),
            pasted.certificates().map(|_| ()).unwrap_err(),
        ] {
            let shown = format!("{error} {pasted} {pasted:?}");
            assert!(
                shown.contains("client key: has no") && !shown.contains("Kirsch"),
                "{shown}"
            );
        }
    }
}
