//! Lets ten thousand devices report live while server and collector are killed, prints what was lost, and writes `target/soak.json`.
//! Fails where it could not judge; what is short is said in the table.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use iot_kpi_tools::bench::Table;
use iot_kpi_tools::installation::target;
use iot_kpi_tools::soak;

/// Crashes under load, and what they lose.
#[derive(Parser)]
struct Arguments {
    /// How long the devices report
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// What is killed when: same seed, same order
    #[arg(long, env = "IOT_KPI_SEED", default_value_t = 42)]
    seed: u64,
}

fn main() -> ExitCode {
    iot_kpi_tools::exit(crash(&Arguments::parse()))
}

fn crash(arguments: &Arguments) -> Result<()> {
    let mut table = Table::default();
    soak::run(arguments.seconds, arguments.seed, &mut table)?;
    println!("{}", table.ending());
    let file = target().join("soak.json");
    table.write(&file)?;
    println!("written to {}", file.display());
    Ok(())
}
