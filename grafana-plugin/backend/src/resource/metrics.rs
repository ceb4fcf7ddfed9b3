//! `v1/devices/{id}/metrics` and `v1/metrics/summary`.

use super::body::{Fields, parse};
use super::reply::{Problem, Reply};
use super::{Call, devices};
use crate::statement::{Param, Statement};
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

/// Most samples of a request.
const MOST_SAMPLES: usize = 10_000;

/// A page of a device's samples.
pub(crate) async fn list(mut call: Call) -> Result<Reply, Problem> {
    devices::require(&mut call).await?;
    let (limit, offset) = call.params.page()?;
    let (from, to) = call.params.range()?;
    let params = vec![
        Param::Text(Some(call.id.clone())),
        Param::Text(call.params.text("metric_type")),
        Param::Time(from),
        Param::Time(to),
        Param::Int(limit),
        Param::Int(offset),
    ];
    let items = call
        .json_rows(Statement::new(include_str!("../../sql/rest_metrics.sql"), params))
        .await?;
    Ok(Reply::json(
        StatusCode::OK,
        &json!({"items": items, "limit": limit, "offset": offset, "from": from, "to": to}),
    ))
}

/// The samples of a body, column by column.
#[derive(Default)]
pub(crate) struct Samples {
    metrics: Vec<String>,
    units: Vec<String>,
    times: Vec<DateTime<Utc>>,
    values: Vec<f64>,
}

/// One sample, or many.
pub(crate) fn samples(body: &[u8]) -> Result<Samples, Problem> {
    let body = parse(body)?;
    let samples = body.as_array().map_or(std::slice::from_ref(&body), Vec::as_slice);
    if samples.len() > MOST_SAMPLES {
        return Err(Problem::too_many(MOST_SAMPLES));
    }
    let mut read = Samples::default();
    for (index, sample) in samples.iter().enumerate() {
        let prefix = if body.is_array() {
            format!("[{index}].")
        } else {
            String::new()
        };
        let fields = Fields::of(sample, prefix, &["timestamp", "metric_type", "value", "unit"])?;
        read.times
            .push(fields.required("timestamp", fields.time("timestamp")?)?);
        read.metrics
            .push(fields.required("metric_type", fields.text("metric_type")?)?);
        read.values.push(fields.required("value", fields.number("value")?)?);
        read.units.push(fields.text("unit")?.unwrap_or_default());
    }
    Ok(read)
}

/// Stores one sample, or many.
pub(crate) async fn store(mut call: Call) -> Result<Reply, Problem> {
    let Samples {
        metrics,
        units,
        times,
        values,
    } = samples(&call.body)?;
    let count = values.len();
    devices::require(&mut call).await?;
    let (metrics, units) = (Param::Texts(Some(metrics)), Param::Texts(Some(units)));
    let register = Statement::new(
        include_str!("../../sql/rest_register_metrics.sql"),
        vec![metrics.clone(), units],
    );
    call.session.rows(&register).await?;
    let params = vec![
        Param::Text(Some(call.id.clone())),
        metrics,
        Param::Times(times),
        Param::Floats(values),
    ];
    let rows = call
        .session
        .rows(&Statement::new(include_str!("../../sql/rest_ingest.sql"), params))
        .await?;
    let text: String = rows.first().map(|row| row.try_get(0)).transpose()?.unwrap_or_default();
    let result: Value = serde_json::from_str(&text).unwrap_or_default();
    if count > 0 && result["refused"] == json!(count) {
        return Err(Problem::refused(
            "no sample could be stored; see result.refusals",
            result,
        ));
    }
    Ok(Reply::json(StatusCode::OK, &result))
}

/// Each metric's samples in numbers.
pub(crate) async fn summary(mut call: Call) -> Result<Reply, Problem> {
    let (from, to) = call.params.range()?;
    let params = vec![
        Param::Time(from),
        Param::Time(to),
        Param::Text(call.params.text("device_id")),
    ];
    let items = call
        .json_rows(Statement::new(
            include_str!("../../sql/rest_metric_summary.sql"),
            params,
        ))
        .await?;
    Ok(Reply::json(
        StatusCode::OK,
        &json!({"items": items, "from": from, "to": to}),
    ))
}
