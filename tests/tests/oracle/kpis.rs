//! What the oracle says of every KPI, by its name: of a device, or of a group of devices.

use std::collections::BTreeMap;

use postgres::{Client, Row};

use crate::judge::{Case, Class, Present, Verdict};
use crate::world::World;

/// A device, or a group of devices, in a window or in a bucket of one.
pub(crate) struct Subject {
    /// Of a group: times and counts are sums over its devices, scores are means.
    whole: Verdict,
    mean_uptime: Option<f64>,
    /// At least and at most.
    apdex: Option<(f64, f64)>,
    pub(crate) devices: i64,
    pub(crate) required: i64,
    live: i64,
    unknown: i64,
    device_availability: Option<f64>,
}

/// What a value should be.
pub(crate) enum Says {
    /// This one, but for so much of it: the last bits of a sum of floats.
    Close(Option<f64>, f64),
    /// This one in seconds, which SQL rounds to the microsecond, and where it divides an interval, to another.
    ToTheMicrosecond(Option<f64>),
    /// One between these two: a sketch is exact to 1 %.
    Between(Option<(f64, f64)>),
    /// Whatever it is.
    Anything,
}

use Says::{Between, Close, ToTheMicrosecond};

/// A KPI's name, and what it should be.
type Kpi = (&'static str, fn(&Subject) -> Says);

/// Every KPI. Where the database knows another one, [`kpi_names`] fails.
const KPIS: &[Kpi] = &[
    ("uptime", |s| Close(s.whole.uptime, 1e-15)),
    ("mean_uptime", |s| Close(s.mean_uptime, 1e-12)),
    ("pooled_uptime", |s| Close(s.whole.uptime, 1e-15)),
    ("availability", |s| Close(s.whole.availability, 1e-15)),
    ("device_availability", |s| Close(s.device_availability, 1e-15)),
    ("live", |s| count(s.live)),
    ("unknown", |s| count(s.unknown)),
    ("up_time", |s| seconds(s.whole.times.up)),
    ("down_time", |s| seconds(s.whole.times.down)),
    ("unknown_time", |s| seconds(s.whole.times.unknown)),
    ("excluded_time", |s| seconds(s.whole.times.excluded)),
    ("failures", |s| count(s.whole.failures)),
    ("mtbf", |s| ToTheMicrosecond(s.whole.mtbf().map(|us| us / 1e6))),
    ("mttr", |s| ToTheMicrosecond(s.whole.mttr().map(|us| us / 1e6))),
    ("longest_outage", |s| {
        Close(s.whole.longest_outage.map(|us| us as f64 / 1e6), 1e-15)
    }),
    ("completeness", |s| Close(s.whole.completeness, 1e-12)),
    ("regularity", |s| Close(s.whole.regularity, 1e-9)),
    ("stability", |s| Close(s.whole.stability, 1e-12)),
    ("consistency", |s| Close(s.whole.consistency, 1e-9)),
    ("jitter", |s| Close(s.whole.jitter, 1e-9)),
    ("missed_beats", |s| count(s.whole.missed)),
    ("response_count", |s| count(s.whole.responses.len() as i64)),
    ("response_mean", |s| Close(s.whole.mean(), 1e-12)),
    ("response_p50", |s| percentile(s, 0.5)),
    ("response_p75", |s| percentile(s, 0.75)),
    ("response_p90", |s| percentile(s, 0.9)),
    ("response_p95", |s| percentile(s, 0.95)),
    ("response_p99", |s| percentile(s, 0.99)),
    ("apdex", |s| Between(s.apdex)),
    ("attempts", |s| count(s.whole.attempts)),
    ("failed", |s| count(s.whole.failed)),
    ("error_rate", |s| Close(s.whole.error_rate(), 1e-15)),
    ("error_rate_low", |s| Close(s.whole.wilson().map(|w| w.0), 1e-12)),
    ("error_rate_high", |s| Close(s.whole.wilson().map(|w| w.1), 1e-12)),
    ("bytes_per_second", |s| Close(s.whole.bytes_per_second, 1e-9)),
    ("messages_per_second", |s| Close(s.whole.messages_per_second, 1e-12)),
];

fn seconds(us: i64) -> Says {
    Close(Some(us as f64 / 1e6), 1e-15)
}

fn count(n: i64) -> Says {
    Close(Some(n as f64), 0.0)
}

fn percentile(subject: &Subject, q: f64) -> Says {
    Between(subject.whole.percentile(q).map(|v| (v * 0.99, v * 1.01)))
}

impl Says {
    /// What is wrong with a value, if anything is.
    pub(crate) fn objection(&self, is: Option<f64>) -> Option<String> {
        let near = |a: Option<f64>, b: Option<f64>, tolerance: f64| match (a, b) {
            (Some(a), Some(b)) => (a - b).abs() <= tolerance,
            (a, b) => a == b,
        };
        match self {
            Says::Anything => None,
            Close(should_be, relative) => {
                let tolerance = relative * should_be.map_or(0.0, |b| b.abs().max(1.0));
                (!near(is, *should_be, tolerance)).then(|| format!("{should_be:?}"))
            }
            ToTheMicrosecond(should_be) => (!near(is, *should_be, 2e-6)).then(|| format!("{should_be:?}")),
            Between(range) => {
                let agree = match (is, range) {
                    (Some(is), Some((low, high))) => low - 1e-12 <= is && is <= high + 1e-12,
                    (is, range) => is.is_none() && range.is_none(),
                };
                (!agree).then(|| format!("between {range:?}"))
            }
        }
    }
}

impl Subject {
    /// What the oracle says of a KPI.
    pub(crate) fn says(&self, kpi: &str) -> Says {
        KPIS.iter().find(|known| known.0 == kpi).unwrap().1(self)
    }

    /// What it says of each of a report's columns.
    pub(crate) fn says_of<'a>(&self, columns: &'a Columns) -> impl Iterator<Item = (&'a str, Says)> {
        columns.iter().map(|(name, _)| (name.as_str(), self.says(name)))
    }

    /// A device from `start` to `end`, and at an instant.
    pub(crate) fn device(case: &Case<'_>, verdict: Verdict, at: &Present) -> Self {
        let apdex = case.device().response_target.and_then(|t| verdict.apdex(t));
        Self {
            mean_uptime: verdict.uptime,
            apdex,
            devices: 1,
            required: i64::from(at.class != Class::Excluded),
            live: i64::from(at.live),
            unknown: i64::from(at.class == Class::Unknown),
            device_availability: match at.class {
                Class::Up => Some(1.0),
                Class::Down => Some(0.0),
                Class::Unknown | Class::Excluded => None,
            },
            whole: verdict,
        }
    }

    /// A group of devices: their numbers, verdicts, and states at an instant.
    pub(crate) fn group(world: &World, members: &[(usize, &Verdict, &Present)]) -> Self {
        let mut whole = Verdict::default();
        let mut apdex = (0.0, 0.0, 0.0);
        let add = |sum: &mut Option<f64>, more: Option<f64>| {
            if let Some(more) = more {
                *sum = Some(sum.unwrap_or(0.0) + more);
            }
        };
        for (n, v, _) in members {
            whole.times.join(&v.times);
            whole.status_times.join(&v.status_times);
            whole.failures += v.failures;
            whole.longest_outage = whole.longest_outage.max(v.longest_outage);
            whole.missed += v.missed;
            whole.responses.extend(&v.responses);
            whole.attempts += v.attempts;
            whole.failed += v.failed;
            add(&mut whole.bytes_per_second, v.bytes_per_second);
            add(&mut whole.messages_per_second, v.messages_per_second);
            if let Some(target) = world.devices[*n].response_target {
                let counts = v.apdex_counts(target);
                apdex = (apdex.0 + counts.0, apdex.1 + counts.1, apdex.2 + counts.2);
            }
        }
        let mean = |of: fn(&Verdict) -> Option<f64>| {
            let known: Vec<f64> = members.iter().filter_map(|m| of(m.1)).collect();
            (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
        };
        whole.responses.sort_by(f64::total_cmp);
        whole.uptime = whole.times.ratio();
        whole.availability = whole.status_times.ratio();
        whole.completeness = mean(|v| v.completeness);
        whole.regularity = mean(|v| v.regularity);
        whole.stability = mean(|v| v.stability);
        whole.consistency = mean(|v| v.consistency);
        whole.jitter = mean(|v| v.jitter);
        let of_class = |class| members.iter().filter(|m| m.2.class == class).count() as i64;
        let (up, down, unknown) = (of_class(Class::Up), of_class(Class::Down), of_class(Class::Unknown));
        Self {
            whole,
            mean_uptime: mean(|v| v.uptime),
            apdex: (apdex.2 > 0.0).then(|| (apdex.0 / 2.0 / apdex.2, apdex.1 / 2.0 / apdex.2)),
            devices: members.len() as i64,
            required: up + down + unknown,
            live: up,
            unknown,
            device_availability: (up + down > 0).then(|| up as f64 / (up + down) as f64),
        }
    }
}

/// The KPIs of series, all of which the oracle knows.
pub(crate) fn kpi_names(client: &mut Client) -> Vec<String> {
    let names: Vec<String> = client.query_one("SELECT iot_kpi.kpi_names()", &[]).unwrap().get(0);
    for name in &names {
        check_known("kpi_series", name);
    }
    assert_eq!(names.len(), KPIS.len(), "KPIs of kpi_series: {names:?}");
    names
}

fn check_known(report: &str, kpi: &str) {
    assert!(
        KPIS.iter().any(|known| known.0 == kpi),
        "{kpi} of {report} is unknown to the oracle: write down in tests/tests/oracle/kpis.rs what it should be"
    );
}

/// A report's columns: their names and types.
pub(crate) type Columns = Vec<(String, String)>;

/// The columns of a report but for its `labels`, which are compared for themselves.
pub(crate) fn columns(client: &mut Client, report: &str, labels: &[&str]) -> Columns {
    let sql = "SELECT n, t::regtype::text FROM pg_proc, unnest(proargnames, proargmodes, proallargtypes) AS u (n, m, t)
               WHERE oid = $1::text::regproc AND m = 't'";
    let rows = client.query(sql, &[&format!("iot_kpi.{report}")]).unwrap();
    let columns = rows
        .iter()
        .map(|row| (row.get::<_, String>(0), row.get::<_, String>(1)));
    columns.filter(|(name, _)| !labels.contains(&name.as_str())).collect()
}

/// As [`columns`]; all of them are KPIs.
pub(crate) fn kpi_columns(client: &mut Client, report: &str, labels: &[&str]) -> Columns {
    let columns = columns(client, report, labels);
    columns.iter().for_each(|(name, _)| check_known(report, name));
    columns
}

/// Columns as a list of expressions: numbers, and seconds for intervals.
pub(crate) fn as_numbers(columns: &Columns) -> String {
    let number = |(name, kind): &(String, String)| match kind.as_str() {
        "interval" => format!("(us({name}) / 1000000.0)::float8"),
        "boolean" => format!("{name}::int::float8"),
        _ => format!("{name}::float8"),
    };
    columns.iter().map(number).collect::<Vec<_>>().join(", ")
}

/// How often each column of each report has been compared, and how often it was not NULL.
#[derive(Default)]
pub(crate) struct Turns(BTreeMap<(String, String), (usize, usize)>);

impl Turns {
    pub(crate) fn note(&mut self, report: &str, kpi: &str, is_known: bool) {
        let turn = self.0.entry((report.to_owned(), kpi.to_owned())).or_default();
        turn.0 += 1;
        turn.1 += usize::from(is_known);
    }

    /// Compares the values of a row, which begin at its column `first`, with what they should be.
    pub(crate) fn compare_row<'a>(
        &mut self,
        report: &str,
        row: &Row,
        first: usize,
        should_be: impl Iterator<Item = (&'a str, Says)>,
    ) -> Vec<String> {
        let mut objections = Vec::new();
        for (n, (name, says)) in should_be.enumerate() {
            let is: Option<f64> = row.get(first + n);
            self.note(report, name, is.is_some());
            if let Some(should_be) = says.objection(is) {
                objections.push(format!("{name} is {is:?}, the oracle says {should_be}"));
            }
        }
        objections
    }

    /// Every one of these has been compared, and had something to say.
    pub(crate) fn all(&self, report: &str, kpis: impl Iterator<Item = impl AsRef<str>>) {
        for kpi in kpis {
            let kpi = kpi.as_ref();
            let turn = self.0.get(&(report.to_owned(), kpi.to_owned())).copied();
            assert!(
                turn.is_some_and(|turn| turn.1 > 0),
                "{kpi} of {report} had no turn: compared, not NULL: {turn:?}"
            );
        }
    }
}
