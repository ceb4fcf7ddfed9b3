//! Private PostgreSQL servers, and what the programs beside them do: show the demo, measure, keep versions.
//!
//! | module | what |
//! |---|---|
//! | [`installation`] | the PostgreSQL programs at hand: those that `PG_CONFIG` names, or those that set-up put into `target/` |
//! | [`identity`] | as which user a server runs, when this process is root's |
//! | [`postgres`] | a private server: start, connect, stop, kill, restart; leaves nothing behind |
//! | [`answers`] | a small store, and every report over it, to be compared |
//! | [`upgrade`] | the script from one version's SQL to the next, and what is kept of a released version |
//! | [`catalogue`] | the lists of KPIs in SQL, docs and the plugin, made from kpi-core's |
//! | [`bench`] | ratios to plain PostgreSQL: what `make bench` prints |
//! | [`soak`] | ten thousand devices live, while server and collector are killed: `make bench SOAK=1` |
//! | [`collector`] | the collector's program, as it was built beside this one |
//! | [`demo`] | the five devices live: a feeder, and a table of the fleet in the terminal |
//!
//! ```no_run
//! let server = iot_kpi_tools::postgres::shared();
//! let mut client = server.store("example").client();
//! let devices: i64 = client.query_one("SELECT count(*) FROM iot.devices", &[]).unwrap().get(0);
//! assert_eq!(devices, 0);
//! ```

pub mod answers;
pub mod bench;
pub mod catalogue;
pub mod collector;
pub mod demo;
pub mod identity;
pub mod installation;
pub mod postgres;
pub mod soak;
pub mod upgrade;
mod watchdog;

/// Ends a program: an error goes to stderr, with its causes and without a backtrace.
pub fn exit(result: anyhow::Result<()>) -> std::process::ExitCode {
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
