//! A private PostgreSQL server: on a Unix socket in a folder of its own and on a loopback port that asks for a password.
//!
//! A server never outlives its owner unless it is told to: a watchdog holds the other end of a pipe, and stops the server when
//! the pipe closes, however the owner ended. Tests share one server a binary ([`shared`]), which nobody drops: it ends that way.

mod connection;

use std::fs::{self, File};
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

pub use self::connection::{Database, is_broken};
use crate::identity::Identity;
use crate::installation::Installation;
use crate::watchdog::Watchdog;

/// Time that a start or a stop may take. A crash recovery is short on test data, but machines are slow.
const PATIENCE: Duration = Duration::from_secs(60);
/// The kernel's limit is 107 bytes; the socket's own name takes up to 20 of them.
const LONGEST_SOCKET_FOLDER: usize = 85;
/// What makes a server quick and forgetful: for tests only.
const FORGETFUL: [&str; 3] = ["fsync=off", "synchronous_commit=off", "full_page_writes=off"];

/// How a server ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Sessions are ended, everything is written.
    Fast,
    /// All processes end at once; the next start recovers.
    Immediate,
    /// The postmaster is killed, as the kernel does when memory is short.
    Kill,
}

/// A private PostgreSQL server.
#[derive(Debug)]
pub struct Postgres {
    installation: Installation,
    identity: Identity,
    folder: PathBuf,
    socket_folder: PathBuf,
    password: String,
    port: u16,
    settings: Vec<String>,
    temporary: bool,
    running: Option<Running>,
}

#[derive(Debug)]
enum Running {
    /// Started here, ends with this process.
    Child(Child, Watchdog),
    /// Found running, or told to stay; known by its process id.
    Detached(Pid),
}

/// The server that all tests of a binary share. It ends with the process.
///
/// # Panics
/// When it cannot be started: no test can run then.
pub fn shared() -> &'static Postgres {
    static SHARED: OnceLock<Postgres> = OnceLock::new();
    SHARED.get_or_init(|| {
        Postgres::temporary(&[]).unwrap_or_else(|error| panic!("no PostgreSQL for the tests: {error:#}"))
    })
}

impl Postgres {
    /// A server for a test: with empty data in a temporary folder, quick and forgetful, with further settings (`"work_mem=64MB"`),
    /// of the tests' own installation.
    ///
    /// # Errors
    /// When there is no PostgreSQL at hand or it does not start; the message has the end of its log.
    pub fn temporary(settings: &[&str]) -> Result<Self> {
        Self::temporary_of(Installation::for_tests()?, settings)
    }

    /// As [`Postgres::temporary`], of the given programs.
    ///
    /// # Errors
    /// As [`Postgres::temporary`].
    pub fn temporary_of(installation: Installation, settings: &[&str]) -> Result<Self> {
        let mut server = Self::stopped(installation, &[], settings)?;
        server.start()?;
        Ok(server)
    }

    /// As [`Postgres::temporary_of`], with further options of `initdb`, and not started yet.
    ///
    /// # Errors
    /// When `initdb` fails.
    pub fn stopped(installation: Installation, initdb: &[&str], settings: &[&str]) -> Result<Self> {
        let server = Self::without_data(installation, settings)?;
        server.initdb(initdb)?;
        Ok(server)
    }

    /// A streaming standby of this server, started, with further settings.
    ///
    /// # Errors
    /// When the data cannot be copied, or it does not start.
    pub fn standby(&self, settings: &[&str]) -> Result<Self> {
        let mut standby = Self::without_data(self.installation.clone(), settings)?;
        let output = standby
            .command("pg_basebackup")
            .args([
                "--checkpoint=fast",
                "--no-sync",
                "--write-recovery-conf",
                "--username=postgres",
                "--pgdata",
            ])
            .arg(standby.data())
            .arg(format!("--host={}", self.socket_folder.display()))
            .arg(format!("--port={}", self.port))
            .output()
            .context("run pg_basebackup")?;
        if !output.status.success() {
            bail!(
                "pg_basebackup failed: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        standby.start()?;
        Ok(standby)
    }

    /// A folder for a temporary server, which has no data yet.
    fn without_data(installation: Installation, settings: &[&str]) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("iot-kpi-{}", random_word()?));
        let mut server = Self::in_folder(installation, &folder, true)?;
        let settings = FORGETFUL.iter().chain(settings).map(|setting| (*setting).to_owned());
        server.settings.extend(settings);
        Ok(server)
    }

    /// A server whose data stay in `folder`; it ends with this process.
    ///
    /// # Errors
    /// As [`Postgres::temporary`], and when one runs there already.
    pub fn kept(folder: &Path) -> Result<Self> {
        let mut server = Self::prepare(folder)?;
        if let Some(Running::Detached(pid)) = server.running {
            let folder = folder.display();
            bail!(
                "PostgreSQL already runs in {folder} (process {}); end what uses it first",
                pid.as_raw_nonzero()
            );
        }
        server.start()?;
        Ok(server)
    }

    /// A server whose data stay in `folder` and that stays when this process ends; one that runs there already is taken.
    ///
    /// # Errors
    /// As [`Postgres::temporary`].
    pub fn detached(folder: &Path) -> Result<Self> {
        let mut server = Self::prepare(folder)?;
        if server.running.is_none() {
            server.start()?;
            if let Some(Running::Child(child, watchdog)) = server.running.take() {
                watchdog.dismiss();
                server.running = Some(Running::Detached(Pid::from_child(&child)));
            }
        }
        Ok(server)
    }

    /// The server that runs in `folder`, if one does.
    ///
    /// # Errors
    /// When there is no PostgreSQL at hand.
    pub fn running(folder: &Path) -> Result<Option<Self>> {
        if !folder.join("data/postmaster.pid").exists() {
            return Ok(None);
        }
        let server = Self::prepare(folder)?;
        Ok(server.running.is_some().then_some(server))
    }

    fn prepare(folder: &Path) -> Result<Self> {
        let mut server = Self::in_folder(Installation::find()?, folder, false)?;
        if server.data().join("PG_VERSION").exists() {
            server.check_version()?;
            server.find_running();
        } else {
            server.initdb(&[])?;
        }
        Ok(server)
    }

    fn in_folder(installation: Installation, folder: &Path, temporary: bool) -> Result<Self> {
        fs::create_dir_all(folder.parent().unwrap_or(folder)).with_context(|| format!("make {}", folder.display()))?;
        let identity = Identity::find(&installation.program("postgres"), folder.parent().unwrap_or(folder))?;
        make_private(folder, &identity)?;
        let password = password(folder)?;
        let server = Self {
            socket_folder: socket_folder(folder),
            folder: folder.to_path_buf(),
            settings: Vec::new(),
            port: 0,
            running: None,
            installation,
            identity,
            password,
            temporary,
        };
        make_private(&server.socket_folder, &server.identity)?;
        Ok(server)
    }

    fn check_version(&self) -> Result<()> {
        let data = self.data();
        let version =
            fs::read_to_string(data.join("PG_VERSION")).with_context(|| format!("read {}", data.display()))?;
        if version.trim() != self.installation.major().to_string() {
            bail!(
                "{} was made by PostgreSQL {}, not {}; remove {} to start anew, or name the older one by PG_CONFIG",
                data.display(),
                version.trim(),
                self.installation.major(),
                self.folder.display()
            );
        }
        Ok(())
    }

    fn initdb(&self, options: &[&str]) -> Result<()> {
        let password_file = self.folder.join("password");
        let output = self
            .identity
            .command(self.installation.program("initdb"))
            .args(["--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync"])
            .args(["--auth-local=trust", "--auth-host=scram-sha-256"])
            .arg(format!("--pwfile={}", password_file.display()))
            .args(options)
            .arg("--pgdata")
            .arg(self.data())
            .output()
            .context("run initdb")?;
        if !output.status.success() {
            bail!("initdb failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }

    /// Looks whether a server already runs on these data.
    fn find_running(&mut self) {
        let Ok(text) = fs::read_to_string(self.data().join("postmaster.pid")) else {
            return;
        };
        // Its lines: process id, data folder, start time, port, socket folder, address, shared memory, state.
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let pid = lines.first().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
        let port = lines.get(3).and_then(|port| port.parse().ok());
        if let (Some(pid), Some(port)) = (pid, port)
            && test_kill_process(pid).is_ok()
        {
            self.port = port;
            // A crashed server leaves the file: only one that answers is running.
            if self.try_client("postgres").is_ok() {
                self.running = Some(Running::Detached(pid));
            }
        }
    }

    /// Starts the server again after [`Postgres::stop`].
    ///
    /// # Errors
    /// When it does not start; the message has the end of its log.
    pub fn start(&mut self) -> Result<()> {
        let remembered = fs::read_to_string(self.folder.join("port"))
            .ok()
            .and_then(|port| port.trim().parse().ok());
        for _ in 0..5 {
            self.port = remembered.filter(|port| comes_free(*port)).map_or_else(free_port, Ok)?;
            match self.start_once() {
                // Somebody took the port between looking and starting.
                Err(_) if self.log().contains("Address already in use") => {}
                // The children of a killed postmaster are still on their way out.
                Err(_) if self.log().contains("is still in use") => sleep(Duration::from_millis(200)),
                Err(error) => return Err(error),
                Ok(()) => {
                    fs::write(self.folder.join("port"), self.port.to_string()).context("remember the port")?;
                    return Ok(());
                }
            }
        }
        bail!("PostgreSQL did not start; its log ends with:\n{}", self.log_tail())
    }

    fn start_once(&mut self) -> Result<()> {
        let log = File::create(self.log_file()).context("make the server's log")?;
        let mut command = self.identity.command(self.installation.program("postgres"));
        command.arg("-D").arg(self.data()).arg("-p").arg(self.port.to_string());
        let socket_folder = format!("unix_socket_directories={}", self.socket_folder.display());
        let fixed = [
            "listen_addresses=127.0.0.1",
            "timezone=UTC",
            "log_timezone=UTC",
            "lc_messages=C",
            &socket_folder,
        ];
        for setting in fixed.into_iter().chain(self.settings.iter().map(String::as_str)) {
            command.arg("-c").arg(setting);
        }
        // A process group of its own: Ctrl-C is for the owner, who stops the server in order.
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("share the server's log")?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .context("start postgres")?;
        let rubbish = self.temporary.then_some(self.folder.as_path());
        let watchdog = Watchdog::start(&self.identity, Pid::from_child(&child), rubbish)?;
        self.running = Some(Running::Child(child, watchdog));
        self.wait_until_ready()
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let problem = match self.try_client("postgres") {
                Ok(_) => return Ok(()),
                Err(problem) => problem,
            };
            let ended = match &mut self.running {
                Some(Running::Child(child, _)) => child.try_wait().context("look after postgres")?.is_some(),
                _ => false,
            };
            if ended || Instant::now() > deadline {
                if let Some(Running::Child(mut child, watchdog)) = self.running.take() {
                    let _ = child.kill();
                    let _ = child.wait();
                    // Otherwise it would clear the data away, and another try would find none.
                    watchdog.dismiss();
                }
                bail!(
                    "PostgreSQL did not start ({problem}); its log ends with:\n{}",
                    self.log_tail()
                );
            }
            sleep(Duration::from_millis(20));
        }
    }

    /// Stops the server, if it runs; its data stay for [`Postgres::start`].
    ///
    /// # Errors
    /// When it does not end in a minute.
    pub fn stop(&mut self, how: Stop) -> Result<()> {
        let signal = match how {
            Stop::Fast => Signal::INT,
            Stop::Immediate => Signal::QUIT,
            Stop::Kill => Signal::KILL,
        };
        match self.running.take() {
            None => {}
            Some(Running::Detached(pid)) => {
                kill_process(pid, signal).context("signal postgres")?;
                wait_for(|| test_kill_process(pid).is_err())?;
            }
            Some(Running::Child(mut child, watchdog)) => {
                kill_process(Pid::from_child(&child), signal).context("signal postgres")?;
                wait_for(|| matches!(child.try_wait(), Ok(Some(_))))?;
                watchdog.dismiss();
            }
        }
        Ok(())
    }

    /// Stops the server and starts it again on the same data.
    ///
    /// # Errors
    /// As [`Postgres::stop`] and [`Postgres::start`].
    pub fn restart(&mut self, how: Stop) -> Result<()> {
        self.stop(how)?;
        self.start()
    }

    /// The loopback port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The password of user `postgres` on the loopback port.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The folder of its Unix socket.
    pub fn socket_folder(&self) -> &Path {
        &self.socket_folder
    }

    /// The programs it was started from.
    pub fn installation(&self) -> &Installation {
        &self.installation
    }

    /// What the server has logged since its last start.
    pub fn log(&self) -> String {
        fs::read(self.log_file())
            .map(|log| String::from_utf8_lossy(&log).into_owned())
            .unwrap_or_default()
    }

    /// The folder of its data.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// One of its programs, run as the server's user in the server's folder.
    pub fn command(&self, program: &str) -> Command {
        let mut command = self.identity.command(self.installation.program(program));
        command.current_dir(&self.folder);
        command
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(Running::Child(..)) = self.running {
            // Nobody can be told any more, and the watchdog is still there.
            let _ = self.stop(Stop::Fast);
        }
        if self.temporary {
            let _ = fs::remove_dir_all(&self.folder);
        }
        if !self.socket_folder.starts_with(&self.folder) {
            // Still in use by a server that stays: then it is not empty, and stays too.
            let _ = fs::remove_dir(&self.socket_folder);
        }
    }
}

fn socket_folder(folder: &Path) -> PathBuf {
    if folder.as_os_str().len() <= LONGEST_SOCKET_FOLDER {
        return folder.to_path_buf();
    }
    // FNV-1a: the same folder finds the same socket again.
    let hash = folder
        .as_os_str()
        .as_encoded_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
    PathBuf::from(format!("/tmp/iot-kpi-{hash:016x}"))
}

/// Makes a folder that the server's user alone may enter, or sees to it that an older one is such.
fn make_private(folder: &Path, identity: &Identity) -> Result<()> {
    let make = || {
        if !folder.exists() {
            fs::DirBuilder::new().mode(0o700).create(folder)?;
        }
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
    };
    make().with_context(|| format!("make {} private", folder.display()))?;
    identity.own(folder)
}

/// 128 random bits in hexadecimal.
pub(crate) fn random_word() -> Result<String> {
    let mut bytes = [0_u8; 16];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .context("read /dev/urandom")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The password of a server's folder, made at its first use.
fn password(folder: &Path) -> Result<String> {
    let file = folder.join("password");
    if let Ok(password) = fs::read_to_string(&file) {
        return Ok(password.trim().to_owned());
    }
    let password = random_word()?;
    fs::write(&file, &password).with_context(|| format!("write {}", file.display()))?;
    // The folder itself is closed to others (0700); the server's user must read the file for initdb.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).context("set permissions of the password")?;
    Ok(password)
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("find a free port on 127.0.0.1")?;
    Ok(listener.local_addr().context("find a free port on 127.0.0.1")?.port())
}

/// Whether the port can be had, if not at once: clients that try to come back hold it for moments.
fn comes_free(port: u16) -> bool {
    (0..50).any(|tries| {
        if tries > 0 {
            sleep(Duration::from_millis(100));
        }
        TcpListener::bind(("127.0.0.1", port)).is_ok()
    })
}

fn wait_for(mut done: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        if Instant::now() > deadline {
            bail!("PostgreSQL did not end within {} seconds", PATIENCE.as_secs());
        }
        sleep(Duration::from_millis(10));
    }
    Ok(())
}
