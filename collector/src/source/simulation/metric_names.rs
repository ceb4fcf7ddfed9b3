//! The metrics the simulated devices send.

/// A beat: sent with every contact that succeeded, and with nothing else.
pub const HEARTBEAT: &str = "heartbeat";
/// Milliseconds until the device answered.
pub const RESPONSE_TIME: &str = "response_time";
/// One for every attempt at communication: 0 it succeeded, 1 it failed.
pub const ERROR: &str = "error";
/// Bytes since the report before.
pub const BYTES: &str = "bytes";

/// One row of `metric_types`.
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

/// What the devices send beyond the metrics that every store knows.
pub const METRIC_TYPES: &[MetricType] = &[MetricType {
    metric: "vehicles",
    unit: None,
    kind: "delta",
    minimum: Some(0.0),
    maximum: None,
    description: "Vehicles seen since the last sample",
}];
