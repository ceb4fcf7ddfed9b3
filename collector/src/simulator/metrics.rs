//! The metrics the simulated devices send, as the database's `metric_types` want them.

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
    /// Its unit.
    pub unit: &'static str,
    /// `gauge`, `counter` or `delta`.
    pub kind: &'static str,
    /// The smallest possible value.
    pub minimum: Option<f64>,
    /// The largest possible value.
    pub maximum: Option<f64>,
    /// For people.
    pub description: &'static str,
}

const fn row(
    metric: &'static str,
    unit: &'static str,
    kind: &'static str,
    minimum: Option<f64>,
    maximum: Option<f64>,
    description: &'static str,
) -> MetricType {
    MetricType {
        metric,
        unit,
        kind,
        minimum,
        maximum,
        description,
    }
}

/// Everything a simulated device may send.
pub const METRIC_TYPES: &[MetricType] = &[
    row(HEARTBEAT, "1", "gauge", None, None, "A sign of life"),
    row(
        RESPONSE_TIME,
        "ms",
        "gauge",
        Some(0.0),
        None,
        "Time until the device answered",
    ),
    row(
        ERROR,
        "1",
        "gauge",
        Some(0.0),
        Some(1.0),
        "One communication attempt: 0 succeeded, 1 failed",
    ),
    row(
        BYTES,
        "By",
        "delta",
        Some(0.0),
        None,
        "Bytes transferred since the report before",
    ),
    row("temperature", "Cel", "gauge", Some(-273.15), None, "Air temperature"),
    row("humidity", "%", "gauge", Some(0.0), Some(100.0), "Relative humidity"),
    row(
        "motion",
        "1",
        "delta",
        Some(0.0),
        None,
        "Movements seen since the report before",
    ),
    row(
        "air_quality",
        "1",
        "gauge",
        Some(0.0),
        Some(500.0),
        "Air quality index, lower is better",
    ),
    row("co2", "ppm", "gauge", Some(0.0), None, "Carbon dioxide"),
    row(
        "vehicles",
        "1",
        "delta",
        Some(0.0),
        None,
        "Vehicles seen since the report before",
    ),
    row("frame_rate", "fps", "gauge", Some(0.0), None, "Video frames a second"),
];
