//! `versions step` writes the script that brings a database from the last released version to this one, and says what it does.
//! `versions freeze` keeps what the installed version is: its SQL whole, its script, and a store as it makes one.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use iot_kpi_tools::upgrade::{Fixture, Step};

/// The versions of the extension's SQL.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Write the script from the last released version's SQL to that of sql/
    Step,
    /// Keep the installed version's SQL and a store that it made, for the tests of the versions to come
    Freeze,
}

fn main() -> ExitCode {
    iot_kpi_tools::exit(match Arguments::parse().action {
        Action::Step => step(),
        Action::Freeze => freeze(),
    })
}

fn step() -> Result<()> {
    let step = Step::find()?;
    let script = step.write()?;
    for change in &script.changes {
        println!("{change}");
    }
    println!("{}: {} changes", step.file().display(), script.changes.len());
    if !script.by_hand.is_empty() {
        bail!("to be written by hand, above the mark: {}", script.by_hand.join("; "));
    }
    Ok(())
}

fn freeze() -> Result<()> {
    for file in Fixture::freeze()? {
        println!("{}", file.display());
    }
    Ok(())
}
