//! CheckHealth, "Save & test" in Grafana's words ([`health`]), and CollectMetrics ([`metrics`]).

use crate::pool::Pools;
use crate::settings::Settings;
use crate::stream::Running;
use grafana_plugin_sdk::pluginv2::check_health_response::HealthStatus;
use grafana_plugin_sdk::pluginv2::collect_metrics_response::Payload;
use grafana_plugin_sdk::pluginv2::diagnostics_server::Diagnostics;
use grafana_plugin_sdk::pluginv2::{
    CheckHealthRequest, CheckHealthResponse, CollectMetricsRequest, CollectMetricsResponse,
};
use metrics::QueryCounters;
use tonic::{Request, Response, Status};

pub mod health;
pub mod metrics;

/// The service.
pub struct DiagnosticsService {
    pub(crate) pools: Pools,
    pub(crate) queries: QueryCounters,
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
            Err(error) => health::unhealthy("settings", error.message(), ""),
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
        let page = metrics::page(&self.queries, &self.pools.states(), &self.streams.counts());
        let payload = Payload {
            prometheus: page.map_err(|error| Status::internal(error.message()))?.into_bytes(),
        };
        Ok(Response::new(CollectMetricsResponse { metrics: Some(payload) }))
    }
}
