//! CheckHealth: see [`health`]. CollectMetrics: what this process does, for Prometheus.

use crate::pool::Pools;
use crate::settings::{Settings, SourceId};
use crate::stream::Running;
use grafana_plugin_sdk::pluginv2::check_health_response::HealthStatus;
use grafana_plugin_sdk::pluginv2::collect_metrics_response::Payload;
use grafana_plugin_sdk::pluginv2::diagnostics_server::Diagnostics;
use grafana_plugin_sdk::pluginv2::{
    CheckHealthRequest, CheckHealthResponse, CollectMetricsRequest, CollectMetricsResponse,
};
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tonic::{Request, Response, Status};

pub mod health;

/// What happened since the start.
#[derive(Default)]
pub struct Counters {
    answered: AtomicU64,
    refused: AtomicU64,
}

impl Counters {
    pub(crate) fn queried(&self, well: bool) {
        let counter = if well { &self.answered } else { &self.refused };
        counter.fetch_add(1, Relaxed);
    }
}

/// The service.
pub struct DiagnosticsService {
    pub(crate) pools: Pools,
    pub(crate) counters: Arc<Counters>,
    pub(crate) streams: Running,
}

#[tonic::async_trait]
impl Diagnostics for DiagnosticsService {
    async fn check_health(
        &self,
        request: Request<CheckHealthRequest>,
    ) -> Result<Response<CheckHealthResponse>, Status> {
        let settings = Settings::from_context(request.get_ref().plugin_context.as_ref());
        let verdict = match settings {
            Ok(settings) => health::check(&self.pools, &settings).await,
            Err(error) => health::unwell("settings", error.message(), ""),
        };
        if !verdict.healthy {
            tracing::info!(reason = verdict.reason, "health check failed");
        }
        let status = if verdict.healthy {
            HealthStatus::Ok
        } else {
            HealthStatus::Error
        };
        Ok(Response::new(CheckHealthResponse {
            status: status.into(),
            message: verdict.message,
            json_details: verdict.details.to_string().into_bytes(),
        }))
    }

    async fn collect_metrics(
        &self,
        _: Request<CollectMetricsRequest>,
    ) -> Result<Response<CollectMetricsResponse>, Status> {
        let payload = Payload {
            prometheus: self.prometheus().into_bytes(),
        };
        Ok(Response::new(CollectMetricsResponse { metrics: Some(payload) }))
    }
}

impl DiagnosticsService {
    fn prometheus(&self) -> String {
        let (answered, refused) = (
            self.counters.answered.load(Relaxed),
            self.counters.refused.load(Relaxed),
        );
        let mut text = format!(
            "# HELP iot_kpi_queries_total Queries by result.\n# TYPE iot_kpi_queries_total counter\n\
             iot_kpi_queries_total{{result=\"answered\"}} {answered}\niot_kpi_queries_total{{result=\"refused\"}} {refused}\n\
             # HELP iot_kpi_connections Connections by data source and state.\n# TYPE iot_kpi_connections gauge\n"
        );
        for pool in self.pools.states() {
            // Grafana's uids are letters, digits, - and _; nothing to escape.
            let SourceId { organisation, uid } = &pool.source;
            let states = [
                ("open", pool.size),
                ("idle", pool.available),
                ("awaited", pool.waiting),
                ("limit", pool.limit),
            ];
            for (state, number) in states {
                // Writing to a string cannot fail.
                let _ = writeln!(
                    text,
                    "iot_kpi_connections{{datasource=\"{uid}\",organisation=\"{organisation}\",state=\"{state}\"}} {number}"
                );
            }
        }
        text.push_str("# HELP iot_kpi_streams Streams that run, by data source.\n# TYPE iot_kpi_streams gauge\n");
        for (SourceId { organisation, uid }, number) in self.streams.counts() {
            let _ = writeln!(
                text,
                "iot_kpi_streams{{datasource=\"{uid}\",organisation=\"{organisation}\"}} {number}"
            );
        }
        text
    }
}
