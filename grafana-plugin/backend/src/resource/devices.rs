//! `v1/devices`.

use super::Call;
use super::body::{Fields, parse};
use super::reply::{Problem, Reply};
use crate::error::shown;
use crate::statement::{Param, Statement};
use axum::http::StatusCode;
use serde_json::{Value, json};

const FIELDS: [&str; 12] = [
    "device_id",
    "name",
    "device_type",
    "location",
    "expected_interval",
    "liveness",
    "response_target",
    "heartbeat_metric",
    "collector_id",
    "commissioned_at",
    "decommissioned_at",
    "metadata",
];

async fn page(call: &mut Call, id: Option<String>, limit: i32, offset: i32) -> Result<Vec<Value>, Problem> {
    let params = vec![
        Param::Text(id),
        Param::Text(call.params.text("device_type")),
        Param::Text(call.params.text("location")),
        Param::Int(limit),
        Param::Int(offset),
    ];
    Ok(call
        .json_rows(Statement::new(include_str!("../../sql/rest_devices.sql"), params))
        .await?)
}

/// A page of devices.
pub(crate) async fn list(mut call: Call) -> Result<Reply, Problem> {
    let (limit, offset) = call.params.page()?;
    let mut items = page(&mut call, None, limit, offset).await?;
    let total = items.first().map_or(json!(null), |item| item["total"].clone());
    for item in items.iter_mut().filter_map(Value::as_object_mut) {
        item.remove("total");
    }
    Ok(Reply::json(
        StatusCode::OK,
        &json!({"items": items, "total": total, "limit": limit, "offset": offset}),
    ))
}

/// One device.
pub(crate) async fn get(call: Call) -> Result<Reply, Problem> {
    show(call, StatusCode::OK).await
}

async fn show(mut call: Call, status: StatusCode) -> Result<Reply, Problem> {
    let id = call.id.clone();
    let Some(mut device) = page(&mut call, Some(id), 1, 0).await?.pop() else {
        return Err(unknown(&call.id));
    };
    if let Some(device) = device.as_object_mut() {
        device.remove("total");
    }
    Ok(Reply::json(status, &device))
}

pub(crate) fn unknown(id: &str) -> Problem {
    Problem::not_found(format!("there is no device \"{}\"", shown(id)))
}

/// Fails where there is no such device.
pub(crate) async fn require(call: &mut Call) -> Result<(), Problem> {
    let params = vec![Param::Text(Some(call.id.clone()))];
    let rows = call
        .session
        .rows(&Statement::new(
            include_str!("../../sql/rest_device_exists.sql"),
            params,
        ))
        .await?;
    if rows.is_empty() {
        Err(unknown(&call.id))
    } else {
        Ok(())
    }
}

/// Makes a device.
pub(crate) async fn create(mut call: Call) -> Result<Reply, Problem> {
    let device = checked(&call.body, None)?;
    call.id = device["device_id"].as_str().unwrap_or_default().to_owned();
    let params = vec![Param::Text(Some(device.to_string()))];
    call.session
        .rows(&Statement::new(
            include_str!("../../sql/rest_create_device.sql"),
            params,
        ))
        .await?;
    show(call, StatusCode::CREATED).await
}

/// Replaces what is known of a device; what is left out becomes the default.
pub(crate) async fn replace(mut call: Call) -> Result<Reply, Problem> {
    let device = checked(&call.body, Some(&call.id))?;
    let params = vec![Param::Text(Some(device.to_string()))];
    call.session
        .rows(&Statement::new(
            include_str!("../../sql/rest_replace_device.sql"),
            params,
        ))
        .await?;
    show(call, StatusCode::OK).await
}

/// A device's fields, each of its type; durations are in seconds.
pub(crate) fn checked(body: &[u8], id: Option<&str>) -> Result<Value, Problem> {
    let mut device = parse(body)?;
    let fields = Fields::of(&device, String::new(), &FIELDS)?;
    for name in ["name", "device_type", "location", "heartbeat_metric", "collector_id"] {
        fields.text(name)?;
    }
    for name in ["expected_interval", "liveness", "response_target"] {
        fields.number(name)?;
    }
    for name in ["commissioned_at", "decommissioned_at"] {
        fields.time(name)?;
    }
    fields.object("metadata")?;
    let given = fields.text("device_id")?;
    match (id, given) {
        (None, given) => {
            fields.required("device_id", given)?;
        }
        (Some(id), Some(given)) if given != id => {
            return Err(Problem::field(
                "device_id",
                format!("is \"{}\", but the address names \"{}\"", shown(&given), shown(id)),
            ));
        }
        (Some(id), _) => device["device_id"] = json!(id),
    }
    Ok(device)
}
