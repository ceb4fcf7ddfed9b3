//! CheckHealth: the reason a person can act on. CollectMetrics: what this process does, for Prometheus.

use crate::error::Error;
use crate::pool::Pools;
use crate::session::Session;
use crate::settings::{Settings, SourceId, TlsMode};
use crate::statement::Statement;
use crate::stream::Running;
use grafana_plugin_sdk::pluginv2::check_health_response::HealthStatus;
use grafana_plugin_sdk::pluginv2::collect_metrics_response::Payload;
use grafana_plugin_sdk::pluginv2::diagnostics_server::Diagnostics;
use grafana_plugin_sdk::pluginv2::{
    CheckHealthRequest, CheckHealthResponse, CollectMetricsRequest, CollectMetricsResponse,
};
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio_postgres::error::SqlState;
use tonic::{Request, Response, Status};

/// The oldest extension whose reports this plugin understands: of its own version, whatever the patch.
fn oldest_extension() -> (u32, u32, u32) {
    let (major, minor, _) = version(env!("CARGO_PKG_VERSION"));
    (major, minor, 0)
}

/// What happened since the start.
#[derive(Default)]
pub struct Counters {
    answered: AtomicU64,
    refused: AtomicU64,
}

impl Counters {
    pub(crate) fn queried(&self, well: bool) {
        let counter = if well { &self.answered } else { &self.refused };
        counter.fetch_add(1, Relaxed);
    }
}

/// The service.
pub struct DiagnosticsService {
    pub(crate) pools: Pools,
    pub(crate) counters: Arc<Counters>,
    pub(crate) streams: Running,
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

#[tonic::async_trait]
impl Diagnostics for DiagnosticsService {
    async fn check_health(
        &self,
        request: Request<CheckHealthRequest>,
    ) -> Result<Response<CheckHealthResponse>, Status> {
        let settings = Settings::from_context(request.get_ref().plugin_context.as_ref());
        let verdict = match settings {
            Ok(settings) => check(&self.pools, &settings).await,
            Err(error) => unwell("settings", error.message(), ""),
        };
        if !verdict.healthy {
            tracing::info!(reason = verdict.reason, "health check failed");
        }
        let status = if verdict.healthy {
            HealthStatus::Ok
        } else {
            HealthStatus::Error
        };
        Ok(Response::new(CheckHealthResponse {
            status: status.into(),
            message: verdict.message,
            json_details: verdict.details.to_string().into_bytes(),
        }))
    }

    async fn collect_metrics(
        &self,
        _: Request<CollectMetricsRequest>,
    ) -> Result<Response<CollectMetricsResponse>, Status> {
        let payload = Payload {
            prometheus: self.prometheus().into_bytes(),
        };
        Ok(Response::new(CollectMetricsResponse { metrics: Some(payload) }))
    }
}

impl DiagnosticsService {
    fn prometheus(&self) -> String {
        let (answered, refused) = (
            self.counters.answered.load(Relaxed),
            self.counters.refused.load(Relaxed),
        );
        let mut text = format!(
            "# HELP iot_kpi_queries_total Queries by result.\n# TYPE iot_kpi_queries_total counter\n\
             iot_kpi_queries_total{{result=\"answered\"}} {answered}\niot_kpi_queries_total{{result=\"refused\"}} {refused}\n\
             # HELP iot_kpi_connections Connections by data source and state.\n# TYPE iot_kpi_connections gauge\n"
        );
        for pool in self.pools.states() {
            // Grafana's uids are letters, digits, - and _; nothing to escape.
            let SourceId { organisation, uid } = &pool.source;
            let states = [
                ("open", pool.size),
                ("idle", pool.available),
                ("awaited", pool.waiting),
                ("limit", pool.limit),
            ];
            for (state, number) in states {
                // Writing to a string cannot fail.
                let _ = writeln!(
                    text,
                    "iot_kpi_connections{{datasource=\"{uid}\",organisation=\"{organisation}\",state=\"{state}\"}} {number}"
                );
            }
        }
        text.push_str("# HELP iot_kpi_streams Streams that run, by data source.\n# TYPE iot_kpi_streams gauge\n");
        for (SourceId { organisation, uid }, number) in self.streams.counts() {
            let _ = writeln!(
                text,
                "iot_kpi_streams{{datasource=\"{uid}\",organisation=\"{organisation}\"}} {number}"
            );
        }
        text
    }
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
    let statement = Statement::new(include_str!("../sql/health.sql"), Vec::new());
    let rows = session.rows(&statement).await?;
    let Some(row) = rows.first() else {
        return Ok(unwell("no answer", "PostgreSQL gave no answer".to_owned(), ""));
    };
    let (server, extension): (String, Option<String>) = (row.try_get(0)?, row.try_get(1)?);
    let (has_store, may_read): (bool, Option<bool>) = (row.try_get(2)?, row.try_get(3)?);
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
    if may_read != Some(true) {
        let message = format!(
            "Role \"{user}\" may not read the store; run: GRANT USAGE ON SCHEMA iot, iot_kpi TO \"{user}\"; \
             GRANT SELECT ON ALL TABLES IN SCHEMA iot TO \"{user}\";",
            user = settings.user
        );
        return Ok(unwell("no right to read", message, ""));
    }
    let rows = session
        .rows(&Statement::new("SELECT count(*) FROM iot.devices", Vec::new()))
        .await?;
    let devices: i64 = rows.first().map(|row| row.try_get(0)).transpose()?.unwrap_or(0);
    Ok(Verdict {
        healthy: true,
        reason: "ok",
        message: format!("Connected to PostgreSQL {server} with pg_iot_kpi {extension}: {devices} devices"),
        details: serde_json::json!({"postgresql": server, "extension": extension, "devices": devices}),
    })
}

fn unwell(reason: &'static str, message: String, more: &str) -> Verdict {
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
    let (user, base) = (&settings.user, &settings.database);
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
            ("no right to read", format!("Role \"{user}\" lacks a right; grant it"))
        }
        Some(code) if *code == SqlState::TOO_MANY_CONNECTIONS => (
            "too many connections",
            format!("{place} has no connection left; lower this pool's size"),
        ),
        Some(_) => ("refused", format!("{place} refuses")),
        None if is_about_tls(&more) => (
            "TLS refused",
            format!(
                "TLS with {place} failed in mode {}: {}",
                mode_name(settings.tls_mode),
                tls_remedy(&more)
            ),
        ),
        None => (
            "cannot reach host",
            format!("Cannot reach {place}; check host and port, and that PostgreSQL runs"),
        ),
    };
    unwell(reason, format!("{message} ({more})"), &more)
}

fn is_about_tls(text: &str) -> bool {
    ["TLS", "tls", "certificate", "fatal alert"]
        .iter()
        .any(|word| text.contains(word))
}

/// What to do about a failed handshake, by the words of the TLS library.
fn tls_remedy(words: &str) -> &'static str {
    const REMEDIES: [(&str, &str); 7] = [
        (
            "does not support TLS",
            "the server has it switched off; set ssl = on there, or choose mode disable",
        ),
        ("UnknownIssuer", "paste the CA certificate that signed the server's"),
        ("BadSignature", "paste the CA certificate that signed the server's"),
        (
            "not valid for name",
            "the server's certificate names another host; use that name, or mode verify-ca",
        ),
        (
            "NotValidForName",
            "the server's certificate names another host; use that name, or mode verify-ca",
        ),
        ("xpired", "the server's certificate has expired; renew it"),
        (
            "fatal alert",
            "the server refuses the client certificate; see its ssl_ca_file",
        ),
    ];
    let found = REMEDIES.iter().find(|(word, _)| words.contains(word));
    found.map_or("see the certificates and the mode", |(_, remedy)| remedy)
}

fn mode_name(mode: TlsMode) -> &'static str {
    match mode {
        TlsMode::Disable => "disable",
        TlsMode::Require => "require",
        TlsMode::VerifyCa => "verify-ca",
        TlsMode::VerifyFull => "verify-full",
    }
}

/// 1.2.3 as numbers, so that 0.10 is newer than 0.9.
fn version(text: &str) -> (u32, u32, u32) {
    let mut parts = text.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next())
}
