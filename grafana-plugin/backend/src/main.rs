//! The process that Grafana starts for each kind of data source; see the library's front page for its modules.

#[tokio::main]
async fn main() -> std::process::ExitCode {
    match iot_kpi_grafana::server::run().await {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gpx_iot_kpi: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}
