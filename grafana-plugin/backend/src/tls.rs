//! The TLS modes of a connection: certificates and keys come by content, not by file.

use crate::error::Error;
use crate::settings::{Settings, TlsMode};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::sync::Arc;
use tokio_postgres_rustls::MakeRustlsConnect;

/// How to connect, and to send a cancel request the same way.
#[derive(Clone)]
pub enum Tls {
    /// In the clear.
    Off,
    /// Protected.
    On(MakeRustlsConnect),
}

impl Tls {
    /// As a data source is configured.
    ///
    /// # Errors
    /// When a certificate or key cannot be read, or verification has no CA to rely on.
    pub fn from_settings(settings: &Settings) -> Result<Self, Error> {
        if settings.tls_mode == TlsMode::Disable {
            return Ok(Tls::Off);
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = verifier(settings, &provider)?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Tls(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let config = if settings.tls_certificate.trim().is_empty() {
            config.with_no_client_auth()
        } else {
            let chain = certificates("client certificate", &settings.tls_certificate)?;
            let key = PrivateKeyDer::from_pem_slice(settings.tls_key.as_bytes())
                .map_err(|_| Error::Tls("the client key is no PEM private key".to_owned()))?;
            let config = config.with_client_auth_cert(chain, key);
            config.map_err(|error| Error::Tls(format!("client certificate and key do not fit: {error}")))?
        };
        Ok(Tls::On(MakeRustlsConnect::new(config)))
    }
}

fn verifier(settings: &Settings, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    let has_ca = !settings.tls_ca.trim().is_empty();
    let trust = match settings.tls_mode {
        TlsMode::VerifyFull => Trust::Name,
        TlsMode::VerifyCa => Trust::Chain,
        // As libpq: a CA that is given is used.
        _ if has_ca => Trust::Chain,
        _ => Trust::Anything,
    };
    let mut roots = RootCertStore::empty();
    if has_ca {
        for certificate in certificates("CA certificate", &settings.tls_ca)? {
            roots
                .add(certificate)
                .map_err(|error| Error::Tls(format!("CA certificate: {error}")))?;
        }
    } else if trust != Trust::Anything {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if roots.is_empty() && trust != Trust::Anything {
        return Err(Error::Tls(
            "this machine trusts no CA; paste the CA certificate into the data source's settings".to_owned(),
        ));
    }
    let inner = if roots.is_empty() {
        None
    } else {
        let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        Some(builder.build().map_err(|error| Error::Tls(error.to_string()))?)
    };
    Ok(Arc::new(Verifier {
        trust,
        inner,
        provider: Arc::clone(provider),
    }))
}

fn certificates(what: &str, pem: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(Error::Tls(format!(
            "the {what} is no PEM certificate; it begins with -----BEGIN CERTIFICATE-----"
        ))),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    Anything,
    Chain,
    Name,
}

/// rustls' own verifier, less strict where the mode says so. Signatures are always checked.
#[derive(Debug)]
struct Verifier {
    trust: Trust,
    inner: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(inner) = &self.inner else {
            return Ok(ServerCertVerified::assertion());
        };
        let verified = inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            // The chain is checked before the name.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.trust == Trust::Chain => Ok(ServerCertVerified::assertion()),
            other => other,
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
