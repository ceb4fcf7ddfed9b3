//! `make bench SOAK=1`: ten thousand devices live, reports and upkeep beside them, and every half a minute something is killed.
//!
//! What a device does in a tick depends on seed, device and tick alone. So when the time is over, the same devices' past is
//! written into a second database, and what is in one and not in the other is lost or made up; see [`compare`].

mod compare;
mod load;
mod watch;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed, Ordering::SeqCst};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use chrono::{DateTime, Utc};
use rustix::process::{Pid, Signal, kill_process};

use self::load::{Kills, Tally, keep_up, read_all_the_time};
use crate::bench::{Bound, Table};
use crate::installation::{Installation, target};
use crate::postgres::{Database, Postgres, Stop};

const DEVICES: &str = "10000";
const INTERVAL_SECONDS: i64 = 10;
/// A server as it comes, save for memory. Nothing is forgotten when it is killed; only a power failure is left out.
const SETTINGS: [&str; 9] = [
    "fsync=off",
    "synchronous_commit=on",
    "full_page_writes=on",
    "shared_buffers=1GB",
    "max_wal_size=4GB",
    "autovacuum_naptime=10s",
    "jit=off",
    "shared_preload_libraries=pg_iot_kpi",
    "iot_kpi.naptime=10",
];
/// What is killed, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Collector,
    Server(Stop),
}

/// A stretch in which the collector did not look at the devices.
#[derive(Debug, Clone, Copy)]
struct Gap {
    from: DateTime<Utc>,
    to: DateTime<Utc>,
}

/// Runs for so many seconds, then judges.
///
/// # Errors
/// When something does not start, or a report fails for another reason than that the server was killed.
pub fn run(seconds: u64, seed: u64, table: &mut Table) -> Result<()> {
    let folder = target().join("soak");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let mut server = Postgres::temporary_of(Installation::find()?, &SETTINGS)?;
    server.try_store("iot")?;
    let uri = server.database("iot").uri();
    let (tally, kills, over) = (Tally::default(), Kills::default(), AtomicBool::new(false));
    let mut dice = Dice(seed);
    let mut soak = Soak {
        folder,
        uri: uri.clone(),
        runs: 0,
        began: Vec::new(),
        gaps: Vec::new(),
    };
    println!("soak for {seconds} s, seed {seed}: {DEVICES} devices, a report every {INTERVAL_SECONDS} s each");
    let watched = thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|reader| {
                scope.spawn({
                    let (uri, tally, kills, over) = (&uri, &tally, &kills, &over);
                    move || read_all_the_time(uri, reader, (tally, kills), over)
                })
            })
            .collect();
        let upkeep = scope.spawn(|| keep_up(&uri, (&tally, &kills), &over));
        let live = soak.live(&mut server, seconds, &kills, &mut dice);
        over.store(true, Relaxed);
        for reader in readers {
            reader.join().map_err(|_| anyhow::anyhow!("a reader panicked"))??;
        }
        upkeep.join().map_err(|_| anyhow::anyhow!("the upkeep panicked"))??;
        live
    })?;
    watched.judge(table);
    let note = format!(
        "{} reports, {} of them interrupted by a crash, the slowest {} ms; maintain() {} times; {} starts of the collector",
        tally.reports.load(Relaxed),
        tally.interrupted.load(Relaxed),
        tally.slowest_ms.load(Relaxed),
        tally.upkeep.load(Relaxed),
        soak.runs,
    );
    println!("{note}");
    soak.judge(&server, table)
}

struct Soak {
    folder: PathBuf,
    uri: String,
    runs: u32,
    began: Vec<DateTime<Utc>>,
    gaps: Vec<Gap>,
}

impl Soak {
    /// The devices report; now and then somebody is killed, and comes back.
    fn live(&mut self, server: &mut Postgres, seconds: u64, kills: &Kills, dice: &mut Dice) -> Result<watch::Watched> {
        let end = Instant::now() + Duration::from_secs(seconds);
        let mut watched = watch::Watched::default();
        let mut collector = self.start()?;
        let mut next = Instant::now() + Duration::from_secs(20 + dice.below(20));
        while Instant::now() < end {
            sleep(Duration::from_secs(1));
            if let Some(status) = collector.try_wait().context("look after the collector")? {
                bail!("the collector ended by itself ({status}); see {}", self.log().display());
            }
            watched.look(server, collector.id())?;
            // The last quarter of a minute is quiet, so that what waits can be delivered.
            if Instant::now() < next || end.saturating_duration_since(Instant::now()) < Duration::from_secs(15) {
                continue;
            }
            let victim = [
                Victim::Collector,
                Victim::Server(Stop::Immediate),
                Victim::Server(Stop::Kill),
            ][dice.below(3) as usize];
            println!("  kill {victim:?}");
            match victim {
                Victim::Collector => {
                    let from = Utc::now();
                    collector.kill().context("kill the collector")?;
                    collector.wait().context("wait for the collector")?;
                    sleep(Duration::from_secs(dice.below(5)));
                    collector = self.start()?;
                    let to = *self.began.last().unwrap_or(&from);
                    self.gaps.push(Gap { from, to });
                }
                Victim::Server(how) => {
                    let port = server.port();
                    kills.begun.fetch_add(1, SeqCst);
                    server.stop(how)?;
                    sleep(Duration::from_secs(dice.below(4)));
                    server.start()?;
                    ensure!(
                        server.port() == port,
                        "the server came back on another port: somebody took port {port}"
                    );
                    kills.over.fetch_add(1, SeqCst);
                }
            }
            next = Instant::now() + Duration::from_secs(20 + dice.below(20));
        }
        kill_process(Pid::from_child(&collector), Signal::TERM).context("end the collector")?;
        let status = collector.wait().context("wait for the collector")?;
        ensure!(
            status.success(),
            "the collector ended with {status}; see {}",
            self.log().display()
        );
        Ok(watched)
    }

    fn start(&mut self) -> Result<Child> {
        self.runs += 1;
        let log = File::create(self.log()).context("make the collector's log")?;
        let child = collector(&self.uri)?
            .args([
                "simulate",
                "--devices",
                DEVICES,
                "--interval",
                &format!("{INTERVAL_SECONDS}s"),
                "--retry-max",
                "1s",
            ])
            .args([
                "--grace",
                "30s",
                "--calculate-every",
                "0",
                "--trouble",
                "3",
                "--spool-dir",
            ])
            .arg(self.folder.join("spool"))
            .arg("--ground-truth")
            .arg(self.truth(self.runs))
            .stderr(log)
            .spawn()
            .context("start the collector; `make bench` builds it")?;
        self.began.push(Utc::now());
        Ok(child)
    }

    fn log(&self) -> PathBuf {
        self.folder.join(format!("collector-{}.log", self.runs))
    }

    fn truth(&self, run: u32) -> PathBuf {
        self.folder.join(format!("truth-{run}"))
    }

    fn judge(&self, server: &Postgres, table: &mut Table) -> Result<()> {
        let store = server.database("iot");
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let counted = |name: &str| -> Option<u64> {
            let rest = log
                .lines()
                .rev()
                .find(|line| line.contains(" lost="))?
                .split(&format!("{name}="))
                .nth(1)?;
            rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        };
        for name in ["lost", "refused", "spooled"] {
            let count = counted(name)
                .with_context(|| format!("the collector does not say {name}=; see {}", self.log().display()))?;
            table.add(
                format!("soak, {name} at the end, rows"),
                count as f64,
                Bound::AtMost(0.0),
                "the collector's last line",
            );
        }
        println!("write the same past into a second database, and compare");
        let (from, to) = self.span(&store)?;
        let truth = server.try_store("truth")?;
        let output = collector(&truth.uri())?
            .args([
                "backfill",
                "--devices",
                DEVICES,
                "--interval",
                &format!("{INTERVAL_SECONDS}s"),
                "--trouble",
                "3",
            ])
            .args([
                "--no-calculate",
                "--until",
                &to.to_rfc3339(),
                "--span",
                &format!("{}s", (to - from).num_seconds() + 60),
            ])
            .stderr(Stdio::piped())
            .output()
            .context("write the past")?;
        ensure!(
            output.status.success(),
            "backfill: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let found = compare::run(&store, &truth, from, to, &self.excuses()?)?;
        found.judge(table);
        self.judge_tables(&store, table)
    }

    /// From the first run's second tick to the last full tick.
    fn span(&self, store: &Database<'_>) -> Result<(DateTime<Utc>, DateTime<Utc>)> {
        let row = store.try_client()?.query_one(
            "SELECT min(time), max(time) FROM iot.device_metrics WHERE device_id = 'collector-1'",
            &[],
        )?;
        let (first, last): (DateTime<Utc>, DateTime<Utc>) = (row.get(0), row.get(1));
        Ok((tick_of(first) + interval(), tick_of(last)))
    }

    /// What a crash of the collector, or a machine that held it up, explains.
    fn excuses(&self) -> Result<Vec<compare::Excuse>> {
        let mut excuses: Vec<_> = self
            .gaps
            .iter()
            .map(|gap| compare::Excuse::crash(gap.from, gap.to))
            .collect();
        for run in 1..=self.runs {
            let text = fs::read_to_string(self.truth(run)).unwrap_or_default();
            for line in text.lines().filter(|line| line.contains("\"unobserved\"")) {
                let line: serde_json::Value = serde_json::from_str(line)?;
                let instant = |name: &str| line[name].as_str().unwrap_or_default().parse::<DateTime<Utc>>();
                excuses.push(compare::Excuse::held_up(instant("started_at")?, instant("ended_at")?));
            }
        }
        Ok(excuses)
    }

    fn judge_tables(&self, store: &Database<'_>, table: &mut Table) -> Result<()> {
        let mut client = store.try_client()?;
        let orphans: i64 = client
            .query_one(
                "SELECT count(*) FROM pg_class c WHERE c.relname ~ '^device_metrics_p[0-9]{8}' AND c.relkind = 'r'
                 AND NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid AND NOT i.inhdetachpending)",
                &[],
            )?
            .get(0);
        table.add(
            "soak, dead partitions",
            orphans as f64,
            Bound::AtMost(0.0),
            "tables of a day that are not attached",
        );
        let row = client.query_one(
            "SELECT pg_total_relation_size('iot.device_liveness') / 1048576.0::float8, count(*) FROM iot_kpi.health() WHERE status = 'fail'",
            &[],
        )?;
        table.add(
            "soak, device_liveness of 10,000 devices, MB",
            row.get(0),
            Bound::AtMost(64.0),
            "updated by every batch: autovacuum keeps it small",
        );
        table.add(
            "soak, failed checks of health()",
            row.get::<_, i64>(1) as f64,
            Bound::AtMost(0.0),
            "",
        );
        Ok(())
    }
}

fn interval() -> chrono::TimeDelta {
    chrono::TimeDelta::seconds(INTERVAL_SECONDS)
}

fn tick_of(at: DateTime<Utc>) -> DateTime<Utc> {
    at - chrono::TimeDelta::microseconds(at.timestamp_micros().rem_euclid(INTERVAL_SECONDS * 1_000_000))
}

fn collector(uri: &str) -> Result<Command> {
    let program = target().join("release/iot-kpi-collector");
    ensure!(
        Path::new(&program).exists(),
        "there is no {}; `make bench` builds it",
        program.display()
    );
    let mut command = Command::new(program);
    command
        .env("IOT_KPI_DATABASE_URL", uri)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null());
    Ok(command)
}

/// Random numbers that are the same for the same seed (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}
