//! What was wrong with a handshake, and what to do about it.

use super::{Roots, Tls};
use rustls::CertificateError as E;

/// A failed handshake, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What was wrong.
    pub problem: String,
    /// What to do.
    pub remedy: &'static str,
}

impl Tls {
    /// What was wrong with a handshake; none where it was not TLS that failed.
    pub fn trouble(&self, error: &tokio_postgres::Error) -> Option<Trouble> {
        let cause = std::error::Error::source(error)?;
        let trouble = |problem: String, remedy| Some(Trouble { problem, remedy });
        let words = self.words;
        if cause.to_string() == "server does not support TLS" {
            return trouble("the server offers no TLS".to_owned(), words.no_tls);
        }
        let tls: &rustls::Error = cause.downcast_ref::<std::io::Error>()?.get_ref()?.downcast_ref()?;
        match tls {
            rustls::Error::InvalidCertificate(error) => Some(self.certificate_trouble(error)),
            rustls::Error::AlertReceived(alert) if self.identity.is_some() => trouble(
                format!("the server refuses the client certificate ({alert:?})"),
                words.refused_identity,
            ),
            rustls::Error::AlertReceived(alert) => trouble(
                format!("the server ends the handshake ({alert:?})"),
                "let it speak TLS 1.2 or 1.3 (ssl_min_protocol_version), and see its log",
            ),
            other => trouble(other.to_string(), "see the server's log; TLS 1.2 and 1.3 are spoken"),
        }
    }

    fn certificate_trouble(&self, error: &E) -> Trouble {
        let words = self.words;
        let (problem, remedy) = match error {
            // One of another CA that has the same name.
            E::UnknownIssuer | E::BadSignature => {
                let trusted = match &self.roots {
                    Roots::Named(pem) => pem.to_string(),
                    Roots::System => "this machine's trusted CAs".to_owned(),
                    Roots::None => "nothing".to_owned(),
                };
                (
                    format!("no CA in {trusted} has signed the server's certificate"),
                    words.unknown_issuer,
                )
            }
            E::NotValidForName | E::NotValidForNameContext { .. } => {
                let names = match error {
                    E::NotValidForNameContext { presented, .. } if !presented.is_empty() => presented.join(", "),
                    _ => "no name at all".to_owned(),
                };
                (
                    format!("the server's certificate is not for this host but for {names}"),
                    words.wrong_name,
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
        };
        Trouble { problem, remedy }
    }
}
