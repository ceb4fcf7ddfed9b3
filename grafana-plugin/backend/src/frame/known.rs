//! The columns of the reports, as people read them: name, unit and decimals, meaning. docs/kpis.md has the long form.

/// A column of the reports.
pub(super) struct Known {
    /// In SQL.
    name: &'static str,
    /// For people.
    pub(super) title: &'static str,
    /// Grafana's id of a unit, and the digits after the point.
    pub(super) unit: Option<(&'static str, u16)>,
    /// What it means.
    pub(super) description: &'static str,
}

impl Known {
    /// Whether it is a share of something, from 0 to 1 as a rule.
    pub(super) fn is_share(&self) -> bool {
        self.unit.is_some_and(|(unit, _)| unit == "percentunit")
    }
}

type Text = &'static str;

const fn plain(name: Text, title: Text, description: Text) -> Known {
    Known {
        name,
        title,
        unit: None,
        description,
    }
}

const fn number(name: Text, title: Text, unit: (Text, u16), description: Text) -> Known {
    Known {
        unit: Some(unit),
        ..plain(name, title, description)
    }
}

/// 0.5 reads "50%".
const fn ratio(name: Text, title: Text, description: Text) -> Known {
    number(name, title, ("percentunit", 2), description)
}

const fn seconds(name: Text, title: Text, description: Text) -> Known {
    number(name, title, ("s", 1), description)
}

const fn count(name: Text, title: Text, description: Text) -> Known {
    number(name, title, ("locale", 0), description)
}

/// What is known of a column.
pub(super) fn find(name: &str) -> Option<&'static Known> {
    KPIS.iter().chain(OTHERS).find(|known| known.name == name)
}

/// The KPIs, as `make catalogue` writes them.
#[rustfmt::skip]
const KPIS: &[Known] = &[
    // catalogue: known to the plugin
    number("uptime", "Uptime", ("percentunit", 2), "up / (up + down) by heartbeats"),
    number("availability", "Availability", ("percentunit", 2), "up / (up + down) by status reports"),
    number("device_availability", "Devices live", ("percentunit", 2), "devices live now / devices required now"),
    number("mean_uptime", "Mean uptime", ("percentunit", 2), "mean of the devices' uptimes"),
    number("pooled_uptime", "Pooled uptime", ("percentunit", 2), "up time of all devices / (up + down) of all devices"),
    number("live", "Live", ("locale", 0), "devices that a heartbeat proves alive"),
    number("unknown", "Not observed", ("locale", 0), "devices of which nobody can tell whether they work"),
    number("up_time", "Up", ("s", 1), "time required, observed and working"),
    number("down_time", "Down", ("s", 1), "time required, observed and not working"),
    number("unknown_time", "Unknown", ("s", 1), "time in which nobody was looking"),
    number("excluded_time", "Excluded", ("s", 1), "time in which it was not required to work"),
    number("failures", "Failures", ("locale", 0), "outages that began in the window"),
    number("mtbf", "MTBF", ("s", 1), "up time / failures"),
    number("mttr", "MTTR", ("s", 1), "down time / failures"),
    number("longest_outage", "Longest outage", ("s", 1), "the longest outage of the window"),
    number("completeness", "Completeness", ("percentunit", 2), "share of the expected reports that came"),
    number("regularity", "Regularity", ("percentunit", 2), "1 is clockwork, 0 is random"),
    number("stability", "Stability", ("percentunit", 2), "1 never changes between up and down, 0 at every report"),
    number("consistency", "Consistency", ("percentunit", 2), "geometric mean of completeness, regularity and stability"),
    number("jitter", "Jitter", ("s", 1), "mean difference between consecutive gaps"),
    number("missed_beats", "Missed beats", ("locale", 0), "reports that did not come"),
    number("response_count", "Responses", ("locale", 0), "response times measured"),
    number("response_mean", "Response mean", ("ms", 1), "mean response time"),
    number("response_p50", "Response p50", ("ms", 1), "half of the responses were quicker"),
    number("response_p75", "Response p75", ("ms", 1), "75 % of the responses were quicker"),
    number("response_p90", "Response p90", ("ms", 1), "90 % of the responses were quicker"),
    number("response_p95", "Response p95", ("ms", 1), "95 % of the responses were quicker"),
    number("response_p99", "Response p99", ("ms", 1), "99 % of the responses were quicker"),
    number("apdex", "Apdex", ("short", 2), "(satisfied + tolerating / 2) / total; 1 is best"),
    number("attempts", "Attempts", ("locale", 0), "communications attempted"),
    number("failed", "Failed", ("locale", 0), "communications that failed"),
    number("error_rate", "Error rate", ("percentunit", 2), "failed / attempts"),
    number("error_rate_low", "Error rate, low", ("percentunit", 2), "lower end of the 95 % interval"),
    number("error_rate_high", "Error rate, high", ("percentunit", 2), "upper end of the 95 % interval"),
    number("bytes_per_second", "Throughput", ("binBps", 1), "bytes / required seconds"),
    number("messages_per_second", "Messages", ("suffix: /s", 3), "messages / required seconds"),
    // catalogue: end
];

const OTHERS: &[Known] = &[
    count("devices", "Devices", "devices in the group"),
    count("required", "Required", "devices that should be working"),
    plain("device_id", "Device", "as the device names itself"),
    plain("name", "Name", "name for people"),
    plain("device_type", "Type", "kind of device"),
    plain("location", "Location", "where it stands"),
    plain("status", "Status", "the state it is in"),
    plain("never_seen", "Never seen", "whether no heartbeat ever came"),
    plain(
        "last_measured",
        "Last measured",
        "time of the last sample, by the device's clock",
    ),
    plain(
        "last_received",
        "Last received",
        "when the store received something last",
    ),
    plain("group_value", "Group", "what the devices have in common"),
    plain("started_at", "Started", "when it began"),
    plain("ended_at", "Ended", "when it ended; empty while it goes on"),
    seconds("duration", "Duration", "the down time in it"),
    plain("ongoing", "Ongoing", "whether it goes on"),
    plain("began_before", "Began before", "whether it began before the window"),
    plain("last_beat", "Last beat", "the last sign of life before it"),
    count("slo_id", "Objective no.", "row of iot.slo_targets"),
    plain("scope_kind", "Scope", "what the objective is for"),
    plain("scope_value", "For", "which device, type or location"),
    plain("kpi", "KPI", "what was promised"),
    number("objective", "Objective", ("percentunit", 3), "the promise"),
    plain("met", "Met", "whether the promise is kept so far"),
    seconds("eligible_time", "Counted", "up and down time together"),
    seconds("error_budget", "Error budget", "down time that the objective allows"),
    seconds("consumed", "Consumed", "down time used up"),
    seconds("remaining", "Remaining", "down time left; negative when overspent"),
    ratio(
        "remaining_ratio",
        "Budget left",
        "share of the error budget that is left",
    ),
    number(
        "burn_rate",
        "Burn rate",
        ("short", 2),
        "1 uses the budget up exactly over the objective's period",
    ),
    number("nines", "Nines", ("short", 2), "-log10(1 - value)"),
    plain("expected", "Expected", "the usual value"),
    number(
        "score",
        "Score",
        ("short", 1),
        "modified z-score: robust standard deviations from the usual value",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kpi_of_the_catalogue_has_a_unit_and_a_meaning() {
        for kpi in kpi_core::catalogue::KPIS {
            let known = find(kpi.name).unwrap_or_else(|| panic!("{} is not known", kpi.name));
            assert!(
                known.unit.is_some() && !known.title.is_empty() && !known.description.is_empty(),
                "{}",
                kpi.name
            );
        }
    }

    #[test]
    fn each_column_is_there_once() {
        let all: Vec<&Known> = KPIS.iter().chain(OTHERS).collect();
        for (index, known) in all.iter().enumerate() {
            assert!(
                !all[..index].iter().any(|other| other.name == known.name),
                "{}",
                known.name
            );
        }
    }
}
