//! Where samples come from: a source a folder.
//!
//! A source says what it is going to send, then runs until it has no more or a shutdown is requested, and hands on what it gets
//! to an [`Output`]. It knows nothing of the database. To add one: a folder here, and a line in [`settings`](crate::settings)
//! that makes it from its table.

pub mod simulation;

use crate::error::Error;
use crate::pipeline::batch::Name;
use crate::pipeline::output::Output;
use crate::runtime::shutdown::Shutdown;
use crate::runtime::time_grid::Micros;
use std::pin::Pin;
use std::time::Duration;

/// Something that sends samples.
pub trait Source: Send + Sync {
    /// What it is, and what it is going to send; the store is told before the first sample comes.
    fn describe(&self) -> Description;

    /// Sends until it has no more, or a shutdown is requested. What it has in hand then it still hands on.
    fn run(self: Box<Self>, out: Output, shutdown: Shutdown) -> Running;

    /// Whether it waits until it is told that a batch is safe, and can send it again where it is not: a queue can, a sensor
    /// that is asked cannot. When the spool is full, the one is kept waiting; the other must not be, and loses data, which
    /// are counted.
    fn acknowledges(&self) -> bool;
}

/// A source at work.
pub type Running = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// What a source is.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// What kind it is, as settings call it.
    pub kind: &'static str,
    /// The devices that it knows of beforehand.
    pub devices: Vec<DeviceDescription>,
    /// Metrics that a store does not know by itself.
    pub metrics: Vec<MetricType>,
    /// Time between two reports of a device.
    pub interval: Duration,
    /// From when on there will be samples.
    pub since: Micros,
    /// Up to when it will have looked at its devices when it says so for the first time.
    pub first_observed: Micros,
}

/// A device as the store is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceDescription {
    /// As it names itself.
    pub id: Name,
    /// For people.
    pub name: String,
    /// What it is.
    pub device_type: String,
    /// Where it is, if that is known.
    pub location: Option<String>,
}

/// A metric as the store is told of it: a row of `metric_types`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MetricType {
    /// Its name.
    pub metric: &'static str,
    /// Its unit, if it has one.
    pub unit: Option<&'static str>,
    /// `gauge`, `counter` or `delta`.
    pub kind: &'static str,
    /// The smallest possible value.
    pub minimum: Option<f64>,
    /// The largest possible value.
    pub maximum: Option<f64>,
    /// For people.
    pub description: &'static str,
}
