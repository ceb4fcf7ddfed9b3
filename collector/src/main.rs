//! Feeds pg_iot_kpi; see `iot-kpi-collector --help`.

use iot_kpi_collector::settings::{Refusal, Settings};
use std::io::IsTerminal;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let settings = match Settings::from(std::env::args_os()) {
        Ok(settings) => settings,
        // Prints help to stdout and ends with 0, a mistake to stderr and with 2.
        Err(Refusal::Usage(error)) => error.exit(),
        Err(Refusal::Value(error)) => return failure(&error.to_string(), 2),
    };
    let filter = match EnvFilter::try_new(&settings.common.log) {
        Ok(filter) => filter,
        Err(error) => return failure(&format!("--log: {error}; use a level, as in info"), 2),
    };
    let colours = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(colours);
    log.with_writer(std::io::stderr).init();
    match iot_kpi_collector::run(settings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure(&error.to_string(), 1),
    }
}

fn failure(text: &str, code: u8) -> ExitCode {
    eprintln!("iot-kpi-collector: {text}");
    ExitCode::from(code)
}
