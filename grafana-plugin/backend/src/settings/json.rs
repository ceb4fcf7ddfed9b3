//! The settings that Grafana keeps in the open, `jsonData`, as they were saved or provisioned.

use super::TlsMode;
use crate::error::Error;
use serde::{Deserialize, Deserializer};

/// Those settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Json {
    pub(super) host: String,
    #[serde(deserialize_with = "lenient_number")]
    pub(super) port: Option<u64>,
    pub(super) database: String,
    pub(super) user: String,
    pub(super) tls_mode: TlsMode,
    #[serde(deserialize_with = "lenient_number")]
    pub(super) pool_size: Option<u64>,
    #[serde(deserialize_with = "lenient_number")]
    pub(super) connect_timeout: Option<u64>,
    #[serde(deserialize_with = "lenient_number")]
    pub(super) statement_timeout: Option<u64>,
    #[serde(deserialize_with = "lenient_number")]
    pub(super) row_limit: Option<u64>,
    pub(super) allow_sql: bool,
    pub(super) allow_writes: bool,
}

impl Default for Json {
    fn default() -> Self {
        Json {
            host: String::new(),
            port: None,
            database: String::new(),
            user: String::new(),
            tls_mode: TlsMode::VerifyFull,
            pool_size: None,
            connect_timeout: None,
            statement_timeout: None,
            row_limit: None,
            allow_sql: false,
            allow_writes: false,
        }
    }
}

/// For the fuzzers: whether it can be read.
#[cfg(fuzzing)]
pub(crate) fn read(json: &[u8]) {
    let _ = parse(json);
}

pub(super) fn parse(json: &[u8]) -> Result<Json, Error> {
    if json.is_empty() {
        return Ok(Json::default());
    }
    serde_json::from_slice(json).map_err(|error| Error::Setting {
        setting: "jsonData",
        problem: format!("cannot be read ({error})"),
        remedy: "open the data source's settings and save them again",
    })
}

/// A number, or a text that holds one, as variables in provisioning files give it; an empty text is none.
fn lenient_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(u64),
        Text(String),
        Nothing(()),
    }
    match Either::deserialize(deserializer)? {
        Either::Number(number) => Ok(Some(number)),
        Either::Text(text) if text.trim().is_empty() => Ok(None),
        Either::Text(text) => text.trim().parse().map(Some).map_err(serde::de::Error::custom),
        Either::Nothing(()) => Ok(None),
    }
}
