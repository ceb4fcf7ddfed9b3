//! Macros in SQL that a person wrote: `$__timeFilter(time)`, `$__timeGroup(time, 5m)` and their like.
//!
//! The text is read once, from its beginning to its end; macros that wait for their closing bracket wait on a stack, and their
//! arguments stand at the end of what is written already. So the time it takes grows with the text alone, whatever stands in it.

use super::Call;
use crate::error::{Error, shown};
use replacement::replacement;

mod replacement;

/// How deep macros may be nested. Each level may double the text in it, so the limit is low; nobody has use for more.
const DEEPEST: usize = 5;
/// Most bytes of SQL without its macros: as much as a request of Grafana's may have.
const LONGEST: usize = 16 * 1024 * 1024;
/// Most arguments that a macro looks at.
const MOST_ARGUMENTS: usize = 3;

/// What a time group does with buckets that hold no row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Filling {
    /// Shows them empty.
    Null,
    /// Repeats the value before.
    Previous,
    /// Shows this value.
    Value(f64),
}

/// The grid that a time group puts rows on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Grid {
    pub(crate) seconds: f64,
    pub(crate) filling: Filling,
}

/// SQL without macros, and how to fill its gaps.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Expanded {
    pub(crate) sql: String,
    pub(crate) grid: Option<Grid>,
}

/// Replaces every macro.
///
/// # Errors
/// When a macro is not known, lacks an argument or its closing bracket, or stands too deep in others.
pub(crate) fn expand(sql: &str, call: &Call) -> Result<Expanded, Error> {
    let mut expander = Expander {
        call,
        written: String::with_capacity(sql.len().min(LONGEST) + 128),
        open: Vec::new(),
        grid: None,
    };
    expander.read(sql)?;
    if let Some(Open { name, .. }) = expander.open.first() {
        return Err(Error::Query(format!("$__{}( has no closing bracket", shown(name))));
    }
    Ok(Expanded {
        sql: expander.written,
        grid: expander.grid,
    })
}

struct Expander<'a> {
    call: &'a Call,
    written: String,
    open: Vec<Open<'a>>,
    grid: Option<Grid>,
}

/// A macro whose closing bracket is still to come.
struct Open<'a> {
    name: &'a str,
    /// Where its arguments begin in what is written.
    start: usize,
    /// Where each argument ends that a comma follows.
    ends: Vec<usize>,
    /// Brackets that are open in its arguments.
    brackets: usize,
    quoted: bool,
}

/// What a byte means among the arguments of a macro.
enum Meaning {
    Text,
    Comma,
    End,
}

impl Open<'_> {
    fn meaning(&mut self, byte: u8) -> Meaning {
        match byte {
            b'\'' => self.quoted = !self.quoted,
            _ if self.quoted => {}
            b'(' => self.brackets += 1,
            b')' if self.brackets == 0 => return Meaning::End,
            b')' => self.brackets -= 1,
            b',' if self.brackets == 0 && self.ends.len() < MOST_ARGUMENTS => return Meaning::Comma,
            _ => {}
        }
        Meaning::Text
    }

    fn arguments<'t>(&self, written: &'t str) -> Vec<&'t str> {
        let starts = std::iter::once(self.start).chain(self.ends.iter().copied());
        let ends = self.ends.iter().copied().chain([written.len()]);
        starts
            .zip(ends)
            .map(|(start, end)| written[start..end].trim())
            .collect()
    }
}

impl<'a> Expander<'a> {
    fn read(&mut self, sql: &'a str) -> Result<(), Error> {
        // Only ASCII bytes are acted upon, so the text is always cut between two characters.
        let (mut at, mut written) = (0, 0);
        while let Some(byte) = sql.as_bytes().get(at) {
            if sql.as_bytes()[at..].starts_with(b"$__") {
                self.write(&sql[written..at])?;
                at = self.begin(sql, at + 3)?;
                written = at;
                continue;
            }
            let meaning = self.open.last_mut().map_or(Meaning::Text, |open| open.meaning(*byte));
            if !matches!(meaning, Meaning::Text) {
                self.write(&sql[written..at])?;
                written = at + 1;
            }
            match meaning {
                Meaning::Text => {}
                Meaning::Comma => self
                    .open
                    .last_mut()
                    .into_iter()
                    .for_each(|open| open.ends.push(self.written.len())),
                Meaning::End => self.end()?,
            }
            at += 1;
        }
        self.write(&sql[written..])
    }

    /// Begins the macro whose name begins at `at`; where to read on.
    fn begin(&mut self, sql: &'a str, at: usize) -> Result<usize, Error> {
        let word = &sql[at..];
        let length = word
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(word.len());
        let (name, after) = word.split_at(length);
        // `$__interval` and `$__interval_ms` take no arguments: a bracket behind them belongs to the SQL.
        if !after.starts_with('(') || name.starts_with("interval") {
            let text = replacement(self.call, name, &[], &mut self.grid)?;
            self.write(&text)?;
            return Ok(at + length);
        }
        if self.open.len() == DEEPEST {
            return Err(Error::Query(format!(
                "$__{}( stands in {DEEPEST} other macros, and no macro may stand deeper; write some of them out",
                shown(name)
            )));
        }
        self.open.push(Open {
            name,
            start: self.written.len(),
            ends: Vec::new(),
            brackets: 0,
            quoted: false,
        });
        Ok(at + length + 1)
    }

    /// Puts a macro's replacement in the place of its arguments.
    fn end(&mut self) -> Result<(), Error> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let arguments = open.arguments(&self.written);
        let text = replacement(self.call, open.name, &arguments, &mut self.grid)?;
        self.written.truncate(open.start);
        self.write(&text)
    }

    fn write(&mut self, text: &str) -> Result<(), Error> {
        if self.written.len() + text.len() > LONGEST {
            return Err(Error::Query(format!(
                "the SQL has more than {LONGEST} bytes once its macros are replaced; shorten it"
            )));
        }
        self.written.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
