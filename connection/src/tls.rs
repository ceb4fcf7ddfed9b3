//! TLS: how a connection is protected, whom it trusts, and as whom it presents itself.

mod pem;
mod trouble;
mod verifier;

pub use self::trouble::Trouble;

use self::pem::Pem;
use self::verifier::Verifier;
use crate::Error;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

/// How much a connection must be protected, as libpq names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
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
        let modes = [
            Mode::Disable,
            Mode::Prefer,
            Mode::Require,
            Mode::VerifyCa,
            Mode::VerifyFull,
        ];
        let found = modes.into_iter().find(|mode| mode.name() == text);
        found.ok_or_else(|| {
            let remedy = "use disable, prefer, require, verify-ca or verify-full";
            Error::setting("sslmode", format!("{text:?} is no mode of TLS"), remedy)
        })
    }

    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Disable => "disable",
            Mode::Prefer => "prefer",
            Mode::Require => "require",
            Mode::VerifyCa => "verify-ca",
            Mode::VerifyFull => "verify-full",
        }
    }

    /// As far as the client library distinguishes it.
    fn for_client(self) -> SslMode {
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
    /// These CAs.
    Named(Pem),
    /// The CAs of this machine.
    System,
    /// Nobody was named.
    None,
}

/// What settings are called where they come from, and what to do there about a problem.
#[derive(Debug)]
struct Words {
    root: &'static str,
    certificate: &'static str,
    key: &'static str,
    no_roots: &'static str,
    no_tls: &'static str,
    unknown_issuer: &'static str,
    wrong_name: &'static str,
    refused_identity: &'static str,
}

/// By libpq's words.
static NAMED: Words = Words {
    root: "sslrootcert",
    certificate: "sslcert",
    key: "sslkey",
    no_roots: "install its CA certificates (Debian: ca-certificates), or name a file",
    no_tls: "set ssl = on there, or use sslmode=prefer or disable over a network you trust",
    unknown_issuer: "name the certificate of the CA that has by sslrootcert",
    wrong_name: "connect by that name, or give the server a certificate with this one among its subject alternative names, or use \
                 sslmode=verify-ca",
    refused_identity: "name one by sslcert and sslkey that a CA in the server's ssl_ca_file has signed and that is still valid",
};

/// In a form, by content.
static PASTED: Words = Words {
    root: "CA certificate",
    certificate: "client certificate",
    key: "client key",
    no_roots: "paste the CA certificate into the settings",
    no_tls: "it has it switched off: set ssl = on there, or choose mode disable over a network you trust",
    unknown_issuer: "paste the CA certificate that signed it",
    wrong_name: "it names another host; use that name, or mode verify-ca",
    refused_identity: "paste one that a CA in the server's ssl_ca_file has signed and that is still valid",
};

/// How to protect a connection.
#[derive(Clone, Debug)]
pub struct Tls {
    /// How much.
    pub mode: Mode,
    roots: Roots,
    /// A client certificate and its key.
    identity: Option<(Pem, Pem)>,
    words: &'static Words,
}

impl Tls {
    /// From libpq's words `sslmode`, `sslrootcert`, `sslcert` and `sslkey`, and its files in `~/.postgresql`.
    ///
    /// # Errors
    /// When a word has a value that is none, or two contradict each other. Files are read for each connection only.
    pub fn resolve(said: impl Fn(&str) -> Option<String>, home: Option<&Path>) -> Result<Self, Error> {
        let usual = |name: &str| {
            let path = home?.join(".postgresql").join(name);
            path.exists().then_some(path)
        };
        let words = &NAMED;
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
        let named = |path| Roots::Named(Pem::file(words.root, path));
        let roots = match root {
            Some(_) if system => Roots::System,
            Some(path) => named(path.into()),
            // Nobody asked for a check: a file for another server must not keep from this one.
            None if mode <= Mode::Prefer => Roots::None,
            None => usual("root.crt").map_or(Roots::None, named),
        };
        let certificate = said("sslcert").map(Into::into).or_else(|| usual("postgresql.crt"));
        let key = said("sslkey").map(Into::into).or_else(|| usual("postgresql.key"));
        let identity = match (certificate, key) {
            (Some(certificate), Some(key)) => {
                Some((Pem::file(words.certificate, certificate), Pem::file(words.key, key)))
            }
            (Some(certificate), None) => {
                let problem = format!("is not given, but the client certificate {} is", certificate.display());
                return Err(Error::setting("sslkey", problem, "name the file of its private key"));
            }
            (None, _) => None,
        };
        Ok(Tls {
            mode,
            roots,
            identity,
            words,
        })
    }

    /// From a mode, and CA certificates, a client certificate and its key as text, each empty where there is none. Where a certificate
    /// is to be verified and no CA is given, the CAs of this machine are trusted.
    pub fn from_text(mode: Mode, ca: &str, certificate: &str, key: &str) -> Self {
        let words = &PASTED;
        let given = |text: &str| !text.trim().is_empty();
        let roots = if given(ca) {
            // As libpq: a CA that is given is used, whatever the mode.
            Roots::Named(Pem::text(words.root, ca))
        } else if mode >= Mode::VerifyCa {
            Roots::System
        } else {
            Roots::None
        };
        let identity =
            given(certificate).then(|| (Pem::text(words.certificate, certificate), Pem::text(words.key, key)));
        Tls {
            mode,
            roots,
            identity,
            words,
        }
    }

    /// Tells a connection how it is to be protected, and gives what does it; none in the clear. Over a socket in the file system there is
    /// no TLS: it is as private as its folder.
    ///
    /// # Errors
    /// When a certificate or key cannot be used.
    pub fn protect(&self, config: &mut Config) -> Result<Option<MakeRustlsConnect>, Error> {
        let is_local = matches!(config.get_hosts().first(), Some(Host::Unix(_)));
        let mode = if is_local { Mode::Disable } else { self.mode };
        config.ssl_mode(mode.for_client());
        (mode != Mode::Disable).then(|| self.connector()).transpose()
    }

    /// What makes connections secure; reads the files.
    fn connector(&self) -> Result<MakeRustlsConnect, Error> {
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
                .with_client_auth_cert(certificate.certificates()?, key.private_key()?)
                .map_err(|error| {
                    let problem = format!("does not fit {certificate}: they do not fit together ({error})");
                    key.refusal(&problem, "give the key that the certificate was made for")
                })?,
        };
        Ok(MakeRustlsConnect::new(config))
    }

    fn verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, Error> {
        let roots = self.trusted()?;
        let inner = if roots.is_empty() {
            None
        } else {
            let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
            let built = builder.build();
            Some(built.map_err(|error| {
                Error::setting(self.words.root, error.to_string(), "give the certificate of the CA")
            })?)
        };
        Ok(Arc::new(Verifier {
            by_name: self.mode == Mode::VerifyFull,
            inner,
            provider: Arc::clone(provider),
        }))
    }

    fn trusted(&self) -> Result<RootCertStore, Error> {
        let mut roots = RootCertStore::empty();
        match &self.roots {
            Roots::Named(pem) => {
                for certificate in pem.certificates()? {
                    roots.add(certificate).map_err(|error| {
                        let problem = format!("has a certificate that is none of a CA ({error})");
                        pem.refusal(&problem, "give the certificate of the CA")
                    })?;
                }
            }
            Roots::System => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                if roots.is_empty() {
                    let problem = "system: this machine trusts no CA";
                    return Err(Error::setting(self.words.root, problem, self.words.no_roots));
                }
            }
            Roots::None if self.mode >= Mode::VerifyCa => {
                let remedy =
                    "name the file of the CA's certificate, or put it at ~/.postgresql/root.crt, or use system";
                let problem = "is not given, and sslmode asks for a certificate of a CA";
                return Err(Error::setting(self.words.root, problem, remedy));
            }
            Roots::None => {}
        }
        Ok(roots)
    }
}

#[cfg(test)]
mod tests;
