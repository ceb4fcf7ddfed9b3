//! What words and texts come to. Handshakes are tried against real servers, by the tests of those who connect.

use super::*;
use rcgen::{CertificateParams, KeyPair};

fn resolved(words: &[(&str, &str)], home: Option<&Path>) -> Result<Tls, String> {
    let said = |name: &str| words.iter().find(|word| word.0 == name).map(|word| word.1.to_owned());
    Tls::resolve(said, home).map_err(|error| error.to_string())
}

#[test]
fn modes_and_roots_are_as_libpq_has_them() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(".postgresql")).unwrap();
    std::fs::write(home.path().join(".postgresql/root.crt"), "").unwrap();
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
        assert_eq!(matches!(roots, Roots::Named(_)), uses_it, "{mode}");
    }
    let named = resolved(&[("sslmode", "prefer"), ("sslrootcert", "/ca.pem")], home).unwrap();
    assert!(matches!(named.roots, Roots::Named(pem) if pem.to_string() == "/ca.pem"));
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

fn certificate() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["somebody".to_owned()]).unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[test]
fn pasted_certificates_are_used_or_named() {
    let ((certificate, key), (_, others)) = (certificate(), certificate());
    let refused = |ca: &str, certificate: &str, key: &str| {
        let tls = Tls::from_text(Mode::Require, ca, certificate, key);
        tls.connector().map(|_| ()).unwrap_err().to_string()
    };
    assert!(Tls::from_text(Mode::Require, " \n", "", "ignored").connector().is_ok());
    assert!(
        Tls::from_text(Mode::VerifyFull, &certificate, &certificate, &key)
            .connector()
            .is_ok()
    );
    for (error, says) in [
        (refused("rubbish", "", ""), "CA certificate: has no certificate"),
        (refused("", "rubbish", &key), "client certificate: has no certificate"),
        (refused("", &certificate, ""), "client key: has no private key"),
        (
            refused("", &certificate, &others),
            "client key: does not fit client certificate",
        ),
    ] {
        assert!(error.contains(says) && !error.contains("rubbish"), "{error}");
    }
    for (mode, ca, system) in [
        (Mode::VerifyCa, "", true),
        (Mode::VerifyFull, "", true),
        (Mode::VerifyFull, "given", false),
        (Mode::Require, "", false),
    ] {
        let roots = Tls::from_text(mode, ca, "", "").roots;
        assert_eq!(matches!(roots, Roots::System), system, "{mode:?} {ca}");
    }
}

#[test]
fn a_connection_is_told_what_protects_it() {
    for (host, mode, protected, ssl_mode) in [
        ("there", Mode::Disable, false, SslMode::Disable),
        ("there", Mode::Prefer, true, SslMode::Prefer),
        ("there", Mode::Require, true, SslMode::Require),
        ("/run/postgresql", Mode::Require, false, SslMode::Disable),
        // What is not needed is not read.
        ("/run/postgresql", Mode::VerifyFull, false, SslMode::Disable),
    ] {
        let mut config = Config::new();
        config.host(host);
        let tls = Tls::from_text(mode, "", "", "").protect(&mut config).unwrap();
        assert_eq!(
            (tls.is_some(), config.get_ssl_mode()),
            (protected, ssl_mode),
            "{host} {mode:?}"
        );
    }
}
