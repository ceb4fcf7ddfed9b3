//! What the editors offer: devices, types, locations, metrics, KPIs, and names that SQL is completed with.

use super::Call;
use super::reply::{Problem, Reply};
use crate::frame::config;
use crate::statement::{Param, Statement};
use axum::http::StatusCode;
use serde_json::Value;

async fn json(mut call: Call, sql: &str, params: Vec<Param>) -> Result<Reply, Problem> {
    let rows = call.session.rows(&Statement::new(sql, params)).await?;
    let text: Option<String> = rows.first().map(|row| row.try_get(0)).transpose()?.flatten();
    Ok(Reply::text(
        StatusCode::OK,
        "application/json",
        text.unwrap_or_else(|| "[]".to_owned()),
    ))
}

/// Everything to choose from; devices of given types and locations.
pub(crate) async fn all(mut call: Call) -> Result<Reply, Problem> {
    let params = vec![
        Param::Texts(call.params.texts("type")),
        Param::Texts(call.params.texts("location")),
    ];
    let rows = call
        .session
        .rows(&Statement::new(include_str!("../../sql/options.sql"), params))
        .await?;
    let text: String = rows.first().map(|row| row.try_get(0)).transpose()?.unwrap_or_default();
    let mut options: Value = serde_json::from_str(&text).unwrap_or_default();
    for list in ["kpis", "device_columns", "fleet_columns"] {
        let names = options[list].as_array().cloned().unwrap_or_default();
        options[list] = names.iter().filter_map(Value::as_str).map(described).collect();
    }
    Ok(Reply::json(StatusCode::OK, &options))
}

/// The values of a property of devices, for ad-hoc filters.
pub(crate) async fn values(call: Call) -> Result<Reply, Problem> {
    let key = call
        .params
        .text("key")
        .ok_or_else(|| Problem::field("key", "is missing"))?;
    json(
        call,
        include_str!("../../sql/filter_values.sql"),
        vec![Param::Text(Some(key))],
    )
    .await
}

/// Tables and their columns; only where SQL is allowed.
pub(crate) async fn schema(call: Call) -> Result<Reply, Problem> {
    if !call.settings.allow_sql {
        return Err(Problem::forbidden("this data source does not allow SQL"));
    }
    json(call, include_str!("../../sql/schema.sql"), Vec::new()).await
}

/// A column of the reports, as people are offered it.
fn described(name: &str) -> Value {
    serde_json::json!({"value": name, "label": config::title(name), "description": config::description(name)})
}
