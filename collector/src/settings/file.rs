//! The settings file: `NAME=value` lines with the names of the environment, as in `env.example`.

use crate::error::Error;
use clap::Command;
use clap::builder::Resettable;
use std::collections::HashMap;
use std::path::Path;

/// What a settings file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettingsFile(HashMap<String, String>);

impl SettingsFile {
    /// Reads a file; empty lines and lines that begin with `#` say nothing, quotes round a value are taken off.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let remedy = "name a readable file with --config";
        let text = std::fs::read_to_string(path).map_err(Error::file("read", path, remedy))?;
        Self::parse(&text).map_err(|(line, problem)| {
            Error::setting(
                format!("{}:{line}", path.display()),
                problem,
                "write NAME=value, one a line",
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
        Ok(SettingsFile(values))
    }

    /// A value by its name in the environment.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Makes the file's values the defaults of a command line, so that flag and environment go before them. A variable
    /// that is set to nothing says nothing, as compose files leave them.
    pub(super) fn apply(&self, command: Command) -> Command {
        let command = command.mut_args(|arg| {
            let Some(name) = arg.get_env().map(|name| name.to_owned()) else {
                return arg;
            };
            let value = name
                .to_str()
                .and_then(|name| self.get(name))
                .filter(|value| !value.is_empty());
            let arg = if std::env::var_os(&name).is_some_and(|value| value.is_empty()) {
                arg.env(Resettable::Reset)
            } else {
                arg
            };
            match value {
                Some(value) => arg.default_value(value.to_owned()),
                None => arg,
            }
        });
        let children: Vec<String> = command
            .get_subcommands()
            .map(|child| child.get_name().to_owned())
            .collect();
        children.into_iter().fold(command, |command, child| {
            command.mut_subcommand(child, |child| self.apply(child))
        })
    }

    /// Names that look like ours but are not: a misspelt setting must not pass in silence.
    pub(super) fn strangers(&self, command: &Command) -> Vec<String> {
        let all = std::iter::once(command).chain(command.get_subcommands());
        let known: Vec<&str> = all
            .flat_map(Command::get_arguments)
            .filter_map(|a| a.get_env()?.to_str())
            .collect();
        let ours = |name: &&String| name.starts_with("IOT_KPI_") && !known.contains(&name.as_str());
        let mut strangers: Vec<String> = self.0.keys().filter(ours).cloned().collect();
        strangers.sort();
        strangers
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
        let file = SettingsFile::parse("# a\n\nA=1\nexport B = \"two words\"\nC='x=y'\nD=\n").unwrap();
        assert_eq!(
            [file.get("A"), file.get("B"), file.get("C"), file.get("D")].map(Option::unwrap),
            ["1", "two words", "x=y", ""]
        );
        assert_eq!(SettingsFile::parse("A=1\nB\n"), Err((2, "has no \"=\"".to_owned())));
    }
}
