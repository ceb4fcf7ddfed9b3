//! A Grafana beside the demo, where this machine has one: on loopback, with the plugin, the data source and the dashboards.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::guarded::Guarded;
use crate::installation::root;
use crate::postgres::{Database, random_word};

/// Its first start makes a database of its own, which takes a while.
const PATIENCE: Duration = Duration::from_secs(120);
const GRACE: Duration = Duration::from_secs(15);
/// The port that people know, if it is free.
const PORT: u16 = 3000;
const PLUGIN: &str = "iotkpi-postgres-datasource";
/// The role that the data source reads by, and no more.
const READER: &str = "grafana";

/// What there is to say where this machine has none.
pub const NONE: &str =
    "Grafana   none found: unpack one from grafana.com/grafana/download and set GRAFANA_HOME to its folder";

/// A Grafana that is installed here.
#[derive(Debug)]
pub struct Installed {
    program: PathBuf,
    home: PathBuf,
}

/// A Grafana that runs; it ends with this value, or with this process.
#[derive(Debug)]
pub struct Grafana {
    process: Guarded,
    port: u16,
    password: String,
}

impl Installed {
    /// In the folder that `GRAFANA_HOME` names, or in `PATH`.
    pub fn find() -> Option<Self> {
        let home = std::env::var_os("GRAFANA_HOME").map(|home| Path::new(&home).join("bin"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = home.into_iter().chain(std::env::split_paths(&path));
        let programs = folders.flat_map(|folder| ["grafana", "grafana-server"].map(|name| folder.join(name)));
        programs.filter(|program| program.is_file()).find_map(Self::of)
    }

    /// A program lies in `bin/` of its home, or its package keeps the rest in /usr/share.
    fn of(program: PathBuf) -> Option<Self> {
        let real = program.canonicalize().ok()?;
        let beside = real.parent()?.parent()?.to_path_buf();
        let is_home = |folder: &PathBuf| folder.join("conf/defaults.ini").is_file();
        let home = [beside, PathBuf::from("/usr/share/grafana")]
            .into_iter()
            .find(is_home)?;
        Some(Self { program: real, home })
    }

    /// Builds the plugin and starts Grafana with it. Its files and its log are in `folder`.
    ///
    /// # Errors
    /// When the plugin cannot be built, or Grafana does not answer in two minutes; the message names the log.
    pub fn start(&self, folder: &Path, database: &Database<'_>, stopped: impl Fn() -> bool) -> Result<Grafana> {
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        build_plugin(&folder.join("build.log"))?;
        let reader = kept_word(&folder.join("reader-password"))?;
        make_reader(database, &reader)?;
        provision(folder, database, &reader)?;
        let password = kept_word(&folder.join("admin-password"))?;
        let port = free_port()?;
        let log_file = folder.join("grafana.log");
        let log = File::create(&log_file).with_context(|| format!("make {}", log_file.display()))?;
        let mut command = Command::new(&self.program);
        if self.program.ends_with("grafana") {
            command.arg("server");
        }
        // What another Grafana of this machine is told by its environment does not hold here.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GF_")) {
            command.env_remove(name);
        }
        command
            .arg("--homepath")
            .arg(&self.home)
            .envs(settings(folder, port, &password));
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("share Grafana's log")?)
            .stderr(log);
        let mut grafana = Grafana {
            process: Guarded::start(command, GRACE)?,
            port,
            password,
        };
        grafana
            .wait_until_ready(stopped)
            .with_context(|| format!("start Grafana; see {}", log_file.display()))?;
        Ok(grafana)
    }
}

impl Grafana {
    /// Where to look, and how to sign in.
    pub fn lines(&self) -> Vec<String> {
        vec![
            format!("Grafana   http://127.0.0.1:{}", self.port),
            format!("          sign in as admin, password {}", self.password),
        ]
    }

    fn wait_until_ready(&mut self, stopped: impl Fn() -> bool) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !self.answers() {
            if let Some(status) = self.process.ended()? {
                bail!("it ended ({status})");
            }
            if stopped() || Instant::now() > deadline {
                bail!("it did not answer");
            }
            sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    fn answers(&self) -> bool {
        let ask = || -> std::io::Result<bool> {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.write_all(b"GET /api/health HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")?;
            let mut status = [0; 12];
            stream.read_exact(&mut status)?;
            Ok(status.ends_with(b" 200"))
        };
        ask().unwrap_or(false)
    }
}

fn build_plugin(log_file: &Path) -> Result<()> {
    println!("build the Grafana plugin");
    let log = File::create(log_file).with_context(|| format!("make {}", log_file.display()))?;
    let status = Command::new(root().join("grafana-plugin/build.sh"))
        .arg("debug")
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("share the log")?)
        .stderr(log)
        .status()
        .context("run grafana-plugin/build.sh")?;
    if !status.success() {
        bail!("the plugin could not be built; see {}", log_file.display());
    }
    Ok(())
}

/// A role with the rights that docs/grafana.md names.
fn make_reader(database: &Database<'_>, password: &str) -> Result<()> {
    let sql = format!(
        "DO $$ BEGIN
             IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{READER}') THEN CREATE ROLE {READER}; END IF;
         END $$;
         ALTER ROLE {READER} LOGIN PASSWORD '{password}';
         REVOKE ALL ON ALL TABLES IN SCHEMA iot FROM {READER};
         SELECT iot_kpi.grant_reader('{READER}')"
    );
    database
        .try_client()?
        .batch_execute(&sql)
        .context("make the role that Grafana reads by")
}

/// The plugin where Grafana looks for it, and the data source and dashboards as `grafana-plugin/provisioning` has them.
fn provision(folder: &Path, database: &Database<'_>, reader: &str) -> Result<()> {
    let source = root().join("grafana-plugin");
    let (plugins, provisioning) = (folder.join("plugins"), folder.join("provisioning"));
    fs::create_dir_all(&plugins).context("make Grafana's folder of plugins")?;
    let installed = plugins.join(PLUGIN);
    if installed.read_link().ok() != Some(source.join("dist")) {
        let _ = fs::remove_file(&installed);
        symlink(source.join("dist"), &installed).context("install the plugin")?;
    }
    let values = [
        ("$IOT_KPI_HOST", "127.0.0.1".to_owned()),
        ("$IOT_KPI_PORT", database.server().port().to_string()),
        ("$IOT_KPI_DATABASE", database.name().to_owned()),
        ("$IOT_KPI_USER", READER.to_owned()),
        ("$IOT_KPI_TLS_MODE", "disable".to_owned()),
        ("$IOT_KPI_PASSWORD", reader.to_owned()),
        (
            "$IOT_KPI_DASHBOARDS",
            source.join("dist/dashboards").display().to_string(),
        ),
    ];
    for (kind, file) in [("datasources", "datasource.yaml"), ("dashboards", "dashboards.yaml")] {
        let template = source.join("provisioning").join(file);
        let mut text = fs::read_to_string(&template).with_context(|| format!("read {}", template.display()))?;
        for (name, value) in &values {
            text = text.replace(name, value);
        }
        fs::create_dir_all(provisioning.join(kind)).context("make Grafana's folder of provisioning")?;
        write_private(&provisioning.join(kind).join("iot-kpi.yaml"), &text)?;
    }
    Ok(())
}

fn settings(folder: &Path, port: u16, password: &str) -> Vec<(&'static str, String)> {
    let path = |name: &str| folder.join(name).display().to_string();
    let home = root().join("grafana-plugin/dist/dashboards/status-overview.json");
    let off = || "false".to_owned();
    vec![
        ("GF_PATHS_DATA", path("data")),
        ("GF_PATHS_LOGS", path("log")),
        ("GF_PATHS_PLUGINS", path("plugins")),
        ("GF_PATHS_PROVISIONING", path("provisioning")),
        ("GF_SERVER_HTTP_ADDR", "127.0.0.1".to_owned()),
        ("GF_SERVER_HTTP_PORT", port.to_string()),
        ("GF_SECURITY_ADMIN_PASSWORD", password.to_owned()),
        ("GF_AUTH_ANONYMOUS_ENABLED", off()),
        ("GF_USERS_ALLOW_SIGN_UP", off()),
        ("GF_ANALYTICS_REPORTING_ENABLED", off()),
        ("GF_ANALYTICS_CHECK_FOR_UPDATES", off()),
        ("GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES", off()),
        ("GF_NEWS_NEWS_FEED_ENABLED", off()),
        ("GF_PLUGINS_ALLOW_LOADING_UNSIGNED_PLUGINS", PLUGIN.to_owned()),
        ("GF_PLUGINS_PREINSTALL_DISABLED", "true".to_owned()),
        ("GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH", home.display().to_string()),
    ]
}

/// A password that stays the same while the demo's data stay.
fn kept_word(file: &Path) -> Result<String> {
    if let Ok(word) = fs::read_to_string(file) {
        return Ok(word.trim().to_owned());
    }
    let word = random_word()?;
    write_private(file, &word)?;
    Ok(word)
}

fn write_private(file: &Path, text: &str) -> Result<()> {
    let mut options = fs::OpenOptions::new();
    let opened = options.write(true).create(true).truncate(true).mode(0o600).open(file);
    opened
        .and_then(|mut opened| opened.write_all(text.as_bytes()))
        .with_context(|| format!("write {}", file.display()))
}

fn free_port() -> Result<u16> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)).or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    Ok(listener
        .and_then(|listener| listener.local_addr())
        .context("find a free port")?
        .port())
}
