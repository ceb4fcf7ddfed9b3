//! Grafana's CallResource as an HTTP request, and an HTTP response as Grafana's answer.

use super::reply::Problem;
use super::{LONGEST_ADDRESS, writers::Caller};
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use grafana_plugin_sdk::pluginv2::{CallResourceRequest, CallResourceResponse, StringList};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use std::collections::HashMap;
use tonic::Status;

/// What no URI may hold as it is. Not `%`: Grafana passes on some addresses decoded and some not.
const QUERY: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'`');
const PATH: &AsciiSet = &QUERY.add(b'?').add(b'#').add(b'{').add(b'}');

/// The request; who calls goes with it as an extension.
pub(super) fn request(call: CallResourceRequest) -> Result<Request, Problem> {
    if call.path.len().max(call.url.len()) > LONGEST_ADDRESS {
        return Err(Problem::too_long(LONGEST_ADDRESS));
    }
    let address = address(&call);
    if address.len() > LONGEST_ADDRESS {
        return Err(Problem::too_long(LONGEST_ADDRESS));
    }
    let caller = Caller::of(call.plugin_context, &call.headers);
    Request::builder()
        .method(call.method.to_ascii_uppercase().as_str())
        .uri(address)
        .extension(caller)
        .body(Body::from(call.body))
        .map_err(|error| Problem::malformed(format!("the request cannot be read: {error}")))
}

fn address(call: &CallResourceRequest) -> String {
    let path = utf8_percent_encode(call.path.trim_matches('/'), PATH);
    match call.url.split_once('?') {
        Some((_, query)) => format!("/{path}?{}", utf8_percent_encode(query, QUERY)),
        None => format!("/{path}"),
    }
}

/// The answer in one piece: none is so long that it should be streamed.
pub(super) async fn response(response: Response) -> Result<CallResourceResponse, Status> {
    let (head, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await;
    let body = body.map_err(|error| Status::internal(error.to_string()))?;
    let mut headers: HashMap<String, StringList> = HashMap::new();
    for (name, value) in &head.headers {
        let values = &mut headers.entry(capitalised(name.as_str())).or_default().values;
        values.push(String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    // Grafana may compress the body, and counts it itself.
    headers.remove("Content-Length");
    Ok(CallResourceResponse {
        code: head.status.as_u16().into(),
        headers,
        body,
    })
}

/// `content-type` as `Content-Type`: under any other spelling Grafana does not find it and adds `application/json`.
fn capitalised(name: &str) -> String {
    let word = |word: &str| {
        let (first, rest) = word.split_at_checked(1).unwrap_or_default();
        first.to_ascii_uppercase() + rest
    };
    name.split('-').map(word).collect::<Vec<_>>().join("-")
}
