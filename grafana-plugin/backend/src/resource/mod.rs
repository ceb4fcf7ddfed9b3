//! CallResource: what the editors offer, and the REST API under `v1/`. Every route stands in [`routes::ROUTES`].

mod body;
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

use crate::error::Error;
use crate::pool::Pools;
use crate::session::Session;
use crate::settings::Settings;
use crate::statement::Statement;
use grafana_plugin_sdk::pluginv2::resource_server::Resource;
use grafana_plugin_sdk::pluginv2::{CallResourceRequest, CallResourceResponse};
use params::Params;
use reply::{Problem, Reply};
use std::pin::Pin;
use std::sync::Arc;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

/// The longest address.
const LONGEST_ADDRESS: usize = 60_000;
/// The largest body of a write.
const LARGEST_BODY: usize = 4 * 1024 * 1024;

/// The service.
pub struct ResourceService {
    pub(crate) pools: Pools,
}

/// A call on its way through a route.
pub(crate) struct Call {
    pub(crate) settings: Arc<Settings>,
    pub(crate) session: Session,
    /// What stands in the place of `{id}`.
    pub(crate) id: String,
    pub(crate) params: Params,
    pub(crate) body: Vec<u8>,
}

#[tonic::async_trait]
impl Resource for ResourceService {
    type CallResourceStream = Pin<Box<dyn Stream<Item = Result<CallResourceResponse, Status>> + Send>>;

    async fn call_resource(
        &self,
        request: Request<CallResourceRequest>,
    ) -> Result<Response<Self::CallResourceStream>, Status> {
        let request = request.into_inner();
        let reply = self.reply(request).await.unwrap_or_else(Problem::reply);
        Ok(Response::new(Box::pin(tokio_stream::once(Ok(reply.into_response())))))
    }
}

impl ResourceService {
    async fn reply(&self, request: CallResourceRequest) -> Result<Reply, Problem> {
        if request.path.len().max(request.url.len()) > LONGEST_ADDRESS {
            return Err(Problem::too_long(LONGEST_ADDRESS));
        }
        let (route, id) = routes::find(&request.method, request.path.trim_matches('/'))?;
        if let routes::Handler::Fixed(fixed) = route.handler {
            return Ok(fixed());
        }
        let settings = Settings::from_context(request.plugin_context.as_ref())?;
        if route.writes {
            may_write(&request, &settings)?;
        }
        if request.body.len() > LARGEST_BODY {
            return Err(Problem::too_large(LARGEST_BODY));
        }
        let mut second_try = false;
        loop {
            let source = self.pools.source(&settings)?;
            let answered = match source.session().await {
                Ok(session) => {
                    let params = Params::of(&request.url)?;
                    let call = |session| Call {
                        settings: Arc::clone(&source.settings),
                        session,
                        id: id.clone(),
                        params,
                        body: request.body.to_vec(),
                    };
                    session.beside(|session| route.handler.call(call(session))).await
                }
                Err(error) => Err(error.into()),
            };
            match answered {
                // Writing twice does no harm either: samples and devices have keys.
                Err(problem) if problem.wants_new_connection && !second_try => second_try = true,
                Err(problem) if route.writes => return Err(problem.of_write()),
                other => return other,
            }
        }
    }
}

impl Call {
    /// The rows of a statement as JSON, all of them: whoever asks page by page must not miss any.
    pub(crate) async fn json_rows(&mut self, statement: Statement) -> Result<Vec<serde_json::Value>, Error> {
        let table = self.session.table(&statement, self.settings.row_limit).await?;
        if table.cut.is_some() {
            return Err(Error::Query(format!(
                "the answer has more than {} rows, or bytes, than the data source allows; ask for fewer by limit",
                table.rows
            )));
        }
        Ok(json_rows::of(&table))
    }
}

/// For the fuzzers: a request as far as it gets without a database. Each body is read as that of every route.
#[cfg(fuzzing)]
pub(crate) fn read(method: &str, url: &str, body: &[u8]) {
    let path = url.split('?').next().unwrap_or_default().trim_matches('/');
    let found = routes::find(method, path);
    if let Ok(params) = Params::of(url) {
        let _ = (params.page(), params.range(), params.texts("device_id"));
    }
    if body.len() <= LARGEST_BODY {
        let id = found.as_ref().ok().map(|(_, id)| id.as_str());
        let _ = (devices::checked(body, id), metrics::samples(body), kpis::period(body));
    }
    let _ = found.map_err(Problem::reply);
}

/// Whoever may see a data source may call all its routes, so those that write look at who is there.
fn may_write(request: &CallResourceRequest, settings: &Settings) -> Result<(), Problem> {
    if !settings.allow_writes {
        return Err(Problem::forbidden(
            "this data source does not allow writes; its administrator can switch that on",
        ));
    }
    let user = request
        .plugin_context
        .as_ref()
        .and_then(|context| context.user.as_ref());
    let person = user.filter(|user| !user.login.is_empty() && user.login != "grafana_scheduler");
    let Some(person) = person else {
        return Err(Problem::forbidden(
            "only a person or a service account may write, and none is signed in",
        ));
    };
    if request
        .headers
        .keys()
        .any(|name| name.eq_ignore_ascii_case("FromAlert"))
    {
        return Err(Problem::forbidden("alert rules may not write"));
    }
    if !matches!(person.role.as_str(), "Editor" | "Admin") {
        return Err(Problem::forbidden("writing needs the role Editor or Admin"));
    }
    Ok(())
}
