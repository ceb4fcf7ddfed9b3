//! A device's last 24 hours as a line of cells. Colour and character both tell the class, for those who see no colours.

use super::fleet::Cell;
use super::screen::{Colour, Style};

/// What a cell shows: the worst that was in it. A short absence of the collector, as at its restart, is not worth a sign.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Look {
    Empty,
    Up,
    /// With the share of up time in up and down time.
    Down(f64),
    Unknown,
    Excluded,
}

fn look(cell: &Cell) -> Look {
    let total = cell.up + cell.down + cell.unknown + cell.excluded;
    if cell.down > 0.0 {
        Look::Down(cell.up / (cell.up + cell.down))
    } else if cell.unknown > total / 10.0 {
        Look::Unknown
    } else if cell.excluded > cell.up {
        Look::Excluded
    } else if cell.up > 0.0 {
        Look::Up
    } else {
        Look::Empty
    }
}

fn character(look: Look, unicode: bool) -> char {
    const HEIGHTS: [char; 7] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇'];
    match look {
        Look::Empty => ' ',
        Look::Up if unicode => '█',
        Look::Up => '#',
        // The higher, the more of the cell was up.
        Look::Down(up) if unicode => HEIGHTS[((up * 7.0) as usize).min(6)],
        Look::Down(_) => 'x',
        Look::Unknown => '?',
        Look::Excluded if unicode => '·',
        Look::Excluded => '.',
    }
}

fn colour(look: Look) -> Colour {
    match look {
        Look::Empty => Colour::Plain,
        Look::Up => Colour::Green,
        Look::Down(_) => Colour::Red,
        Look::Unknown => Colour::Yellow,
        Look::Excluded => Colour::Grey,
    }
}

/// The cells in a line.
pub(super) fn strip(cells: &[Cell], style: &Style) -> String {
    let paint = |cell| {
        let look = look(cell);
        style.paint(&character(look, style.unicode).to_string(), colour(look))
    };
    cells.iter().map(paint).collect()
}

/// What the characters mean.
pub(super) fn legend(style: &Style) -> String {
    let entry = |look, word: &str| {
        let sign = style.paint(&character(look, style.unicode).to_string(), colour(look));
        format!("{sign} {word}")
    };
    [
        entry(Look::Up, "up"),
        entry(Look::Down(0.4), "down for a part"),
        entry(Look::Down(0.0), "down"),
        entry(Look::Unknown, "unknown (collector away)"),
        entry(Look::Excluded, "excluded (maintenance)"),
    ]
    .join("   ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Style = Style {
        colours: false,
        unicode: true,
        width: 200,
    };

    #[test]
    fn the_worst_in_a_cell_shows() {
        let cell = |up, down, unknown, excluded| Cell {
            up,
            down,
            unknown,
            excluded,
        };
        let cells = [
            cell(1800.0, 0.0, 0.0, 0.0),
            cell(1740.0, 60.0, 0.0, 0.0),
            cell(0.0, 1800.0, 0.0, 0.0),
            cell(900.0, 0.0, 900.0, 0.0),
            cell(0.0, 0.0, 0.0, 1800.0),
            cell(0.0, 0.0, 0.0, 0.0),
        ];
        assert_eq!(strip(&cells, &PLAIN), "█▇▁?· ");
        assert_eq!(
            strip(
                &cells,
                &Style {
                    unicode: false,
                    ..PLAIN
                }
            ),
            "#xx?. "
        );
    }

    #[test]
    fn colours_come_on_top_of_the_characters() {
        let painted = strip(
            &[Cell {
                up: 1.0,
                ..Cell::default()
            }],
            &Style { colours: true, ..PLAIN },
        );
        assert_eq!(painted, "\x1b[32m█\x1b[0m");
    }
}
