//! Who may write: whoever may see a data source may call all its routes, so those that write look at who calls.

use super::reply::Problem;
use crate::data::is_alert_rule;
use crate::settings::Settings;
use grafana_plugin_sdk::pluginv2::{PluginContext, StringList};
use std::collections::HashMap;

/// Who calls a route.
#[derive(Clone, Default)]
pub(super) struct Caller {
    pub(super) context: Option<PluginContext>,
    is_alert_rule: bool,
}

impl Caller {
    pub(super) fn of(context: Option<PluginContext>, headers: &HashMap<String, StringList>) -> Self {
        let is_alert_rule = is_alert_rule(headers.keys());
        Caller { context, is_alert_rule }
    }

    /// Fails where this caller may not write to this data source.
    pub(super) fn check(&self, settings: &Settings) -> Result<(), Problem> {
        if !settings.allow_writes {
            return Err(Problem::forbidden(
                "this data source does not allow writes; its administrator can switch that on",
            ));
        }
        let user = self.context.as_ref().and_then(|context| context.user.as_ref());
        // Alert rules are asked by a user of Grafana's own, who is an Admin.
        let person = user.filter(|user| !user.login.is_empty() && user.login != "grafana_scheduler");
        let Some(person) = person else {
            return Err(Problem::forbidden(
                "only a person or a service account may write, and none is signed in",
            ));
        };
        if self.is_alert_rule {
            return Err(Problem::forbidden("alert rules may not write"));
        }
        if !matches!(person.role.as_str(), "Editor" | "Admin") {
            return Err(Problem::forbidden("writing needs the role Editor or Admin"));
        }
        Ok(())
    }
}
