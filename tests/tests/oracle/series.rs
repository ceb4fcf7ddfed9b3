//! What kpi_series says, bucket by bucket: of devices, and of groups of them.

use postgres::Client;

use crate::dice::Dice;
use crate::judge::{Case, Present, Verdict};
use crate::kpis::{Subject, Turns};
use crate::reports::{Disagreements, all_beats, observes};
use crate::world::{Asked, GroupBy, HOUR, MINUTE, World};

/// A series' bucket: where it begins, inside the window, and where it ends.
pub(crate) type Bucket = (i64, i64);

/// A window of which something has happened, and not so long that its buckets take all day.
pub(crate) fn window(world: &World, dice: &mut Dice) -> Asked {
    loop {
        let (start, end, as_of) = world.window(dice);
        if (1..8 * HOUR).contains(&(end.min(as_of) - start)) {
            return (start, end, as_of);
        }
    }
}

/// The buckets of a window, which count from Monday, 3 January 2000.
pub(crate) fn buckets((start, end): (i64, i64), minutes: i64) -> Vec<Bucket> {
    let (origin, length) = (2 * 24 * 60 * MINUTE, minutes * MINUTE);
    let next = |t: i64| origin + ((t - origin).div_euclid(length) + 1) * length;
    let mut found = Vec::new();
    let mut at = start;
    while at < end {
        found.push((at, next(at).min(end)));
        at = next(at);
    }
    found
}

/// Compares some KPIs over a window; returns how many buckets there were.
pub(crate) fn compare(
    client: &mut Client,
    world: &World,
    asked: Asked,
    (minutes, (group_by, groups)): (i64, GroupBy),
    kpis: &[String],
    (found, turns): (&mut Disagreements, &mut Turns),
) -> usize {
    let beats = all_beats(world);
    let cases: Vec<Case<'_>> = (0..world.devices.len())
        .map(|n| Case::new(world, &beats, n, asked.2))
        .collect();
    let buckets = buckets((asked.0, asked.1.min(asked.2)), minutes);
    let mut by_device: Vec<Vec<(Verdict, Present)>> = Vec::new();
    for case in &cases {
        let judged = buckets.iter().map(|b| (case.judge(b.0, b.1), case.present(b.1)));
        by_device.push(judged.collect());
    }
    // In the order of SQL: a series after the other, by name.
    let mut grouped: Vec<(&str, Vec<Subject>)> = Vec::new();
    for group in groups.iter().copied() {
        let is_in = |n: &usize| world.devices[*n].group(group_by) == group && !observes(world, *n);
        let members: Vec<usize> = (0..world.devices.len()).filter(is_in).collect();
        let subject = |b: usize| {
            let of_bucket = members.iter().map(|n| (*n, &by_device[*n][b].0, &by_device[*n][b].1));
            Subject::group(world, &of_bucket.collect::<Vec<_>>())
        };
        grouped.push((group, (0..buckets.len()).map(subject).collect()));
    }
    let mut devices: Vec<Series<'_>> = Vec::new();
    for (case, judged) in cases.iter().zip(by_device) {
        let subjects = judged
            .into_iter()
            .map(|(verdict, at)| Subject::device(case, verdict, &at));
        devices.push((case.device().id.as_str(), subjects.collect()));
    }
    devices.sort_by_key(|series| series.0);
    let mut compared = 0;
    for kpi in kpis {
        for (group_by, series) in [(None, &devices), (Some(group_by), &grouped)] {
            compared += compare_one(
                client,
                asked,
                (minutes, &buckets),
                (kpi, group_by, series),
                found,
                turns,
            );
        }
    }
    compared
}

/// A device or a group by its name, and what the oracle knows of it in each bucket.
type Series<'a> = (&'a str, Vec<Subject>);

/// One KPI of all devices, or of all groups.
fn compare_one(
    client: &mut Client,
    (start, end, as_of): Asked,
    (minutes, buckets): (i64, &[Bucket]),
    (kpi, group_by, series): (&str, Option<&str>, &[Series<'_>]),
    found: &mut Disagreements,
    turns: &mut Turns,
) -> usize {
    let sql = "SELECT us(time), series, value FROM iot_kpi.kpi_series($1, tstzrange(at($2), at($3)), $4::bigint * interval '1 microsecond',
                   $5, time_zone => 'UTC', as_of => at($6))";
    let rows = client
        .query(sql, &[&kpi, &start, &end, &(minutes * MINUTE), &group_by, &as_of])
        .unwrap();
    let of = if group_by.is_some() { "groups" } else { "devices" };
    assert_eq!(
        rows.len(),
        buckets.len() * series.len(),
        "buckets of {kpi} of {of} in [{start}, {end}) as of {as_of} by {minutes} min"
    );
    let expected = series.iter().flat_map(|(name, subjects)| {
        let name = *name;
        subjects
            .iter()
            .zip(buckets)
            .map(move |(subject, bucket)| (name, bucket.0, subject))
    });
    for (row, (name, time, subject)) in rows.iter().zip(expected) {
        assert_eq!(
            (row.get::<_, i64>(0), row.get::<_, &str>(1)),
            (time, name),
            "buckets of {kpi} of {of}"
        );
        let what = format!("{name} in the bucket of {minutes} min at {time}");
        let objections = turns.compare_row(
            &format!("kpi_series of {of}"),
            row,
            2,
            [(kpi, subject.says(kpi))].into_iter(),
        );
        found
            .0
            .extend(objections.iter().map(|objection| format!("{what}: {objection}")));
    }
    rows.len()
}

/// Every KPI has been compared, and had something to say, of devices and of groups.
pub(crate) fn check_turns(turns: &Turns, kpi_names: &[String]) {
    for of in ["devices", "groups"] {
        turns.all(&format!("kpi_series of {of}"), kpi_names.iter());
    }
}
