//! The collector over TLS, and where it takes passwords from, against a real server with certificates of an own CA.
//!
//! The server writes down what it knows of each session's encryption (`pg_stat_ssl`), from within that session.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the message, outside a #[test] function too"
)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use iot_kpi_tests::identity::Identity;
use iot_kpi_tests::installation::{Installation, target};
use iot_kpi_tests::postgres::{Postgres, shared};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustix::process::{Pid, Signal, kill_process};

/// A word nobody uses by chance; it must not be seen anywhere.
const PASSWORD: &str = "Kirschkuchen4711";

/// A CA of its own.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Authority { issuer, pem }
    }

    /// A certificate and its key: for host names, or in the name of a user.
    fn sign(&self, common_name: &str, hosts: &[&str], expired: bool) -> (String, String) {
        let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        if expired {
            params.not_after = date_time_ymd(2024, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// A folder of files that only the collector's user may read.
fn folder(name: &str) -> PathBuf {
    let folder = target().join("tests").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn file(folder: &Path, name: &str, content: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

/// Writes down each session that looks for the store, and how it is encrypted. The collector asks with this function, which the
/// users find before PostgreSQL's own.
const WITNESS: &str = "
    CREATE TABLE public.seen (id int GENERATED ALWAYS AS IDENTITY, usename name, ssl boolean, version text, bits int, client_dn text);
    CREATE SCHEMA witness;
    CREATE FUNCTION witness.to_regclass(name text) RETURNS regclass LANGUAGE sql AS $$
        INSERT INTO public.seen (usename, ssl, version, bits, client_dn)
        SELECT session_user, ssl, version, bits, client_dn FROM pg_catalog.pg_stat_ssl WHERE pid = pg_catalog.pg_backend_pid();
        SELECT pg_catalog.to_regclass(name) $$;";

/// A server that speaks TLS. User `certified` must show a certificate, `feeder` must be encrypted, `careless` may do without.
fn server(name: &str, authority: &Authority, expired: bool) -> Postgres {
    let installation = Installation::with_tls().unwrap_or_else(|error| panic!("{error:#}"));
    // Not in target/: the server must be able to go there as its own user.
    let folder = std::env::temp_dir().join(format!("iot-kpi-tls-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let (certificate, key) = authority.sign("the server", &["localhost"], expired);
    let hba = "local all all trust\nhostssl all certified 127.0.0.1/32 scram-sha-256 clientcert=verify-full\n\
               hostssl all feeder 127.0.0.1/32 scram-sha-256\nhost all careless 127.0.0.1/32 scram-sha-256\n";
    let paths = [
        ("cert", &*certificate),
        ("key", &*key),
        ("ca", &*authority.pem),
        ("hba", hba),
    ]
    .map(|(name, content)| file(&folder, name, content));
    let identity = Identity::find(&installation.program("postgres"), &std::env::temp_dir()).unwrap();
    for path in paths.iter().map(Path::new).chain([&*folder]) {
        identity.own(path).unwrap();
    }
    let [certificate, key, ca, hba] = &paths;
    let settings = [
        "ssl=on".to_owned(),
        format!("ssl_cert_file={certificate}"),
        format!("ssl_key_file={key}"),
        format!("ssl_ca_file={ca}"),
        format!("hba_file={hba}"),
    ];
    let mut server = Postgres::stopped(installation, &[], &settings.each_ref().map(String::as_str)).unwrap();
    server.start().unwrap();
    let roles = ["feeder", "certified", "careless"].map(|role| {
        format!(
            "CREATE ROLE {role} SUPERUSER LOGIN PASSWORD '{PASSWORD}';
             ALTER ROLE {role} SET search_path = witness, pg_catalog, public;"
        )
    });
    let database = server.create_database("tls").unwrap();
    database
        .client()
        .batch_execute(&(WITNESS.to_owned() + &roles.concat()))
        .unwrap();
    // It has read them.
    fs::remove_dir_all(&folder).unwrap();
    server
}

/// A session as the server saw it.
#[derive(Debug)]
struct Seen {
    user: String,
    encrypted: bool,
    version: Option<String>,
    bits: Option<i32>,
    client: Option<String>,
}

fn sessions(server: &Postgres) -> Vec<Seen> {
    let sql = "SELECT usename::text, ssl, version, bits, client_dn FROM public.seen ORDER BY id";
    let rows = server.database("tls").client().query(sql, &[]).unwrap();
    let seen = |row: &postgres::Row| Seen {
        user: row.get(0),
        encrypted: row.get(1),
        version: row.get(2),
        bits: row.get(3),
        client: row.get(4),
    };
    rows.iter().map(seen).collect()
}

/// What a collector says at the most talkative level, and whether it succeeded; never the password.
fn asked(url: &str, environment: &[(&str, &str)]) -> (bool, String) {
    let mut command = collector();
    command.args([
        "devices",
        "--list-only",
        "--wait=0",
        "--log=trace",
        "--database-url",
        url,
    ]);
    let output = command.envs(environment.iter().copied()).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!text.contains(PASSWORD), "{text}");
    (output.status.success(), text)
}

fn accepted(url: &str, environment: &[(&str, &str)]) {
    let (succeeded, text) = asked(url, environment);
    assert!(succeeded, "{url}: {text}");
}

fn refused(url: &str, environment: &[(&str, &str)], says: &[&str]) {
    let (succeeded, text) = asked(url, environment);
    let reason = text
        .lines()
        .find(|line| line.starts_with("iot-kpi-collector:"))
        .unwrap_or_default();
    assert!(
        !succeeded && says.iter().all(|part| reason.contains(part)),
        "{url}: {text}"
    );
}

/// A server of [`server`], asked by collectors.
struct Asked<'a>(&'a Postgres);

impl Asked<'_> {
    /// A session comes about; there is no store, so it is over when the collector has looked for it.
    fn admits(&self, url: &str, environment: &[(&str, &str)]) -> Seen {
        let before = sessions(self.0).len();
        refused(url, environment, &["has no store"]);
        let mut seen = sessions(self.0);
        assert_eq!(seen.len(), before + 1, "{url}");
        seen.pop().unwrap()
    }

    /// An encrypted session comes about.
    fn admits_encrypted(&self, url: &str, environment: &[(&str, &str)]) -> Seen {
        let seen = self.admits(url, environment);
        let modern = ["TLSv1.2", "TLSv1.3"].contains(&seen.version.as_deref().unwrap_or_default());
        assert!(seen.encrypted && modern && seen.bits >= Some(128), "{url}: {seen:?}");
        seen
    }

    /// No session comes about.
    fn refuses(&self, url: &str, environment: &[(&str, &str)], says: &[&str]) {
        let before = sessions(self.0).len();
        refused(url, environment, says);
        assert_eq!(sessions(self.0).len(), before, "{url}");
    }
}

fn collector() -> Command {
    let mut command = Command::new(iot_kpi_tests::collector::program().unwrap());
    command.stdin(Stdio::null()).env("HOME", "/nonexistent");
    command
}

/// A process that does not outlive a failed assertion.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_server_must_be_the_right_one() {
    let authority = Authority::new("The CA");
    let server = server("right", &authority, false);
    let asked = Asked(&server);
    let folder = folder("collector_tls");
    let ours = file(&folder, "ca.pem", &authority.pem);
    let theirs = file(&folder, "other.pem", &Authority::new("Another CA").pem);
    let url = |host: &str, rest: &str| format!("postgresql://feeder@{host}:{}/tls?{rest}", server.port());
    let pass = [("PGPASSWORD", PASSWORD)];
    asked.admits_encrypted(
        &url("localhost", &format!("sslmode=verify-full&sslrootcert={ours}")),
        &pass,
    );
    asked.admits_encrypted(
        &url("127.0.0.1", &format!("sslmode=verify-ca&sslrootcert={ours}")),
        &pass,
    );
    asked.admits_encrypted(&url("127.0.0.1", "sslmode=require"), &pass);
    asked.admits_encrypted(&url("127.0.0.1", ""), &pass);
    asked.admits_encrypted(
        &url("localhost", ""),
        &[pass[0], ("PGSSLMODE", "verify-full"), ("PGSSLROOTCERT", &ours)],
    );
    let none = "no CA in";
    for mode in ["verify-full", "verify-ca", "require"] {
        let url = url("localhost", &format!("sslmode={mode}&sslrootcert={theirs}"));
        asked.refuses(&url, &pass, &[none, "other.pem", "sslrootcert"]);
    }
    asked.refuses(
        &url("localhost", "sslrootcert=system"),
        &pass,
        &["this machine", "sslrootcert"],
    );
    let name = format!("sslmode=verify-full&sslrootcert={ours}");
    asked.refuses(
        &url("127.0.0.1", &name),
        &pass,
        &["not for this host", "localhost", "verify-ca"],
    );
    asked.refuses(
        &url("localhost", "sslmode=disable"),
        &pass,
        &["28000", "sslmode=require"],
    );
}

#[test]
fn the_server_may_ask_who_comes() {
    let authority = Authority::new("The CA");
    let server = server("asks", &authority, false);
    let asked = Asked(&server);
    let folder = folder("collector_tls_client");
    let ca = file(&folder, "ca.pem", &authority.pem);
    let (certificate, key) = authority.sign("certified", &[], false);
    let (certificate, key) = (file(&folder, "cert.pem", &certificate), file(&folder, "key.pem", &key));
    let (_, others) = authority.sign("certified", &[], false);
    let others = file(&folder, "other.pem", &others);
    let port = server.port();
    let url = |user: &str, rest: &str| {
        format!("postgresql://{user}@localhost:{port}/tls?sslmode=verify-full&sslrootcert={ca}{rest}")
    };
    let pass = [("PGPASSWORD", PASSWORD)];
    let shown = format!("&sslcert={certificate}&sslkey={key}");
    let seen = asked.admits_encrypted(&url("certified", &shown), &pass);
    assert_eq!(
        (&*seen.user, seen.client.as_deref()),
        ("certified", Some("/CN=certified"))
    );
    asked.admits_encrypted(&url("feeder", &shown), &pass);
    let by_variable = [pass[0], ("PGSSLCERT", &*certificate), ("PGSSLKEY", &*key)];
    asked.admits_encrypted(&url("certified", ""), &by_variable);
    asked.refuses(&url("certified", ""), &pass, &["28000", "sslcert"]);
    let misfit = format!("&sslcert={certificate}&sslkey={others}");
    asked.refuses(&url("certified", &misfit), &pass, &["does not fit", "cert.pem"]);
    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    asked.refuses(&url("certified", &shown), &pass, &["key.pem", "chmod 600"]);
}

#[test]
fn an_expired_certificate_is_named() {
    let authority = Authority::new("The CA");
    let server = server("expired", &authority, true);
    let ca = file(&folder("collector_tls_expired"), "ca.pem", &authority.pem);
    let url = format!(
        "postgresql://feeder@localhost:{}/tls?sslmode=verify-full&sslrootcert={ca}",
        server.port()
    );
    Asked(&server).refuses(&url, &[("PGPASSWORD", PASSWORD)], &["has expired", "renew"]);
}

/// Where the server takes both, the mode decides.
#[test]
fn a_server_that_takes_both_is_asked_as_the_mode_says() {
    let authority = Authority::new("The CA");
    let server = server("both", &authority, false);
    let asked = Asked(&server);
    let pass = [("PGPASSWORD", PASSWORD)];
    let url = |mode: &str| format!("postgresql://careless@127.0.0.1:{}/tls?sslmode={mode}", server.port());
    assert!(!asked.admits(&url("disable"), &pass).encrypted);
    asked.admits_encrypted(&url("prefer"), &pass);
    asked.admits_encrypted(&url("require"), &pass);
    let flagged = |flag: &str| {
        let mut command = collector();
        command.args([
            "devices",
            "--list-only",
            "--wait=0",
            "--sslmode",
            flag,
            "--database-url",
            &url("require"),
        ]);
        assert_eq!(command.envs(pass).output().unwrap().status.code(), Some(1));
        sessions(&server).pop().unwrap().encrypted
    };
    assert!(!flagged("disable") && flagged("prefer"), "a flag goes before the URL");
}

#[test]
fn a_server_without_tls_is_named() {
    let url = |mode: &str| {
        format!(
            "postgresql://postgres@127.0.0.1:{}/postgres?sslmode={mode}",
            shared().port()
        )
    };
    let pass = [("PGPASSWORD", shared().password())];
    refused(&url("require"), &pass, &["offers no TLS", "ssl = on"]);
    // It goes on without, and finds no store.
    refused(&url("prefer"), &pass, &["has no store"]);
}

#[test]
fn a_password_comes_from_a_file_and_is_seen_nowhere() {
    let folder = folder("collector_password");
    let database = shared().store("collector_password");
    let role = format!(
        "DROP ROLE IF EXISTS feeder; CREATE ROLE feeder LOGIN PASSWORD '{PASSWORD}'; SELECT iot_kpi.grant_writer('feeder')"
    );
    database.client().batch_execute(&role).unwrap();
    let port = shared().port();
    let url = format!("postgresql://feeder@127.0.0.1:{port}/collector_password");

    let secret = file(&folder, "secret", &format!("{PASSWORD}\n"));
    accepted(&url, &[("IOT_KPI_PASSWORD_FILE", &secret)]);
    let passes = file(&folder, "pgpass", &format!("127.0.0.1:{port}:*:feeder:{PASSWORD}\n"));
    accepted(&url, &[("PGPASSFILE", &passes)]);
    fs::set_permissions(&passes, Permissions::from_mode(0o640)).unwrap();
    let (succeeded, text) = asked(&url, &[("PGPASSFILE", &passes)]);
    assert!(!succeeded && text.contains("chmod 600"), "{text}");
    refused(&url, &[], &["password missing", "--password-file"]);
    let wrong = file(&folder, "wrong", "Pflaumenkuchen\n");
    refused(
        &url,
        &[("IOT_KPI_PASSWORD_FILE", &wrong)],
        &["28P01", "--password-file"],
    );

    // While it runs, the list of processes and its log are looked through, and the password is changed under its feet.
    let log = folder.join("log");
    let child = collector()
        .args([
            "simulate",
            "--interval=100ms",
            "--retry-max=200ms",
            "--calculate-every=0",
            "--log=trace",
        ])
        .args(["--database-url", &url, "--password-file", &secret])
        .arg("--spool-dir")
        .arg(folder.join("spool"))
        .stderr(fs::File::create(&log).unwrap())
        .spawn();
    let mut child = Ended(child.unwrap());
    let said = |text: &str, times: usize| {
        let deadline = Instant::now() + Duration::from_secs(30);
        while fs::read_to_string(&log).unwrap().matches(text).count() < times {
            assert!(Instant::now() < deadline, "{}", fs::read_to_string(&log).unwrap());
            sleep(Duration::from_millis(20));
        }
    };
    said(" connected ", 1);
    let line = fs::read_to_string(format!("/proc/{}/cmdline", child.0.id())).unwrap_or_default();
    file(&folder, "secret", "Zwetschgendatschi\n");
    let changed = "ALTER ROLE feeder PASSWORD 'Zwetschgendatschi';
                   SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'feeder'";
    database.client().batch_execute(changed).unwrap();
    said(" connected ", 2);
    kill_process(Pid::from_child(&child.0), Signal::TERM).unwrap();
    assert!(child.0.wait().unwrap().success());
    let everything = line + &fs::read_to_string(&log).unwrap() + &shared().log();
    for password in [PASSWORD, "Zwetschgendatschi"] {
        let seen = everything.lines().find(|line| line.contains(password));
        // The server's own log has the statement that failed, were there one; there is none.
        assert_eq!(seen, None);
    }
}
