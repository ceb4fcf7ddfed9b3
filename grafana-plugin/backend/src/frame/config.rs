//! How a field is shown: its name for people, unit, decimals, thresholds that fit KPI.md's meaning of the numbers.

use super::columns::Held;
use serde::Serialize;
use std::collections::BTreeMap;

/// Grafana's field config, as far as it is used here.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldConfig {
    /// The name for people; a panel's own setting goes before it.
    #[serde(rename = "displayNameFromDS", skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Words about it, shown beside a column's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<&'static str>,
    /// Grafana's id of a unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Digits after the point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decimals: Option<u16>,
    /// Where an axis or gauge begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Where it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// Milliseconds between two values; a wider gap is shown as one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<f64>,
    /// Words and colours for values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mappings: Vec<Mapping>,
}

/// Words and colours for values.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mapping {
    #[serde(rename = "type")]
    kind: &'static str,
    options: BTreeMap<&'static str, Appearance>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Appearance {
    color: &'static str,
    index: usize,
}

/// A device's states, best first, in the colours of every panel that shows them.
const STATES: [(&str, &str); 7] = [
    ("online", "green"),
    ("degraded", "yellow"),
    ("offline", "red"),
    ("error", "dark-red"),
    ("maintenance", "blue"),
    ("excluded", "light-blue"),
    ("unknown", "gray"),
];

/// The colours of states.
pub(crate) fn state_mappings() -> Vec<Mapping> {
    let appearance =
        |(index, (state, color)): (usize, &(&'static str, &'static str))| (*state, Appearance { color, index });
    vec![Mapping {
        kind: "value",
        options: STATES.iter().enumerate().map(appearance).collect(),
    }]
}

impl FieldConfig {
    /// With a name for people.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.display_name = Some(name.into());
        self
    }
}

/// A ratio's unit: 0.5 reads "50%".
const RATIO: (&str, Option<u16>) = ("percentunit", Some(2));
const SECONDS: (&str, Option<u16>) = ("s", Some(1));
const MILLISECONDS: (&str, Option<u16>) = ("ms", Some(1));
const COUNT: (&str, Option<u16>) = ("short", Some(0));
const PLAIN: (&str, Option<u16>) = ("short", None);

/// A column of the reports: its name, unit and decimals, and what it means.
type Known = (&'static str, &'static str, (&'static str, Option<u16>), &'static str);

/// The KPI columns of the reports.
const KNOWN: &[Known] = &[
    ("uptime", "Uptime", RATIO, "up / (up + down) by heartbeats"),
    (
        "availability",
        "Availability",
        RATIO,
        "up / (up + down) by status reports",
    ),
    (
        "device_availability",
        "Devices live",
        RATIO,
        "devices live now / devices required now",
    ),
    ("mean_uptime", "Mean uptime", RATIO, "mean of the devices' uptimes"),
    (
        "pooled_uptime",
        "Pooled uptime",
        RATIO,
        "up time of all devices / (up + down) of all devices",
    ),
    ("live", "Live", COUNT, "devices that a heartbeat proves alive"),
    ("devices", "Devices", COUNT, "devices in the group"),
    ("required", "Required", COUNT, "devices that should be working"),
    ("up_time", "Up", SECONDS, "time required, observed and working"),
    ("down_time", "Down", SECONDS, "time required, observed and not working"),
    ("unknown_time", "Unknown", SECONDS, "time in which nobody was looking"),
    (
        "excluded_time",
        "Excluded",
        SECONDS,
        "time in which it was not required to work",
    ),
    ("failures", "Failures", COUNT, "outages that began in the window"),
    ("mtbf", "MTBF", SECONDS, "up time / failures"),
    ("mttr", "MTTR", SECONDS, "down time / failures"),
    (
        "longest_outage",
        "Longest outage",
        SECONDS,
        "the longest outage of the window",
    ),
    (
        "completeness",
        "Completeness",
        RATIO,
        "share of the expected reports that came",
    ),
    ("regularity", "Regularity", RATIO, "1 is clockwork, 0 is random"),
    (
        "stability",
        "Stability",
        RATIO,
        "1 never changes between up and down, 0 at every report",
    ),
    (
        "consistency",
        "Consistency",
        RATIO,
        "geometric mean of completeness, regularity and stability",
    ),
    ("jitter", "Jitter", SECONDS, "mean difference between consecutive gaps"),
    ("missed_beats", "Missed beats", COUNT, "reports that did not come"),
    ("response_count", "Responses", COUNT, "response times measured"),
    ("response_mean", "Response mean", MILLISECONDS, "mean response time"),
    (
        "response_p50",
        "Response p50",
        MILLISECONDS,
        "half of the responses were quicker",
    ),
    (
        "response_p90",
        "Response p90",
        MILLISECONDS,
        "90 % of the responses were quicker",
    ),
    (
        "response_p95",
        "Response p95",
        MILLISECONDS,
        "95 % of the responses were quicker",
    ),
    (
        "response_p99",
        "Response p99",
        MILLISECONDS,
        "99 % of the responses were quicker",
    ),
    (
        "apdex",
        "Apdex",
        ("short", Some(2)),
        "(satisfied + tolerating / 2) / total; 1 is best",
    ),
    ("attempts", "Attempts", COUNT, "communications attempted"),
    ("failed", "Failed", COUNT, "communications that failed"),
    ("error_rate", "Error rate", RATIO, "failed / attempts"),
    (
        "error_rate_low",
        "Error rate, low",
        RATIO,
        "lower end of the 95 % interval",
    ),
    (
        "error_rate_high",
        "Error rate, high",
        RATIO,
        "upper end of the 95 % interval",
    ),
    (
        "bytes_per_second",
        "Throughput",
        ("binBps", Some(1)),
        "bytes / required seconds",
    ),
    (
        "messages_per_second",
        "Messages",
        ("cps", Some(3)),
        "messages / required seconds",
    ),
    ("device_id", "Device", PLAIN, "as the device names itself"),
    ("name", "Name", PLAIN, "name for people"),
    ("device_type", "Type", PLAIN, "kind of device"),
    ("location", "Location", PLAIN, "where it stands"),
    ("status", "Status", PLAIN, "the state it is in"),
    ("never_seen", "Never seen", PLAIN, "whether no heartbeat ever came"),
    (
        "last_measured",
        "Last measured",
        PLAIN,
        "time of the last sample, by the device's clock",
    ),
    (
        "last_received",
        "Last received",
        PLAIN,
        "when the store received something last",
    ),
    ("group_value", "Group", PLAIN, "what the devices have in common"),
    ("started_at", "Started", PLAIN, "when it began"),
    ("ended_at", "Ended", PLAIN, "when it ended; empty while it goes on"),
    ("duration", "Duration", SECONDS, "the down time in it"),
    ("ongoing", "Ongoing", PLAIN, "whether it goes on"),
    (
        "began_before",
        "Began before",
        PLAIN,
        "whether it began before the window",
    ),
    ("last_beat", "Last beat", PLAIN, "the last sign of life before it"),
    ("slo_id", "Objective no.", COUNT, "row of iot.slo_targets"),
    ("scope_kind", "Scope", PLAIN, "what the objective is for"),
    ("scope_value", "For", PLAIN, "which device, type or location"),
    ("kpi", "KPI", PLAIN, "what was promised"),
    ("objective", "Objective", ("percentunit", Some(3)), "the promise"),
    ("met", "Met", PLAIN, "whether the promise is kept so far"),
    ("eligible_time", "Counted", SECONDS, "up and down time together"),
    (
        "error_budget",
        "Error budget",
        SECONDS,
        "down time that the objective allows",
    ),
    ("consumed", "Consumed", SECONDS, "down time used up"),
    (
        "remaining",
        "Remaining",
        SECONDS,
        "down time left; negative when overspent",
    ),
    (
        "remaining_ratio",
        "Budget left",
        RATIO,
        "share of the error budget that is left",
    ),
    (
        "burn_rate",
        "Burn rate",
        ("short", Some(2)),
        "1 uses the budget up exactly over the objective's period",
    ),
    ("nines", "Nines", ("short", Some(2)), "-log10(1 - value)"),
    ("expected", "Expected", PLAIN, "the usual value"),
    (
        "score",
        "Score",
        ("short", Some(1)),
        "modified z-score: robust standard deviations from the usual value",
    ),
];

/// How a report's column is shown; an unknown one by its own name.
pub fn of_column(name: &str, held: Held) -> FieldConfig {
    let known = KNOWN.iter().find(|known| known.0 == name);
    let mut config = FieldConfig::default();
    if let Some((_, title, (unit, decimals), description)) = known {
        config.display_name = Some((*title).to_owned());
        config.description = Some(description);
        if matches!(held, Held::Number | Held::Duration) && (*unit, *decimals) != PLAIN {
            config.unit = Some((*unit).to_owned());
            config.decimals = *decimals;
        }
    }
    if held == Held::Duration {
        config.unit = Some("s".to_owned());
    }
    if held == Held::Text && name == "status" {
        config.mappings = state_mappings();
    }
    if is_ratio(name) {
        config.min = Some(0.0);
        config.max = Some(1.0);
    }
    config
}

/// Whether a KPI is from 0 to 1. The remaining budget is not: it may be overspent.
fn is_ratio(name: &str) -> bool {
    let known = KNOWN.iter().find(|known| known.0 == name);
    name == "apdex" || known.is_some_and(|known| known.2 == RATIO) && name != "remaining_ratio"
}

/// How a KPI's values are shown, wherever they come from.
pub fn of_kpi(kpi: &str) -> FieldConfig {
    // A series of durations comes in seconds, as numbers.
    of_column(kpi, Held::Number)
}

/// A KPI's name for people.
pub fn title(kpi: &str) -> &str {
    KNOWN.iter().find(|known| known.0 == kpi).map_or(kpi, |known| known.1)
}

/// What a KPI means; empty for an unknown one.
pub fn description(kpi: &str) -> &'static str {
    KNOWN.iter().find(|known| known.0 == kpi).map_or("", |known| known.3)
}

/// Grafana's id for a unit of `iot.metric_types`, which are written as UCUM or as people write them.
pub fn metric_unit(unit: &str) -> Option<String> {
    let id = match unit {
        "" | "1" => return None,
        "%" | "percent" | "percentage" => "percent",
        "Cel" | "°C" | "celsius" => "celsius",
        "degF" | "°F" | "fahrenheit" => "fahrenheit",
        "K" => "kelvin",
        "us" | "µs" => "µs",
        "ms" | "s" | "m" | "h" | "d" => unit,
        "By" | "B" | "bytes" => "bytes",
        "By/s" | "B/s" => "binBps",
        "bit/s" => "bps",
        "V" => "volt",
        "A" => "amp",
        "W" => "watt",
        "Hz" => "hertz",
        "Pa" => "pressurepa",
        "hPa" | "mbar" => "pressurehpa",
        "lx" => "lux",
        "dB" => "dB",
        "dBm" => "dBm",
        "ppm" | "[ppm]" => "ppm",
        other => return Some(format!("suffix: {other}")),
    };
    Some(id.to_owned())
}
