//! The ingest functions of the store: one statement a batch, safe to send again, bad rows come back by name.

use crate::error::{Cause, Error};
use crate::pipeline::batch::Batch;
use crate::pipeline::dead_letters::Letter;
use crate::runtime::time_grid::{now, timestamp};
use crate::sink::trouble::{Blame, Trouble};
use serde::Deserialize;
use std::borrow::Cow;
use std::time::Duration;
use tokio_postgres::types::{FromSql, ToSql};
use tokio_postgres::{Client, Row, Statement};

/// A statement that takes longer is given up; the batch is sent again over a new connection.
const PATIENCE: Duration = Duration::from_secs(120);
/// Rows that are tried alone where a batch fails and it is not clear whether rows or the store are to blame.
const PROBES: usize = 32;

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Receipt {
    /// New rows.
    pub stored: u64,
    /// Rows that were there already.
    pub duplicates: u64,
    /// Rows that were there already with another value.
    pub conflicts: u64,
    /// Rows from the future, stored at the time of receipt.
    pub future_clamped: u64,
    /// Rows that were not taken, and will not be as they are.
    pub refused: u64,
    /// These, and why.
    pub letters: Vec<Letter>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Refusal {
    position: Option<usize>,
    reason: Option<String>,
    remedy: Option<String>,
}

/// An open connection with the two statements ready.
#[derive(Debug)]
pub struct Ingest {
    client: Client,
    metrics: Statement,
    status: Statement,
}

impl Ingest {
    /// Prepares the statements.
    pub async fn open(client: Client) -> Result<Self, Error> {
        // Columns are taken by their names: a later store has more of them.
        let metrics = client
            .prepare("SELECT * FROM iot_kpi.ingest_metrics($1::text[], $2::text[], $3::timestamptz[], $4::float8[])");
        let metrics = metrics
            .await
            .map_err(Error::statement("preparing iot_kpi.ingest_metrics"))?;
        let status = client
            .prepare("SELECT * FROM iot_kpi.ingest_status($1::text[], $2::timestamptz[], $3::text[], $4::text[])");
        let status = status
            .await
            .map_err(Error::statement("preparing iot_kpi.ingest_status"))?;
        Ok(Ingest {
            client,
            metrics,
            status,
        })
    }

    /// Writes a batch. Where the server finds fault with the rows as a whole, they are tried in ever smaller parts, so
    /// that one bad row costs only itself.
    pub async fn write(&self, batch: &Batch) -> Result<Receipt, Error> {
        self.write_in_parts(batch, false).await
    }

    /// As [`Ingest::write`], for rows that have been refused before: an error that nobody can place is theirs.
    pub async fn write_again(&self, batch: &Batch) -> Result<Receipt, Error> {
        self.write_in_parts(batch, true).await
    }

    async fn write_in_parts(&self, batch: &Batch, suspicious: bool) -> Result<Receipt, Error> {
        let mut receipt = Receipt::default();
        // Most go in as they are: nothing is copied for them.
        let mut open = vec![Cow::Borrowed(batch)];
        let mut others_go_in = false;
        while let Some(part) = open.pop() {
            let error = match self.write_once(&part).await {
                Ok(one) => {
                    receipt.add(one);
                    continue;
                }
                Err(error) => error,
            };
            let Error::Statement { source, .. } = &error else {
                return Err(error);
            };
            let at_fault = match source.trouble().blame(source.sqlstate()) {
                Blame::Nobody => return Err(error),
                Blame::TooMany if part.len() == 1 => return Err(error),
                Blame::TooMany => false,
                Blame::Rows => true,
                Blame::Perhaps if suspicious && source.trouble() == Trouble::Unexpected => true,
                Blame::Perhaps => {
                    others_go_in = others_go_in || self.takes_any(batch).await?;
                    if !others_go_in {
                        return Err(error);
                    }
                    true
                }
            };
            if at_fault && part.len() == 1 {
                receipt.refuse(part.into_owned(), source);
            } else {
                let half = part.len().div_ceil(2);
                let part = part.into_owned();
                open.extend(part.split(half).into_iter().rev().map(Cow::Owned));
            }
        }
        Ok(receipt)
    }

    /// Whether any of some rows of a batch goes in alone; writing it twice changes nothing.
    async fn takes_any(&self, batch: &Batch) -> Result<bool, Error> {
        let rows = batch.clone().split(1);
        let step = rows.len().div_ceil(PROBES).max(1);
        // Other ones each time: the first few may all be at fault.
        let first = usize::try_from(now().unsigned_abs()).unwrap_or(0) % step;
        for row in rows.iter().skip(first).step_by(step) {
            match self.write_once(row).await {
                Ok(receipt) if receipt.refused == 0 => return Ok(true),
                Ok(_) => {}
                Err(Error::Statement { source, .. }) if source.sqlstate().is_some() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    async fn write_once(&self, batch: &Batch) -> Result<Receipt, Error> {
        let mut receipt = Receipt::default();
        if !batch.samples.is_empty() {
            let devices: Vec<&str> = batch.samples.iter().map(|s| &*s.device).collect();
            let metrics: Vec<&str> = batch.samples.iter().map(|s| &*s.metric).collect();
            let times: Vec<_> = batch.samples.iter().map(|s| timestamp(s.time)).collect();
            let values: Vec<f64> = batch.samples.iter().map(|s| s.value).collect();
            let doing = "writing samples";
            let row = self
                .call(&self.metrics, &[&devices, &metrics, &times, &values], doing)
                .await?;
            receipt.add(judge(&row, doing, |index| batch.sample(index))?);
        }
        if !batch.statuses.is_empty() {
            let devices: Vec<&str> = batch.statuses.iter().map(|s| &*s.device).collect();
            let times: Vec<_> = batch.statuses.iter().map(|s| timestamp(s.time)).collect();
            let statuses: Vec<&str> = batch.statuses.iter().map(|s| &*s.status).collect();
            let reasons: Vec<&str> = batch.statuses.iter().map(|s| &*s.reason).collect();
            let doing = "writing statuses";
            let row = self
                .call(&self.status, &[&devices, &times, &statuses, &reasons], doing)
                .await?;
            receipt.add(judge(&row, doing, |index| batch.status(index))?);
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
    /// Takes in what became of another batch.
    pub fn add(&mut self, other: Receipt) {
        self.stored += other.stored;
        self.duplicates += other.duplicates;
        self.conflicts += other.conflicts;
        self.future_clamped += other.future_clamped;
        self.refused += other.refused;
        self.letters.extend(other.letters);
    }

    fn refuse(&mut self, row: Batch, cause: &Cause) {
        self.refused += 1;
        self.letters.push(Letter {
            row,
            error: cause.to_string(),
            hint: String::new(),
        });
    }
}

/// Reads an answer; `row` gives the row of the batch at an index.
fn judge(answer: &Row, doing: &'static str, row: impl Fn(usize) -> Option<Batch>) -> Result<Receipt, Error> {
    let count = |name: &str| Ok(column::<i64>(answer, name, doing)?.unwrap_or(0).unsigned_abs());
    let has = |name: &str| answer.columns().iter().any(|column| column.name() == name);
    let mut receipt = Receipt {
        stored: count("stored")?,
        duplicates: count("duplicates")?,
        conflicts: if has("conflicts") { count("conflicts")? } else { 0 },
        future_clamped: count("future_clamped")?,
        refused: count("refused")?,
        letters: Vec::new(),
    };
    if receipt.refused > 0 {
        let refusals = column::<serde_json::Value>(answer, "refusals", doing)?.unwrap_or_default();
        let refusals: Vec<Refusal> = serde_json::from_value(refusals).unwrap_or_default();
        receipt.letters = refusals
            .into_iter()
            .filter_map(|refusal| refusal.letter(&row))
            .collect();
    }
    Ok(receipt)
}

impl Refusal {
    fn letter(self, row: impl Fn(usize) -> Option<Batch>) -> Option<Letter> {
        Some(Letter {
            // The store counts from one.
            row: row(self.position?.checked_sub(1)?)?,
            error: self.reason.unwrap_or_default(),
            hint: self.remedy.unwrap_or_default(),
        })
    }
}

fn column<'a, T: FromSql<'a>>(row: &'a Row, name: &str, doing: &'static str) -> Result<Option<T>, Error> {
    row.try_get(name).map_err(Error::statement(doing))
}
