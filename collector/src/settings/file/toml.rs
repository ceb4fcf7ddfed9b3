//! A settings file in TOML: what is common by the names of the flags, and a table for each source.

use super::keys::{Keys, Value, unknown};
use crate::error::Error;
use serde::de::DeserializeOwned;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The key in a source's table that says what to call it.
const NAME: &str = "name";

/// The whole file.
#[derive(Debug, Default)]
pub(super) struct Document {
    /// What stands above the tables.
    pub(super) keys: Keys,
    /// The sources' tables, by kind.
    pub(super) tables: Vec<Table>,
    /// What is wrong with its form.
    pub(super) mistakes: Vec<Error>,
}

/// The file's text, to say where something stands in it.
#[derive(Debug)]
struct Origin {
    path: PathBuf,
    /// It is read once, and kept as long as the program runs.
    text: &'static str,
}

/// A source's table: `[source.KIND]`, or one of several `[[source.KIND]]`.
#[derive(Clone, Debug)]
pub struct Table {
    origin: Arc<Origin>,
    kind: String,
    name: String,
    is_alone: bool,
    content: Spanned<DeTable<'static>>,
}

impl Document {
    pub(super) fn read(path: &Path, text: String) -> Result<Self, Error> {
        let text: &'static str = text.leak();
        let path = path.to_owned();
        let origin = Arc::new(Origin { path, text });
        let mut document = Document::default();
        let root = DeTable::parse(text).map_err(|error| origin.said(&error))?;
        for (key, value) in root.into_inner() {
            match value.into_inner() {
                DeValue::Table(kinds) if key.get_ref() == "source" => document.add_kinds(&origin, kinds),
                content => document.add_key(&origin, &key.get_ref().clone(), key.span(), &content),
            }
        }
        document.refuse_twins();
        Ok(document)
    }

    fn add_key(&mut self, origin: &Origin, key: &str, span: Range<usize>, content: &DeValue<'_>) {
        match origin.value(key, span, content) {
            Ok(value) => self.keys.add(value),
            Err(mistake) => self.mistakes.push(mistake),
        }
    }

    fn add_kinds(&mut self, origin: &Arc<Origin>, kinds: DeTable<'static>) {
        for (key, value) in kinds {
            let kind = key.get_ref().to_string();
            let values = match value.into_inner() {
                DeValue::Array(array) => array.into_iter().collect(),
                one => vec![Spanned::new(key.span(), one)],
            };
            let is_alone = values.len() == 1;
            for (index, value) in values.into_iter().enumerate() {
                let span = value.span();
                let DeValue::Table(mut content) = value.into_inner() else {
                    let problem = format!("source.{kind} is no table");
                    let remedy = "begin each source with a line [source.KIND], and write its settings below";
                    self.mistakes.push(origin.mistake(span, problem, remedy));
                    continue;
                };
                let name = match content.remove(NAME).map(Spanned::into_inner) {
                    Some(DeValue::String(name)) => name.into_owned(),
                    _ if is_alone => kind.clone(),
                    _ => format!("{kind}-{}", index + 1),
                };
                self.tables.push(Table {
                    origin: origin.clone(),
                    kind: kind.clone(),
                    name,
                    is_alone,
                    content: Spanned::new(span, content),
                });
            }
        }
    }

    /// Logs could not tell them apart.
    fn refuse_twins(&mut self) {
        for (index, table) in self.tables.iter().enumerate() {
            if self.tables[..index].iter().any(|before| before.name == table.name) {
                let problem = format!("two sources are called {:?}", table.name);
                self.mistakes
                    .push(table.mistake(problem, "give each a name = \"…\" of its own"));
            }
        }
    }
}

impl Table {
    /// The kind of source that it asks for.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// What the source is called: its `name`, else its kind.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether there is no other of its kind.
    pub fn is_alone(&self) -> bool {
        self.is_alone
    }

    /// Something that is wrong with it as a whole.
    pub fn mistake(&self, problem: impl Into<String>, remedy: impl Into<String>) -> Error {
        self.origin.mistake(self.content.span(), problem, remedy)
    }

    /// As a type of the source's own. With `#[serde(deny_unknown_fields)]` a key that it does not know is an error that
    /// names the nearest one.
    pub fn deserialize<T: DeserializeOwned>(&self) -> Result<T, Error> {
        T::deserialize(toml::Deserializer::from(self.content.clone())).map_err(|error| self.origin.said(&error))
    }

    /// By the names of flags, for what can be set by flags too.
    pub(super) fn keys(&self) -> Result<Keys, Error> {
        let mut keys = Keys::default();
        for (key, value) in self.content.get_ref() {
            keys.add(self.origin.value(key.get_ref(), key.span(), value.get_ref())?);
        }
        Ok(keys)
    }
}

impl Origin {
    /// A single value as text, as flags have it.
    fn value(&self, key: &str, span: Range<usize>, content: &DeValue<'_>) -> Result<Value, Error> {
        let text = match content {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Float(number) => number.to_string(),
            DeValue::Boolean(switch) => switch.to_string(),
            DeValue::Datetime(time) => time.to_string(),
            DeValue::Array(_) | DeValue::Table(_) => {
                let problem = format!("{key} is no single value");
                return Err(self.mistake(span, problem, "see --help for the settings there are"));
            }
        };
        let at = self.at(&span);
        let key = key.to_owned();
        Ok(Value { key, text, at })
    }

    /// Where it is, as editors and compilers say it.
    fn at(&self, span: &Range<usize>) -> String {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        format!("{}:{line}", self.path.display())
    }

    fn mistake(&self, span: Range<usize>, problem: impl Into<String>, remedy: impl Into<String>) -> Error {
        Error::setting(self.at(&span), problem, remedy)
    }

    /// What the library found wrong.
    fn said(&self, error: &toml::de::Error) -> Error {
        let span = error.span().unwrap_or_default();
        let message = error.message();
        // serde gives the known keys in its words alone: unknown field `a`, expected one of `b`, `c`.
        let mut quoted = message.split('`').skip(1).step_by(2);
        match quoted.next() {
            Some(key) if message.starts_with("unknown field") => {
                let (problem, remedy) = unknown(key, quoted);
                self.mistake(span, problem, remedy)
            }
            _ => {
                let message = message.lines().collect::<Vec<_>>().join(", ");
                self.mistake(
                    span,
                    message,
                    "write key = value, and texts in quotes, as in interval = \"60s\"",
                )
            }
        }
    }
}
