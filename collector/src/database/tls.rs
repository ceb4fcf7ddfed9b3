//! TLS as libpq's words ask for it. Certificates and keys are read anew for each connection, so that they can be renewed
//! without a restart.

use crate::error::Error;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

/// How much a connection must be protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mode {
    /// In the clear.
    Disable,
    /// Encrypted where the server can.
    Prefer,
    /// Encrypted, or not at all.
    Require,
    /// And with a server whose certificate a CA has signed.
    VerifyCa,
    /// And with the one that was asked for.
    VerifyFull,
}

impl Mode {
    fn parse(text: &str) -> Result<Self, Error> {
        Ok(match text {
            "disable" => Mode::Disable,
            "prefer" => Mode::Prefer,
            "require" => Mode::Require,
            "verify-ca" => Mode::VerifyCa,
            "verify-full" => Mode::VerifyFull,
            _ => {
                let remedy = "use disable, prefer, require, verify-ca or verify-full";
                return Err(Error::setting("sslmode", format!("{text:?} is no mode of TLS"), remedy));
            }
        })
    }

    pub(super) fn for_client(self) -> SslMode {
        match self {
            Mode::Disable => SslMode::Disable,
            Mode::Prefer => SslMode::Prefer,
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => SslMode::Require,
        }
    }
}

/// Whom to trust.
#[derive(Clone, Debug)]
enum Roots {
    /// The CAs in this file.
    File(PathBuf),
    /// The CAs of this machine.
    System,
    /// Nobody was named.
    None,
}

/// How to protect a connection, by the names of files.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    pub(super) mode: Mode,
    roots: Roots,
    /// A client certificate and its key.
    identity: Option<(PathBuf, PathBuf)>,
}

impl Tls {
    /// From libpq's words, and its files in `~/.postgresql`.
    pub(super) fn resolve(said: impl Fn(&str) -> Option<String>, home: Option<&Path>) -> Result<Self, Error> {
        let usual = |name: &str| {
            let path = home?.join(".postgresql").join(name);
            path.exists().then_some(path)
        };
        let (root, mode) = (said("sslrootcert"), said("sslmode"));
        let system = root.as_deref() == Some("system");
        let mode = match mode {
            Some(mode) => Mode::parse(&mode)?,
            None if system => Mode::VerifyFull,
            None => Mode::Prefer,
        };
        if system && mode != Mode::VerifyFull {
            let problem = "is too weak for sslrootcert=system: any of its CAs signs certificates for anybody";
            return Err(Error::setting("sslmode", problem, "use verify-full"));
        }
        let roots = match root {
            Some(_) if system => Roots::System,
            Some(path) => Roots::File(path.into()),
            // Nobody asked for a check: a file for another server must not keep from this one.
            None if mode <= Mode::Prefer => Roots::None,
            None => usual("root.crt").map_or(Roots::None, Roots::File),
        };
        let certificate = said("sslcert").map(PathBuf::from).or_else(|| usual("postgresql.crt"));
        let key = said("sslkey").map(PathBuf::from).or_else(|| usual("postgresql.key"));
        let identity = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (Some(certificate), None) => {
                let problem = format!("is not given, but the client certificate {} is", certificate.display());
                return Err(Error::setting("sslkey", problem, "name the file of its private key"));
            }
            (None, _) => None,
        };
        Ok(Tls { mode, roots, identity })
    }

    /// What makes connections secure; reads the files.
    pub(super) fn connector(&self) -> Result<MakeRustlsConnect, Error> {
        let provider = Arc::new(ring::default_provider());
        let verifier = self.verifier(&provider)?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::setting("sslmode", error.to_string(), "report this as a fault"))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let config = match &self.identity {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => config
                .with_client_auth_cert(certificates("sslcert", certificate)?, private_key(key)?)
                .map_err(|error| {
                    let problem = format!("{} does not fit {} ({error})", key.display(), certificate.display());
                    Error::setting("sslkey", problem, "name the key that the certificate was made for")
                })?,
        };
        Ok(MakeRustlsConnect::new(config))
    }

    fn verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, Error> {
        let mut roots = RootCertStore::empty();
        match &self.roots {
            Roots::File(path) => {
                for certificate in certificates("sslrootcert", path)? {
                    roots.add(certificate).map_err(|error| {
                        let problem = format!("{} has a certificate that is none of a CA ({error})", path.display());
                        Error::setting("sslrootcert", problem, "name the certificate of the CA")
                    })?;
                }
            }
            Roots::System => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                if roots.is_empty() {
                    let remedy = "install its CA certificates (Debian: ca-certificates), or name a file";
                    return Err(Error::setting(
                        "sslrootcert",
                        "system: this machine trusts no CA",
                        remedy,
                    ));
                }
            }
            Roots::None if self.mode >= Mode::VerifyCa => {
                let remedy =
                    "name the file of the CA's certificate, or put it at ~/.postgresql/root.crt, or use system";
                let problem = "is not given, and sslmode asks for a certificate of a CA";
                return Err(Error::setting("sslrootcert", problem, remedy));
            }
            Roots::None => {}
        }
        let inner = if roots.is_empty() {
            None
        } else {
            let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
            let built = builder
                .build()
                .map_err(|error| Error::setting("sslrootcert", error.to_string(), "name the certificate of the CA"));
            Some(built?)
        };
        Ok(Arc::new(Verifier {
            by_name: self.mode == Mode::VerifyFull,
            inner,
            provider: Arc::clone(provider),
        }))
    }

    /// What was wrong with a handshake, and what to do about it; none where it was not TLS that failed.
    pub(super) fn trouble(&self, error: &tokio_postgres::Error) -> Option<(String, &'static str)> {
        let cause = std::error::Error::source(error)?;
        if cause.to_string() == "server does not support TLS" {
            let remedy = "set ssl = on there, or use sslmode=prefer or disable over a network you trust";
            return Some(("the server offers no TLS".to_owned(), remedy));
        }
        let tls: &rustls::Error = cause.downcast_ref::<std::io::Error>()?.get_ref()?.downcast_ref()?;
        Some(match tls {
            rustls::Error::InvalidCertificate(error) => self.certificate_trouble(error),
            rustls::Error::AlertReceived(alert) if self.identity.is_some() => (
                format!("the server does not accept the client certificate ({alert:?})"),
                "name one by sslcert and sslkey that a CA in the server's ssl_ca_file has signed and that is still valid",
            ),
            rustls::Error::AlertReceived(alert) => (
                format!("the server ends the handshake ({alert:?})"),
                "let it speak TLS 1.2 or 1.3 (ssl_min_protocol_version), and see its log",
            ),
            other => (other.to_string(), "see the server's log; TLS 1.2 and 1.3 are spoken"),
        })
    }

    fn certificate_trouble(&self, error: &CertificateError) -> (String, &'static str) {
        use CertificateError as E;
        let trusted = match &self.roots {
            Roots::File(path) => path.display().to_string(),
            Roots::System => "this machine's trusted CAs".to_owned(),
            Roots::None => "nothing".to_owned(),
        };
        match error {
            E::UnknownIssuer => (
                format!("no CA in {trusted} has signed the server's certificate"),
                "name the certificate of the CA that has by sslrootcert",
            ),
            E::NotValidForName | E::NotValidForNameContext { .. } => {
                let names = match error {
                    E::NotValidForNameContext { presented, .. } if !presented.is_empty() => presented.join(", "),
                    _ => "no name at all".to_owned(),
                };
                (
                    format!("the server's certificate is not for this host but for {names}"),
                    "connect by that name, or give the server a certificate with this one among its subject alternative \
                     names, or use sslmode=verify-ca",
                )
            }
            E::Expired | E::ExpiredContext { .. } => (
                "the server's certificate has expired".to_owned(),
                "renew it there; see that this machine's clock is right",
            ),
            E::NotValidYet | E::NotValidYetContext { .. } => (
                "the server's certificate is not valid yet".to_owned(),
                "see that this machine's clock is right",
            ),
            other if format!("{other:?}").contains("CaUsedAsEndEntity") => (
                "the server shows a CA's own certificate".to_owned(),
                "sign one for the server with that CA (basicConstraints CA:FALSE)",
            ),
            other => (
                format!("the server's certificate is not accepted: {other:?}"),
                "give the server an X.509 v3 certificate with its names as subject alternative names",
            ),
        }
    }
}

fn certificates(word: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let text = read(word, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => {
            let problem = format!("{} has no certificate in PEM", path.display());
            Err(Error::setting(
                word,
                problem,
                "it begins with -----BEGIN CERTIFICATE-----",
            ))
        }
    }
}

/// As libpq, a key that others can read is none; one of root's may be read by its group.
fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let refusal =
        |problem: &str, remedy: &str| Error::setting("sslkey", format!("{} {problem}", path.display()), remedy);
    let text = read("sslkey", path)?;
    let metadata =
        fs::metadata(path).map_err(|error| refusal(&format!("cannot be looked at ({error})"), "see its folder"))?;
    let forbidden = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    if metadata.permissions().mode() & forbidden != 0 {
        return Err(refusal("can be read by others", "chmod 600 it"));
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|_| {
        if text.windows(9).any(|part| part == b"ENCRYPTED") {
            refusal(
                "is encrypted",
                "decrypt it: openssl pkey -in KEY -out NEW, and chmod 600 that",
            )
        } else {
            refusal(
                "has no private key in PEM",
                "it begins with -----BEGIN PRIVATE KEY-----",
            )
        }
    })
}

fn read(word: &str, path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| {
        let problem = format!("{} cannot be read ({error})", path.display());
        Error::setting(word, problem, "name a file that this user may read")
    })
}

/// rustls' own verifier, less strict where the mode says so. Signatures are always checked.
#[derive(Debug)]
struct Verifier {
    by_name: bool,
    /// None where any certificate will do.
    inner: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(inner) = &self.inner else {
            return Ok(ServerCertVerified::assertion());
        };
        match inner.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            // The name is looked at last: chain and times are right.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.by_name => Ok(ServerCertVerified::assertion()),
            judged => judged,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(words: &[(&str, &str)], home: Option<&Path>) -> Result<Tls, String> {
        let said = |name: &str| words.iter().find(|word| word.0 == name).map(|word| word.1.to_owned());
        Tls::resolve(said, home).map_err(|error| error.to_string())
    }

    #[test]
    fn modes_and_roots_are_as_libpq_has_them() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join(".postgresql")).unwrap();
        fs::write(home.path().join(".postgresql/root.crt"), "").unwrap();
        let home = Some(home.path());
        assert_eq!(resolved(&[], None).unwrap().mode, Mode::Prefer);
        assert_eq!(
            resolved(&[("sslrootcert", "system")], None).unwrap().mode,
            Mode::VerifyFull
        );
        for (mode, uses_it) in [
            ("disable", false),
            ("prefer", false),
            ("require", true),
            ("verify-ca", true),
        ] {
            let roots = resolved(&[("sslmode", mode)], home).unwrap().roots;
            assert_eq!(matches!(roots, Roots::File(_)), uses_it, "{mode}");
        }
        let named = resolved(&[("sslmode", "prefer"), ("sslrootcert", "/ca.pem")], home).unwrap();
        assert!(matches!(named.roots, Roots::File(path) if path == Path::new("/ca.pem")));
    }

    #[test]
    fn what_cannot_be_is_named_with_its_remedy() {
        for (words, says) in [
            (&[("sslmode", "allow")][..], ["\"allow\"", "verify-full"]),
            (
                &[("sslrootcert", "system"), ("sslmode", "require")],
                ["too weak", "verify-full"],
            ),
            (&[("sslcert", "/c.pem")], ["/c.pem", "private key"]),
        ] {
            let text = resolved(words, None).unwrap_err();
            assert!(says.iter().all(|part| text.contains(part)), "{text}");
        }
        let unrooted = resolved(&[("sslmode", "verify-ca")], None).unwrap();
        let text = unrooted.connector().map(|_| ()).unwrap_err().to_string();
        assert!(text.contains("root.crt"), "{text}");
    }

    #[test]
    fn files_that_hold_something_else_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
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
            let error = private_key(&path).unwrap_err().to_string();
            assert!(error.contains(says) && error.contains("key.pem"), "{error}");
        }
        let error = certificates("sslrootcert", &path).unwrap_err().to_string();
        assert!(error.contains("no certificate in PEM"), "{error}");
        let error = certificates("sslrootcert", Path::new("/no/such"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("/no/such"), "{error}");
    }
}
