//! TLS with a CA, server and client certificates of the test's own, against a real server; each refusal with its reason.
//!
//! Not every PostgreSQL was built with TLS. These tests look for one that was, and fail where there is none.

use super::host::{Host, Source, eventually, panel, runs};
use super::relay::Relay;
use arrow_array::cast::AsArray;
use iot_kpi_tests::installation::Installation;
use iot_kpi_tests::postgres::Postgres;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use serde_json::json;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// A certificate and its key, PEM.
struct Pair {
    certificate: String,
    key: String,
}

/// A certificate authority.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        Authority {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    /// Signs a certificate for a name; `until` a year that may have passed.
    fn sign(&self, name: &str, until: i32) -> Pair {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        Pair {
            certificate: params.signed_by(&key, &self.issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }
}

/// Lets the server speak TLS and nothing else on its port; role `certain` must have a certificate.
fn protect(server: &Postgres, authority: &Authority) -> PathBuf {
    let mut client = server.database("postgres").client();
    let data: String = client.query_one("SHOW data_directory", &[]).unwrap().get(0);
    let data = PathBuf::from(data);
    std::fs::write(data.join("ca.crt"), &authority.certificate).unwrap();
    present(&data, &authority.sign("localhost", 4_000));
    std::fs::write(
        data.join("pg_hba.conf"),
        "local all all trust\nhostssl all certain all cert\nhostssl all all all scram-sha-256\n",
    )
    .unwrap();
    for setting in [
        "ssl_ca_file = 'ca.crt'",
        "ssl_cert_file = 'own.crt'",
        "ssl_key_file = 'own.key'",
        "ssl = on",
    ] {
        client.batch_execute(&format!("ALTER SYSTEM SET {setting}")).unwrap();
    }
    client.batch_execute("CREATE ROLE certain LOGIN").unwrap();
    reload(server);
    eventually("the server speaks TLS", || {
        let mut client = server.database("postgres").client();
        let on: String = client.query_one("SHOW ssl", &[]).unwrap().get(0);
        on == "on"
    });
    data
}

/// Puts a certificate where the server looks for its own.
fn present(data: &Path, own: &Pair) {
    let owner = data.metadata().unwrap();
    for (name, text) in [("own.crt", &own.certificate), ("own.key", &own.key)] {
        let file = data.join(name);
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        chown(&file, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
}

fn reload(server: &Postgres) {
    let mut client = server.database("postgres").client();
    client.batch_execute("SELECT pg_reload_conf()").unwrap();
}

/// The health check's reason and words. There is no extension in this database, so that is what a good connection finds.
fn verdict(host: &Host, source: &Source) -> (String, String) {
    let response = host.health(source);
    let details: serde_json::Value = serde_json::from_slice(&response.json_details).unwrap();
    (details["reason"].as_str().unwrap().to_owned(), response.message)
}

const CONNECTED: &str = "extension missing";

struct Tried<'a> {
    host: Host,
    server: &'a Postgres,
    good: Source,
    tries: usize,
    connected: i64,
}

impl Tried<'_> {
    /// The server's own word: how many connections of the plugin there are, each of them by TLS.
    fn protected(&self) -> i64 {
        let sql = "SELECT count(*), count(*) FILTER (WHERE s.ssl AND s.bits >= 128) \
                   FROM pg_stat_ssl AS s JOIN pg_stat_activity AS a ON a.pid = s.pid WHERE a.application_name = 'iot-kpi-grafana'";
        let row = self.server.database("postgres").client().query_one(sql, &[]).unwrap();
        let (all, protected): (i64, i64) = (row.get(0), row.get(1));
        assert_eq!(all, protected);
        protected
    }

    /// Tries settings and secrets that differ from the good ones.
    fn expect(&mut self, settings: &[(&str, &str)], secrets: &[(&str, &str)], reason: &str, word: &str) {
        let mut source = self.good.clone();
        self.tries += 1;
        source.uid = format!("tls-{}", self.tries);
        for (name, value) in settings {
            source.json[*name] = json!(value);
        }
        for (name, value) in secrets {
            source.secrets.insert((*name).to_owned(), (*value).to_owned());
        }
        let (found, message) = verdict(&self.host, &source);
        let names: Vec<_> = secrets.iter().map(|secret| secret.0).collect();
        assert_eq!(found, reason, "{settings:?} {names:?}: {message}");
        assert!(message.contains(word), "{settings:?} {names:?}: {message}");
        // The pool of each keeps the connection by which it looked.
        self.connected += i64::from(reason == CONNECTED);
        assert_eq!(self.protected(), self.connected, "{settings:?} {names:?}: {message}");
    }
}

#[test]
fn tls_protects_as_its_mode_says_and_tells_why_it_refuses() {
    let server = Postgres::temporary_of(Installation::with_tls().unwrap(), &[]).unwrap();
    let (authority, stranger) = (Authority::new("Ours"), Authority::new("Theirs"));
    let (ours, theirs) = (authority.certificate.as_str(), stranger.certificate.as_str());
    let data = protect(&server, &authority);
    let mut good = Source::of(&server, "postgres");
    good.json["tlsMode"] = json!("verify-full");
    good.json["host"] = json!("localhost");
    let mut tried = Tried {
        host: Host::start_with("RUST_LOG", "trace"),
        server: &server,
        good,
        tries: 0,
        connected: 0,
    };

    let ca = &[("tlsCa", ours)][..];
    tried.expect(&[], ca, CONNECTED, "");
    tried.expect(&[("host", "127.0.0.1")], ca, "TLS refused", "names another host");
    tried.expect(&[], &[("tlsCa", theirs)], "TLS refused", "paste the CA certificate");
    tried.expect(&[], &[], "TLS refused", "paste the CA certificate");
    let by_ca = [("tlsMode", "verify-ca"), ("host", "127.0.0.1")];
    tried.expect(&by_ca, ca, CONNECTED, "");
    tried.expect(&by_ca, &[("tlsCa", theirs)], "TLS refused", "paste the CA certificate");
    tried.expect(
        &by_ca,
        &[("tlsCa", "no certificate")],
        "TLS refused",
        "-----BEGIN CERTIFICATE-----",
    );
    let required = [("tlsMode", "require"), ("host", "127.0.0.1")];
    tried.expect(&required, &[], CONNECTED, "");
    // A CA that is given is used, as libpq does; whose name the certificate has is not looked at.
    tried.expect(&required, ca, CONNECTED, "");
    tried.expect(
        &required,
        &[("tlsCa", theirs)],
        "TLS refused",
        "paste the CA certificate",
    );
    tried.expect(&[("tlsMode", "disable")], &[], "access refused", "no encryption");

    let (certain, other) = (authority.sign("certain", 4_000), authority.sign("somebody", 4_000));
    let forged = stranger.sign("certain", 4_000);
    let as_certain = &[("user", "certain")][..];
    let pair = |pair: &Pair| [ours.to_owned(), pair.certificate.clone(), pair.key.clone()];
    let mut client = |pair: [String; 3], reason: &str, word: &str| {
        let secrets = [
            ("tlsCa", pair[0].as_str()),
            ("tlsCertificate", &pair[1]),
            ("tlsKey", &pair[2]),
        ];
        tried.expect(as_certain, &secrets, reason, word);
    };
    client(pair(&certain), CONNECTED, "");
    client(pair(&other), "access refused", "certain");
    client(pair(&forged), "TLS refused", "refuses the client certificate");
    client(
        [ours.to_owned(), String::new(), String::new()],
        "access refused",
        "certificate",
    );
    client(
        [ours.to_owned(), certain.certificate.clone(), other.key.clone()],
        "TLS refused",
        "do not fit",
    );
    client(
        [ours.to_owned(), certain.certificate.clone(), String::new()],
        "TLS refused",
        "client key",
    );

    present(&data, &authority.sign("localhost", 2_020));
    reload(&server);
    let mut expired = tried.good.clone();
    expired.secrets.insert("tlsCa".to_owned(), ours.to_owned());
    let mut seen = (String::new(), String::new());
    eventually("the server shows its old certificate", || {
        // Another data source each time, so that it is a new connection.
        expired.uid.push('x');
        seen = verdict(&tried.host, &expired);
        seen.0 == "TLS refused"
    });
    assert!(seen.1.contains("renew it"), "{}", seen.1);
    present(&data, &authority.sign("localhost", 4_000));
    reload(&server);
    eventually("the server shows its new certificate", || {
        expired.uid.push('x');
        verdict(&tried.host, &expired).0 == CONNECTED
    });

    asks_and_cancels(&tried, &server, &certain, ours);
    let (_, _, log) = tried.host.end();
    assert!(
        !log.contains("PRIVATE KEY") && !log.contains(server.password()),
        "{log}"
    );
    let body = certain.key.lines().nth(1).unwrap();
    assert!(!log.contains(body), "{log}");
}

/// Somebody on the wire sees neither the question, nor who asks, nor that it is cancelled.
fn asks_and_cancels(tried: &Tried<'_>, server: &Postgres, certain: &Pair, ours: &str) {
    let relay = Relay::to(server.port());
    let mut source = tried.good.clone();
    source.json["port"] = json!(relay.port);
    source.uid = "tls-certain".to_owned();
    source.json["user"] = json!("certain");
    let secrets = [
        ("tlsCa", ours),
        ("tlsCertificate", &certain.certificate),
        ("tlsKey", &certain.key),
    ];
    source.secrets = secrets.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let sql = "SELECT ssl, client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let frame = tried
        .host
        .ask(&source, &json!({"queryType": "sql", "rawSql": sql}))
        .frame();
    assert_eq!(frame.field("client_dn").texts(), [Some("/CN=certain".to_owned())]);
    assert!(frame.field("ssl").array.as_boolean().value(0));

    let database = server.database("postgres");
    let query = json!({"queryType": "sql", "rawSql": "SELECT pg_sleep(600)::text AS over_tls"});
    let (mut client, request) = (tried.host.data(), source.request(vec![panel("A", &query)]));
    let call = tried
        .host
        .runtime
        .spawn(async move { client.query_data(request).await });
    eventually("it runs", || runs(&database, "AS over_tls"));
    call.abort();
    eventually("it ended", || !runs(&database, "AS over_tls"));
    // A connection for each of two questions at most, and one for the cancel request.
    let connections = relay.protected(&["over_tls", "certain", "pg_stat_ssl"]);
    assert!((2..=3).contains(&connections), "{connections}");
}
