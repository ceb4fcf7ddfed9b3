//! Settings by name, and what is wrong with them: what is known of a flag is known of its key.

use crate::error::Error;
use clap::builder::Resettable;
use clap::{Arg, Command};
use std::ffi::OsStr;

/// A setting that a file has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value {
    /// As the file calls it: `spool_max` for `--spool-max`.
    pub(super) key: String,
    /// As a flag would have it.
    pub(super) text: String,
    /// File and line.
    pub(super) at: String,
}

/// Those that stand together.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys(Vec<Value>);

impl Keys {
    pub(super) fn add(&mut self, value: Value) {
        self.0.push(value);
    }

    /// What the file says of a flag.
    pub(super) fn of(&self, arg: &Arg) -> Option<&str> {
        let key = key_of(arg)?;
        let value = self.0.iter().find(|value| value.key == key)?;
        Some(value.text.as_str()).filter(|text| !text.is_empty())
    }

    /// All that is wrong, by what the flags of `command` take. `elsewhere` knows keys that stand in other parts of the file.
    pub(super) fn mistakes(&self, command: &Command, elsewhere: impl Fn(&str) -> Option<String>) -> Vec<Error> {
        let known: Vec<(String, &Arg)> = command
            .get_arguments()
            .filter_map(|arg| Some((key_of(arg)?, arg)))
            .collect();
        let mistake = |value: &Value| {
            let Some((_, arg)) = known.iter().find(|(key, _)| *key == value.key) else {
                let (problem, nearest) = unknown(&value.key, known.iter().map(|(key, _)| key.as_str()));
                return Some(Error::setting(
                    &value.at,
                    problem,
                    elsewhere(&value.key).unwrap_or(nearest),
                ));
            };
            let problem = problem(arg, &value.text)?;
            let problem = format!("{} = {:?}: {problem}", value.key, value.text);
            let remedy = format!("see --help of the collector for --{}", value.key.replace('_', "-"));
            Some(Error::setting(&value.at, problem, remedy))
        };
        self.0.iter().filter_map(mistake).collect()
    }
}

/// What a file calls the flags of a command.
pub(super) fn keys(command: &Command) -> impl Iterator<Item = String> {
    command.get_arguments().filter_map(key_of)
}

/// What a file calls a flag; not all of them make sense there.
fn key_of(arg: &Arg) -> Option<String> {
    let is_setting = arg.get_env().is_some() || arg.get_long()?.starts_with("ssl");
    let key = arg.get_long()?.replace('-', "_");
    (is_setting && key != "config").then_some(key)
}

/// Why a flag does not take a value.
fn problem(arg: &Arg, text: &str) -> Option<String> {
    if text.is_empty() {
        return None;
    }
    let arg = arg.clone().env(Resettable::Reset).default_value(text.to_owned());
    let error = Command::new("file").arg(arg).try_get_matches_from(["file"]).err()?;
    let said = std::error::Error::source(&error).map(ToString::to_string);
    Some(said.unwrap_or_else(|| "is not taken".to_owned()))
}

/// A key that nobody knows: the problem, and the remedy.
pub(super) fn unknown<'a>(key: &str, known: impl IntoIterator<Item = &'a str>) -> (String, String) {
    let known: Vec<&str> = known.into_iter().collect();
    let nearest = known.iter().max_by(|a, b| {
        let likeness = |other| strsim::jaro_winkler(key, other);
        likeness(a).total_cmp(&likeness(b))
    });
    let remedy = match nearest {
        Some(nearest) if strsim::jaro_winkler(key, nearest) > 0.75 => format!("is {nearest} meant?"),
        _ => format!("there are {}", known.join(", ")),
    };
    (format!("{key} is no setting"), remedy)
}

/// Names that variables had in earlier versions.
const OLD_NAMES: [(&str, &str); 2] = [
    ("IOT_KPI_PLACES", "IOT_KPI_INSTANCE_DIR"),
    ("IOT_KPI_TRUTH", "IOT_KPI_GROUND_TRUTH"),
];

/// The names that a variable has, the present one first.
pub(super) fn names(arg: &Arg) -> impl Iterator<Item = &str> {
    let name = arg.get_env().and_then(|name| name.to_str());
    let old = OLD_NAMES.into_iter().filter(move |(_, now)| name == Some(*now));
    name.into_iter().chain(old.map(|(old, _)| old))
}

/// Gives the flags of a command, and of those below it, what `say` knows as defaults, so that flag and environment go before
/// it. A variable that is set to nothing says nothing, as compose files leave them.
pub(super) fn with_defaults(command: Command, say: &impl Fn(&Arg) -> Option<String>) -> Command {
    let command = command.mut_args(|arg| {
        let set = names(&arg)
            .skip(1)
            .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
        let text = set.or_else(|| say(&arg));
        let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
        let arg = match arg.get_env().map(ToOwned::to_owned) {
            Some(name) if is_empty(&name) => arg.env(Resettable::Reset),
            _ => arg,
        };
        let is_secret = arg.is_hide_env_values_set();
        match text {
            Some(text) => arg.default_value(text).hide_default_value(is_secret),
            None => arg,
        }
    });
    let children: Vec<String> = command
        .get_subcommands()
        .map(|child| child.get_name().to_owned())
        .collect();
    children.into_iter().fold(command, |command, child| {
        command.mut_subcommand(child, |child| with_defaults(child, say))
    })
}
