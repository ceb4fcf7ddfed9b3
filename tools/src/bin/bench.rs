//! Measures the extension beside plain PostgreSQL, prints the ratios and writes `target/bench.json`. Fails only where it could
//! not measure; what is short is said in the table.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser;
use iot_kpi_tools::bench::{Scale, groups, run};
use iot_kpi_tools::installation::target;

/// The ratios of "How fast".
#[derive(Parser)]
struct Arguments {
    /// Groups of measures to run: aggregates, parallel, memory, reports, calculations, ingest, plugin; all of these when none is named; and
    /// month, which takes ten minutes and ten gigabytes
    groups: Vec<String>,
    /// A tenth of the data, in three minutes
    #[arg(long)]
    quick: bool,
}

fn main() -> ExitCode {
    iot_kpi_tools::exit(measure(&Arguments::parse()))
}

fn measure(arguments: &Arguments) -> Result<()> {
    if let Some(unknown) = arguments.groups.iter().find(|name| !groups().contains(&name.as_str())) {
        bail!("there is no group {unknown}; there are {}", groups().join(", "));
    }
    let scale = Scale {
        quick: arguments.quick,
        rounds: 5,
    };
    let table = run(scale, &arguments.groups)?;
    println!("{}", table.ending());
    let file = target().join("bench.json");
    table.write(&file)?;
    println!("written to {}", file.display());
    Ok(())
}
