//! `v1/devices/{id}/kpis` and `v1/kpis/summary`.

use super::body::{Fields, parse};
use super::reply::{Problem, Reply};
use super::{Call, devices};
use crate::statement::{Param, Statement};
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde_json::json;

/// A device's KPIs.
pub(crate) async fn of_device(mut call: Call) -> Result<Reply, Problem> {
    devices::require(&mut call).await?;
    let (from, to) = call.params.range()?;
    let params = vec![
        Param::Time(from),
        Param::Time(to),
        Param::Texts(Some(vec![call.id.clone()])),
    ];
    let rows = call
        .json_rows(Statement::new(include_str!("../../sql/device_kpis.sql"), params))
        .await?;
    let Some(kpis) = rows.into_iter().next() else {
        return Err(devices::unknown(&call.id));
    };
    Ok(Reply::json(
        StatusCode::OK,
        &json!({"from": from, "to": to, "kpis": kpis}),
    ))
}

/// Where a calculation begins and ends, as far as the body says it.
type Period = (Option<DateTime<Utc>>, Option<DateTime<Utc>>);

/// What a body says about the time from and to which to calculate.
pub(crate) fn period(body: &[u8]) -> Result<Period, Problem> {
    if body.is_empty() {
        return Ok((None, None));
    }
    let body = parse(body)?;
    let fields = Fields::of(&body, String::new(), &["from", "to"])?;
    Ok((fields.time("from")?, fields.time("to")?))
}

/// Calculates and keeps a device's KPIs of whole hours and days.
pub(crate) async fn calculate(mut call: Call) -> Result<Reply, Problem> {
    let (from, to) = call.params.range()?;
    let given = period(&call.body)?;
    let (from, to) = (given.0.unwrap_or(from), given.1.unwrap_or(to));
    if from >= to {
        return Err(Problem::field("from", format!("{from} is not before {to}")));
    }
    devices::require(&mut call).await?;
    let params = vec![Param::Time(from), Param::Time(to), Param::Text(Some(call.id.clone()))];
    let rows = call
        .session
        .rows(&Statement::new(include_str!("../../sql/rest_calculate.sql"), params))
        .await?;
    let calculated: i64 = rows.first().map(|row| row.try_get(0)).transpose()?.unwrap_or(0);
    Ok(Reply::json(
        StatusCode::OK,
        &json!({"from": from, "to": to, "calculated": calculated}),
    ))
}

/// The fleet's KPIs, or those of each group of it.
pub(crate) async fn summary(mut call: Call) -> Result<Reply, Problem> {
    let (from, to) = call.params.range()?;
    let params = vec![
        Param::Time(from),
        Param::Time(to),
        Param::Text(call.params.text("group_by")),
    ];
    let items = call
        .json_rows(Statement::new(include_str!("../../sql/rest_kpi_summary.sql"), params))
        .await?;
    Ok(Reply::json(
        StatusCode::OK,
        &json!({"from": from, "to": to, "items": items}),
    ))
}
