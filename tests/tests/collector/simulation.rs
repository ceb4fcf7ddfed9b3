//! A live collector as a child process, and what it and the store say.

use iot_kpi_tests::installation::target;
use iot_kpi_tests::postgres::{Database, Postgres};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Attempts, failed ones, beats and bytes of each device.
pub(crate) type Totals = BTreeMap<String, [i64; 4]>;

/// A live collector whose devices fail all the time, with a folder for its things.
pub(crate) struct Simulation {
    child: Child,
    log: PathBuf,
    truth: PathBuf,
}

impl Simulation {
    pub(crate) fn start(folder: &Path, run: u32, uri: &str) -> Self {
        Self::start_with_grace(folder, run, uri, "2s")
    }

    /// As [`Simulation::start`]; at its end it has so long to bring home what is left.
    pub(crate) fn start_with_grace(folder: &Path, run: u32, uri: &str, grace: &str) -> Self {
        let (log, truth) = (folder.join(format!("log{run}")), folder.join(format!("truth{run}")));
        let child = Self::command(folder, uri)
            .args(["--grace", grace, "--ground-truth"])
            .arg(&truth)
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("start the collector: {error}; `cargo build` makes it"));
        Self { child, log, truth }
    }

    /// One that was started elsewhere, and writes no truth.
    pub(crate) fn watch(child: Child, log: PathBuf) -> Self {
        let truth = PathBuf::new();
        Self { child, log, truth }
    }

    /// What is started, without its log and its truth.
    pub(crate) fn command(folder: &Path, uri: &str) -> Command {
        let mut command = collector();
        command
            // So many that some fail whatever the time of day: live data are of the present.
            .args(["simulate", "--interval", "200ms", "--trouble", "18", "--devices", "60"])
            .args(["--retry-max", "500ms", "--calculate-every", "0"])
            .args(["--metrics-listen", "127.0.0.1:0", "--spool-dir"])
            .arg(folder.join("spool"))
            .env("IOT_KPI_DATABASE_URL", uri);
        command
    }

    /// A page of it, head and all.
    pub(crate) fn page(&self, path: &str) -> String {
        self.wait_until_log_has("serving /metrics");
        let log = self.log();
        let address = log.split("address=").nth(1).unwrap().split_whitespace().next().unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        page
    }

    /// Its health, and the status of the page.
    pub(crate) fn health(&self) -> (u16, Value) {
        let page = self.page("/health");
        let status = page.split(' ').nth(1).unwrap().parse().unwrap();
        let (_, body) = page.split_once("\r\n\r\n").unwrap();
        (status, serde_json::from_str(body).unwrap())
    }

    /// A number of its metrics page.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let page = self.page("/metrics");
        let line = page
            .lines()
            .find_map(|line| line.strip_prefix(&format!("iot_kpi_collector_{name} ")));
        line.unwrap_or_else(|| panic!("no {name} in {page}")).parse().unwrap()
    }

    pub(crate) fn wait_until(&self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !is_so(self) {
            assert!(
                Instant::now() < deadline,
                "not {what}: {}\n{}",
                self.page("/health"),
                self.log()
            );
            sleep(Duration::from_millis(20));
        }
    }

    /// Ends it without a word.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub(crate) fn wait_until_log_has(&self, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.log().contains(text) {
            assert!(Instant::now() < deadline, "no {text:?} in the log:\n{}", self.log());
            sleep(Duration::from_millis(20));
        }
    }

    /// Ends it as a service manager does, and reads what truly happened.
    pub(crate) fn terminate(mut self) -> Vec<Value> {
        self.end();
        read_truth(&self.truth)
    }

    /// Ends it as a service manager does.
    pub(crate) fn end(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{}", self.log());
        assert!(self.log().contains("lost=0"), "{}", self.log());
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        // After a failed assertion; a process that has ended cannot be killed again.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn read_truth(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(crate) fn collector() -> Command {
    let mut command = Command::new(iot_kpi_tests::collector::program().unwrap());
    command.stdin(Stdio::null());
    command
}

/// A server that keeps what it has confirmed, as a real one does.
pub(crate) fn durable() -> Postgres {
    Postgres::temporary(&["synchronous_commit=on"]).unwrap_or_else(|error| panic!("{error:#}"))
}

pub(crate) fn folder(name: &str) -> PathBuf {
    let folder = target().join("tests").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

pub(crate) fn spooled(folder: &Path) -> usize {
    let entries = fs::read_dir(folder.join("spool"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "spool"))
        .count()
}

pub(crate) fn totals(truth: &[Value]) -> Totals {
    let end = truth.last().unwrap();
    assert_eq!(end["kind"], "end");
    let counts = |device: &Value| ["attempts", "failed", "beats", "bytes"].map(|name| device[name].as_i64().unwrap());
    let devices = end["devices"].as_array().unwrap().iter();
    let all = devices.map(|device| (device["device_id"].as_str().unwrap().to_owned(), counts(device)));
    // One that was away all the time has sent nothing.
    all.filter(|(_, counts)| *counts != [0; 4]).collect()
}

pub(crate) fn stored(database: &Database<'_>) -> Totals {
    let sql = "SELECT device_id, count(*) FILTER (WHERE metric = 'error'), count(*) FILTER (WHERE metric = 'error' AND value = 1),
                      count(*) FILTER (WHERE metric = 'heartbeat'), coalesce(sum(value) FILTER (WHERE metric = 'bytes'), 0)::bigint
               FROM iot.device_metrics WHERE device_id <> 'collector-1' GROUP BY device_id";
    let rows = database.client().query(sql, &[]).unwrap();
    rows.iter()
        .map(|row| (row.get(0), [row.get(1), row.get(2), row.get(3), row.get(4)]))
        .collect()
}
