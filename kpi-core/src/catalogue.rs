//! Every KPI of a device that is one number: its name, what it is made from, and how a report tells it.

use crate::classes::Class;
use crate::error::{KpiError, Result};
use crate::report::SlotReport;
use crate::time::{Duration, seconds};

/// What has to be gathered for a KPI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MadeOf {
    /// When the device was heard of.
    Beats,
    /// What it said of itself.
    Status,
    /// Response times, errors and bytes, and the beats that say how long it was required.
    Communication,
}

/// A KPI.
#[derive(Debug)]
pub struct Kpi {
    /// As SQL knows it.
    pub name: &'static str,
    /// What it is made from.
    pub made_of: MadeOf,
    tell: fn(&SlotReport<'_>) -> Result<Option<f64>>,
}

impl Kpi {
    /// The KPI of a name.
    pub fn named(name: &str) -> Result<&'static Kpi> {
        KPIS.iter().find(|kpi| kpi.name == name).ok_or_else(|| {
            KpiError::parameter(
                format!("KPI \"{}\" is not known", name.chars().take(63).collect::<String>()),
                format!("Use one of: {}.", KPIS.each_ref().map(|kpi| kpi.name).join(", ")),
            )
        })
    }

    /// Its value in a slot: times in seconds, truths as 0 and 1.
    pub fn value(&self, slot: &SlotReport<'_>) -> Result<Option<f64>> {
        (self.tell)(slot)
    }
}

const fn kpi(name: &'static str, made_of: MadeOf, tell: fn(&SlotReport<'_>) -> Result<Option<f64>>) -> Kpi {
    Kpi { name, made_of, tell }
}

/// All of them, in the order in which they are listed. Those of a group are here too: a device is a group of one.
pub static KPIS: [Kpi; 35] = {
    use MadeOf::{Beats, Communication, Status};
    [
        kpi("uptime", Beats, |s| Ok(s.uptime())),
        kpi("availability", Status, |s| Ok(s.availability())),
        kpi("device_availability", Beats, |s| {
            Ok(match s.class_at_end() {
                Class::Up => Some(1.0),
                Class::Down => Some(0.0),
                Class::Excluded | Class::Unknown => None,
            })
        }),
        kpi("mean_uptime", Beats, |s| Ok(s.uptime())),
        kpi("pooled_uptime", Beats, |s| Ok(s.uptime())),
        kpi("live", Beats, |s| truth(s.live())),
        kpi("unknown", Beats, |s| truth(s.class_at_end() == Class::Unknown)),
        kpi("up_time", Beats, |s| time(s.heartbeats().times.up)),
        kpi("down_time", Beats, |s| time(s.heartbeats().times.down)),
        kpi("unknown_time", Beats, |s| time(s.heartbeats().times.unknown)),
        kpi("excluded_time", Beats, |s| time(s.heartbeats().times.excluded)),
        kpi("failures", Beats, |s| count(s.heartbeats().failures)),
        kpi("mtbf", Beats, |s| maybe_time(s.heartbeats().mtbf())),
        kpi("mttr", Beats, |s| maybe_time(s.heartbeats().mttr())),
        kpi("longest_outage", Beats, |s| maybe_time(s.heartbeats().longest_outage)),
        kpi("completeness", Beats, |s| Ok(s.consistency().completeness)),
        kpi("regularity", Beats, |s| Ok(s.consistency().regularity)),
        kpi("stability", Beats, |s| Ok(s.consistency().stability)),
        kpi("consistency", Beats, |s| Ok(s.consistency().consistency)),
        kpi("jitter", Beats, |s| Ok(s.consistency().jitter)),
        kpi("missed_beats", Beats, |s| count(s.consistency().missed_beats)),
        kpi("response_count", Communication, |s| {
            count(s.responses().map_or(0, |r| r.count()))
        }),
        kpi("response_mean", Communication, |s| {
            Ok(s.responses().and_then(|r| r.mean()))
        }),
        kpi("response_p50", Communication, |s| s.percentile(0.5)),
        kpi("response_p90", Communication, |s| s.percentile(0.9)),
        kpi("response_p95", Communication, |s| s.percentile(0.95)),
        kpi("response_p99", Communication, |s| s.percentile(0.99)),
        kpi("apdex", Communication, |s| Ok(s.apdex()?.and_then(|a| a.score()))),
        kpi("attempts", Communication, |s| count(s.attempts())),
        kpi("failed", Communication, |s| count(s.failed())),
        kpi("error_rate", Communication, |s| s.error_rate()),
        kpi("error_rate_low", Communication, |s| {
            Ok(s.error_interval()?.map(|(low, _)| low))
        }),
        kpi("error_rate_high", Communication, |s| {
            Ok(s.error_interval()?.map(|(_, high)| high))
        }),
        kpi("bytes_per_second", Communication, |s| Ok(s.bytes_per_second())),
        kpi("messages_per_second", Beats, |s| Ok(s.messages_per_second())),
    ]
};

#[expect(clippy::unnecessary_wraps, reason = "what a line of the catalogue gives")]
fn truth(is_so: bool) -> Result<Option<f64>> {
    Ok(Some(f64::from(u8::from(is_so))))
}

#[expect(clippy::unnecessary_wraps, reason = "what a line of the catalogue gives")]
fn count(n: u64) -> Result<Option<f64>> {
    Ok(Some(n as f64))
}

#[expect(clippy::unnecessary_wraps, reason = "what a line of the catalogue gives")]
fn time(d: Duration) -> Result<Option<f64>> {
    Ok(Some(seconds(d)))
}

#[expect(clippy::unnecessary_wraps, reason = "what a line of the catalogue gives")]
fn maybe_time(d: Option<Duration>) -> Result<Option<f64>> {
    Ok(d.map(seconds))
}
