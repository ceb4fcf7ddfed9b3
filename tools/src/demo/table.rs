//! The fleet as a table: a line a device, the fleet's line below.

use super::fleet::{CELLS, Device, Fleet, Kpis};
use super::screen::{Colour, Style};
use super::strip::{legend, strip};

/// Columns that the numbers take, before the strip.
const NUMBERS: usize = 90;

/// The table's lines.
pub(super) fn table(fleet: &Fleet, style: &Style) -> Vec<String> {
    // A strip has its own line where the terminal is narrow.
    let beside = style.width >= NUMBERS + CELLS;
    let mut lines = vec![heading(beside, style)];
    for device in &fleet.devices {
        let strip = strip(&device.cells, style);
        let numbers = device_line(device, style);
        if beside {
            lines.push(format!("{numbers}  {strip}"));
        } else {
            lines.extend([numbers, format!("            {strip}")]);
        }
    }
    lines.push(fleet_line(fleet, style));
    lines.extend([String::new(), legend(style)]);
    lines
}

fn heading(beside: bool, style: &Style) -> String {
    let strip = if beside {
        "  24 hours, a cell is half an hour"
    } else {
        ""
    };
    let text = format!(
        "{:<12}{:<12}{:>7}{:>10}{:>10}{:>10}{:>9}{:>9}{:>9}{strip}",
        "device", "status", "seen", "uptime", "avail.", "consist.", "p95 ms", "errors", "bytes/s"
    );
    style.paint(&text, Colour::Bold)
}

fn device_line(device: &Device, style: &Style) -> String {
    let status = device.status.as_deref().unwrap_or("-");
    let colour = match (device.live, status) {
        (false, _) | (_, "offline" | "error") => Colour::Red,
        (true, "degraded" | "unknown") => Colour::Yellow,
        (true, "maintenance") => Colour::Grey,
        _ => Colour::Green,
    };
    let status = if device.live {
        status.to_owned()
    } else {
        format!("{status}, silent")
    };
    let status = style.paint(&format!("{status:<16.16}"), colour);
    format!(
        "{:<12}{status}{:>3}{}",
        device.id,
        seen(device.silent),
        numbers(&device.kpis)
    )
}

fn fleet_line(fleet: &Fleet, style: &Style) -> String {
    let live = format!("{} of {} live", fleet.live, fleet.required);
    style.paint(
        &format!("{:<12}{live:<16}{:>3}{}", "fleet", "", numbers(&fleet.kpis)),
        Colour::Bold,
    )
}

fn numbers(kpis: &Kpis) -> String {
    format!(
        "{:>10}{:>10}{:>10}{:>9}{:>9}{:>9}",
        percent(kpis.uptime),
        percent(kpis.availability),
        percent(kpis.consistency),
        number(kpis.response_p95),
        percent(kpis.error_rate),
        number(kpis.bytes_per_second),
    )
}

fn percent(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{:.2} %", ratio * 100.0))
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"))
}

/// Time since the last sample, in three characters.
fn seen(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(s) if s < 100.0 => format!("{:.0}s", s.max(0.0).floor()),
        Some(s) if s < 6000.0 => format!("{:.0}m", (s / 60.0).floor()),
        Some(s) if s < 360_000.0 => format!("{:.0}h", (s / 3600.0).floor()),
        Some(s) => format!("{:.0}d", (s / 86400.0).floor()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fleet::Cell;
    use super::*;

    fn fleet() -> Fleet {
        let cell = Cell {
            up: 1800.0,
            ..Cell::default()
        };
        let kpis = Kpis {
            uptime: Some(0.9983),
            response_p95: Some(123.4),
            ..Kpis::default()
        };
        let device = |id: &str, live| Device {
            id: id.to_owned(),
            status: Some("online".to_owned()),
            live,
            silent: Some(12.7),
            kpis: kpis.clone(),
            cells: [cell; CELLS],
        };
        Fleet {
            devices: vec![device("CAM_001", true), device("TEMP_001", false)],
            live: 1,
            required: 2,
            kpis: kpis.clone(),
        }
    }

    #[test]
    fn a_wide_terminal_shows_strips_beside_the_numbers() {
        let lines = table(
            &fleet(),
            &Style {
                colours: false,
                unicode: false,
                width: 140,
            },
        );
        assert_eq!(lines.len(), 6);
        assert!(
            lines[1].starts_with("CAM_001     online          12s   99.83 %         -         -    123.4"),
            "{}",
            lines[1]
        );
        assert!(lines[1].ends_with(&"#".repeat(CELLS)));
        assert!(lines[2].contains("online, silent"));
        assert!(lines[3].starts_with("fleet       1 of 2 live"));
        assert!(lines.iter().all(|line| line.chars().count() <= 140));
    }

    #[test]
    fn a_narrow_one_shows_them_below() {
        let lines = table(
            &fleet(),
            &Style {
                colours: false,
                unicode: false,
                width: 90,
            },
        );
        assert_eq!(lines.len(), 8);
        assert_eq!(lines[2].trim(), "#".repeat(CELLS));
        assert!(lines.iter().all(|line| line.chars().count() <= 90));
    }
}
