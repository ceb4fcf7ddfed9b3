//! Shows the fleet: in place in a terminal, one after the other elsewhere.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write, stdout};

use anyhow::{Context, Result};
use rustix::termios::tcgetwinsize;

use super::fleet::Fleet;
use super::table::table;

/// Colours by ANSI codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colour {
    Plain,
    Bold,
    Red,
    Green,
    Yellow,
    Grey,
}

/// What the reader's terminal can show.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    pub(super) colours: bool,
    pub(super) unicode: bool,
    pub(super) width: usize,
}

impl Style {
    /// The text in a colour, if colours are wanted.
    pub(super) fn paint(&self, text: &str, colour: Colour) -> String {
        let code = match colour {
            Colour::Plain => return text.to_owned(),
            Colour::Bold => 1,
            Colour::Red => 31,
            Colour::Green => 32,
            Colour::Yellow => 33,
            Colour::Grey => 90,
        };
        if self.colours {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Where the fleet is shown.
#[derive(Debug)]
pub struct Screen {
    terminal: bool,
    colours: bool,
    unicode: bool,
    /// Lines of the last picture, which the next one replaces.
    shown: usize,
}

impl Screen {
    /// On standard output. No colours where it is no terminal, or where `NO_COLOR` is set; plain characters where the locale
    /// knows no others.
    pub fn new() -> Self {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let terminal = stdout().is_terminal() && set("TERM").is_none_or(|term| term != "dumb");
        let locale = set("LC_ALL")
            .or_else(|| set("LC_CTYPE"))
            .or_else(|| set("LANG"))
            .unwrap_or_default()
            .to_lowercase();
        let unicode = locale.contains("utf-8") || locale.contains("utf8");
        Self {
            terminal,
            colours: terminal && set("NO_COLOR").is_none(),
            unicode,
            shown: 0,
        }
    }

    /// Whether a picture replaces the one before.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Shows the fleet, with a line above and lines below.
    ///
    /// # Errors
    /// When nobody reads standard output any more.
    pub fn show(&mut self, above: &str, fleet: &Fleet, below: &[String]) -> Result<()> {
        let size = if self.terminal {
            tcgetwinsize(stdout()).ok()
        } else {
            None
        };
        let (width, height) = size.map_or((160, usize::MAX), |size| (size.ws_col.into(), size.ws_row.into()));
        let style = Style {
            colours: self.colours,
            unicode: self.unicode,
            width,
        };
        let mut lines = vec![String::new(), above.to_owned()];
        lines.extend(table(fleet, &style));
        lines.extend_from_slice(below);
        let mut picture = String::new();
        if self.terminal {
            // The cursor cannot go up beyond the first line, nor may a line wrap.
            lines.truncate(height.saturating_sub(1).max(1));
            if self.shown > 0 {
                let _ = write!(picture, "\x1b[{}A\r\x1b[J", self.shown);
            }
            self.shown = lines.len();
        }
        for line in &lines {
            picture.push_str(&if self.terminal { cut(line, width) } else { line.clone() });
            picture.push('\n');
        }
        let mut output = stdout().lock();
        output
            .write_all(picture.as_bytes())
            .and_then(|()| output.flush())
            .context("write to standard output")
    }
}

impl Default for Screen {
    fn default() -> Self {
        Self::new()
    }
}

/// The first `width` visible characters; colour codes do not count.
fn cut(line: &str, width: usize) -> String {
    let (mut result, mut visible, mut code) = (String::new(), 0, false);
    for character in line.chars() {
        code |= character == '\x1b';
        if code || visible < width {
            result.push(character);
        }
        visible += usize::from(!code);
        code &= character != 'm';
    }
    result
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn cut_counts_what_is_seen() {
        assert_eq!(cut("\x1b[31mabc\x1b[0m def", 4), "\x1b[31mabc\x1b[0m ");
        assert_eq!(cut("abc", 3), "abc");
    }
}
