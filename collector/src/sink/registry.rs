//! The store seen from outside: is it there, does it know the devices, and have it calculate.

use crate::database::Target;
use crate::error::Error;
use crate::pipeline::batch::Name;
use crate::runtime::time_grid::{Micros, timestamp};
use crate::source::simulation::ROUND_END;
use crate::source::simulation::fleet::{Device, Fleet};
use crate::source::simulation::metric_names::METRIC_TYPES;
use std::time::Duration;
use tokio_postgres::Client;

/// The collector's liveness in intervals. Shorter than a device's (three) by more than a lost report and a round: when
/// the collector stops, its devices become unknown before any of them could be taken for down.
const COLLECTOR_LIVENESS: f64 = 1.5;

/// What the store must know before data come.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Devices and collector.
    pub fleet: Fleet,
    /// Time between two reports.
    pub interval: Duration,
    /// From when on there will be data.
    pub since: Micros,
    /// Whether to replace what an operator has written.
    pub overwrite: bool,
}

/// Makes sure of the store; with `create`, makes it.
pub async fn ensure(client: &Client, target: &Target, create: bool) -> Result<(), Error> {
    let (extension, store) = find(client).await?;
    if store {
        return Ok(());
    }
    if !create {
        let missing = if extension {
            "the tables of schema iot"
        } else {
            "the extension"
        };
        return Err(Error::NoStore {
            target: target.name().to_owned(),
            missing,
        });
    }
    tracing::info!(database = target.name(), "creating the store");
    client
        .batch_execute("CREATE EXTENSION IF NOT EXISTS pg_iot_kpi; SELECT iot_kpi.create_store()")
        .await
        .map_err(Error::statement("creating the store"))
}

async fn find(client: &Client) -> Result<(bool, bool), Error> {
    let row = client
        .query_one(include_str!("../../sql/find_store.sql"), &[])
        .await
        .map_err(Error::statement("looking for the store"))?;
    Ok((row.get(0), row.get(1)))
}

/// Tells the store about metrics, collector and devices; what it knows already stays as it is.
pub async fn register(client: &Client, registration: &Registration) -> Result<(), Error> {
    register_metrics(client).await?;
    let Registration {
        fleet, interval, since, ..
    } = registration;
    let seconds = interval.as_secs_f64();
    let collector = Particulars {
        id: &fleet.collector,
        name: "Collector",
        device_type: "collector",
        location: None,
    };
    // It is expected from its own first beat on, which comes at the end of the first round.
    let first_beat = since + (seconds * 1e6 * ROUND_END) as Micros;
    let as_collector = Registration {
        since: first_beat,
        ..registration.clone()
    };
    insert(
        client,
        &as_collector,
        &[collector],
        Some(seconds * COLLECTOR_LIVENESS),
        None,
    )
    .await?;
    let devices: Vec<Particulars<'_>> = fleet.devices.iter().map(Particulars::of).collect();
    insert(client, registration, &devices, None, Some(&fleet.collector)).await?;

    let ids: Vec<&str> = devices.iter().map(|d| d.id).collect();
    warn_of_differences(client, &ids, seconds, &fleet.collector).await?;
    commission(client, &ids, *since).await?;
    commission(client, &[&fleet.collector], first_beat).await
}

struct Particulars<'a> {
    id: &'a str,
    name: &'a str,
    device_type: &'a str,
    location: Option<&'a str>,
}

impl<'a> Particulars<'a> {
    fn of(device: &'a Device) -> Self {
        Particulars {
            id: &device.id,
            name: &device.name,
            device_type: device.kind.device_type(),
            location: Some(&device.location),
        }
    }
}

async fn insert(
    client: &Client,
    registration: &Registration,
    devices: &[Particulars<'_>],
    liveness: Option<f64>,
    observer: Option<&str>,
) -> Result<(), Error> {
    let ids: Vec<&str> = devices.iter().map(|d| d.id).collect();
    let names: Vec<&str> = devices.iter().map(|d| d.name).collect();
    let types: Vec<&str> = devices.iter().map(|d| d.device_type).collect();
    let locations: Vec<Option<&str>> = devices.iter().map(|d| d.location).collect();
    let (seconds, since) = (registration.interval.as_secs_f64(), timestamp(registration.since));
    let overwrite = registration.overwrite;
    client
        .execute(
            include_str!("../../sql/register_devices.sql"),
            &[
                &ids, &names, &types, &locations, &seconds, &liveness, &observer, &since, &overwrite,
            ],
        )
        .await
        .map_err(Error::statement("registering the devices"))?;
    Ok(())
}

async fn commission(client: &Client, ids: &[&str], since: Micros) -> Result<(), Error> {
    client
        .execute(
            include_str!("../../sql/commission_devices.sql"),
            &[&ids, &timestamp(since)],
        )
        .await
        .map_err(Error::statement("registering the devices"))?;
    Ok(())
}

async fn register_metrics(client: &Client) -> Result<(), Error> {
    let names: Vec<&str> = METRIC_TYPES.iter().map(|m| m.metric).collect();
    let units: Vec<Option<&str>> = METRIC_TYPES.iter().map(|m| m.unit).collect();
    let kinds: Vec<&str> = METRIC_TYPES.iter().map(|m| m.kind).collect();
    let minima: Vec<Option<f64>> = METRIC_TYPES.iter().map(|m| m.minimum).collect();
    let maxima: Vec<Option<f64>> = METRIC_TYPES.iter().map(|m| m.maximum).collect();
    let texts: Vec<&str> = METRIC_TYPES.iter().map(|m| m.description).collect();
    client
        .execute(
            include_str!("../../sql/register_metrics.sql"),
            &[&names, &units, &kinds, &minima, &maxima, &texts],
        )
        .await
        .map_err(Error::statement("registering the metrics"))?;
    Ok(())
}

async fn warn_of_differences(client: &Client, ids: &[&str], seconds: f64, collector: &Name) -> Result<(), Error> {
    let row = client
        .query_one(
            include_str!("../../sql/differing_devices.sql"),
            &[&ids, &seconds, &&**collector],
        )
        .await
        .map_err(Error::statement("comparing the devices"))?;
    let (count, first): (i64, Option<&str>) = (row.get(0), row.get(1));
    if count > 0 {
        tracing::warn!(
            count,
            first,
            "devices are registered with another interval, heartbeat metric or collector than they report with; \
             run `iot-kpi-collector devices --overwrite` with the same settings if that is not meant"
        );
    }
    Ok(())
}

/// Has the KPIs of the whole hours and days in `[from, to)` calculated; returns how many.
pub async fn calculate(client: &Client, from: Micros, to: Micros) -> Result<i64, Error> {
    let statement = "SELECT iot_kpi.calculate_kpis(tstzrange($1, $2))::bigint";
    let row = client
        .query_one(statement, &[&timestamp(from), &timestamp(to)])
        .await
        .map_err(Error::statement("calculating the KPIs"))?;
    Ok(row.get::<_, Option<i64>>(0).unwrap_or(0))
}
