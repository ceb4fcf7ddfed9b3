//! Where samples come from: a source a folder.
//!
//! A source says what it is going to send, then runs until it has no more or a shutdown is requested, and hands on what it gets
//! to an [`Output`]. It knows nothing of the database. To add one: its folder, and here its module and its line in [`KINDS`].

pub mod simulation;

use crate::error::Error;
use crate::pipeline::batch::Name;
use crate::pipeline::output::Output;
use crate::runtime::shutdown::Shutdown;
use crate::runtime::time_grid::Micros;
use crate::settings::Table;
use std::collections::HashMap;
use std::pin::Pin;
use std::time::Duration;

/// Every kind of source.
pub const KINDS: &[Kind] = &[simulation::KIND];

/// A kind of source, and how one is made.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// What its tables are called: `[source.NAME]`.
    pub name: &'static str,
    /// Makes one from its table. Nothing is opened yet: whether a file of settings is sound is found out in this way too.
    pub make: fn(&Table, &Context) -> Made,
}

/// A source, or what is wrong with its table.
pub type Made = Result<Box<dyn Source>, Error>;

/// What a source may want to know of the collector that it is made for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context {
    /// Which of several collectors with the same settings this one is, from 0 on.
    pub instance: Option<u32>,
}

/// A source, by the name that logs call it.
pub struct Named {
    /// Its table's `name`, else its kind.
    pub name: String,
    /// The source.
    pub source: Box<dyn Source>,
}

/// The source that a table describes.
pub fn make(table: &Table, context: &Context) -> Made {
    match KINDS.iter().find(|kind| kind.name == table.kind()) {
        Some(kind) => (kind.make)(table, context),
        None => {
            let names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
            let problem = format!("there is no kind of source called {:?}", table.kind());
            Err(table.mistake(problem, format!("use one of: {}", names.join(", "))))
        }
    }
}

/// A device that two sources send would contradict itself.
pub fn refuse_shared_devices(sources: &[Named]) -> Result<(), Error> {
    let mut owners: HashMap<Name, &str> = HashMap::new();
    for Named { name, source } in sources {
        for device in source.describe().devices {
            let id = device.id.clone();
            if let Some(owner) = owners.insert(device.id, name) {
                let problem = format!("the sources {owner} and {name} both have the device {id}");
                return Err(Error::setting("--config", problem, "let one of them alone have it"));
            }
        }
    }
    Ok(())
}

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
