//! The demo runs, goes on where it ended, and leaves nothing running, however it ends.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the message, outside a #[test] function too"
)]

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use iot_kpi_tools::installation::Installation;
use iot_kpi_tools::installation::target;
use rustix::process::{Pid, Signal, kill_process};

/// A demo in a folder of its own.
struct Demo {
    child: Child,
    folder: PathBuf,
    lines: Box<dyn Iterator<Item = String>>,
}

impl Demo {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        std::fs::create_dir_all(folder.parent().unwrap()).unwrap();
        let log = File::create(folder.with_extension("log")).unwrap();
        // A minute between reports: a day of history is there in a second or two.
        let mut child = Command::new(env!("CARGO_BIN_EXE_demo"))
            // The tests' own server: nobody else's demo is at work there.
            .env("PG_CONFIG", Installation::for_tests().unwrap().bin().join("pg_config"))
            .arg("--folder")
            .arg(folder)
            .args(["--interval", "60s", "--without-grafana"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        Self {
            child,
            folder: folder.to_path_buf(),
            lines: Box::new(lines),
        }
    }

    /// The lines up to one that begins so.
    fn until(&mut self, beginning: &str) -> Vec<String> {
        let mut seen = Vec::new();
        for line in self.lines.by_ref() {
            let found = line.starts_with(beginning);
            seen.push(line);
            if found {
                return seen;
            }
        }
        let log = self.folder.with_extension("log");
        panic!(
            "no line begins with {beginning:?}:\n{}\nsee {}",
            seen.join("\n"),
            log.display()
        );
    }

    /// Waits for its end, and for the end of all that it started.
    fn ends_without_trace(mut self) {
        let port: u16 = std::fs::read_to_string(self.folder.join("port"))
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success() || self.folder.ends_with("killed"), "{status}");
        for _ in 0..200 {
            let server = TcpStream::connect(("127.0.0.1", port)).is_ok();
            if !server && !self.folder.join("data/postmaster.pid").exists() && !self.collector_runs() {
                return;
            }
            sleep(Duration::from_millis(50));
        }
        panic!("ten seconds later something still runs in {}", self.folder.display());
    }

    fn collector_runs(&self) -> bool {
        let Ok(processes) = std::fs::read_dir("/proc") else {
            return false;
        };
        processes.flatten().any(|process| {
            let command = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command).into_owned();
            command.contains("iot-kpi-collector") && command.contains(&*self.folder.to_string_lossy())
        })
    }
}

fn new_folder(name: &str) -> PathBuf {
    let folder = target().join("tmp").join(name);
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

#[test]
fn it_shows_the_fleet_and_goes_on_from_there() {
    let folder = new_folder("demo-twice");
    let mut demo = Demo::start(&folder, &["--seconds", "1"]);
    let lines = demo.until("stopped");
    assert!(lines.iter().any(|line| line == "make a new store"), "{lines:#?}");
    for beginning in [
        "TEMP_001 ",
        "HUMID_001 ",
        "MOTION_001 ",
        "AIR_001 ",
        "CAM_001 ",
        "collector-1 ",
        "fleet ",
        "psql ",
    ] {
        assert!(
            lines.iter().any(|line| line.starts_with(beginning)),
            "no {beginning}in {lines:#?}"
        );
    }
    assert!(
        lines.iter().all(|line| !line.contains('\x1b')),
        "colours where there is no terminal: {lines:#?}"
    );
    demo.ends_without_trace();

    let mut demo = Demo::start(&folder, &["--seconds", "1"]);
    let lines = demo.until("stopped");
    assert!(
        !lines.iter().any(|line| line.starts_with("make a new store")),
        "{lines:#?}"
    );
    demo.ends_without_trace();
}

#[test]
fn interrupted_it_stops_all() {
    let mut demo = Demo::start(&new_folder("demo-interrupted"), &[]);
    demo.until("fleet ");
    kill_process(Pid::from_child(&demo.child), Signal::INT).unwrap();
    demo.until("stopped");
    demo.ends_without_trace();
}

#[test]
fn killed_it_leaves_nothing_running() {
    let mut demo = Demo::start(&new_folder("killed"), &[]);
    demo.until("fleet ");
    demo.child.kill().unwrap();
    demo.ends_without_trace();
}
