//! Writes the lists of KPIs into the files that have some, from `kpi-core/src/catalogue.rs`.

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result};
use iot_kpi_tools::catalogue::outdated;

fn main() -> ExitCode {
    iot_kpi_tools::exit(write())
}

fn write() -> Result<()> {
    for file in outdated()? {
        fs::write(&file.path, file.text).with_context(|| file.path.display().to_string())?;
        println!("{}", file.path.display());
    }
    Ok(())
}
