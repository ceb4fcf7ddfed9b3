//! Who calls the plugin's resources, and what comes back.

use super::described;
use super::host::{Host, Source};
use grafana_plugin_sdk::pluginv2::resource_client::ResourceClient;
use grafana_plugin_sdk::pluginv2::{CallResourceRequest, CallResourceResponse, StringList};
use serde_json::Value;
use std::collections::HashMap;

/// A person who calls resources of a data source.
pub(crate) struct Caller<'a> {
    pub(crate) host: &'a Host,
    pub(crate) source: Source,
    pub(crate) role: &'static str,
    pub(crate) login: &'static str,
    pub(crate) headers: Vec<&'static str>,
}

impl<'a> Caller<'a> {
    pub(crate) fn new(host: &'a Host, source: &Source) -> Self {
        Caller {
            host,
            source: source.clone(),
            role: "Editor",
            login: "someone",
            headers: Vec::new(),
        }
    }

    /// The whole answer, with its headers.
    pub(crate) fn response(&self, method: &str, address: &str, body: impl Into<Vec<u8>>) -> CallResourceResponse {
        let mut context = self.source.context(self.role);
        context.user.as_mut().unwrap().login = self.login.to_owned();
        let header = |name: &&str| {
            (
                (*name).to_owned(),
                StringList {
                    values: vec!["true".to_owned()],
                },
            )
        };
        let request = CallResourceRequest {
            plugin_context: Some(context),
            path: address.split('?').next().unwrap().to_owned(),
            url: address.to_owned(),
            method: method.to_owned(),
            headers: self.headers.iter().map(header).collect::<HashMap<_, _>>(),
            body: body.into().into(),
        };
        self.send(request)
    }

    pub(crate) fn send(&self, request: CallResourceRequest) -> CallResourceResponse {
        let mut client = ResourceClient::new(self.host.channel());
        self.host.runtime.block_on(async {
            client
                .call_resource(request)
                .await
                .unwrap()
                .into_inner()
                .message()
                .await
                .unwrap()
                .unwrap()
        })
    }

    pub(crate) fn raw(&self, method: &str, address: &str, body: impl Into<Vec<u8>>) -> (i32, String, String) {
        let response = self.response(method, address, body);
        let content_type = response.headers["Content-Type"].values[0].clone();
        // Otherwise a browser may take an answer for a page.
        assert_eq!(response.headers["X-Content-Type-Options"].values, ["nosniff"]);
        (
            response.code,
            content_type,
            String::from_utf8(response.body.to_vec()).unwrap(),
        )
    }

    pub(crate) fn call(&self, method: &str, address: &str, body: &Value) -> (i32, Value) {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let (code, content_type, text) = self.raw(method, address, body);
        let expected = if code < 400 || address.starts_with("v1/health") {
            "application/json"
        } else {
            "application/problem+json"
        };
        assert_eq!(content_type, expected, "{text}");
        let answer = serde_json::from_str(&text).unwrap();
        described::check(method, address, code, &answer);
        (code, answer)
    }

    pub(crate) fn get(&self, address: &str) -> Value {
        let (code, value) = self.call("GET", address, &Value::Null);
        assert_eq!(code, 200, "{address}: {value}");
        value
    }
}
