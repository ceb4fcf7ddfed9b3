//! The store seen from outside: is it there, does it know the devices, and have it calculate.

use crate::database::Target;
use crate::error::Error;
use crate::pipeline::batch::Name;
use crate::runtime::time_grid::{Micros, timestamp};
use crate::source::{Description, DeviceDescription, MetricType};
use std::time::Duration;
use tokio_postgres::Client;

/// The collector's liveness in intervals. Shorter than a device's (three) by more than a lost report and a round: when
/// the collector stops, its devices become unknown before any of them could be taken for down.
const COLLECTOR_LIVENESS: f64 = 1.5;

/// What the store must know before data come.
#[derive(Clone, Debug)]
pub struct Registration {
    /// The collector's own device id.
    pub collector: Name,
    /// What is going to be sent.
    pub sources: Vec<Description>,
    /// Data of an earlier run that are still to come are as old as this.
    pub waiting_since: Option<Micros>,
    /// Whether to replace what an operator has written.
    pub overwrite: bool,
}

impl Registration {
    /// Of data that come from now on, and replaces nothing.
    pub fn new(collector: Name, sources: Vec<Description>) -> Self {
        Registration {
            collector,
            sources,
            waiting_since: None,
            overwrite: false,
        }
    }

    /// How much earlier than a source says its first data may be.
    fn before(&self, source: &Description) -> Micros {
        self.waiting_since.map_or(0, |waiting| (source.since - waiting).max(0))
    }
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
    let Registration { collector, sources, .. } = registration;
    for source in sources {
        register_metrics(client, &source.metrics).await?;
    }
    // It beats as often as the source that is asked most often, and is expected from its own first beat on.
    let Some(interval) = sources.iter().map(|source| source.interval).min() else {
        return Ok(());
    };
    let first_beats = sources
        .iter()
        .map(|source| source.first_observed - registration.before(source));
    let first_beat = first_beats.min().unwrap_or_default();
    let itself = [DeviceDescription {
        id: collector.clone(),
        name: "Collector".to_owned(),
        device_type: "collector".to_owned(),
        location: None,
    }];
    let as_collector = Particulars {
        interval,
        liveness: Some(interval.as_secs_f64() * COLLECTOR_LIVENESS),
        observer: None,
        since: first_beat,
        overwrite: registration.overwrite,
    };
    insert(client, &itself, &as_collector).await?;
    for source in sources {
        let as_device = Particulars {
            interval: source.interval,
            liveness: None,
            observer: Some(collector),
            since: source.since - registration.before(source),
            overwrite: registration.overwrite,
        };
        insert(client, &source.devices, &as_device).await?;
        let ids: Vec<&str> = source.devices.iter().map(|device| &*device.id).collect();
        warn_of_differences(client, &ids, source.interval, collector).await?;
        commission(client, &ids, as_device.since).await?;
    }
    commission(client, &[collector], first_beat).await
}

/// What is the same for several devices.
struct Particulars<'a> {
    interval: Duration,
    /// In seconds; none: the store's rule.
    liveness: Option<f64>,
    observer: Option<&'a str>,
    since: Micros,
    overwrite: bool,
}

async fn insert(client: &Client, devices: &[DeviceDescription], same: &Particulars<'_>) -> Result<(), Error> {
    let ids: Vec<&str> = devices.iter().map(|device| &*device.id).collect();
    let names: Vec<&str> = devices.iter().map(|device| device.name.as_str()).collect();
    let types: Vec<&str> = devices.iter().map(|device| device.device_type.as_str()).collect();
    let locations: Vec<Option<&str>> = devices.iter().map(|device| device.location.as_deref()).collect();
    let (seconds, since) = (same.interval.as_secs_f64(), timestamp(same.since));
    client
        .execute(
            include_str!("../../sql/register_devices.sql"),
            &[
                &ids,
                &names,
                &types,
                &locations,
                &seconds,
                &same.liveness,
                &same.observer,
                &since,
                &same.overwrite,
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

async fn register_metrics(client: &Client, types: &[MetricType]) -> Result<(), Error> {
    let names: Vec<&str> = types.iter().map(|m| m.metric).collect();
    let units: Vec<Option<&str>> = types.iter().map(|m| m.unit).collect();
    let kinds: Vec<&str> = types.iter().map(|m| m.kind).collect();
    let minima: Vec<Option<f64>> = types.iter().map(|m| m.minimum).collect();
    let maxima: Vec<Option<f64>> = types.iter().map(|m| m.maximum).collect();
    let texts: Vec<&str> = types.iter().map(|m| m.description).collect();
    client
        .execute(
            include_str!("../../sql/register_metrics.sql"),
            &[&names, &units, &kinds, &minima, &maxima, &texts],
        )
        .await
        .map_err(Error::statement("registering the metrics"))?;
    Ok(())
}

async fn warn_of_differences(client: &Client, ids: &[&str], interval: Duration, collector: &Name) -> Result<(), Error> {
    let row = client
        .query_one(
            include_str!("../../sql/differing_devices.sql"),
            &[&ids, &interval.as_secs_f64(), &&**collector],
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
