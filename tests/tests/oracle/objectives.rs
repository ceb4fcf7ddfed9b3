//! Objectives: what slo_report, burn_rate_alerts and sla_calendar say, compared with what is left of a budget by its definition.

use postgres::{Client, Row};

use crate::dice::Dice;
use crate::judge::{Case, Times};
use crate::kpis::Says::{self, Anything, Between, Close, ToTheMicrosecond};
use crate::kpis::{Turns, as_numbers, columns};
use crate::reports::{Disagreements, all_beats, observes};
use crate::series::buckets;
use crate::world::{Asked, GROUPS, HOUR, MINUTE, World};

/// What was promised.
pub(crate) struct Objective {
    scope_kind: &'static str,
    scope_value: Option<String>,
    kpi: &'static str,
    objective: f64,
    period: i64,
}

/// One of each kind.
pub(crate) fn objectives(dice: &mut Dice, world: &World) -> Vec<Objective> {
    let mut found = Vec::new();
    for kpi in ["uptime", "availability"] {
        for _ in 0..3 {
            let device = &world.devices[dice.between(0, world.devices.len() as i64) as usize];
            found.push(("device", Some(device.id.clone()), kpi));
        }
        for (group_by, groups) in GROUPS {
            found.extend(groups.iter().map(|group| (group_by, Some((*group).to_owned()), kpi)));
        }
        found.push(("all", None, kpi));
    }
    let objective = |(scope_kind, scope_value, kpi)| Objective {
        scope_kind,
        scope_value,
        kpi,
        objective: dice.pick(&[0.5, 0.9, 0.999]),
        period: dice.pick(&[HOUR, 5 * HOUR, 30 * 24 * HOUR]),
    };
    found.into_iter().map(objective).collect()
}

pub(crate) fn write(client: &mut Client, objectives: &[Objective]) {
    for o in objectives {
        let sql = "INSERT INTO iot.slo_targets (scope_kind, scope_value, kpi, objective, period)
                   VALUES ($1, $2, $3, $4, $5::bigint * interval '1 microsecond') ON CONFLICT DO NOTHING";
        client
            .execute(sql, &[&o.scope_kind, &o.scope_value, &o.kpi, &o.objective, &o.period])
            .unwrap();
    }
}

/// The time that an objective is about, of so many devices.
struct Budget {
    objective: f64,
    devices: usize,
    times: Times,
}

impl Budget {
    fn eligible(&self) -> f64 {
        (self.times.up + self.times.down) as f64 / 1e6
    }

    fn consumed(&self) -> f64 {
        self.times.down as f64 / 1e6
    }

    fn budget(&self) -> f64 {
        (1.0 - self.objective) * self.eligible()
    }

    fn burn_rate(&self) -> Option<f64> {
        self.times.ratio().map(|value| (1.0 - value) / (1.0 - self.objective))
    }

    /// What is said where at least half of the time was observed.
    fn is_seen(&self) -> bool {
        let judged = self.times.up + self.times.down;
        judged > 0 && self.times.unknown <= judged
    }

    fn says(&self, column: &str) -> Says {
        let seconds = |us: i64| ToTheMicrosecond(Some(us as f64 / 1e6));
        let value = self.times.ratio();
        match column {
            "devices" => Close(Some(self.devices as f64), 0.0),
            "value" | "uptime" => Close(value, 1e-15),
            "met" => Close(value.map(|value| f64::from(u8::from(value >= self.objective))), 0.0),
            "up_time" => seconds(self.times.up),
            "down_time" | "consumed" => seconds(self.times.down),
            "unknown_time" => seconds(self.times.unknown),
            "excluded_time" => seconds(self.times.excluded),
            "eligible_time" => ToTheMicrosecond(Some(self.eligible())),
            "error_budget" => ToTheMicrosecond(Some(self.budget())),
            "remaining" => ToTheMicrosecond(Some(self.budget() - self.consumed())),
            // Of the budget as it is shown, to the microsecond: of next to none that says nothing.
            "remaining_ratio" if (1e-9..1e-5).contains(&self.budget()) => Anything,
            "remaining_ratio" => {
                let ratio = |rounded_by: f64| 1.0 - self.consumed() / (self.budget() + rounded_by);
                Between((self.eligible() > 0.0).then(|| (ratio(-1e-6), ratio(1e-6))))
            }
            "burn_rate" => Close(self.burn_rate(), 1e-9),
            "nines" => Close(
                value.filter(|value| *value < 1.0).map(|value| -(1.0 - value).log10()),
                1e-9,
            ),
            _ => panic!(
                "{column} is unknown to the oracle: write down in tests/tests/oracle/objectives.rs what it should be"
            ),
        }
    }
}

/// Judges all devices of an objective together.
fn budget(world: &World, beats: &[Vec<i64>], o: &Objective, (start, end): (i64, i64), as_of: i64) -> Budget {
    let is_meant = |n: &usize| match o.scope_kind {
        "device" => Some(&world.devices[*n].id) == o.scope_value.as_ref(),
        // Who observes others is none of a group.
        "all" => !observes(world, *n),
        group_by => Some(world.devices[*n].group(group_by)) == o.scope_value.as_deref() && !observes(world, *n),
    };
    let members: Vec<usize> = (0..world.devices.len()).filter(is_meant).collect();
    let mut times = Times::default();
    for n in &members {
        let verdict = Case::new(world, beats, *n, as_of).judge(start, end);
        let of_kpi = [verdict.times, verdict.status_times];
        times.join(&of_kpi[usize::from(o.kpi == "availability")]);
    }
    Budget {
        objective: o.objective,
        devices: members.len(),
        times,
    }
}

/// What slo_report says beside figures.
const OF_OBJECTIVES: [&str; 5] = ["slo_id", "scope_kind", "scope_value", "kpi", "objective"];
/// What burn_rate_alerts says beside figures.
const OF_ALERTS: [&str; 9] = [
    "slo_id",
    "scope_kind",
    "scope_value",
    "kpi",
    "objective",
    "severity",
    "threshold",
    "long_window",
    "short_window",
];
/// What sla_calendar says beside figures.
const OF_DAYS: [&str; 2] = ["series", "started_at"];
/// Severity, threshold, long and short window in minutes: Google SRE Workbook, chapter 5.
const POLICIES: [(&str, f64, i64, i64); 3] = [
    ("page", 14.4, 60, 5),
    ("page", 6.0, 360, 30),
    ("ticket", 1.0, 4320, 360),
];

/// Which of the objectives a row is about.
fn of_row<'a>(row: &Row, objectives: &'a [Objective]) -> &'a Objective {
    let is_it = |o: &&Objective| {
        o.scope_kind == row.get::<_, &str>(1)
            && o.scope_value.as_deref() == row.get::<_, Option<&str>>(2)
            && o.kpi == row.get::<_, &str>(3)
            && o.objective == row.get::<_, f64>(4)
    };
    objectives.iter().find(is_it).expect("an objective that nobody set")
}

/// slo_report over a window, and over each objective's own period; returns how many rows there were.
fn compare_report(
    client: &mut Client,
    world: &World,
    (start, end, as_of): Asked,
    (found, turns): (&mut Disagreements, &mut Turns),
) {
    let beats = all_beats(world);
    let figures = columns(client, "slo_report", &OF_OBJECTIVES);
    for during in [
        "tstzrange(at($1), at($2))",
        "CASE WHEN at($1) = at($2) THEN 'empty'::tstzrange END",
    ] {
        let sql = format!(
            "SELECT {}, {} FROM iot_kpi.slo_report({during}, as_of => at($3))",
            OF_OBJECTIVES.join(", "),
            as_numbers(&figures)
        );
        let rows = client.query(&sql, &[&start, &end, &as_of]).unwrap();
        assert_eq!(rows.len(), world.objectives.len(), "rows of slo_report");
        for row in &rows {
            let o = of_row(row, &world.objectives);
            let judged = if during.starts_with("CASE") {
                (as_of - o.period, as_of)
            } else {
                (start, end.min(as_of))
            };
            let budget = budget(world, &beats, o, judged, as_of);
            let should_be = figures.iter().map(|(name, _)| (name.as_str(), budget.says(name)));
            let objections = turns.compare_row("slo_report", row, OF_OBJECTIVES.len(), should_be);
            let what = format!(
                "{} of {} {:?} in {judged:?} as of {as_of}",
                o.kpi, o.scope_kind, o.scope_value
            );
            found
                .0
                .extend(objections.iter().map(|objection| format!("{what}: {objection}")));
        }
    }
}

fn compare_alerts(client: &mut Client, world: &World, as_of: i64, (found, turns): (&mut Disagreements, &mut Turns)) {
    let beats = all_beats(world);
    let figures = columns(client, "burn_rate_alerts", &OF_ALERTS);
    let sql = format!(
        "SELECT slo_id, scope_kind, scope_value, kpi, objective, severity, threshold, us(long_window), us(short_window), {}
         FROM iot_kpi.burn_rate_alerts(as_of => at($1))",
        as_numbers(&figures)
    );
    let rows = client.query(&sql, &[&as_of]).unwrap();
    assert_eq!(
        rows.len(),
        world.objectives.len() * POLICIES.len(),
        "rows of burn_rate_alerts"
    );
    for (n, row) in rows.iter().enumerate() {
        let o = of_row(row, &world.objectives);
        let (severity, threshold, long, short) = POLICIES[n % POLICIES.len()];
        let policy: (&str, f64, i64, i64) = (row.get(5), row.get(6), row.get(7), row.get(8));
        assert_eq!(policy, (severity, threshold, long * MINUTE, short * MINUTE));
        let [long, short] =
            [long, short].map(|minutes| budget(world, &beats, o, (as_of - minutes * MINUTE, as_of), as_of));
        let fires = |budget: &Budget| budget.burn_rate().is_some_and(|rate| rate > threshold);
        let firing = (long.is_seen() && short.is_seen()).then(|| f64::from(u8::from(fires(&long) && fires(&short))));
        let says = |column: &str| match column {
            "long_burn_rate" => Close(long.burn_rate(), 1e-9),
            "short_burn_rate" => Close(short.burn_rate(), 1e-9),
            "firing" => Close(firing, 0.0),
            _ => panic!("{column} is unknown to the oracle"),
        };
        let should_be = figures.iter().map(|(name, _)| (name.as_str(), says(name)));
        let objections = turns.compare_row("burn_rate_alerts", row, OF_ALERTS.len(), should_be);
        let what = format!(
            "{} of {} {:?} as of {as_of}, {threshold}",
            o.kpi, o.scope_kind, o.scope_value
        );
        found
            .0
            .extend(objections.iter().map(|objection| format!("{what}: {objection}")));
    }
}

/// sla_calendar by buckets of so many minutes, of devices and of groups.
fn compare_calendar(
    client: &mut Client,
    world: &World,
    (start, end, as_of): Asked,
    minutes: i64,
    (found, turns): (&mut Disagreements, &mut Turns),
) {
    let beats = all_beats(world);
    let figures = columns(client, "sla_calendar", &OF_DAYS);
    let sql = format!(
        "SELECT series, us(started_at), {} FROM iot_kpi.sla_calendar(tstzrange(at($1), at($2)), $3, $4::bigint * interval '1 microsecond',
             $5, time_zone => 'UTC', as_of => at($6))",
        as_numbers(&figures)
    );
    let buckets = buckets((start, end.min(as_of)), minutes);
    let objective = 0.9;
    let everything = (None, world.devices.len());
    let groups = GROUPS.map(|(group_by, groups)| (Some(group_by), groups.len()));
    for (group_by, series) in [&[everything][..], &groups].concat() {
        let rows = client
            .query(
                &sql,
                &[&start, &end, &objective, &(minutes * MINUTE), &group_by, &as_of],
            )
            .unwrap();
        assert_eq!(rows.len(), series * buckets.len(), "rows of sla_calendar");
        for (n, row) in rows.iter().enumerate() {
            let (name, bucket): (String, _) = (row.get(0), buckets[n % buckets.len()]);
            assert_eq!(row.get::<_, i64>(1), bucket.0, "{name}");
            let what = format!("{name} in the bucket {bucket:?} as of {as_of}");
            let o = Objective {
                scope_kind: group_by.unwrap_or("device"),
                scope_value: Some(name),
                kpi: "uptime",
                objective,
                period: 0,
            };
            let budget = budget(world, &beats, &o, bucket, as_of);
            let should_be = figures.iter().map(|(name, _)| (name.as_str(), budget.says(name)));
            let objections = turns.compare_row("sla_calendar", row, OF_DAYS.len(), should_be);
            found
                .0
                .extend(objections.iter().map(|objection| format!("{what}: {objection}")));
        }
    }
}

/// All three of them.
pub(crate) fn compare(
    client: &mut Client,
    world: &World,
    asked: Asked,
    minutes: i64,
    (found, turns): (&mut Disagreements, &mut Turns),
) {
    compare_report(client, world, asked, (found, turns));
    compare_alerts(client, world, asked.2, (found, turns));
    compare_calendar(client, world, asked, minutes, (found, turns));
}

/// Every figure of the three has been compared, and had something to say.
pub(crate) fn check_turns(client: &mut Client, turns: &Turns) {
    for (report, labels) in [
        ("slo_report", &OF_OBJECTIVES[..]),
        ("burn_rate_alerts", &OF_ALERTS[..]),
        ("sla_calendar", &OF_DAYS[..]),
    ] {
        turns.all(report, columns(client, report, labels).iter().map(|column| &column.0));
    }
}
