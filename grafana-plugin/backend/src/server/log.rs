//! The log, in the form that Grafana reads from stderr; stdout is for the handshake alone.

use grafana_plugin_sdk::backend;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

/// Starts it, at the levels that `RUST_LOG` names, or at info.
pub(super) fn start() {
    let wanted = std::env::var("RUST_LOG")
        .ok()
        .and_then(|level| level.parse::<Targets>().ok());
    let wanted = wanted.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    // At their lower levels the libraries log whole messages, with the passwords in them: never more than their warnings.
    let never_more = Targets::new()
        .with_target("iot_kpi_grafana", LevelFilter::TRACE)
        .with_default(LevelFilter::WARN);
    tracing_subscriber::registry()
        .with(backend::layer())
        .with(wanted)
        .with(never_more)
        .init();
}
