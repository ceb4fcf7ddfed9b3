//! The units that metrics are measured in, as Grafana names them.

/// Grafana's id for a unit of `iot.metric_types`, which are written as UCUM or as people write them.
pub(crate) fn of_metric(unit: &str) -> Option<String> {
    let id = match unit {
        "" | "1" => return None,
        "%" | "percent" | "percentage" => "percent",
        "Cel" | "°C" | "celsius" => "celsius",
        "degF" | "°F" | "fahrenheit" => "fahrenheit",
        "K" => "kelvin",
        "us" | "µs" => "µs",
        "ms" | "s" | "m" | "h" | "d" => unit,
        "By" | "B" | "bytes" => "bytes",
        "By/s" | "B/s" => "binBps",
        "bit/s" => "bps",
        "V" => "volt",
        "A" => "amp",
        "W" => "watt",
        "Hz" => "hertz",
        "Pa" => "pressurepa",
        "hPa" | "mbar" => "pressurehpa",
        "lx" => "lux",
        "dB" => "dB",
        "dBm" => "dBm",
        "ppm" | "[ppm]" => "ppm",
        other => return Some(format!("suffix: {other}")),
    };
    Some(id.to_owned())
}
