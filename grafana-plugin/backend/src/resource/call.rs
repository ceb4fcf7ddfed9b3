//! A call on its way from the router to the function that answers it.

use super::params::Params;
use super::reply::{Problem, Reply};
use super::writers::Caller;
use super::{LARGEST_BODY, json_rows};
use crate::error::Error;
use crate::pool::Pools;
use crate::session::Session;
use crate::settings::Settings;
use crate::statement::Statement;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::StatusCode;
use std::pin::Pin;
use std::sync::Arc;

/// A request, read.
pub(super) struct Asked {
    pools: Pools,
    caller: Caller,
    /// What stands in the place of `{id}`.
    id: String,
    params: Params,
    /// If it cannot be read, that is told after the caller's rights were checked: who may not write should hear of that first.
    body: Result<Bytes, BytesRejection>,
}

impl FromRequest<Pools> for Asked {
    type Rejection = Problem;

    async fn from_request(request: Request, pools: &Pools) -> Result<Self, Problem> {
        let (mut head, body) = request.into_parts();
        let path = RawPathParams::from_request_parts(&mut head, pools).await;
        let path = path.map_err(|problem| Problem::malformed(problem.body_text()))?;
        let id = path.iter().find(|(name, _)| *name == "id");
        let id = id.map(|(_, value)| value.to_owned()).unwrap_or_default();
        let params = Params::of(&head.uri)?;
        let caller = head.extensions.remove().unwrap_or_default();
        Ok(Asked {
            pools: pools.clone(),
            caller,
            id,
            params,
            body: Bytes::from_request(Request::from_parts(head, body), pools).await,
        })
    }
}

/// What answers a call.
pub(super) type Answerer = fn(Call) -> Pin<Box<dyn Future<Output = Result<Reply, Problem>> + Send>>;

/// A call with a connection.
pub(crate) struct Call {
    pub(crate) settings: Arc<Settings>,
    pub(crate) session: Session,
    /// What stands in the place of `{id}`.
    pub(crate) id: String,
    pub(crate) params: Params,
    pub(crate) body: Bytes,
}

impl Asked {
    /// Opens a session and answers; once more on a new connection where the pool's had died.
    pub(super) async fn answer(self, answerer: Answerer, writes: bool) -> Result<Reply, Problem> {
        let settings = Settings::from_context(self.caller.context.as_ref())?;
        if writes {
            self.caller.check(&settings)?;
        }
        let body = self.body.map_err(unread)?;
        let mut second_try = false;
        loop {
            let source = self.pools.source(&settings)?;
            let call = |session| Call {
                settings: Arc::clone(&source.settings),
                session,
                id: self.id.clone(),
                params: self.params.clone(),
                body: body.clone(),
            };
            let answered = match source.session().await {
                Ok(session) => session.on_its_thread(|session| answerer(call(session))).await,
                Err(error) => Err(error.into()),
            };
            match answered {
                // A write may have been carried out before its connection died. Repeating it does no harm: samples and devices have keys.
                Err(problem) if problem.wants_new_connection && !second_try => second_try = true,
                Err(problem) if writes => return Err(problem.of_write()),
                other => return other,
            }
        }
    }
}

fn unread(problem: BytesRejection) -> Problem {
    if problem.status() == StatusCode::PAYLOAD_TOO_LARGE {
        Problem::too_large(LARGEST_BODY)
    } else {
        Problem::malformed(problem.body_text())
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
