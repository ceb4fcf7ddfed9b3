//! `devices`: registers the sources' devices and lists what the store knows.

use crate::database::Target;
use crate::error::Error;
use crate::runtime::shutdown::Shutdown;
use crate::settings::{Devices, Settings};
use crate::sink::registry::{self, Registration};
use chrono::{DateTime, Utc};
use std::io::Write;
use tokio_postgres::Client;

const HEADINGS: [&str; 7] = [
    "device",
    "name",
    "type",
    "location",
    "interval",
    "collector",
    "last measured",
];

pub(crate) async fn run(settings: &Settings, wanted: &Devices) -> Result<(), Error> {
    let mut shutdown = Shutdown::on_signals()?;
    let common = &settings.common;
    let target = Target::from_settings(settings)?;
    let client = target.connect_within(common.wait, &mut shutdown).await?;
    registry::ensure(&client, &target, common.create_store).await?;
    if !wanted.list_only {
        let sources = settings
            .sources()?
            .iter()
            .map(|named| named.source.describe())
            .collect();
        let mut registration = Registration::new(common.collector_id.as_str().into(), sources);
        registration.overwrite = wanted.overwrite;
        registry::register(&client, &registration).await?;
    }
    print(&list(&client).await?);
    Ok(())
}

async fn list(client: &Client) -> Result<Vec<[String; 7]>, Error> {
    let rows = client
        .query(include_str!("../../sql/list_devices.sql"), &[])
        .await
        .map_err(Error::statement("listing the devices"))?;
    let last = |time: Option<DateTime<Utc>>| {
        time.map_or_else(
            || "never".to_owned(),
            |time| time.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
        )
    };
    let line = |row: &tokio_postgres::Row| {
        [
            row.get(0),
            row.get(1),
            row.get(2),
            row.get(3),
            row.get(4),
            row.get(5),
            last(row.get(6)),
        ]
    };
    Ok(rows.iter().map(line).collect())
}

fn print(rows: &[[String; 7]]) {
    let headings = HEADINGS.map(str::to_owned);
    let mut widths = [0; 7];
    for row in std::iter::once(&headings).chain(rows) {
        widths
            .iter_mut()
            .zip(row)
            .for_each(|(width, cell)| *width = (*width).max(cell.chars().count()));
    }
    let mut out = std::io::stdout().lock();
    for row in std::iter::once(&headings).chain(rows) {
        let cells: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        // A reader that went away (`| head`) has seen enough.
        if writeln!(out, "{}", cells.join("  ").trim_end()).is_err() {
            return;
        }
    }
}
