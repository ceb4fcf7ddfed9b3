//! The description of the REST API, and a page that shows it without asking anybody else.
//!
//! The page has no script: Grafana serves what a plugin answers in a sandbox, where none runs.

use super::reply::Reply;
use super::routes::ROUTES;
use axum::http::StatusCode;
use serde_json::Value;

/// OpenAPI 3.1.
pub(crate) const OPENAPI: &str = include_str!("../../openapi.json");

pub(crate) fn openapi() -> Reply {
    Reply::text(StatusCode::OK, "application/json", OPENAPI)
}

/// The page, with the description in it.
pub(crate) fn page() -> Reply {
    // It cannot fail: a test reads the same file as JSON.
    let api: Value = serde_json::from_str(OPENAPI).unwrap_or_default();
    let described = ROUTES.iter().filter(|route| route.path.starts_with("v1/"));
    let routes: String = described
        .map(|route| {
            let told = &api["paths"][format!("/{}", route.path)][route.method.to_lowercase()];
            shown(&api, route.method, route.path, told)
        })
        .collect();
    let page = include_str!("../../docs.html")
        .replace("{{about}}", &text(&api["info"]["description"]))
        .replace("{{routes}}", &routes);
    Reply::text(StatusCode::OK, "text/html; charset=utf-8", page)
}

/// A route, as a part of the page that unfolds.
fn shown(api: &Value, method: &str, path: &str, told: &Value) -> String {
    let parameters = told["parameters"].as_array().into_iter().flatten();
    let rows: String = parameters
        .map(|parameter| {
            let parameter = follow(api, parameter);
            let star = if parameter["required"] == true { " *" } else { "" };
            let (name, about) = (text(&parameter["name"]), text(&parameter["description"]));
            format!("<tr><td><code>{name}</code>{star}<td>{about}\n")
        })
        .collect();
    let example = &told["requestBody"]["content"]["application/json"]["example"];
    let body = match serde_json::to_string_pretty(example) {
        Ok(json) if !example.is_null() => format!("<p>Body, for example:\n<pre>{}</pre>\n", escaped(&json)),
        _ => String::new(),
    };
    let responses = told["responses"].as_object().into_iter().flatten();
    let answers: String = responses
        .map(|(code, answer)| {
            let about = text(&follow(api, answer)["description"]);
            format!("<tr><td>{code}<td>{about}\n")
        })
        .collect();
    format!(
        "<details><summary><span class=\"method\">{method}</span> <code>/{path}</code> {summary}</summary>\n\
         <p>{description}\n<table>\n{rows}</table>\n{body}<p>Answers:\n<table>\n{answers}</table>\n</details>\n",
        summary = text(&told["summary"]),
        description = text(&told["description"]),
    )
}

/// What a reference names.
fn follow<'a>(api: &'a Value, thing: &'a Value) -> &'a Value {
    let named = thing["$ref"]
        .as_str()
        .and_then(|name| api.pointer(name.strip_prefix('#')?));
    named.unwrap_or(thing)
}

fn text(value: &Value) -> String {
    escaped(value.as_str().unwrap_or_default())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
