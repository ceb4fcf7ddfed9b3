//! The forgiving door of the store: one statement a batch, safe to send again, bad rows come back by name.

use crate::batch::Batch;
use crate::error::Error;
use crate::ticks::timestamp;
use serde::Deserialize;
use std::time::Duration;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

/// A statement that takes longer is given up; the batch is sent again over a new connection.
const PATIENCE: Duration = Duration::from_secs(120);
/// Refused rows that are logged one by one, for each batch.
const LOGGED: usize = 20;

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// New rows.
    pub stored: u64,
    /// Rows that were there already.
    pub duplicates: u64,
    /// Rows from the future, stored at the time of receipt.
    pub future_clamped: u64,
    /// Rows that were not taken.
    pub refused: u64,
}

#[derive(Debug, Deserialize)]
struct Refusal {
    device_id: Option<String>,
    field: Option<String>,
    value: Option<serde_json::Value>,
    reason: Option<String>,
    remedy: Option<String>,
}

/// An open connection with the two statements ready.
#[derive(Debug)]
pub struct Door {
    client: Client,
    metrics: Statement,
    status: Statement,
}

impl Door {
    /// Prepares the statements.
    pub async fn open(client: Client) -> Result<Self, Error> {
        let prepare = |text: &'static str| client.prepare(text);
        let metrics = prepare(
            "SELECT stored, duplicates, future_clamped, refused, refusals \
             FROM iot_kpi.ingest_metrics($1::text[], $2::text[], $3::timestamptz[], $4::float8[])",
        );
        let metrics = metrics
            .await
            .map_err(Error::statement("preparing iot_kpi.ingest_metrics"))?;
        let status = prepare(
            "SELECT stored, duplicates, future_clamped, refused, refusals \
             FROM iot_kpi.ingest_status($1::text[], $2::timestamptz[], $3::text[], $4::text[])",
        );
        let status = status
            .await
            .map_err(Error::statement("preparing iot_kpi.ingest_status"))?;
        Ok(Door {
            client,
            metrics,
            status,
        })
    }

    /// Writes a batch. Where the server finds fault with the rows as a whole, they are tried in ever smaller parts, so
    /// that one bad row costs only itself.
    pub async fn write(&self, batch: &Batch) -> Result<Receipt, Error> {
        let mut receipt = Receipt::default();
        let mut open = vec![batch.clone()];
        while let Some(part) = open.pop() {
            match self.write_once(&part).await {
                Ok(one) => receipt.add(&one),
                Err(Error::Statement { source, .. }) if source.is_about_data() => {
                    if part.len() == 1 {
                        tracing::warn!(row = ?part, reason = %source, "a row was refused");
                        receipt.refused += 1;
                    } else {
                        open.extend(part.clone().split(part.len().div_ceil(2)).into_iter().rev());
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(receipt)
    }

    async fn write_once(&self, batch: &Batch) -> Result<Receipt, Error> {
        let mut receipt = Receipt::default();
        if !batch.samples.is_empty() {
            let devices: Vec<&str> = batch.samples.iter().map(|s| &*s.device).collect();
            let metrics: Vec<&str> = batch.samples.iter().map(|s| &*s.metric).collect();
            let times: Vec<_> = batch.samples.iter().map(|s| timestamp(s.time)).collect();
            let values: Vec<f64> = batch.samples.iter().map(|s| s.value).collect();
            let row = self
                .call(&self.metrics, &[&devices, &metrics, &times, &values], "writing samples")
                .await?;
            receipt.add(&judge(&row));
        }
        if !batch.statuses.is_empty() {
            let devices: Vec<&str> = batch.statuses.iter().map(|s| &*s.device).collect();
            let times: Vec<_> = batch.statuses.iter().map(|s| timestamp(s.time)).collect();
            let statuses: Vec<&str> = batch.statuses.iter().map(|s| &*s.status).collect();
            let reasons: Vec<&str> = batch.statuses.iter().map(|s| &*s.reason).collect();
            let row = self
                .call(
                    &self.status,
                    &[&devices, &times, &statuses, &reasons],
                    "writing statuses",
                )
                .await?;
            receipt.add(&judge(&row));
        }
        Ok(receipt)
    }

    async fn call(
        &self,
        statement: &Statement,
        parameters: &[&(dyn ToSql + Sync)],
        doing: &'static str,
    ) -> Result<Row, Error> {
        match tokio::time::timeout(PATIENCE, self.client.query_one(statement, parameters)).await {
            Ok(answer) => answer.map_err(Error::statement(doing)),
            Err(_) => Err(Error::TimedOut {
                doing,
                seconds: PATIENCE.as_secs(),
            }),
        }
    }
}

impl Receipt {
    fn add(&mut self, other: &Receipt) {
        self.stored += other.stored;
        self.duplicates += other.duplicates;
        self.future_clamped += other.future_clamped;
        self.refused += other.refused;
    }
}

/// Reads an answer, and logs what was refused.
fn judge(row: &Row) -> Receipt {
    let count = |column: usize| row.get::<_, Option<i64>>(column).unwrap_or(0).unsigned_abs();
    let receipt = Receipt {
        stored: count(0),
        duplicates: count(1),
        future_clamped: count(2),
        refused: count(3),
    };
    if receipt.refused > 0 {
        let refusals = row.get::<_, Option<serde_json::Value>>(4).unwrap_or_default();
        let refusals: Vec<Refusal> = serde_json::from_value(refusals).unwrap_or_default();
        for Refusal {
            device_id,
            field,
            value,
            reason,
            remedy,
        } in refusals.iter().take(LOGGED)
        {
            let value = value.as_ref().map(ToString::to_string);
            tracing::warn!(device_id, field, value, reason, remedy, "a row was refused");
        }
        if receipt.refused > LOGGED as u64 {
            tracing::warn!(refused = receipt.refused, "more rows of this batch were refused");
        }
    }
    receipt
}
