//! The kinds of lists.

use anyhow::{Result, bail};
use kpi_core::catalogue::{KPIS, Kpi, Type, Unit};

use super::Reports;

/// The width of a line of SQL.
const WIDTH: usize = 125;

/// A list of a kind, its lines indented and ended.
pub(super) fn list(kind: &str, reports: &Reports, indent: &str) -> Result<String> {
    let Reports { of_devices, of_groups } = reports;
    let wrapped = |items: Vec<String>, end| wrap(&items, end, indent);
    let lines = |items: Vec<String>| items.iter().map(|item| format!("{indent}{item}\n")).collect();
    Ok(match kind {
        "columns of devices" => wrapped(each(of_devices, declared), ""),
        "values of devices" => wrapped(each(of_devices, value), ""),
        "columns of groups" => wrapped(each(of_groups, declared), ""),
        "names of groups" => wrapped(each(of_groups, |kpi| format!("'{}'", kpi.name)), ""),
        "values of groups" => wrapped((1..).zip(of_groups).map(|(n, kpi)| pooled(n, kpi)).collect(), ""),
        "calculated columns" => wrapped(each(of_devices, |kpi| kpi.name.to_owned()), ","),
        "calculated values" => wrapped(each(of_devices, |kpi| format!("r.{}", kpi.name)), ","),
        "calculated anew" => wrapped(each(of_devices, |kpi| format!("{0} = excluded.{0}", kpi.name)), ","),
        "stored columns" => lines(each(of_devices, |kpi| {
            format!("ADD COLUMN IF NOT EXISTS {},", declared(kpi))
        })),
        "comments" => lines(each(of_devices, |kpi| {
            format!("['kpi_calculations', '{}', '{}'],", kpi.name, comment(kpi))
        })),
        "known to the plugin" => lines(KPIS.iter().map(known).collect()),
        "properties" => properties(indent),
        "table of all" => table(
            indent,
            ["KPI", "unit", "meaning", "of a group", "by"],
            KPIS.iter().map(row),
        ),
        "table of devices" => table(
            indent,
            ["column", "type", "unit", "meaning"],
            of_devices.iter().map(column),
        ),
        "table of groups" => table(
            indent,
            ["column", "type", "unit", "meaning"],
            of_groups.iter().map(column),
        ),
        _ => bail!("there is no list of the kind \"{kind}\""),
    })
}

fn each(kpis: &[&Kpi], say: impl Fn(&Kpi) -> String) -> Vec<String> {
    kpis.iter().map(|kpi| say(kpi)).collect()
}

/// Items with commas between them, in lines.
fn wrap(items: &[String], end: &str, indent: &str) -> String {
    let mut text = String::new();
    let mut line = indent.to_owned();
    for (n, item) in items.iter().enumerate() {
        let comma = if n + 1 < items.len() { "," } else { end };
        if line.len() + item.len() + comma.len() > WIDTH {
            text += line.trim_end();
            text.push('\n');
            line = indent.to_owned();
        }
        line += &format!("{item}{comma} ");
    }
    text + line.trim_end() + "\n"
}

fn declared(kpi: &Kpi) -> String {
    format!("{} {}", kpi.name, kpi.sql_type.sql())
}

/// In a window of which nothing has happened no time is in any class, and nothing was counted.
fn value(kpi: &Kpi) -> String {
    match kpi.sql_type {
        Type::Time => format!("coalesce(r.{}, '0')", kpi.name),
        Type::Count => format!("coalesce(r.{}, 0)", kpi.name),
        Type::Float | Type::MaybeTime => format!("r.{}", kpi.name),
    }
}

fn pooled(n: usize, kpi: &Kpi) -> String {
    match kpi.sql_type {
        Type::Time | Type::MaybeTime => format!("make_interval(secs => g.kpis[{n}])"),
        Type::Count => format!("g.kpis[{n}]::bigint"),
        Type::Float => format!("g.kpis[{n}]"),
    }
}

/// What a number of floats is in; counts and intervals say it themselves.
fn unit(kpi: &Kpi) -> &'static str {
    match (kpi.unit, kpi.sql_type) {
        (Unit::Share | Unit::Score, _) => "0 to 1",
        (Unit::Seconds, Type::Float) => "s",
        (Unit::Milliseconds, _) => "ms",
        (Unit::BytesPerSecond, _) => "bytes/s",
        (Unit::PerSecond, _) => "1/s",
        (Unit::Count | Unit::Seconds, _) => "",
    }
}

fn comment(kpi: &Kpi) -> String {
    let meaning = kpi.meaning[..1].to_uppercase() + &kpi.meaning[1..].replace('\'', "''");
    match unit(kpi) {
        "" | "0 to 1" => meaning,
        unit => format!("{meaning}, {unit}"),
    }
}

/// Grafana's word for the unit, and the digits after the point.
fn known(kpi: &Kpi) -> String {
    let unit = match kpi.unit {
        Unit::Share => "percentunit",
        Unit::Score => "short",
        Unit::Count => "locale",
        Unit::Seconds => "s",
        Unit::Milliseconds => "ms",
        Unit::BytesPerSecond => "binBps",
        Unit::PerSecond => "suffix: /s",
    };
    format!(
        "number({:?}, {:?}, ({unit:?}, {}), {:?}),",
        kpi.name, kpi.title, kpi.decimals, kpi.meaning
    )
}

/// The KPIs as a schema of JSON has them. A device has some, a group has some.
fn properties(indent: &str) -> String {
    let lines: Vec<String> = KPIS.iter().map(|kpi| format!("{indent}  {}", property(kpi))).collect();
    format!("{indent}\"properties\": {{\n{}\n{indent}}},\n", lines.join(",\n"))
}

fn property(kpi: &Kpi) -> String {
    let json_type = match kpi.sql_type {
        // A device says it as a truth.
        Type::Count if kpi.name == "live" => r#"["integer", "boolean"]"#,
        Type::Count => r#""integer""#,
        Type::Time => r#""number""#,
        Type::Float | Type::MaybeTime => r#"["number", "null"]"#,
    };
    let meaning = match (kpi.unit, unit(kpi)) {
        (Unit::Seconds, _) => format!("{}, s", kpi.meaning),
        (Unit::Share | Unit::Score, _) | (_, "") => kpi.meaning.to_owned(),
        (_, unit) => format!("{}, {unit}", kpi.meaning),
    };
    format!(
        "{:?}: {{ \"type\": {json_type}, \"description\": {meaning:?} }}",
        kpi.name
    )
}

fn table<const N: usize>(indent: &str, head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let line = |cells: &[String]| format!("{indent}| {} |\n", cells.join(" | ")).replace("|  |", "| |");
    let head = line(&head.map(str::to_owned)) + indent + &"|---".repeat(N) + "|\n";
    // Without a blank line before and after it a table is none.
    format!("\n{head}{}\n", rows.map(|cells| line(&cells)).collect::<String>())
}

fn row(kpi: &Kpi) -> [String; 5] {
    let source = if kpi.source == "docs/kpis.md" { "" } else { kpi.source };
    let name = format!("`{}`", kpi.name);
    [
        name,
        unit(kpi).to_owned(),
        kpi.meaning.to_owned(),
        kpi.pooled_how().to_owned(),
        source.to_owned(),
    ]
}

fn column(kpi: &&Kpi) -> [String; 4] {
    let sql_type = match kpi.sql_type {
        Type::Float => "float8",
        other => other.sql(),
    };
    [
        format!("`{}`", kpi.name),
        sql_type.to_owned(),
        unit(kpi).to_owned(),
        kpi.meaning.to_owned(),
    ]
}
