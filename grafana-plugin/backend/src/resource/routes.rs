//! Every route; `openapi.json` describes those under `v1/`, and a test compares the two.

use super::reply::{Problem, Reply};
use super::{Call, devices, docs, health, kpis, metrics, options};
use crate::error::shown;
use std::future::Future;
use std::pin::Pin;

type Answer = Pin<Box<dyn Future<Output = Result<Reply, Problem>> + Send>>;

/// A route.
pub struct Route {
    /// GET, POST or PUT.
    pub method: &'static str,
    /// With `{id}` where a device's id stands.
    pub path: &'static str,
    /// Whether it changes something.
    pub writes: bool,
    pub(crate) handler: Handler,
}

/// What answers a route.
pub(crate) enum Handler {
    /// Something that asks the database.
    Asks(fn(Call) -> Answer),
    /// Something that is always the same.
    Fixed(fn() -> Reply),
}

impl Handler {
    pub(crate) async fn call(&self, call: Call) -> Result<Reply, Problem> {
        match self {
            Handler::Asks(answer) => answer(call).await,
            Handler::Fixed(reply) => Ok(reply()),
        }
    }
}

macro_rules! route {
    ($method:literal $path:literal reads $handler:path) => {
        Route {
            method: $method,
            path: $path,
            writes: false,
            handler: Handler::Asks(|call| Box::pin($handler(call))),
        }
    };
    ($method:literal $path:literal writes $handler:path) => {
        Route {
            method: $method,
            path: $path,
            writes: true,
            handler: Handler::Asks(|call| Box::pin($handler(call))),
        }
    };
    ($method:literal $path:literal is $handler:path) => {
        Route {
            method: $method,
            path: $path,
            writes: false,
            handler: Handler::Fixed($handler),
        }
    };
}

/// The routes, fixed words before `{id}`.
pub const ROUTES: &[Route] = &[
    route!("GET" "options" reads options::all),
    route!("GET" "options/values" reads options::values),
    route!("GET" "options/schema" reads options::schema),
    route!("GET" "v1/openapi.json" is docs::openapi),
    route!("GET" "v1/docs" is docs::page),
    route!("GET" "v1/devices" reads devices::list),
    route!("POST" "v1/devices" writes devices::create),
    route!("GET" "v1/devices/{id}" reads devices::get),
    route!("PUT" "v1/devices/{id}" writes devices::replace),
    route!("GET" "v1/devices/{id}/metrics" reads metrics::list),
    route!("POST" "v1/devices/{id}/metrics" writes metrics::store),
    route!("GET" "v1/metrics/summary" reads metrics::summary),
    route!("GET" "v1/devices/{id}/kpis" reads kpis::of_device),
    route!("POST" "v1/devices/{id}/kpis/calculate" writes kpis::calculate),
    route!("GET" "v1/kpis/summary" reads kpis::summary),
    route!("GET" "v1/health" reads health::brief),
    route!("GET" "v1/health/detailed" reads health::detailed),
];

/// The route of a path, and what stands in the place of `{id}`.
pub(crate) fn find(method: &str, path: &str) -> Result<(&'static Route, String), Problem> {
    let mut methods = Vec::new();
    for route in ROUTES {
        if let Some(id) = matches(route.path, path) {
            if route.method.eq_ignore_ascii_case(method) {
                return Ok((route, id));
            }
            methods.push(route.method);
        }
    }
    if methods.is_empty() {
        return Err(Problem::not_found(format!(
            "there is no route {}; see v1/docs",
            shown(path)
        )));
    }
    Err(Problem::method(path, &methods.join(", ")))
}

fn matches(pattern: &str, path: &str) -> Option<String> {
    let (wanted, given): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), path.split('/').collect());
    if wanted.len() != given.len() {
        return None;
    }
    let mut id = String::new();
    for (wanted, given) in wanted.into_iter().zip(given) {
        if wanted == "{id}" && !given.is_empty() {
            id = super::params::decode(given);
        } else if wanted != given {
            return None;
        }
    }
    Some(id)
}
