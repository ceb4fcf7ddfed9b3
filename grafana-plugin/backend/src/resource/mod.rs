//! CallResource: what the editors offer, and the REST API under `v1/`. [`routes::ROUTES`] lists every route.

mod body;
mod bridge;
mod call;
mod devices;
mod docs;
mod health;
mod json_rows;
mod kpis;
mod metrics;
mod options;
mod params;
mod reply;
pub mod routes;
mod writers;

use crate::pool::Pools;
use axum::Router;
use axum::response::IntoResponse;
pub(crate) use call::Call;
use grafana_plugin_sdk::pluginv2::resource_server::Resource;
use grafana_plugin_sdk::pluginv2::{CallResourceRequest, CallResourceResponse};
use std::pin::Pin;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};
use tower::ServiceExt;

/// The longest address.
const LONGEST_ADDRESS: usize = 60_000;
/// The largest body of a write.
const LARGEST_BODY: usize = 4 * 1024 * 1024;

/// The service.
pub struct ResourceService {
    router: Router,
}

impl ResourceService {
    pub(crate) fn new(pools: Pools) -> Self {
        ResourceService {
            router: routes::router(pools),
        }
    }
}

#[tonic::async_trait]
impl Resource for ResourceService {
    type CallResourceStream = Pin<Box<dyn Stream<Item = Result<CallResourceResponse, Status>> + Send>>;

    async fn call_resource(
        &self,
        request: Request<CallResourceRequest>,
    ) -> Result<Response<Self::CallResourceStream>, Status> {
        let response = match bridge::request(request.into_inner()) {
            Ok(request) => self.router.clone().oneshot(request).await.into_response(),
            Err(problem) => problem.into_response(),
        };
        let response = bridge::response(response).await?;
        Ok(Response::new(Box::pin(tokio_stream::once(Ok(response)))))
    }
}

/// For the fuzzers: a request as far as it gets without a database. Each body is read as that of every route.
#[cfg(fuzzing)]
pub(crate) fn read(method: &str, url: &str, body: &[u8]) {
    static ROUTER: std::sync::LazyLock<Router> = std::sync::LazyLock::new(|| routes::router(Pools::default()));
    let call = CallResourceRequest {
        path: url.split('?').next().unwrap_or_default().to_owned(),
        url: url.to_owned(),
        method: method.to_owned(),
        body: body.to_vec().into(),
        ..CallResourceRequest::default()
    };
    if let Ok(request) = bridge::request(call) {
        if let Ok(params) = params::Params::of(request.uri()) {
            let _ = (params.page(), params.range(), params.texts("device_id"));
        }
        // It names no data source, so that nothing waits for a database.
        let _ = futures_util::FutureExt::now_or_never(ROUTER.clone().oneshot(request));
    }
    if body.len() <= LARGEST_BODY {
        for id in [None, Some("TEMP_001")] {
            let _ = devices::checked(body, id);
        }
        let _ = (metrics::samples(body), kpis::period(body));
    }
}
