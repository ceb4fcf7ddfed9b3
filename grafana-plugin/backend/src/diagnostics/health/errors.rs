//! Errors on the way to the database, as who set up the data source needs to hear them.

use super::rights::grant_reader;
use super::{Verdict, unhealthy};
use crate::error::Error;
use crate::settings::Settings;
use iot_kpi_connection::tls::Trouble;
use tokio_postgres::error::SqlState;

/// What an error means to the person who set up the data source.
pub(super) fn explain(error: &Error, settings: &Settings, place: &str) -> Verdict {
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
        return unhealthy(reason, message, "");
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
    unhealthy(reason, format!("{message} ({more})"), &more)
}
