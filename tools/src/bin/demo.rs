//! `demo` shows five devices live; `demo psql` opens its database.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use iot_kpi_tools::demo::feeder::Feeder;
use iot_kpi_tools::demo::fleet::Fleet;
use iot_kpi_tools::demo::grafana::{self, Grafana, Installed};
use iot_kpi_tools::demo::promises;
use iot_kpi_tools::demo::screen::Screen;
use iot_kpi_tools::installation::target;
use iot_kpi_tools::postgres::{Database, Postgres};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

const DATABASE: &str = "iot";
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Time between two pictures in a terminal, and elsewhere.
const REFRESH: Duration = Duration::from_secs(1);
const REFRESH_ELSEWHERE: Duration = Duration::from_secs(5);

/// Five simulated devices with a day of history, live.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    watch: Watch,
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Args)]
struct Watch {
    /// End after so many seconds of live data; without it, at Ctrl-C
    #[arg(long)]
    seconds: Option<u64>,
    /// Time between two reports of a device. The product's default is 60s; here something is to move
    #[arg(long, env = "COLLECTION_INTERVAL", default_value = "15s")]
    interval: String,
    /// Start no Grafana, even where there is one
    #[arg(long)]
    without_grafana: bool,
}

/// Where the server, its data and the logs are.
#[derive(Args)]
struct Place {
    #[arg(long, hide = true, default_value_os_t = target().join("demo"))]
    folder: PathBuf,
}

#[derive(Subcommand)]
enum Action {
    /// Open the demo's database with psql
    Psql {
        /// What psql is given besides
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.action {
        None => iot_kpi_tools::exit(watch(&arguments.watch, &arguments.place.folder)),
        Some(Action::Psql { arguments: more }) => iot_kpi_tools::exit(psql(&more, &arguments.place.folder)),
    }
}

fn watch(arguments: &Watch, folder: &Path) -> Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // A second signal does not wait for order: the watchdogs see to the rest.
        flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop)).context("listen to signals")?;
        flag::register(signal, Arc::clone(&stop)).context("listen to signals")?;
    }
    let stopped = || stop.load(Ordering::Relaxed);

    let server = Postgres::kept(folder)?;
    println!(
        "PostgreSQL {} runs in {}",
        server.installation().major(),
        folder.display()
    );
    let database = open_store(&server, folder, &arguments.interval)?;
    let feeder = Feeder::find(database.uri(), folder, arguments.interval.clone())?;
    if fill_history(&database, &feeder, stopped)? {
        promises::make(&mut database.try_client()?)?;
        let grafana = if arguments.without_grafana {
            None
        } else {
            start_grafana(folder, &database, stopped)
        };
        let below = where_to_look(&database, arguments, grafana.as_ref());
        show_until_stopped(&database, &feeder, (arguments, &below), stopped)?;
    }
    println!(
        "stopped; the data stay in {}, `make demo` goes on from there",
        folder.display()
    );
    Ok(())
}

/// The store of an earlier run, or a new one where there is none, or where it was made otherwise than it would be now.
fn open_store<'a>(server: &'a Postgres, folder: &Path, interval: &str) -> Result<Database<'a>> {
    let made_with = folder.join("made-with.sql");
    let wanted = format!("-- a report every {interval}\n{}", installed_sql(server)?);
    let exists = server.has_store(DATABASE)?;
    if exists && fs::read_to_string(&made_with).is_ok_and(|made_with| made_with == wanted) {
        return Ok(server.database(DATABASE));
    }
    let why = if exists {
        ": the extension or the interval has changed"
    } else {
        ""
    };
    println!("make a new store{why}");
    let database = server.try_store(DATABASE)?;
    fs::write(&made_with, wanted).with_context(|| format!("write {}", made_with.display()))?;
    Ok(database)
}

fn installed_sql(server: &Postgres) -> Result<String> {
    let script = format!("extension/pg_iot_kpi--{}.sql", env!("CARGO_PKG_VERSION"));
    let path = Path::new(&server.installation().ask("--sharedir")?).join(script);
    fs::read_to_string(&path).with_context(|| format!("read {}; `make install` puts it there", path.display()))
}

/// Writes what is missing of the last day, and then what has come to be missing meanwhile. False when it was stopped.
fn fill_history(database: &Database<'_>, feeder: &Feeder, stopped: impl Fn() -> bool) -> Result<bool> {
    println!("fill in the history");
    for _ in 0..2 {
        if !feeder.backfill(missing_history(database)?, &stopped)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The time since the last sample, and a little more so that no report falls between; a day at most.
fn missing_history(database: &Database<'_>) -> Result<Duration> {
    let sql = "SELECT extract(epoch FROM now() - min(last_measured))::float8
               FROM iot.device_liveness JOIN iot.devices USING (device_id) WHERE device_type = 'collector'";
    let age: Option<f64> = database
        .try_client()?
        .query_one(sql, &[])
        .context("ask for the last sample")?
        .get(0);
    Ok(age
        .map_or(DAY, |age| {
            Duration::from_secs_f64(age.max(0.0)) + Duration::from_secs(300)
        })
        .min(DAY))
}

fn show_until_stopped(
    database: &Database<'_>,
    feeder: &Feeder,
    (arguments, below): (&Watch, &[String]),
    stopped: impl Fn() -> bool,
) -> Result<()> {
    let mut collector = feeder.simulate()?;
    let mut client = database.try_client()?;
    let mut screen = Screen::new();
    let refresh = if screen.is_terminal() {
        REFRESH
    } else {
        REFRESH_ELSEWHERE
    };
    let end = arguments
        .seconds
        .map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let over = || stopped() || end.is_some_and(|end| Instant::now() >= end);
    while !over() {
        if let Some(status) = collector.ended()? {
            bail!("the collector ended ({status}); see {}", feeder.log().display());
        }
        let fleet = Fleet::ask(&mut client)?;
        let now: String = client
            .query_one("SELECT to_char(now(), 'YYYY-MM-DD HH24:MI:SS TZ')", &[])?
            .get(0);
        screen.show(&format!("the last 24 hours, {now}"), &fleet, below)?;
        let next = Instant::now() + refresh;
        while !over() && Instant::now() < next {
            sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}

/// A Grafana where this machine has one; the demo goes on without it, whatever is wrong with it.
fn start_grafana(folder: &Path, database: &Database<'_>, stopped: impl Fn() -> bool) -> Option<Result<Grafana>> {
    let installed = Installed::find()?;
    println!("start Grafana");
    Some(installed.start(&folder.join("grafana"), database, stopped))
}

fn where_to_look(database: &Database<'_>, arguments: &Watch, grafana: Option<&Result<Grafana>>) -> Vec<String> {
    let end = match arguments.seconds {
        Some(seconds) => format!("ends after {seconds} seconds"),
        None => "Ctrl-C ends it".to_owned(),
    };
    let mut lines = vec![
        String::new(),
        "psql      make psql".to_owned(),
        format!("clients   {}", database.uri()),
    ];
    match grafana {
        Some(Ok(grafana)) => lines.extend(grafana.lines()),
        Some(Err(error)) => lines.push(format!("Grafana   not started: {error:#}")),
        None if arguments.without_grafana => {}
        None => lines.push(grafana::NONE.to_owned()),
    }
    lines.push(end);
    lines
}

fn psql(arguments: &[String], folder: &Path) -> Result<()> {
    // Ctrl-C is for psql, which cancels a query by it.
    flag::register(SIGINT, Arc::default()).context("listen to signals")?;
    if !folder.join("data/PG_VERSION").exists() {
        bail!("there is no demo yet; `make demo` makes one");
    }
    let server = match Postgres::running(folder)? {
        Some(server) => server,
        None => Postgres::kept(folder)?,
    };
    let status = server
        .database(DATABASE)
        .psql()
        .args(arguments)
        .status()
        .context("run psql")?;
    if !status.success() {
        bail!("psql ended with {status}");
    }
    Ok(())
}
