//! What the SQL functions say of a window, compared with what the oracle says.

use std::collections::BTreeMap;

use postgres::{Client, Row};

use crate::judge::{Case, Outage, Present, Verdict};
use crate::kpis::{Subject, Turns, as_numbers, kpi_columns};
use crate::world::{Asked, GroupBy, World};

/// Every word in which the two disagree.
pub(crate) struct Disagreements(pub(crate) Vec<String>);

struct Where<'a> {
    what: String,
    found: &'a mut Vec<String>,
}

impl Where<'_> {
    fn same<T: PartialEq + std::fmt::Debug>(&mut self, name: &str, sql: &T, oracle: &T) {
        if sql != oracle {
            self.found
                .push(format!("{}: {name} is {sql:?}, the oracle says {oracle:?}", self.what));
        }
    }
}

pub(crate) fn all_beats(world: &World) -> Vec<Vec<i64>> {
    world.devices.iter().map(crate::world::Device::beats).collect()
}

/// Whether others name this device as their collector: then it is none of a group.
pub(crate) fn observes(world: &World, number: usize) -> bool {
    world.devices.iter().any(|d| d.collector == Some(number))
}

fn numbers(world: &World) -> BTreeMap<&str, usize> {
    world
        .devices
        .iter()
        .enumerate()
        .map(|(n, d)| (d.id.as_str(), n))
        .collect()
}

const DURING: &str = "tstzrange(at($1), at($2))";

/// What device_kpis says beside KPIs.
const OF_DEVICES: [&str; 9] = [
    "device_id",
    "name",
    "device_type",
    "location",
    "status",
    "live",
    "never_seen",
    "last_measured",
    "last_received",
];

/// How many devices the reports have spoken of, and in what they are wrong.
pub(crate) fn compare(
    client: &mut Client,
    world: &World,
    (start, end, as_of): Asked,
    only: Option<&[&str]>,
    (found, turns): (&mut Disagreements, &mut Turns),
) -> usize {
    let beats = all_beats(world);
    let numbers = numbers(world);
    let mut outages = outages(client, (start, end, as_of), only);
    let mut periods = periods(client, (start, end, as_of), only);
    let kpis = kpi_columns(client, "device_kpis", &OF_DEVICES);
    let sql = format!(
        "SELECT device_id, name, device_type, location, status, live, never_seen, us(last_measured), last_received IS NOT NULL, {}
         FROM iot_kpi.device_kpis({DURING}, $4, at($3))",
        as_numbers(&kpis)
    );
    let rows = client.query(&sql, &[&start, &end, &as_of, &only]).unwrap();
    let expected = only.map_or(world.devices.len(), <[&str]>::len);
    assert_eq!(rows.len(), expected, "rows of device_kpis");
    for row in &rows {
        let id: &str = row.get(0);
        let case = Case::new(world, &beats, numbers[id], as_of);
        let present = case.present(as_of);
        let mut here = Where {
            what: format!("{id} in [{start}, {end}) as of {as_of}"),
            found: &mut found.0,
        };
        compare_present(&mut here, row, &case, &present);
        let verdict = case.judge(start, end.min(as_of));
        turns.note("outages", "rows", !verdict.outages.is_empty());
        turns.note("status_periods", "rows", !verdict.periods.is_empty());
        here.same("outages", &outages.remove(id).unwrap_or_default(), &verdict.outages);
        let said = periods.remove(id).unwrap_or_default();
        let expected: Vec<_> = verdict.periods.iter().map(|p| (p.0, p.1, p.2.to_owned())).collect();
        here.same("status_periods", &said, &expected);
        let subject = Subject::device(&case, verdict, &present);
        let objections = turns.compare_row("device_kpis", row, OF_DEVICES.len(), subject.says_of(&kpis));
        found.0.extend(
            objections
                .iter()
                .map(|objection| format!("{id} in [{start}, {end}) as of {as_of}: {objection}")),
        );
    }
    assert!(outages.is_empty() && periods.is_empty(), "rows of unknown devices");
    rows.len()
}

/// What is said of the device itself, and of it at `as_of`.
fn compare_present(here: &mut Where<'_>, row: &Row, case: &Case<'_>, present: &Present) {
    let device = case.device();
    // Nobody named it.
    here.same("name", &row.get::<_, &str>(1), &device.id.as_str());
    here.same("device_type", &row.get::<_, &str>(2), &device.device_type);
    here.same("location", &row.get::<_, &str>(3), &device.location);
    here.same("status", &row.get::<_, &str>(4), &present.status);
    here.same("live", &row.get::<_, bool>(5), &present.live);
    here.same("never_seen", &row.get::<_, bool>(6), &device.beats().is_empty());
    let last_measured = device.samples.keys().map(|k| k.1).max();
    here.same("last_measured", &row.get::<_, Option<i64>>(7), &last_measured);
    here.same("last_received", &row.get::<_, bool>(8), &last_measured.is_some());
}

fn outages(client: &mut Client, at: Asked, only: Option<&[&str]>) -> BTreeMap<String, Vec<Outage>> {
    let mut found: BTreeMap<String, Vec<Outage>> = BTreeMap::new();
    let sql = format!(
        "SELECT device_id, us(started_at), us(ended_at), us(duration), ongoing, began_before, us(last_beat)
         FROM iot_kpi.outages({DURING}, '0', $4, at($3))"
    );
    for row in client.query(&sql, &[&at.0, &at.1, &at.2, &only]).unwrap() {
        found.entry(row.get(0)).or_default().push(Outage {
            started_at: row.get(1),
            ended_at: row.get(2),
            duration: row.get(3),
            ongoing: row.get(4),
            began_before: row.get(5),
            last_beat: row.get(6),
        });
    }
    found
}

fn periods(
    client: &mut Client,
    at: (i64, i64, i64),
    only: Option<&[&str]>,
) -> BTreeMap<String, Vec<(i64, i64, String)>> {
    let mut found: BTreeMap<String, Vec<_>> = BTreeMap::new();
    let sql = format!(
        "SELECT device_id, us(started_at), us(ended_at), status FROM iot_kpi.status_periods({DURING}, $4, at($3))"
    );
    for row in client.query(&sql, &[&at.0, &at.1, &at.2, &only]).unwrap() {
        found
            .entry(row.get(0))
            .or_default()
            .push((row.get(1), row.get(2), row.get(3)));
    }
    found
}

/// What fleet_kpis says beside KPIs.
const OF_GROUPS: [&str; 3] = ["group_value", "devices", "required"];

/// Compares fleet_kpis by type or location with the oracle's verdicts put together.
pub(crate) fn compare_fleet(
    client: &mut Client,
    world: &World,
    (start, end, as_of): Asked,
    (group_by, groups): GroupBy,
    (found, turns): (&mut Disagreements, &mut Turns),
) {
    let beats = all_beats(world);
    let kpis = kpi_columns(client, "fleet_kpis", &OF_GROUPS);
    let sql = format!(
        "SELECT group_value, devices, required, {}
         FROM iot_kpi.fleet_kpis({DURING}, $4, as_of => at($3))",
        as_numbers(&kpis)
    );
    let rows = client.query(&sql, &[&start, &end, &as_of, &group_by]).unwrap();
    assert_eq!(rows.len(), groups.len(), "rows of fleet_kpis");
    for row in &rows {
        let group: &str = row.get(0);
        let members =
            (0..world.devices.len()).filter(|n| world.devices[*n].group(group_by) == group && !observes(world, *n));
        let judged: Vec<(usize, Verdict, Present)> = members
            .map(|n| (n, Case::new(world, &beats, n, as_of)))
            .map(|(n, case)| (n, case.judge(start, end.min(as_of)), case.present(as_of)))
            .collect();
        let subject = Subject::group(world, &judged.iter().map(|(n, v, p)| (*n, v, p)).collect::<Vec<_>>());
        let what = format!("{group} in [{start}, {end}) as of {as_of}");
        let mut here = Where {
            what: what.clone(),
            found: &mut found.0,
        };
        here.same("devices", &row.get::<_, i64>(1), &subject.devices);
        here.same("required", &row.get::<_, i64>(2), &subject.required);
        let objections = turns.compare_row("fleet_kpis", row, OF_GROUPS.len(), subject.says_of(&kpis));
        found
            .0
            .extend(objections.iter().map(|objection| format!("{what}: {objection}")));
    }
}

/// Every column of these reports has been compared, and had something to say.
pub(crate) fn check_turns(client: &mut Client, turns: &Turns) {
    for (report, labels) in [("device_kpis", &OF_DEVICES[..]), ("fleet_kpis", &OF_GROUPS[..])] {
        turns.all(
            report,
            kpi_columns(client, report, labels).iter().map(|column| &column.0),
        );
    }
    for report in ["outages", "status_periods"] {
        turns.all(report, ["rows"].iter());
    }
}
