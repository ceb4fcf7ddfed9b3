//! Whether an answer of the REST API is what `openapi.json` says of it: the status is named, nothing is missing, nothing untold.

use iot_kpi_grafana::resource::routes::ROUTES;
use serde_json::Value;

/// The description, as it is served.
pub(crate) fn api() -> Value {
    serde_json::from_str(include_str!("../../openapi.json")).unwrap()
}

/// Fails where the description of a route does not fit its answer; routes that are not under `v1/` have none.
pub(crate) fn check(method: &str, address: &str, code: i32, body: &Value) {
    let path = address.split('?').next().unwrap();
    let fits = |pattern: &str| {
        let (wanted, given): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), path.split('/').collect());
        wanted.len() == given.len()
            && wanted
                .iter()
                .zip(given)
                .all(|(wanted, given)| *wanted == "{id}" || *wanted == given)
    };
    let Some(route) = ROUTES.iter().find(|route| route.method == method && fits(route.path)) else {
        return;
    };
    if !route.path.starts_with("v1/") {
        return;
    }
    let api = api();
    let what = format!("{method} {address} {code}");
    let responses = &api["paths"][format!("/{}", route.path)][method.to_lowercase()]["responses"];
    let named = responses.get(code.to_string());
    // "default" is for what may happen to every route, such as a database that is away.
    let usual = matches!(code, 400 | 403..=405 | 409 | 413 | 422) && method != "GET";
    let response = named.or_else(|| responses.get("default").filter(|_| code >= 400 && !usual));
    let mut response = response.unwrap_or_else(|| panic!("{what} is not described"));
    if let Some(reference) = response["$ref"].as_str() {
        response = api.pointer(&reference[1..]).unwrap();
    }
    let content = response["content"].as_object().unwrap().values().next().unwrap();
    validate(&api, &content["schema"], body, &what);
}

fn validate(api: &Value, schema: &Value, value: &Value, what: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        return validate(api, api.pointer(&reference[1..]).unwrap(), value, what);
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let is = |kind: &&str| match *kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("{what}: no rule for {other}"),
    };
    assert!(
        types.is_empty() || types.iter().any(is),
        "{what}: {value} is no {types:?}"
    );
    if let Some(words) = schema["enum"].as_array() {
        assert!(words.contains(value), "{what}: {value} is none of {words:?}");
    }
    for item in value.as_array().into_iter().flatten() {
        validate(api, &schema["items"], item, what);
    }
    let Some(object) = value.as_object() else { return };
    for required in schema["required"].as_array().into_iter().flatten() {
        assert!(object.contains_key(required.as_str().unwrap()), "{what}: no {required}");
    }
    for (name, value) in object {
        match schema["properties"].get(name) {
            Some(schema) => validate(api, schema, value, &format!("{what} {name}")),
            None => assert_eq!(schema["additionalProperties"], true, "{what}: {name} is not described"),
        }
    }
}
