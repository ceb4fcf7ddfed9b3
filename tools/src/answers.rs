//! What a small store answers: every report over it, to be compared before and after something was done to the store.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use postgres::Client;
use serde_json::Value;

/// Fills an empty store; the same each time.
pub const FILL: &str = concat!(include_str!("answers/store.sql"), include_str!("answers/states.sql"));
/// The part of it that makes the user's table.
pub const FILL_STATES: &str = include_str!("answers/states.sql");

/// Every report. The window is longer than what is calculated, on both sides, and cuts an hour.
const REPORTS: [(&str, &str); 16] = [
    ("device_kpis", "device_kpis({w}, as_of => {t})"),
    ("device_kpis of one", "device_kpis({w}, ARRAY['AIR_001'], {t})"),
    ("fleet_kpis", "fleet_kpis({w}, as_of => {t})"),
    ("fleet_kpis by type", "fleet_kpis({w}, 'device_type', as_of => {t})"),
    (
        "kpi_series",
        "kpi_series('uptime', {w}, '1 hour', time_zone => 'UTC', as_of => {t})",
    ),
    (
        "kpi_series by location",
        "kpi_series('response_p95', {w}, '45 min', 'location', 'Asia/Kolkata', as_of => {t})",
    ),
    ("status_periods", "status_periods({w}, as_of => {t})"),
    ("outages", "outages({w}, as_of => {t})"),
    ("metric_series", "metric_series('response_time', {w}, 20, as_of => {t})"),
    ("slo_report", "slo_report(as_of => {t})"),
    ("slo_report of a window", "slo_report({w}, as_of => {t})"),
    ("burn_rate_alerts", "burn_rate_alerts(as_of => {t})"),
    (
        "sla_calendar",
        "sla_calendar({w}, 0.99, '2 hours', time_zone => 'UTC', as_of => {t})",
    ),
    (
        "anomalies",
        "anomalies('response_time', {w}, 1, baseline => '6 hours', time_zone => 'UTC', as_of => {t})",
    ),
    ("device_kpis then", "device_kpis({w}, as_of => '2026-02-28 23:00+00')"),
    (
        "metric_series of pulses",
        "metric_series('pulses', {w}, 1000, as_of => {t})",
    ),
];
const WINDOW: &str = "'[2026-02-27 22:30+00, 2026-03-01 03:40+00)'::tstzrange";
const AS_OF: &str = "'2026-03-01 03:35+00'::timestamptz";

/// What the states of `public.states` say.
const STATES: &str = "
    SELECT device_id, iot_kpi.uptime(heartbeats, w), iot_kpi.beat_count(heartbeats), iot_kpi.last_beat(heartbeats),
               iot_kpi.live_ranges(heartbeats)::text AS live, iot_kpi.availability(status_timeline, w), iot_kpi.transitions(status_timeline, w),
               iot_kpi.status_at(status_timeline, upper(w)), iot_kpi.completeness(cadence, '10 min', w), iot_kpi.jitter(cadence, '10 min', w),
               iot_kpi.missed_beats(cadence, '10 min', w), iot_kpi.percentiles(response_sketch, '{0, 0.5, 0.95, 1}'),
               iot_kpi.mean(response_sketch), iot_kpi.apdex(response_sketch, 100), iot_kpi.total(throughput), iot_kpi.resets(throughput),
               iot_kpi.rate(throughput, w)
        FROM public.states, (VALUES (tstzrange('2026-02-28 20:00+00', '2026-03-01 04:00+00'))) v (w) ORDER BY device_id";

/// The rows of each report, and of the states that the user keeps.
pub type Answers = BTreeMap<String, Vec<Value>>;

/// Asks every report.
///
/// # Errors
/// When one fails, or has nothing to say.
pub fn ask(client: &mut Client) -> Result<Answers> {
    ask_if(client, |_| true)
}

/// Asks some of them, by their names.
///
/// # Errors
/// As [`ask`].
pub fn ask_of<'a>(client: &mut Client, names: impl Iterator<Item = &'a String> + Clone) -> Result<Answers> {
    ask_if(client, |name| names.clone().any(|wanted| wanted == name))
}

fn ask_if(client: &mut Client, wanted: impl Fn(&str) -> bool) -> Result<Answers> {
    let reports = REPORTS.iter().map(|(name, call)| {
        let call = call.replace("{w}", WINDOW).replace("{t}", AS_OF);
        (*name, format!("iot_kpi.{call} AS r"))
    });
    let mut answers = Answers::new();
    let all = reports.chain([("states", format!("({STATES}) AS r"))]);
    for (name, from) in all.filter(|(name, _)| wanted(name)) {
        // Every value as text: a number is compared to its last digit.
        let sql = format!("SELECT (SELECT jsonb_object_agg(key, value) FROM jsonb_each_text(to_jsonb(r))) FROM {from}");
        let rows = client.query(&sql, &[]).with_context(|| format!("ask {name}: {sql}"))?;
        ensure!(!rows.is_empty(), "{name} has nothing to say: {sql}");
        answers.insert(name.to_owned(), rows.iter().map(|row| row.get(0)).collect());
    }
    Ok(answers)
}

/// Where the answers of `new` differ from those of `old`; a column that only `new` has is none.
pub fn differences(old: &Answers, new: &Answers) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, rows) in old {
        let now = new.get(name).map_or(&[][..], Vec::as_slice);
        if rows.len() != now.len() {
            lines.push(format!("{name}: {} rows instead of {}", now.len(), rows.len()));
        }
        for (was, is) in rows.iter().zip(now) {
            let columns = was.as_object().into_iter().flatten();
            for (column, value) in columns.filter(|(column, value)| is.get(column.as_str()) != Some(*value)) {
                let is = is.get(column.as_str()).unwrap_or(&Value::Null);
                lines.push(format!("{name}: {column} is {is} instead of {value} in {was}"));
            }
        }
    }
    lines
}

/// A digest of every table in schema `iot`, and of the user's.
///
/// # Errors
/// When one cannot be read.
pub fn tables(client: &mut Client) -> Result<BTreeMap<String, String>> {
    let sql = "SELECT c.oid::regclass::text FROM pg_class c
               WHERE c.relnamespace IN ('iot'::regnamespace, 'public'::regnamespace) AND c.relkind IN ('r', 'p') AND NOT c.relispartition";
    let mut digests = BTreeMap::new();
    for row in client.query(sql, &[]).context("list the tables")? {
        let table: String = row.get(0);
        let sql = format!(
            "SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, chr(10) ORDER BY t::text COLLATE \"C\")), '') FROM {table} t"
        );
        let digest = client.query_one(&sql, &[]).with_context(|| format!("read {table}"))?;
        digests.insert(table, digest.get(0));
    }
    Ok(digests)
}
