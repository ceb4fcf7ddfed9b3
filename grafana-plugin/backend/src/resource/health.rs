//! `v1/health`.

use super::Call;
use super::reply::{Problem, Reply};
use crate::statement::Statement;
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

/// A word.
pub(crate) async fn brief(mut call: Call) -> Result<Reply, Problem> {
    let (status, _) = checks(&mut call).await?;
    Ok(Reply::json(
        if status == "fail" { 503 } else { 200 },
        &json!({"status": status}),
    ))
}

/// Each check.
pub(crate) async fn detailed(mut call: Call) -> Result<Reply, Problem> {
    let (status, checks) = checks(&mut call).await?;
    Ok(Reply::json(
        if status == "fail" { 503 } else { 200 },
        &json!({"status": status, "checks": checks}),
    ))
}
