//! What the last 24 hours of the fleet are like, by the extension's reports.

use anyhow::{Context, Result};
use postgres::Client;

/// Half-hour cells of a strip.
pub const CELLS: usize = 48;

/// The 24 hours that end with the current half-hour: whole cells, the last of them judged on its past part.
const DURING: &str = "tstzrange(date_bin('30 min', now(), 'epoch') - interval '23 h 30 min',
                                date_bin('30 min', now(), 'epoch') + interval '30 min')";

/// The KPIs that a line shows; `None` where there is no evidence.
#[derive(Debug, Clone, Default)]
pub struct Kpis {
    /// Heartbeat uptime, a ratio.
    pub uptime: Option<f64>,
    /// Status availability, a ratio.
    pub availability: Option<f64>,
    /// Consistency, a ratio.
    pub consistency: Option<f64>,
    /// 95th percentile of the response time, in ms.
    pub response_p95: Option<f64>,
    /// Failed communications, a ratio.
    pub error_rate: Option<f64>,
    /// Throughput.
    pub bytes_per_second: Option<f64>,
}

/// Seconds of each class in half an hour.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cell {
    /// Working.
    pub up: f64,
    /// Not working.
    pub down: f64,
    /// Not observed.
    pub unknown: f64,
    /// Not required.
    pub excluded: f64,
}

/// One device.
#[derive(Debug, Clone)]
pub struct Device {
    /// Its id.
    pub id: String,
    /// Its current status, as reported.
    pub status: Option<String>,
    /// Whether a beat covers this instant.
    pub live: bool,
    /// Seconds since the last sample.
    pub silent: Option<f64>,
    /// Its KPIs.
    pub kpis: Kpis,
    /// Its last 24 hours.
    pub cells: [Cell; CELLS],
}

/// All devices, and what they are like together.
#[derive(Debug, Clone)]
pub struct Fleet {
    /// In the order of their ids.
    pub devices: Vec<Device>,
    /// Devices live now.
    pub live: i64,
    /// Devices required to work now.
    pub required: i64,
    /// The fleet's KPIs.
    pub kpis: Kpis,
}

impl Fleet {
    /// Asks the database.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn ask(client: &mut Client) -> Result<Self> {
        let mut devices = devices(client)?;
        for (kpi, class) in CLASSES {
            fill_cells(client, &mut devices, kpi, class).with_context(|| format!("ask for the series of {kpi}"))?;
        }
        let sql = format!(
            "SELECT live::bigint, required::bigint, mean_uptime::float8, availability::float8, consistency::float8,
                    response_p95::float8, error_rate::float8, bytes_per_second::float8
             FROM iot_kpi.fleet_kpis({DURING})"
        );
        let row = client.query_one(&sql, &[]).context("ask for the fleet's KPIs")?;
        Ok(Self {
            devices,
            live: row.get(0),
            required: row.get(1),
            kpis: kpis(&row, 2),
        })
    }
}

type Class = fn(&mut Cell) -> &mut f64;
const CLASSES: [(&str, Class); 4] = [
    ("up_time", |cell| &mut cell.up),
    ("down_time", |cell| &mut cell.down),
    ("unknown_time", |cell| &mut cell.unknown),
    ("excluded_time", |cell| &mut cell.excluded),
];

fn devices(client: &mut Client) -> Result<Vec<Device>> {
    let sql = format!(
        "SELECT device_id, status, coalesce(live, false), extract(epoch FROM now() - last_measured)::float8,
                uptime::float8, availability::float8, consistency::float8,
                response_p95::float8, error_rate::float8, bytes_per_second::float8
         FROM iot_kpi.device_kpis({DURING}) ORDER BY device_type = 'collector', device_id"
    );
    let rows = client.query(&sql, &[]).context("ask for the devices' KPIs")?;
    let device = |row: &postgres::Row| Device {
        id: row.get(0),
        status: row.get(1),
        live: row.get(2),
        silent: row.get(3),
        kpis: kpis(row, 4),
        cells: [Cell::default(); CELLS],
    };
    Ok(rows.iter().map(device).collect())
}

fn kpis(row: &postgres::Row, first: usize) -> Kpis {
    Kpis {
        uptime: row.get(first),
        availability: row.get(first + 1),
        consistency: row.get(first + 2),
        response_p95: row.get(first + 3),
        error_rate: row.get(first + 4),
        bytes_per_second: row.get(first + 5),
    }
}

fn fill_cells(client: &mut Client, devices: &mut [Device], kpi: &str, class: Class) -> Result<()> {
    let sql = format!(
        "SELECT series, ((extract(epoch FROM time - lower({DURING}))) / 1800)::bigint, value
         FROM iot_kpi.kpi_series($1, {DURING}, interval '30 min')"
    );
    for row in client.query(&sql, &[&kpi])? {
        let (series, cell, value): (String, i64, Option<f64>) = (row.get(0), row.get(1), row.get(2));
        let device = devices.iter_mut().find(|device| device.id == series);
        let cell = device.and_then(|device| device.cells.get_mut(usize::try_from(cell).ok()?));
        if let Some(cell) = cell {
            *class(cell) = value.unwrap_or(0.0);
        }
    }
    Ok(())
}
