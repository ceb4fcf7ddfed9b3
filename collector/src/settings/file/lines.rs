//! A settings file of `NAME=value` lines with the names of the environment, as in `env.example`.

use super::keys::names;
use crate::error::Error;
use clap::{Arg, Command};
use std::collections::HashMap;
use std::path::Path;

/// What such a file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lines(HashMap<String, String>);

impl Lines {
    /// Empty lines and lines that begin with `#` say nothing, quotes round a value are taken off.
    pub(super) fn read(path: &Path, text: &str) -> Result<Self, Error> {
        Self::parse(text).map_err(|(line, problem)| {
            let at = format!("{}:{line}", path.display());
            Error::setting(
                at,
                problem,
                "write NAME=value, one a line, or give the file the ending .toml",
            )
        })
    }

    fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut values = HashMap::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let line = line.strip_prefix("export ").unwrap_or(line);
            let (name, value) = line.split_once('=').ok_or((index + 1, "has no \"=\"".to_owned()))?;
            values.insert(name.trim().to_owned(), unquoted(value.trim()).to_owned());
        }
        Ok(Lines(values))
    }

    /// A value by its name in the environment.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// What the file says of a flag.
    pub(super) fn of(&self, arg: &Arg) -> Option<&str> {
        names(arg)
            .find_map(|name| self.get(name))
            .filter(|value| !value.is_empty())
    }

    /// Names that look like ours but are not: a misspelt setting must not pass in silence.
    pub(super) fn mistakes(&self, command: &Command) -> Vec<Error> {
        let all = std::iter::once(command).chain(command.get_subcommands());
        let known: Vec<&str> = all.flat_map(Command::get_arguments).flat_map(names).collect();
        let ours = |name: &&String| name.starts_with("IOT_KPI_") && !known.contains(&name.as_str());
        let mut strangers: Vec<&String> = self.0.keys().filter(ours).collect();
        strangers.sort();
        let mistake = |name: &String| {
            Error::setting(
                name,
                "is no setting, though the file has it",
                "see --help for the names there are",
            )
        };
        strangers.into_iter().map(mistake).collect()
    }
}

fn unquoted(value: &str) -> &str {
    ['"', '\'']
        .iter()
        .find_map(|&quote| value.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_comments_and_quotes() {
        let file = Lines::parse("# a\n\nA=1\nexport B = \"two words\"\nC='x=y'\nD=\n").unwrap();
        assert_eq!(
            [file.get("A"), file.get("B"), file.get("C"), file.get("D")].map(Option::unwrap),
            ["1", "two words", "x=y", ""]
        );
        assert_eq!(Lines::parse("A=1\nB\n"), Err((2, "has no \"=\"".to_owned())));
    }
}
