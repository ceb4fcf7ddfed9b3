//! go-plugin's controller: the one call by which Grafana ends a plugin.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::watch;
use tonic::body::BoxBody;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{BoxFuture, Service};
use tonic::server::{Grpc, NamedService, UnaryService};

/// `plugin.GRPCController`, whose messages are empty.
#[derive(Clone)]
pub(super) struct Controller {
    stop: Arc<watch::Sender<bool>>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Empty {}

impl Controller {
    pub(super) fn new(stop: Arc<watch::Sender<bool>>) -> Self {
        Controller { stop }
    }
}

impl NamedService for Controller {
    const NAME: &'static str = "plugin.GRPCController";
}

impl UnaryService<Empty> for Controller {
    type Response = Empty;
    type Future = Ready<Result<tonic::Response<Empty>, tonic::Status>>;

    fn call(&mut self, _: tonic::Request<Empty>) -> Self::Future {
        tracing::info!("asked to end");
        self.stop.send_replace(true);
        ready(Ok(tonic::Response::new(Empty {})))
    }
}

impl Service<Request<BoxBody>> for Controller {
    type Response = Response<BoxBody>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<BoxBody>) -> Self::Future {
        let controller = self.clone();
        Box::pin(async move {
            if request.uri().path() != "/plugin.GRPCController/Shutdown" {
                return Ok(tonic::Status::unimplemented("GRPCController knows Shutdown alone").into_http());
            }
            let mut grpc = Grpc::new(tonic::codec::ProstCodec::<Empty, Empty>::default());
            Ok(grpc.unary(controller, request).await)
        })
    }
}
