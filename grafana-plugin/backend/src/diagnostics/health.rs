//! What "Save & test" says: all is well, or the reason and what to do about it.

use crate::error::Error;
use crate::pool::Pools;
use crate::session::Session;
use crate::settings::Settings;
use crate::statement::{Statement, quote_literal};
use iot_kpi_connection::tls::Trouble;
use std::sync::Arc;
use tokio_postgres::error::SqlState;

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
    /// A machine's word for it.
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
        return Ok(unwell("no answer", "PostgreSQL gave no answer".to_owned(), ""));
    };
    let (server, extension): (String, Option<String>) = (row.try_get(0)?, row.try_get(1)?);
    let has_store: bool = row.try_get(2)?;
    let (closed, uncallable): (Vec<String>, Vec<String>) = (row.try_get(3)?, row.try_get(4)?);
    let Some(extension) = extension else {
        let message = format!(
            "The extension pg_iot_kpi is not installed in database \"{}\"; there, run: CREATE EXTENSION pg_iot_kpi;",
            settings.database
        );
        return Ok(unwell("extension missing", message, ""));
    };
    if version(&extension) < oldest_extension() {
        let message =
            format!("pg_iot_kpi {extension} is too old for this plugin; run: ALTER EXTENSION pg_iot_kpi UPDATE;");
        return Ok(unwell("extension too old", message, ""));
    }
    if !has_store {
        let message = format!(
            "Database \"{}\" has no device store; there, run: SELECT iot_kpi.create_store();",
            settings.database
        );
        return Ok(unwell("store missing", message, ""));
    }
    if !closed.is_empty() || !uncallable.is_empty() {
        return Ok(lacking(&settings.user, &closed, &uncallable));
    }
    let statement = Statement::new(include_str!("../../sql/missing_rights.sql"), Vec::new());
    let rows = session.rows(&statement).await?;
    let (mut ungranted, mut unguarded) = (Vec::new(), false);
    if let Some(row) = rows.first() {
        (ungranted, unguarded) = (row.try_get(0)?, row.try_get(1)?);
    }
    if !ungranted.is_empty() {
        return Ok(lacking(&settings.user, &ungranted, &[]));
    }
    let rows = session
        .rows(&Statement::new("SELECT count(*) FROM iot.devices", Vec::new()))
        .await?;
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

/// Most rights that a message names; the details name all.
const NAMED: usize = 5;

/// A role that reports would fail for: it lacks rights that the store's owner grants, or some that everybody has unless they were taken.
fn lacking(role: &str, ungranted: &[String], uncallable: &[String]) -> Verdict {
    let missing: Vec<&str> = ungranted.iter().chain(uncallable).map(String::as_str).collect();
    let mut names = missing[..missing.len().min(NAMED)].join(", ");
    if missing.len() > NAMED {
        names.push_str(&format!(" and {} more", missing.len() - NAMED));
    }
    let mut remedies = Vec::new();
    if !ungranted.is_empty() {
        remedies.push(format!("as the store's owner, run: {}", grant_reader(role)));
    }
    if !uncallable.is_empty() {
        let role = quote_identifier(role);
        remedies.push(format!(
            "as who installed the extension, run: GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA iot_kpi TO {role};"
        ));
    }
    let message = format!(
        "Role \"{role}\" lacks rights that reports need ({names}); {}",
        remedies.join(" And ")
    );
    let mut verdict = unwell("no right to read", message, "");
    verdict.details["missing"] = serde_json::json!(missing);
    verdict
}

fn grant_reader(role: &str) -> String {
    format!("SELECT iot_kpi.grant_reader({});", quote_literal(role))
}

fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

pub(super) fn unwell(reason: &'static str, message: String, more: &str) -> Verdict {
    let more = if more.is_empty() { &message } else { more };
    let details = serde_json::json!({"reason": reason, "verboseMessage": more});
    Verdict {
        healthy: false,
        reason,
        message,
        details,
    }
}

/// What an error means to the person who set up the data source.
fn explain(error: &Error, settings: &Settings, place: &str) -> Verdict {
    let more = error.message();
    let Error::Database(database) = error else {
        let reason = match error {
            Error::ConnectTimeout(_) => "time-out",
            Error::Busy { .. } => "busy",
            Error::Tls(_) => "TLS refused",
            _ => "settings",
        };
        let message = if matches!(error, Error::ConnectTimeout(_)) {
            format!("Cannot reach {place}: {more}")
        } else {
            more
        };
        return unwell(reason, message, "");
    };
    let (user, base, tls) = (&settings.user, &settings.database, settings.tls());
    let (reason, message) = match database.code() {
        Some(code) if *code == SqlState::INVALID_PASSWORD => (
            "password refused",
            format!("{place} refuses the password of \"{user}\"; enter it again"),
        ),
        Some(code) if *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION => (
            "access refused",
            format!("{place} lets \"{user}\" not in; see the server's pg_hba.conf, or choose another TLS mode"),
        ),
        Some(code) if *code == SqlState::INVALID_CATALOG_NAME => (
            "database missing",
            format!("{place} has no database \"{base}\"; correct its name"),
        ),
        Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => {
            let remedy = grant_reader(user);
            (
                "no right to read",
                format!("Role \"{user}\" lacks a right; as the store's owner, run: {remedy}"),
            )
        }
        Some(code) if *code == SqlState::TOO_MANY_CONNECTIONS => (
            "too many connections",
            format!("{place} has no connection left; lower this pool's size"),
        ),
        Some(_) => ("refused", format!("{place} refuses")),
        None => match tls.trouble(database) {
            Some(Trouble { problem, remedy }) => (
                "TLS refused",
                format!(
                    "TLS with {place} failed in mode {}: {problem}; {remedy}",
                    tls.mode.name()
                ),
            ),
            None => (
                "cannot reach host",
                format!("Cannot reach {place}; check host and port, and that PostgreSQL runs"),
            ),
        },
    };
    unwell(reason, format!("{message} ({more})"), &more)
}

/// 1.2.3 as numbers, so that 0.10 is newer than 0.9.
fn version(text: &str) -> (u32, u32, u32) {
    let mut parts = text.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next())
}
