//! Which devices a query is about: by choice, by type or location, by ad-hoc filter; nothing chosen means all.

use super::ask::Ask;
use super::types::Rows;
use crate::error::{Error, shown};
use crate::session::Session;
use crate::statement::{Param, Statement};
use serde::{Deserialize, Serialize};

/// A choice of devices.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Devices {
    /// Their ids.
    pub devices: Vec<String>,
    /// Their types.
    pub device_types: Vec<String>,
    /// Their locations.
    pub locations: Vec<String>,
    /// Filters of the dashboard.
    pub adhoc_filters: Vec<AdhocFilter>,
}

/// A filter of the dashboard.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct AdhocFilter {
    /// `device_id`, `name`, `device_type`, `location` or a key of the metadata.
    pub key: String,
    /// `=`, `!=`, `=~`, `!~`, `=|` or `!=|`.
    pub operator: String,
    /// What to compare with; `=~` and `!~` take the first.
    pub values: Vec<String>,
}

impl Devices {
    /// Their ids; none for all.
    pub(crate) async fn resolve(&self, session: &mut Session) -> Result<Option<Vec<String>>, Error> {
        let ids = chosen(&self.devices);
        let (types, locations) = (chosen(&self.device_types), chosen(&self.locations));
        if types.is_none() && locations.is_none() && self.adhoc_filters.is_empty() {
            return Ok(ids);
        }
        let filters: Result<Vec<_>, _> = self.adhoc_filters.iter().map(AdhocFilter::for_sql).collect();
        let filters = serde_json::Value::Array(filters?).to_string();
        let params = vec![
            Param::Texts(ids),
            Param::Texts(types),
            Param::Texts(locations),
            Param::Text(Some(filters)),
        ];
        let statement = Statement::new(include_str!("../../sql/device_ids.sql"), params);
        let rows = session.rows(&statement).await?;
        Ok(rows.first().map(|row| row.try_get(0)).transpose()?)
    }
}

/// Tells where nothing is left of the devices that were chosen: reports pass over ids that are not registered, since a dashboard
/// remembers devices that are gone, and an empty panel alone would not say why it is empty.
pub(super) async fn tell_of_none(ask: &mut Ask<'_>) -> Result<(), Error> {
    let may_be_none = match ask.query.query_type.rows() {
        Rows::Devices => ask.rows == 0,
        Rows::Groups => true,
        Rows::Anything => false,
    };
    let Some(ids) = ask.device_ids.clone().filter(|_| may_be_none) else {
        return Ok(());
    };
    if ids.is_empty() {
        ask.warn("No device has the types, locations and properties that this query asks for.".to_owned());
        return Ok(());
    }
    let statement = Statement::new(
        include_str!("../../sql/registered_devices.sql"),
        vec![Param::Texts(Some(ids.clone()))],
    );
    let rows = ask.session.rows(&statement).await?;
    let registered: i64 = rows.first().map(|row| row.try_get(0)).transpose()?.unwrap_or(0);
    if registered == 0 {
        let named = shown(&ids.join(", ")).into_owned();
        ask.warn(format!(
            "None of the devices chosen is registered: {named}. Choose others."
        ));
    }
    Ok(())
}

impl AdhocFilter {
    fn for_sql(&self) -> Result<serde_json::Value, Error> {
        let operator = match self.operator.as_str() {
            "=" | "=|" => "=",
            "!=" | "!=|" => "!=",
            same @ ("=~" | "!~") => same,
            other => {
                return Err(Error::Query(format!(
                    "filter on \"{}\": operator \"{}\" is not known; use =, !=, =~ or !~",
                    shown(&self.key),
                    shown(other)
                )));
            }
        };
        Ok(serde_json::json!({"key": self.key, "operator": operator, "values": self.values}))
    }
}

/// What was chosen; none where nothing or everything was.
fn chosen(values: &[String]) -> Option<Vec<String>> {
    let everything = values.iter().any(|value| value == "$__all");
    let named: Vec<String> = values.iter().filter(|value| !value.is_empty()).cloned().collect();
    (!everything && !named.is_empty()).then_some(named)
}
