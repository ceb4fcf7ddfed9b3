//! `v1/health`.

use super::Call;
use super::reply::{Problem, Reply};
use crate::statement::Statement;
use axum::http::StatusCode;
use serde_json::{Value, json};

async fn checks(call: &mut Call) -> Result<(&'static str, Vec<Value>), Problem> {
    let checks = call
        .json_rows(Statement::new(include_str!("../../sql/rest_health.sql"), Vec::new()))
        .await?;
    let any = |status: &str| checks.iter().any(|check| check["status"] == status);
    let worst = if any("fail") {
        "fail"
    } else if any("warn") {
        "warn"
    } else {
        "ok"
    };
    Ok((worst, checks))
}

fn http_status(status: &str) -> StatusCode {
    if status == "fail" {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    }
}

/// One word for the store as a whole.
pub(crate) async fn brief(mut call: Call) -> Result<Reply, Problem> {
    let (status, _) = checks(&mut call).await?;
    Ok(Reply::json(http_status(status), &json!({"status": status})))
}

/// Each check of `iot_kpi.health()`.
pub(crate) async fn detailed(mut call: Call) -> Result<Reply, Problem> {
    let (status, checks) = checks(&mut call).await?;
    Ok(Reply::json(
        http_status(status),
        &json!({"status": status, "checks": checks}),
    ))
}
