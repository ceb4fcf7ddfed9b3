//! Settings: by flag, by environment, by file, in that order; `--help` is their reference.

mod file;
pub(crate) mod values;

pub use file::{SettingsFile, Table};

use crate::database::Target;
use crate::error::Error;
use crate::runtime::time_grid::Micros;
use crate::source::{self, Context, Named, simulation};
use clap::builder::BoolishValueParser;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Feeds pg_iot_kpi.
///
/// Every setting is taken from its flag, else from its environment variable, else from the settings file. Where its name
/// ends with .toml, a key is a flag's name with _ for -, and each source has a table: [source.simulation]. Otherwise it
/// holds NAME=value lines with the names of the environment.
#[derive(Debug, Parser)]
#[command(name = "iot-kpi-collector", version)]
pub struct Settings {
    /// Settings that every command takes.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// The settings file, for what has no flag (PG* variables).
    #[arg(skip)]
    pub file: SettingsFile,
    /// Whether the database's URL is in everybody's list of processes.
    #[arg(skip)]
    pub url_on_command_line: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Sends what the sources of the settings file deliver, until SIGTERM or Ctrl-C
    Run(Run),
    /// Sends the live data of simulated devices, until SIGTERM or Ctrl-C
    Simulate(Simulate),
    /// Writes the history up to now
    Backfill(Backfill),
    /// Registers the devices and lists them
    Devices(Devices),
    /// Says whether a settings file can be used; ends with 0 when it can, and with 2 and all its mistakes when not
    Check,
    /// Sends rows again that the store has refused
    Resend(Resend),
    /// Asks a running collector how it is; for health checks, ends with 0 when it is well
    Health(Health),
}

/// Settings that every command takes.
#[derive(Debug, Args)]
pub struct Common {
    /// A file of settings
    #[arg(long, global = true, env = "IOT_KPI_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The database: postgresql://user@host/name. Else DATABASE_URL, else PGHOST, PGPORT, PGUSER, PGDATABASE; what a
    /// URL leaves out is taken from the PG* variables. A password in it is refused here, but not in the environment
    #[arg(
        long,
        global = true,
        env = "IOT_KPI_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub database_url: Option<String>,
    /// A file with the password and nothing else. Else PGPASSWORD, else a line of PGPASSFILE or ~/.pgpass
    #[arg(long, global = true, env = "IOT_KPI_PASSWORD_FILE", value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// TLS: disable, prefer, require, verify-ca or verify-full. Else sslmode in the URL, else PGSSLMODE [default: prefer]
    #[arg(long, global = true, value_name = "MODE")]
    pub sslmode: Option<String>,
    /// The CA that must have signed the server's certificate, or `system`. Else sslrootcert in the URL, else
    /// PGSSLROOTCERT, else ~/.postgresql/root.crt
    #[arg(long, global = true, value_name = "FILE")]
    pub sslrootcert: Option<String>,
    /// The collector's own certificate. Else sslcert in the URL, else PGSSLCERT, else ~/.postgresql/postgresql.crt
    #[arg(long, global = true, value_name = "FILE")]
    pub sslcert: Option<String>,
    /// The key of that certificate. Else sslkey in the URL, else PGSSLKEY, else ~/.postgresql/postgresql.key
    #[arg(long, global = true, value_name = "FILE")]
    pub sslkey: Option<String>,
    /// Create the extension and its store when they are missing
    #[arg(long, global = true, env = "IOT_KPI_CREATE_STORE", value_parser = BoolishValueParser::new())]
    pub create_store: bool,
    /// How long backfill and devices wait for a database that does not answer; run and simulate wait for ever
    #[arg(long, global = true, env = "IOT_KPI_WAIT", value_parser = values::duration, default_value = "10s")]
    pub wait: Duration,
    /// The collector's own device id
    #[arg(
        long,
        global = true,
        env = "IOT_KPI_COLLECTOR_ID",
        default_value = "collector-1",
        value_name = "ID"
    )]
    pub collector_id: String,
    /// Most rows in one statement
    #[arg(long, global = true, env = "IOT_KPI_BATCH", default_value_t = 5000, value_name = "ROWS",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub batch: u32,
    /// Most connections that write at the same time
    #[arg(long, global = true, env = "IOT_KPI_WRITERS", default_value_t = 2, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=64))]
    pub writers: u32,
    /// Where rows are kept that the store refuses, a JSON object a line; `resend` sends them again [default:
    /// dead-letters.jsonl in the spool's folder]
    #[arg(long, global = true, env = "IOT_KPI_DEAD_LETTERS", value_name = "FILE")]
    pub dead_letters: Option<PathBuf>,
    /// Most bytes of that file; when it is full, refused rows are lost, which is counted and logged
    #[arg(long, global = true, env = "IOT_KPI_DEAD_LETTERS_MAX", value_parser = values::size, default_value = "64M",
          value_name = "SIZE")]
    pub dead_letters_max: u64,
    /// Longest pause between two tries to reach a database that is away
    #[arg(long, global = true, env = "IOT_KPI_RETRY_MAX", value_parser = values::positive_duration,
          default_value = "30s")]
    pub retry_max: Duration,
    /// What to log on stderr: error, warn, info, debug, trace, or by module
    #[arg(
        long,
        global = true,
        env = "IOT_KPI_LOG",
        default_value = "info",
        value_name = "FILTER"
    )]
    pub log: String,
    /// Which of several collectors with the same settings this one is, see `--instance-dir`.
    #[arg(skip)]
    pub instance: Option<u32>,
}

/// Settings of `simulate`.
#[derive(Debug, Args)]
pub struct Simulate {
    /// How to go on collecting.
    #[command(flatten)]
    pub run: Run,
    /// The devices.
    #[command(flatten)]
    pub simulation: simulation::Settings,
}

/// Settings of `run`, and of `simulate`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Collecting")]
pub struct Run {
    /// A folder that collectors with the same settings share: each takes the first number that is free in it. The n-th is
    /// collector-n, and has the n-th lot of simulated devices
    #[arg(long, alias = "places", env = "IOT_KPI_INSTANCE_DIR", value_name = "DIR")]
    pub instance_dir: Option<PathBuf>,
    /// Where data wait while the database is away [default: a folder for this collector and database under
    /// $XDG_STATE_HOME or ~/.local/state]
    #[arg(long, env = "IOT_KPI_SPOOL_DIR", value_name = "DIR")]
    pub spool_dir: Option<PathBuf>,
    /// Most bytes that wait there; when it is full, new data are not taken, which is counted and logged
    #[arg(long, env = "IOT_KPI_SPOOL_MAX", value_parser = values::size, default_value = "256M", value_name = "SIZE")]
    pub spool_max: u64,
    /// Deliver what waits there for a database whose place this one has taken, restored or upgraded
    #[arg(long)]
    pub spool_adopt: bool,
    /// How often to have KPIs calculated; 0 for never
    #[arg(long, env = "IOT_KPI_CALCULATE_EVERY", value_parser = values::duration, default_value = "1h")]
    pub calculate_every: Duration,
    /// Serve /metrics (Prometheus) and /health on this address, as in 127.0.0.1:9187
    #[arg(long, env = "IOT_KPI_METRICS_LISTEN", value_name = "ADDRESS")]
    pub metrics_listen: Option<SocketAddr>,
    /// Allow --metrics-listen on an address that other machines can reach
    #[arg(long, env = "IOT_KPI_METRICS_PUBLIC", value_parser = BoolishValueParser::new())]
    pub metrics_public: bool,
    /// How long a shutdown may take to write what is in hand before it goes to the spool
    #[arg(long, env = "IOT_KPI_GRACE", value_parser = values::duration, default_value = "5s")]
    pub grace: Duration,
}

/// Settings of `backfill`.
#[derive(Debug, Args)]
pub struct Backfill {
    /// How far back
    #[arg(long, env = "IOT_KPI_BACKFILL", value_parser = values::positive_duration, default_value = "24h",
          value_name = "DURATION")]
    pub span: Duration,
    /// Up to when [default: now]
    #[arg(long, value_parser = values::instant, value_name = "INSTANT")]
    pub until: Option<Micros>,
    /// Leave the KPIs uncalculated
    #[arg(long, env = "IOT_KPI_NO_CALCULATE", value_parser = BoolishValueParser::new())]
    pub no_calculate: bool,
    /// The devices.
    #[command(flatten)]
    pub simulation: simulation::Settings,
}

/// Settings of `devices`.
#[derive(Debug, Args)]
pub struct Devices {
    /// List only
    #[arg(long)]
    pub list_only: bool,
    /// Bring devices that are registered differently in line with the sources
    #[arg(long, conflicts_with = "list_only")]
    pub overwrite: bool,
    /// The devices, where the settings file has no sources.
    #[command(flatten)]
    pub simulation: simulation::Settings,
}

/// Settings of `resend`.
#[derive(Debug, Args)]
pub struct Resend {
    /// A file of dead letters, mended or as it is
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Settings of `health`.
#[derive(Debug, Args)]
pub struct Health {
    /// Where it serves /health, as in 127.0.0.1:9187
    #[arg(long, env = "IOT_KPI_METRICS_LISTEN", value_name = "ADDRESS")]
    pub metrics_listen: SocketAddr,
}

impl Settings {
    /// From a command line, the environment and the file that either of them names.
    pub fn from<I, T>(arguments: I) -> Result<Self, Refusal>
    where
        I: IntoIterator<Item = T>,
        T: Into<OsString> + Clone,
    {
        let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
        let command = Self::command();
        let file = match Self::named_file(&arguments) {
            Some(path) => SettingsFile::read(&path, &command)?,
            None => SettingsFile::default(),
        };
        let matches = file.apply(command).try_get_matches_from(arguments)?;
        let mut settings = Self::from_arg_matches(&matches)?;
        settings.file = file;
        settings.url_on_command_line = is_on_command_line(&matches, "database_url");
        let shares = settings.run().is_some_and(|run| run.instance_dir.is_some());
        settings.common.instance = shares.then_some(0);
        settings.check()?;
        Ok(settings)
    }

    /// The file must be known before the command line can be judged: it may be wrong for want of what is in the file.
    fn named_file(arguments: &[OsString]) -> Option<PathBuf> {
        let flagged = arguments.iter().enumerate().find_map(|(index, argument)| {
            let argument = argument.to_str()?;
            match argument.strip_prefix("--config")? {
                "" => arguments.get(index + 1).map(PathBuf::from),
                value => value.strip_prefix('=').map(PathBuf::from),
            }
        });
        flagged.or_else(|| {
            std::env::var_os("IOT_KPI_CONFIG")
                .filter(|name| !name.is_empty())
                .map(PathBuf::from)
        })
    }

    fn check(&self) -> Result<(), Error> {
        let id = &self.common.collector_id;
        if id.is_empty() || id.chars().count() > 255 {
            return Err(Error::setting(
                "--collector-id",
                format!("{id:?} is no device id"),
                "use 1 to 255 characters",
            ));
        }
        match self.command {
            Command::Run(_) => self.sources().map(|_| ()),
            Command::Check => self.check_file(),
            _ => Ok(()),
        }
    }

    /// What cannot be seen when a file is read, and yet needs no database.
    fn check_file(&self) -> Result<(), Error> {
        if self.common.config.is_none() {
            return Err(Error::setting(
                "--config",
                "is not given",
                "name the settings file to check",
            ));
        }
        Target::from_settings(self)?;
        match self.file.is_toml() {
            true => self.sources().map(|_| ()),
            false => Ok(()),
        }
    }

    /// What goes on collecting has these.
    pub fn run(&self) -> Option<&Run> {
        match &self.command {
            Command::Run(run) | Command::Simulate(Simulate { run, .. }) => Some(run),
            _ => None,
        }
    }

    /// The sources: those of the settings file's tables, or the simulated devices that flags describe.
    pub fn sources(&self) -> Result<Vec<Named>, Error> {
        let (tables, context) = (self.file.tables(), self.context());
        let simulation = |settings: &simulation::Settings| {
            let name = simulation::KIND.name.to_owned();
            let source = Box::new(simulation::Simulation::new(settings.clone(), &context));
            Ok(vec![Named { name, source }])
        };
        match &self.command {
            Command::Simulate(simulate) => return simulation(&simulate.simulation),
            Command::Devices(devices) if self.file.is_one_simulation_at_most() => {
                return simulation(&devices.simulation);
            }
            _ => {}
        }
        if tables.is_empty() {
            let remedy = "name a file with --config that ends with .toml and has one, as in [source.simulation]";
            return Err(Error::setting("--config", "there is no source", remedy));
        }
        let named = |table: &Table| {
            let name = table.name().to_owned();
            source::make(table, &context).map(|source| Named { name, source })
        };
        let sources = tables.iter().map(named).collect::<Result<Vec<Named>, Error>>()?;
        source::refuse_shared_devices(&sources)?;
        Ok(sources)
    }

    /// What sources may want to know.
    pub fn context(&self) -> Context {
        let instance = self.common.instance;
        Context { instance }
    }
}

impl Common {
    /// Most rows that travel together: a few statements of each writer, since the last to end is waited for.
    pub fn rows(&self) -> usize {
        4 * self.batch as usize * self.writers as usize
    }
}

/// What a settings file may have above its tables: what holds for every source.
fn common() -> clap::Command {
    Run::augment_args(Common::augment_args(clap::Command::new("common")))
}

/// A folder for this collector and this database: what waits for one must never reach another.
pub(crate) fn spool_folder(settings: &Settings, given: Option<&Path>, target: &Target) -> Result<PathBuf, Error> {
    if let Some(folder) = given {
        return Ok(folder.to_owned());
    }
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
    let state = state.ok_or_else(|| {
        Error::setting(
            "--spool-dir",
            "is not given, and there is no home folder to put the spool into",
            "name a folder",
        )
    })?;
    let plain = |text: &str| text.replace(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_', "_");
    let name = format!("{}-{}", plain(&settings.common.collector_id), plain(target.name()));
    Ok(state.join("iot-kpi-collector").join(name))
}

/// Before the command's name or after it.
fn is_on_command_line(matches: &ArgMatches, name: &str) -> bool {
    matches.value_source(name) == Some(ValueSource::CommandLine)
        || matches
            .subcommand()
            .is_some_and(|(_, matches)| is_on_command_line(matches, name))
}

/// Why there are no settings.
#[derive(Debug)]
pub enum Refusal {
    /// The command line is wrong, or asks for help.
    Usage(clap::Error),
    /// A value or the file is wrong.
    Value(Error),
}

impl From<clap::Error> for Refusal {
    fn from(error: clap::Error) -> Self {
        Refusal::Usage(error)
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Refusal::Value(error)
    }
}

#[cfg(test)]
mod tests;
