//! `dev-db` starts, or finds, a private PostgreSQL with the extension and an empty store, and prints its connection URI as the
//! last line. `dev-db stop` ends it and removes its data.

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use iot_kpi_tools::installation::target;
use iot_kpi_tools::postgres::{Postgres, Stop};

const DATABASE: &str = "iot";

/// A private PostgreSQL with the extension and an empty store, for development.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// Start it, or find it running; the last line is its connection URI
    Start,
    /// End it and remove its data
    Stop,
}

fn main() -> ExitCode {
    iot_kpi_tools::exit(match Arguments::parse().action.unwrap_or(Action::Start) {
        Action::Start => start(),
        Action::Stop => stop(),
    })
}

fn start() -> Result<()> {
    let folder = target().join("dev-db");
    let server = match Postgres::running(&folder)? {
        Some(server) => {
            println!(
                "found PostgreSQL {} in {}",
                server.installation().major(),
                folder.display()
            );
            server
        }
        None => {
            let server = Postgres::detached(&folder)?;
            println!(
                "started PostgreSQL {} in {}",
                server.installation().major(),
                folder.display()
            );
            server
        }
    };
    if !server.has_store(DATABASE)? {
        server.try_store(DATABASE)?;
        println!("made the store in database {DATABASE}");
    }
    println!("{}", server.database(DATABASE).uri());
    Ok(())
}

fn stop() -> Result<()> {
    let folder = target().join("dev-db");
    match Postgres::running(&folder)? {
        Some(mut server) => {
            server.stop(Stop::Fast)?;
            println!("stopped PostgreSQL in {}", folder.display());
        }
        None => println!("no PostgreSQL runs in {}", folder.display()),
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    Ok(())
}
