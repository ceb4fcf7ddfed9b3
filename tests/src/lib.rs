//! What crosses rooms: private PostgreSQL servers for tests, demo and development.
//!
//! | module | what |
//! |---|---|
//! | [`installation`] | the PostgreSQL programs that `PG_CONFIG` names, by default those that set-up put into `target/` |
//! | [`identity`] | as which user a server runs, when this process is root's |
//! | [`postgres`] | a private server: start, connect, stop, kill, restart; leaves nothing behind |
//! | [`answers`] | a small store, and every report over it, to be compared |
//! | [`catalog`] | what a database holds of the extension and its store, as lines that can be compared |
//! | [`upkeep`] | a server with the background worker, and waiting for its runs |
//! | [`upgrade`] | the script from one version's SQL to the next |
//! | [`bench`] | ratios to plain PostgreSQL: what `make bench` prints |
//! | [`demo`] | the five devices live: a feeder, and a table of the fleet in the terminal |
//!
//! ```no_run
//! let server = iot_kpi_tests::postgres::shared();
//! let mut client = server.store("example").client();
//! let devices: i64 = client.query_one("SELECT count(*) FROM iot.devices", &[]).unwrap().get(0);
//! assert_eq!(devices, 0);
//! ```

pub mod answers;
pub mod bench;
pub mod catalog;
pub mod demo;
pub mod identity;
pub mod installation;
pub mod postgres;
pub mod upgrade;
pub mod upkeep;
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
