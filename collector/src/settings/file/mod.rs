//! The settings file: TOML, or `NAME=value` lines with the names of the environment.

mod keys;
mod lines;
mod toml;

pub use self::toml::Table;

use super::common;
use crate::error::Error;
use crate::source::{self, simulation};
use clap::parser::ValueSource;
use clap::{Arg, Args, Command};
use keys::{Keys, with_defaults};
use lines::Lines;
use std::path::Path;

#[cfg(test)]
pub(super) fn keys(command: &Command) -> Vec<String> {
    keys::keys(command).collect()
}

/// What a settings file says.
#[derive(Debug, Default)]
pub struct SettingsFile {
    is_toml: bool,
    lines: Lines,
    common: Keys,
    /// Of the simulation, where the file has one.
    simulation: Keys,
    tables: Vec<Table>,
}

impl SettingsFile {
    /// Reads a file; by its ending it is TOML or lines. The error names all that is wrong with it.
    pub(super) fn read(path: &Path, command: &Command) -> Result<Self, Error> {
        let remedy = "name a readable file with --config";
        let text = std::fs::read_to_string(path).map_err(Error::file("read", path, remedy))?;
        if path.extension().is_some_and(|ending| ending == "toml") {
            return Self::of_toml(path, text);
        }
        let lines = Lines::read(path, &text)?;
        Error::all(lines.mistakes(command))?;
        Ok(SettingsFile {
            lines,
            ..SettingsFile::default()
        })
    }

    fn of_toml(path: &Path, text: String) -> Result<Self, Error> {
        let document = toml::Document::read(path, text)?;
        let mut mistakes = document.mistakes;
        let elsewhere = |key: &str| {
            let simulation = arguments::<simulation::Settings>();
            let its = keys::keys(&simulation).any(|known| known == key);
            its.then(|| "write it below [source.simulation]".to_owned())
        };
        mistakes.extend(document.keys.mistakes(&common(), elsewhere));
        for table in &document.tables {
            // Only whether it can be made: nothing is opened before it runs.
            let made = source::make(table, &source::Context::default());
            mistakes.extend(made.err());
        }
        Error::all(mistakes)?;
        let mut simulations = document
            .tables
            .iter()
            .filter(|table| table.kind() == simulation::KIND.name);
        let simulation = match (simulations.next(), simulations.next()) {
            (Some(one), None) => one.keys()?,
            _ => Keys::default(),
        };
        Ok(SettingsFile {
            is_toml: true,
            lines: Lines::default(),
            common: document.keys,
            simulation,
            tables: document.tables,
        })
    }

    /// A value by its name in the environment, for what has no flag (PG* variables).
    pub fn get(&self, name: &str) -> Option<&str> {
        self.lines.get(name)
    }

    /// Whether it can describe sources.
    pub fn is_toml(&self) -> bool {
        self.is_toml
    }

    /// The sources' tables.
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// Whether flags can describe all of its sources.
    pub(super) fn is_one_simulation_at_most(&self) -> bool {
        match self.tables.as_slice() {
            [] => true,
            [only] => only.kind() == simulation::KIND.name,
            _ => false,
        }
    }

    /// Makes the file's values the defaults of a command line, so that flag and environment go before them.
    pub(super) fn apply(&self, command: Command) -> Command {
        let say = |arg: &Arg| {
            let said = self.lines.of(arg).or_else(|| self.common.of(arg));
            said.or_else(|| self.simulation.of(arg)).map(str::to_owned)
        };
        with_defaults(command, &say)
    }
}

impl Table {
    /// As what flags can set too. The environment goes before the table, as it goes before the rest of the file.
    pub fn arguments<A: Args>(&self) -> Result<A, Error> {
        let (command, keys) = (arguments::<A>(), self.keys()?);
        let elsewhere = |key: &str| {
            let its = keys::keys(&common()).any(|known| known == key);
            its.then(|| "it holds for all sources: write it above the first table".to_owned())
        };
        Error::all(keys.mistakes(&command, elsewhere))?;
        let command = with_defaults(command, &|arg: &Arg| keys.of(arg).map(str::to_owned));
        let variables: Vec<(String, String)> = command
            .get_arguments()
            .filter_map(|arg| Some((arg.get_id().to_string(), arg.get_env()?.to_str()?.to_owned())))
            .collect();
        let unusable = |error: clap::Error| {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
            self.mistake(first, "mend the variable of the environment that says so")
        };
        let matches = command.try_get_matches_from([""; 0]).map_err(unusable)?;
        let set = variables
            .iter()
            .find(|(id, _)| matches.value_source(id) == Some(ValueSource::EnvVariable));
        match set {
            Some((_, name)) if !self.is_alone() => {
                let problem = format!("{name} is set, and there are several tables [[source.{}]]", self.kind());
                Err(self.mistake(
                    problem,
                    "unset it, and write its value into the table that it is meant for",
                ))
            }
            _ => A::from_arg_matches(&matches).map_err(unusable),
        }
    }
}

fn arguments<A: Args>() -> Command {
    A::augment_args(Command::new("source").no_binary_name(true))
}

#[cfg(test)]
mod tests;
