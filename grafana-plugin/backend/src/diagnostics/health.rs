//! What "Save & test" says: all is well, or the reason and what to do about it.

use crate::error::Error;
use crate::pool::Pools;
use crate::session::Session;
use crate::settings::Settings;
use crate::statement::Statement;
use errors::explain;
use rights::{grant_reader, lacking, quote_identifier};
use std::sync::Arc;

mod errors;
mod rights;

/// The oldest extension whose reports this plugin understands: of its own version, whatever the patch.
fn oldest_extension() -> (u32, u32, u32) {
    let (major, minor, _) = version(env!("CARGO_PKG_VERSION"));
    (major, minor, 0)
}

/// A verdict for the person who pressed "Save & test".
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Whether all is well.
    pub healthy: bool,
    /// The same in a word or two, for programs.
    pub reason: &'static str,
    /// What it is, and what to do.
    pub message: String,
    /// More, shown when unfolded.
    pub details: serde_json::Value,
}

/// Looks at the way to the database, and at what is there.
pub async fn check(pools: &Pools, settings: &Arc<Settings>) -> Verdict {
    let place = format!("{}:{}", settings.host, settings.port);
    let mut tries = 0;
    loop {
        let looked = match pools.source(settings) {
            Ok(source) => match source.session().await {
                Ok(mut session) => look(&mut session, settings).await,
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        tries += 1;
        match looked {
            Ok(verdict) => return verdict,
            Err(error) if error.wants_new_connection() && tries < 2 => {}
            Err(error) => return explain(&error, settings, &place),
        }
    }
}

async fn look(session: &mut Session, settings: &Settings) -> Result<Verdict, Error> {
    let statement = Statement::new(include_str!("../../sql/health.sql"), Vec::new());
    let rows = session.rows(&statement).await?;
    let Some(row) = rows.first() else {
        return Ok(unhealthy("no answer", "PostgreSQL gave no answer".to_owned(), ""));
    };
    let (server, extension): (String, Option<String>) = (row.try_get(0)?, row.try_get(1)?);
    let has_store: bool = row.try_get(2)?;
    let (closed, uncallable): (Vec<String>, Vec<String>) = (row.try_get(3)?, row.try_get(4)?);
    let Some(extension) = extension else {
        let message = format!(
            "The extension pg_iot_kpi is not installed in database \"{}\"; there, run: CREATE EXTENSION pg_iot_kpi;",
            settings.database
        );
        return Ok(unhealthy("extension missing", message, ""));
    };
    if version(&extension) < oldest_extension() {
        let message =
            format!("pg_iot_kpi {extension} is too old for this plugin; run: ALTER EXTENSION pg_iot_kpi UPDATE;");
        return Ok(unhealthy("extension too old", message, ""));
    }
    if !has_store {
        let message = format!(
            "Database \"{}\" has no device store; there, run: SELECT iot_kpi.create_store();",
            settings.database
        );
        return Ok(unhealthy("store missing", message, ""));
    }
    if !closed.is_empty() || !uncallable.is_empty() {
        return Ok(lacking(&settings.user, &closed, &uncallable));
    }
    match ungranted(session).await? {
        (ungranted, _) if !ungranted.is_empty() => Ok(lacking(&settings.user, &ungranted, &[])),
        (_, unguarded) => healthy(session, settings, &server, &extension, unguarded).await,
    }
}

/// The rights that the role lacks, and whether it may read partitions that no policy guards.
async fn ungranted(session: &mut Session) -> Result<(Vec<String>, bool), Error> {
    let statement = Statement::new(include_str!("../../sql/missing_rights.sql"), Vec::new());
    let rows = session.rows(&statement).await?;
    match rows.first() {
        Some(row) => Ok((row.try_get(0)?, row.try_get(1)?)),
        None => Ok((Vec::new(), false)),
    }
}

async fn healthy(
    session: &mut Session,
    settings: &Settings,
    server: &str,
    extension: &str,
    unguarded: bool,
) -> Result<Verdict, Error> {
    let count = Statement::new("SELECT count(*) FROM iot.devices", Vec::new());
    let rows = session.rows(&count).await?;
    let devices: i64 = rows.first().map(|row| row.try_get(0)).transpose()?.unwrap_or(0);
    let mut message = format!("Connected to PostgreSQL {server} with pg_iot_kpi {extension}: {devices} devices");
    if unguarded {
        let role = quote_identifier(&settings.user);
        message.push_str(&format!(
            ". Beware: role {role} may read partitions, which no policy guards; as the store's owner, run: \
             REVOKE ALL ON ALL TABLES IN SCHEMA iot FROM {role}; {}",
            grant_reader(&settings.user)
        ));
    }
    Ok(Verdict {
        healthy: true,
        reason: "ok",
        message,
        details: serde_json::json!({"postgresql": server, "extension": extension, "devices": devices}),
    })
}

pub(super) fn unhealthy(reason: &'static str, message: String, more: &str) -> Verdict {
    let more = if more.is_empty() { &message } else { more };
    let details = serde_json::json!({"reason": reason, "verboseMessage": more});
    Verdict {
        healthy: false,
        reason,
        message,
        details,
    }
}

/// 1.2.3 as numbers, so that 0.10 is newer than 0.9.
fn version(text: &str) -> (u32, u32, u32) {
    let mut parts = text.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next())
}
