//! Every KPI that is one number, once: what it is called and means, how it is written, what it is told from, and with that how
//! a group of devices pools it. Whatever else lists KPIs is made from these lines, by `make catalogue`, or compared with them.

use crate::cadence::Consistency;
use crate::classes::ClassTimes;
use crate::error::{KpiError, Result};
use crate::outages::Availability;
use crate::pool::{Attempts, Classes, Ingredient, Kind};
use crate::rates::{error_rate, wilson_interval};
use crate::report::SlotReport;
use crate::response::{ApdexCounts, ResponseSketch};
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

/// Whose report has it as a column. In a series every KPI is told of devices and of groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// That of devices.
    Device,
    /// That of groups.
    Group,
    /// Both.
    Both,
}

impl Scope {
    /// Whether the report of devices has it.
    pub fn of_devices(self) -> bool {
        self != Self::Group
    }

    /// Whether the report of groups has it.
    pub fn of_groups(self) -> bool {
        self != Self::Device
    }
}

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A share of a whole, from 0 to 1.
    Share,
    /// Points between 0 and 1 that are a share of nothing.
    Score,
    /// How many.
    Count,
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Bytes in a second.
    BytesPerSecond,
    /// How many in a second.
    PerSecond,
}

/// How SQL holds a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// `double precision`.
    Float,
    /// `bigint`, never NULL.
    Count,
    /// `interval`, never NULL.
    Time,
    /// `interval`, NULL where there is none.
    MaybeTime,
}

impl Type {
    /// Its name in SQL.
    pub fn sql(self) -> &'static str {
        match self {
            Self::Float => "double precision",
            Self::Count => "bigint",
            Self::Time | Self::MaybeTime => "interval",
        }
    }
}

/// A number as it was told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Figure {
    /// A number; none where there is nothing to tell.
    Float(Option<f64>),
    /// A count.
    Count(u64),
    /// A length of time; none where there is nothing to tell.
    Time(Option<Duration>),
}

impl Figure {
    /// As a number: times in seconds.
    pub fn number(self) -> Option<f64> {
        match self {
            Self::Float(number) => number,
            Self::Count(n) => Some(n as f64),
            Self::Time(time) => time.map(seconds),
        }
    }
}

/// A KPI.
#[derive(Debug)]
pub struct Kpi {
    /// As SQL knows it.
    pub name: &'static str,
    /// As people know it.
    pub title: &'static str,
    /// What it means, in a line; `docs/kpis.md` has the long form.
    pub meaning: &'static str,
    /// Who defined it.
    pub source: &'static str,
    /// What it counts.
    pub unit: Unit,
    /// Digits after the point that people want to see.
    pub decimals: u16,
    /// How SQL holds it.
    pub sql_type: Type,
    /// Whose report has it as a column.
    pub scope: Scope,
    /// What it is made from.
    pub made_of: MadeOf,
    /// What it is told from, and how.
    pub(crate) told: Told,
}

/// What a KPI is told from. A device is a group of one: what several are told from is put together first, see
/// [`crate::pool`], and then told in the same way.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Told {
    /// The four classes by heartbeats, and the outages: times and failures add up, the longest outage is that of all.
    Outages(fn(&Availability) -> Figure),
    /// The four classes by status: times add up.
    Status(fn(&ClassTimes) -> Figure),
    /// The class at the end: devices are counted.
    Classes(fn(&Classes) -> Figure),
    /// Whether a device is alive, required or not; of a group, how many are of those that are required.
    Live,
    /// A number of each device that has one: their mean.
    Mean(fn(&SlotReport<'_>) -> Option<f64>),
    /// A count of each device: the sum.
    Sum(fn(&SlotReport<'_>) -> u64),
    /// A rate of each device that was required: the sum, where all of them have one.
    Rate(fn(&SlotReport<'_>) -> Option<f64>),
    /// All response times.
    Responses(fn(&ResponseSketch) -> Result<Figure>),
    /// The counts behind the Apdex scores of devices that have a target: they add up.
    Apdex(fn(&ApdexCounts) -> Figure),
    /// Communications tried and failed: they add up.
    Attempts(fn(&Attempts) -> Result<Figure>),
}

impl Kpi {
    /// The KPI of a name.
    pub fn named(name: &str) -> Result<&'static Kpi> {
        KPIS.iter().find(|kpi| kpi.name == name).ok_or_else(|| {
            KpiError::parameter(
                format!("KPI \"{}\" is not known", name.chars().take(63).collect::<String>()),
                format!(
                    "Use one of: {}.",
                    KPIS.iter().map(|kpi| kpi.name).collect::<Vec<_>>().join(", ")
                ),
            )
        })
    }

    /// How a group's is made from its devices', in words.
    pub fn pooled_how(&self) -> &'static str {
        match self.told {
            Told::Outages(_) if self.name == "longest_outage" => "the longest",
            Told::Classes(_) | Told::Live => "devices counted",
            _ if matches!(self.sql_type, Type::Count | Type::Time) => "sum",
            Told::Outages(_) | Told::Status(_) => "from all time together",
            Told::Mean(_) => "mean of the devices",
            Told::Sum(_) | Told::Rate(_) => "sum",
            Told::Responses(_) => "from all responses together",
            Told::Apdex(_) => "from all counts together",
            Told::Attempts(_) => "from all attempts together",
        }
    }

    /// What it is in a slot of a device.
    pub fn figure(&self, slot: &SlotReport<'_>) -> Result<Figure> {
        match self.told {
            Told::Live => Ok(Figure::Count(slot.live().into())),
            // Nothing is put together, so nothing has to be copied for it.
            Told::Outages(tell) => Ok(tell(slot.heartbeats())),
            Told::Status(tell) => Ok(tell(slot.status_times())),
            Told::Mean(tell) => Ok(Figure::Float(tell(slot))),
            Told::Rate(tell) => Ok(Figure::Float(tell(slot))),
            Told::Responses(tell) => match slot.responses() {
                Some(responses) => tell(responses),
                None => tell(&ResponseSketch::default()),
            },
            _ => {
                let mut alone = Ingredient::new(Kind::of(self));
                alone.add(slot, None)?;
                self.pooled(&alone)
            }
        }
    }

    /// Its value in a slot: times in seconds, truths as 0 and 1.
    pub fn value(&self, slot: &SlotReport<'_>) -> Result<Option<f64>> {
        Ok(self.figure(slot)?.number())
    }

    /// What it is of devices that were put together.
    pub(crate) fn pooled(&self, together: &Ingredient) -> Result<Figure> {
        match (self.told, together) {
            (Told::Outages(tell), Ingredient::Outages(sum)) => Ok(tell(sum)),
            (Told::Status(tell), Ingredient::Status(sum)) => Ok(tell(sum)),
            (Told::Classes(tell), Ingredient::Classes(count)) => Ok(tell(count)),
            (Told::Live, Ingredient::Classes(count)) => Ok(Figure::Count(count.up)),
            (Told::Mean(_), Ingredient::Mean { mean, .. }) => Ok(Figure::Float(mean.value())),
            (Told::Sum(_), Ingredient::Sum { sum, .. }) => Ok(Figure::Count(*sum)),
            (Told::Rate(_), Ingredient::Rate { rate, .. }) => Ok(Figure::Float(rate.value())),
            (Told::Responses(tell), Ingredient::Responses(all)) => tell(all),
            (Told::Apdex(tell), Ingredient::Apdex(counts)) => Ok(tell(counts)),
            (Told::Attempts(tell), Ingredient::Attempts(counts)) => tell(counts),
            _ => Err(KpiError::parameter(
                format!("KPI \"{}\" is not told from what was put together", self.name),
                "Put devices together for the KPIs that are asked for.",
            )),
        }
    }
}

type Text = &'static str;

/// A line without its type, before it is said what it is told from.
struct Line {
    name: Text,
    title: Text,
    meaning: Text,
    source: Text,
    unit: Unit,
    decimals: u16,
    sql_type: Type,
}

const fn line(name: Text, title: Text, meaning: Text, unit: Unit, decimals: u16, sql_type: Type) -> Line {
    Line {
        name,
        title,
        meaning,
        source: "",
        unit,
        decimals,
        sql_type,
    }
}

const fn share(name: Text, title: Text, meaning: Text) -> Line {
    line(name, title, meaning, Unit::Share, 2, Type::Float)
}

const fn count(name: Text, title: Text, meaning: Text) -> Line {
    line(name, title, meaning, Unit::Count, 0, Type::Count)
}

const fn time(name: Text, title: Text, meaning: Text) -> Line {
    line(name, title, meaning, Unit::Seconds, 1, Type::Time)
}

const fn maybe_time(name: Text, title: Text, meaning: Text) -> Line {
    line(name, title, meaning, Unit::Seconds, 1, Type::MaybeTime)
}

const fn milliseconds(name: Text, title: Text, meaning: Text) -> Line {
    line(name, title, meaning, Unit::Milliseconds, 1, Type::Float)
}

impl Line {
    /// Who defined it.
    const fn by(self, source: Text) -> Self {
        Self { source, ..self }
    }

    const fn of(self, scope: Scope, made_of: MadeOf, told: Told) -> Kpi {
        let Self {
            name,
            title,
            meaning,
            source,
            unit,
            decimals,
            sql_type,
        } = self;
        Kpi {
            name,
            title,
            meaning,
            source,
            unit,
            decimals,
            sql_type,
            scope,
            made_of,
            told,
        }
    }
}

/// A score of the beats.
fn score(of: fn(&Consistency) -> Option<f64>, slot: &SlotReport<'_>) -> Option<f64> {
    of(slot.consistency())
}

fn percentile(responses: &ResponseSketch, q: f64) -> Result<Figure> {
    responses.percentile(q).map(Figure::Float)
}

/// All of them, in the order in which they are listed.
pub static KPIS: &[Kpi] = {
    use Figure::{Count, Float, Time};
    use MadeOf::{Beats, Communication, Status};
    use Scope::{Both, Device, Group};
    const IEC: Text = "IEC 60050-192";
    const WILSON: Text = "Wilson 1927";
    const DDSKETCH: Text = "DDSketch, Masson, Rim, Lee 2019";
    const OURS: Text = "docs/kpis.md";
    &[
        share("uptime", "Uptime", "up / (up + down) by heartbeats").by(IEC).of(
            Device,
            Beats,
            Told::Outages(|a| Float(a.times.ratio())),
        ),
        share("availability", "Availability", "up / (up + down) by status reports")
            .by("IEC 60050-192, ITU-T E.800")
            .of(Both, Status, Told::Status(|times| Float(times.ratio()))),
        share(
            "device_availability",
            "Devices live",
            "devices live now / devices required now",
        )
        .by(OURS)
        .of(Group, Beats, Told::Classes(|c| Float(c.share_up()))),
        share("mean_uptime", "Mean uptime", "mean of the devices' uptimes")
            .by(OURS)
            .of(Group, Beats, Told::Mean(|s| s.uptime())),
        share(
            "pooled_uptime",
            "Pooled uptime",
            "up time of all devices / (up + down) of all devices",
        )
        .by(OURS)
        .of(Group, Beats, Told::Outages(|a| Float(a.times.ratio()))),
        count("live", "Live", "devices that a heartbeat proves alive")
            .by(OURS)
            .of(Group, Beats, Told::Live),
        count(
            "unknown",
            "Not observed",
            "devices of which nobody can tell whether they work",
        )
        .by(OURS)
        .of(Group, Beats, Told::Classes(|c| Count(c.unknown))),
        time("up_time", "Up", "time required, observed and working").by(IEC).of(
            Device,
            Beats,
            Told::Outages(|a| Time(Some(a.times.up))),
        ),
        time("down_time", "Down", "time required, observed and not working")
            .by(IEC)
            .of(Device, Beats, Told::Outages(|a| Time(Some(a.times.down)))),
        time("unknown_time", "Unknown", "time in which nobody was looking")
            .by(OURS)
            .of(Device, Beats, Told::Outages(|a| Time(Some(a.times.unknown)))),
        time("excluded_time", "Excluded", "time in which it was not required to work")
            .by(OURS)
            .of(Device, Beats, Told::Outages(|a| Time(Some(a.times.excluded)))),
        count("failures", "Failures", "outages that began in the window")
            .by(IEC)
            .of(Both, Beats, Told::Outages(|a| Count(a.failures))),
        maybe_time("mtbf", "MTBF", "up time / failures")
            .by(IEC)
            .of(Both, Beats, Told::Outages(|a| Time(a.mtbf()))),
        maybe_time("mttr", "MTTR", "down time / failures")
            .by("ISO/TR 12489")
            .of(Both, Beats, Told::Outages(|a| Time(a.mttr()))),
        maybe_time("longest_outage", "Longest outage", "the longest outage of the window")
            .by(OURS)
            .of(Both, Beats, Told::Outages(|a| Time(a.longest_outage))),
        share(
            "completeness",
            "Completeness",
            "share of the expected reports that came",
        )
        .by(OURS)
        .of(Device, Beats, Told::Mean(|s| score(|c| c.completeness, s))),
        share("regularity", "Regularity", "1 is clockwork, 0 is random")
            .by(OURS)
            .of(Device, Beats, Told::Mean(|s| score(|c| c.regularity, s))),
        share(
            "stability",
            "Stability",
            "1 never changes between up and down, 0 at every report",
        )
        .by(OURS)
        .of(Device, Beats, Told::Mean(|s| score(|c| c.stability, s))),
        share(
            "consistency",
            "Consistency",
            "geometric mean of completeness, regularity and stability",
        )
        .by(OURS)
        .of(Both, Beats, Told::Mean(|s| score(|c| c.consistency, s))),
        line(
            "jitter",
            "Jitter",
            "mean difference between consecutive gaps",
            Unit::Seconds,
            1,
            Type::Float,
        )
        .by(OURS)
        .of(Device, Beats, Told::Mean(|s| score(|c| c.jitter, s))),
        count("missed_beats", "Missed beats", "reports that did not come")
            .by(OURS)
            .of(Device, Beats, Told::Sum(|s| s.consistency().missed_beats)),
        count("response_count", "Responses", "response times measured")
            .by(OURS)
            .of(Both, Communication, Told::Responses(|r| Ok(Count(r.count())))),
        milliseconds("response_mean", "Response mean", "mean response time")
            .by(OURS)
            .of(Both, Communication, Told::Responses(|r| Ok(Float(r.mean())))),
        milliseconds("response_p50", "Response p50", "half of the responses were quicker")
            .by(DDSKETCH)
            .of(Both, Communication, Told::Responses(|r| percentile(r, 0.5))),
        milliseconds("response_p75", "Response p75", "75 % of the responses were quicker")
            .by(DDSKETCH)
            .of(Both, Communication, Told::Responses(|r| percentile(r, 0.75))),
        milliseconds("response_p90", "Response p90", "90 % of the responses were quicker")
            .by(DDSKETCH)
            .of(Both, Communication, Told::Responses(|r| percentile(r, 0.9))),
        milliseconds("response_p95", "Response p95", "95 % of the responses were quicker")
            .by(DDSKETCH)
            .of(Both, Communication, Told::Responses(|r| percentile(r, 0.95))),
        milliseconds("response_p99", "Response p99", "99 % of the responses were quicker")
            .by(DDSKETCH)
            .of(Both, Communication, Told::Responses(|r| percentile(r, 0.99))),
        line(
            "apdex",
            "Apdex",
            "(satisfied + tolerating / 2) / total; 1 is best",
            Unit::Score,
            2,
            Type::Float,
        )
        .by("Apdex Alliance 2007")
        .of(Both, Communication, Told::Apdex(|counts| Float(counts.score()))),
        count("attempts", "Attempts", "communications attempted").by(OURS).of(
            Both,
            Communication,
            Told::Attempts(|a| Ok(Count(a.all))),
        ),
        count("failed", "Failed", "communications that failed").by(OURS).of(
            Both,
            Communication,
            Told::Attempts(|a| Ok(Count(a.failed))),
        ),
        share("error_rate", "Error rate", "failed / attempts").by(OURS).of(
            Both,
            Communication,
            Told::Attempts(|a| error_rate(a.failed, a.all).map(Float)),
        ),
        share("error_rate_low", "Error rate, low", "lower end of the 95 % interval")
            .by(WILSON)
            .of(
                Both,
                Communication,
                Told::Attempts(|a| Ok(Float(wilson_interval(a.failed, a.all)?.map(|i| i.0)))),
            ),
        share("error_rate_high", "Error rate, high", "upper end of the 95 % interval")
            .by(WILSON)
            .of(
                Both,
                Communication,
                Told::Attempts(|a| Ok(Float(wilson_interval(a.failed, a.all)?.map(|i| i.1)))),
            ),
        line(
            "bytes_per_second",
            "Throughput",
            "bytes / required seconds",
            Unit::BytesPerSecond,
            1,
            Type::Float,
        )
        .by(OURS)
        .of(Both, Communication, Told::Rate(|s| s.bytes_per_second())),
        line(
            "messages_per_second",
            "Messages",
            "messages / required seconds",
            Unit::PerSecond,
            3,
            Type::Float,
        )
        .by(OURS)
        .of(Both, Beats, Told::Rate(|s| s.messages_per_second())),
    ]
};

#[cfg(test)]
mod tests {
    use super::{KPIS, Kpi};

    #[test]
    fn each_has_a_name_of_its_own_and_says_what_it_is() {
        for (n, kpi) in KPIS.iter().enumerate() {
            assert!(
                KPIS[..n].iter().all(|other| other.name != kpi.name),
                "{} twice",
                kpi.name
            );
            assert_eq!(Kpi::named(kpi.name).unwrap().name, kpi.name);
            for text in [kpi.title, kpi.meaning, kpi.source] {
                assert!(!text.is_empty() && text.is_ascii(), "{}: {text:?}", kpi.name);
            }
        }
    }
}
