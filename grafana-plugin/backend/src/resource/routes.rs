//! Every route; `openapi.json` describes those under `v1/`, and a test compares the two.

use super::call::{Answerer, Asked};
use super::reply::{Problem, Reply};
use super::{LARGEST_BODY, devices, docs, health, kpis, metrics, options};
use crate::error::shown;
use crate::pool::Pools;
use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath};
use axum::http::Uri;
use axum::routing::{MethodFilter, on};

/// A route.
pub struct Route {
    /// GET, POST or PUT.
    pub method: &'static str,
    filter: MethodFilter,
    /// With `{id}` where a device's id stands.
    pub path: &'static str,
    /// Whether it changes something.
    pub writes: bool,
    handler: Handler,
}

/// What answers a route.
enum Handler {
    /// Something that asks the database.
    Asks(Answerer),
    /// Something that is always the same.
    Fixed(fn() -> Reply),
}

macro_rules! route {
    ($method:ident $path:literal reads $handler:path) => {
        route!($method $path, false, Handler::Asks(|call| Box::pin($handler(call))))
    };
    ($method:ident $path:literal writes $handler:path) => {
        route!($method $path, true, Handler::Asks(|call| Box::pin($handler(call))))
    };
    ($method:ident $path:literal is $handler:path) => {
        route!($method $path, false, Handler::Fixed($handler))
    };
    ($method:ident $path:literal, $writes:literal, $handler:expr) => {
        Route {
            method: stringify!($method),
            filter: MethodFilter::$method,
            path: $path,
            writes: $writes,
            handler: $handler,
        }
    };
}

/// The routes.
pub const ROUTES: &[Route] = &[
    route!(GET "options" reads options::all),
    route!(GET "options/values" reads options::values),
    route!(GET "options/schema" reads options::schema),
    route!(GET "v1/openapi.json" is docs::openapi),
    route!(GET "v1/docs" is docs::page),
    route!(GET "v1/devices" reads devices::list),
    route!(POST "v1/devices" writes devices::create),
    route!(GET "v1/devices/{id}" reads devices::get),
    route!(PUT "v1/devices/{id}" writes devices::replace),
    route!(GET "v1/devices/{id}/metrics" reads metrics::list),
    route!(POST "v1/devices/{id}/metrics" writes metrics::store),
    route!(GET "v1/metrics/summary" reads metrics::summary),
    route!(GET "v1/devices/{id}/kpis" reads kpis::of_device),
    route!(POST "v1/devices/{id}/kpis/calculate" writes kpis::calculate),
    route!(GET "v1/kpis/summary" reads kpis::summary),
    route!(GET "v1/health" reads health::brief),
    route!(GET "v1/health/detailed" reads health::detailed),
];

impl Route {
    async fn answer(&self, asked: Asked) -> Result<Reply, Problem> {
        match self.handler {
            Handler::Asks(answerer) => asked.answer(answerer, self.writes).await,
            Handler::Fixed(reply) => Ok(reply()),
        }
    }
}

/// All routes; an unknown path or method is answered by a problem, too.
pub(super) fn router(pools: Pools) -> Router {
    let routed = ROUTES.iter().fold(Router::new(), |router, route| {
        router.route(
            &format!("/{}", route.path),
            on(route.filter, |asked: Asked| route.answer(asked)),
        )
    });
    routed
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(pools)
}

async fn unknown_path(uri: Uri) -> Problem {
    let path = uri.path().trim_start_matches('/');
    Problem::not_found(format!("there is no route {}; see v1/docs", shown(path)))
}

/// The router itself adds the header `Allow`.
async fn unknown_method(matched: MatchedPath) -> Problem {
    let path = matched.as_str().trim_start_matches('/');
    let routes = ROUTES.iter().filter(|route| route.path == path);
    let methods: Vec<_> = routes.map(|route| route.method).collect();
    Problem::method(path, &methods.join(", "))
}
