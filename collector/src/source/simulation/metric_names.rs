//! The metrics the simulated devices send.

use crate::source::MetricType;

/// A beat: sent with every contact that succeeded, and with nothing else.
pub const HEARTBEAT: &str = "heartbeat";
/// Milliseconds until the device answered.
pub const RESPONSE_TIME: &str = "response_time";
/// One for every attempt at communication: 0 it succeeded, 1 it failed.
pub const ERROR: &str = "error";
/// Bytes since the report before.
pub const BYTES: &str = "bytes";

/// What the devices send beyond the metrics that every store knows.
pub const METRIC_TYPES: &[MetricType] = &[MetricType {
    metric: "vehicles",
    unit: None,
    kind: "delta",
    minimum: Some(0.0),
    maximum: None,
    description: "Vehicles seen since the last sample",
}];
