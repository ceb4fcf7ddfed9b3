//! Upgrade scripts: what brings a database from the SQL of one version to that of the next.
//!
//! Both are taken apart into statements. An object is known by its `COMMENT ON`, which every one has: there its signature
//! stands as `DROP` wants it. What is new is created, what differs is replaced, what is gone is dropped; what cannot be
//! replaced in place (a type, say) is left to a person, and a test compares the catalogs in the end.

mod fixture;
mod statements;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

pub use self::fixture::Fixture;
use self::statements::{Kind, Statement};
use crate::installation::root;

/// Above this line a script is written by hand, below it by [`Step::write`].
const MARK: &str = "---- generated ----\n";

/// What was released, as `sha256sum` prints it in the checkout's root, where `sha256sum --check` reads it.
pub const RELEASED: &str = "sql/upgrade/released.sha256";

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The step from the version before to this one.
#[derive(Debug)]
pub struct Step {
    from: String,
    file: PathBuf,
}

/// A script as it should be.
#[derive(Debug, Default)]
pub struct Script {
    /// All of it.
    pub text: String,
    /// What it does, an object a line.
    pub changes: Vec<String>,
    /// What has to be written by hand, above the mark.
    pub by_hand: Vec<String>,
}

impl Step {
    /// To this workspace's version, from the latest one before it that is kept in `tests/fixtures`.
    ///
    /// # Errors
    /// When there is none.
    pub fn find() -> Result<Self> {
        let mut versions = Fixture::versions()?;
        versions.retain(|version| numbers(version) < numbers(VERSION));
        let from = versions.pop().with_context(|| {
            format!("no version before {VERSION} is kept in tests/fixtures; see \"Release\" in CONTRIBUTING.md")
        })?;
        let file = root().join(format!("sql/upgrade/pg_iot_kpi--{from}--{VERSION}.sql"));
        Ok(Self { from, file })
    }

    /// The version it begins with.
    pub fn from(&self) -> &str {
        &self.from
    }

    /// The script's file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The script as it should be: what stands above the mark now, and below it what the files of `sql/` ask for.
    ///
    /// # Errors
    /// When SQL cannot be read or understood.
    pub fn script(&self) -> Result<Script> {
        let old = read(&Fixture::of(&self.from).sql())?;
        let mut script = difference(&old, &install_sql()?)?;
        let present = fs::read_to_string(&self.file).unwrap_or_else(|_| self.heading());
        let hand = present.split(MARK).next().unwrap_or_default();
        script.text = format!("{hand}{MARK}{}", script.text);
        // What the upper part names is taken as done; whether it is, the catalogs tell.
        script.by_hand.retain(|object| !hand.contains(object.as_str()));
        Ok(script)
    }

    /// Writes the script into its file.
    ///
    /// # Errors
    /// When it was released already, or cannot be written.
    pub fn write(&self) -> Result<Script> {
        let name = self.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let released = fs::read_to_string(root().join(RELEASED)).unwrap_or_default();
        ensure!(
            !released.contains(&name),
            "{name} was released: set the next version in Cargo.toml first"
        );
        let script = self.script()?;
        fs::write(&self.file, &script.text).with_context(|| format!("write {}", self.file.display()))?;
        Ok(script)
    }

    fn heading(&self) -> String {
        format!(
            "-- From {} to {VERSION}. Above the line below stands what is written by hand, which runs first; `make upgrade-script`\n\
             -- writes what is below it, from the difference between that version's SQL and the files of sql/.\n\
             \\echo Use \"ALTER EXTENSION pg_iot_kpi UPDATE TO '{VERSION}'\" to load this file. \\quit\n\n",
            self.from
        )
    }
}

/// The files of `sql/`, in the order in which they are installed.
///
/// # Errors
/// When one cannot be read, or is not in the list.
pub fn install_sql() -> Result<String> {
    let list = read(&root().join("pg_iot_kpi/src/install.rs"))?;
    let names: Vec<&str> = list
        .split("\"../../sql/")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    let folder = root().join("sql");
    for name in rooms(&folder)? {
        ensure!(
            names.contains(&name.as_str()),
            "sql/{name} is not in pg_iot_kpi/src/install.rs"
        );
    }
    names.iter().map(|name| read(&folder.join(name))).collect()
}

/// The files of the rooms in `sql/`, as in `store/settings.sql`: all folders but that of the upgrade scripts.
fn rooms(folder: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for room in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let room = room?;
        if room.file_name() == "upgrade" {
            continue;
        }
        for file in fs::read_dir(room.path()).with_context(|| format!("read {}", room.path().display()))? {
            let (room, file) = (room.file_name(), file?.file_name());
            files.push(format!("{}/{}", room.to_string_lossy(), file.to_string_lossy()));
        }
    }
    Ok(files)
}

/// What makes the objects of `new` out of those of `old`.
fn difference(old: &str, new: &str) -> Result<Script> {
    let (old, new) = (statements::read(old)?, statements::read(new)?);
    let before: BTreeMap<&str, &Statement> = old.iter().map(|s| (s.key.as_str(), s)).collect();
    let after: BTreeMap<&str, &Statement> = new.iter().map(|s| (s.key.as_str(), s)).collect();
    ensure!(after.len() == new.len(), "an object is created twice: {}", twice(&new));
    let dropped = dropped(&old, &after);
    let mut script = Script::default();

    // Whatever needs something stands behind it, and goes first.
    for gone in old.iter().rev() {
        let is_left = after.contains_key(gone.key.as_str());
        match &gone.kind {
            Kind::Routine(_) if dropped.contains(&gone.key) => {
                let what = if is_left { "make anew" } else { "drop" };
                writeln!(script.text, "DROP {};", gone.key)?;
                script.changes.push(format!("{what} {}", gone.key));
            }
            // It goes with its object.
            Kind::Comment(object) if !after.contains_key(object.as_str()) => {}
            _ if !is_left => script.by_hand.push(gone.key.clone()),
            _ => {}
        }
    }
    if !dropped.is_empty() {
        script.text.insert(0, '\n');
    }
    for statement in &new {
        let key = &statement.key;
        let was = before.get(key.as_str()).filter(|_| !dropped.contains(key));
        let is_same = was.is_some_and(|was| was.text == statement.text);
        match &statement.kind {
            // A comment goes with its object.
            Kind::Comment(object) if is_same && !dropped.contains(object) => {}
            Kind::Comment(_) => writeln!(script.text, "{};", statement.text)?,
            _ if is_same => {}
            Kind::Routine(_) => {
                let text = statement.text.replacen("CREATE ", "CREATE OR REPLACE ", 1);
                writeln!(script.text, "\n{text};")?;
                if !dropped.contains(key) {
                    let what = if was.is_some() { "replace" } else { "add" };
                    script.changes.push(format!("{what} {key}"));
                }
            }
            Kind::Other if was.is_none() => {
                writeln!(script.text, "\n{};", statement.text)?;
                script.changes.push(format!("add {key}"));
            }
            Kind::Other => script.by_hand.push(key.clone()),
        }
    }
    Ok(script)
}

/// The routines that have to be dropped: those that are gone, those whose parameters or result cannot be replaced in place, and
/// those whose parsed bodies hold on to one of them.
fn dropped(old: &[Statement], after: &BTreeMap<&str, &Statement>) -> BTreeSet<String> {
    let mut dropped = BTreeSet::new();
    for statement in old {
        let Kind::Routine(head) = &statement.kind else { continue };
        let is = after.get(statement.key.as_str()).map(|s| &s.kind);
        let name = |key: &str| {
            key.split_whitespace()
                .nth(1)
                .unwrap_or_default()
                .split('(')
                .next()
                .map(str::to_owned)
        };
        let holds = |gone: &String| name(gone).is_some_and(|name| statement.text.contains(&format!("{name}(")));
        let is_parsed = statement.text.contains("BEGIN ATOMIC") || statement.text.contains("\nRETURN ");
        if !matches!(is, Some(Kind::Routine(now)) if now == head) || is_parsed && dropped.iter().any(holds) {
            dropped.insert(statement.key.clone());
        }
    }
    dropped
}

fn twice(statements: &[Statement]) -> &str {
    let mut seen = BTreeSet::new();
    let found = statements.iter().find(|s| !seen.insert(s.key.as_str()));
    found.map_or("", |s| s.key.as_str())
}

fn numbers(version: &str) -> Vec<u32> {
    version.split('.').filter_map(|number| number.parse().ok()).collect()
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("read {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::difference;

    const OLD: &str = "
        -- What stays; with a 'quote.
        CREATE FUNCTION s.same(a int) RETURNS int LANGUAGE sql AS $$ SELECT a; -- $1 \n $$;
        COMMENT ON FUNCTION s.same(int) IS 'it''s; the same';
        CREATE FUNCTION s.atomic(a int) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT CASE a WHEN 1 THEN 2 END; END;
        COMMENT ON FUNCTION s.atomic(int) IS 'atomic';
        CREATE FUNCTION s.body() RETURNS int LANGUAGE sql AS $body$ SELECT 1 $body$;
        COMMENT ON FUNCTION s.body() IS 'body';
        CREATE FUNCTION s.result() RETURNS int LANGUAGE sql AS 'SELECT 1';
        COMMENT ON FUNCTION s.result() IS 'result';
        CREATE FUNCTION s.user() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT CASE WHEN true THEN s.result() END; END;
        COMMENT ON FUNCTION s.user() IS 'of result';
        CREATE PROCEDURE s.gone(a text) LANGUAGE sql AS '';
        COMMENT ON PROCEDURE s.gone(text) IS 'gone';
        CREATE TYPE s.t AS (a int);
        COMMENT ON TYPE s.t IS 't';";

    #[test]
    fn nothing_changed_is_nothing_to_do() {
        let script = difference(OLD, &format!("/* moved /* about */ */{OLD}")).unwrap();
        assert_eq!(script.text, "");
        assert!(script.changes.is_empty() && script.by_hand.is_empty());
    }

    #[test]
    fn each_change_has_its_statement() {
        let new = OLD
            .replace("SELECT 1 $body$", "SELECT 2 $body$")
            .replace("s.result() RETURNS int", "s.result() RETURNS bigint")
            .replace("'t'", "'of t'")
            .replace("(a int);", "(a int, b int);");
        let gone = new.find("CREATE PROCEDURE").unwrap()..new.find("CREATE TYPE").unwrap();
        let mut new = new;
        new.replace_range(
            gone,
            "CREATE AGGREGATE s.more(int) (SFUNC = int4pl, STYPE = int); COMMENT ON AGGREGATE s.more(int) IS 'm';\n",
        );
        let script = difference(OLD, &new).unwrap();
        let expected = "
DROP PROCEDURE s.gone(text);
DROP FUNCTION s.user();
DROP FUNCTION s.result();

CREATE OR REPLACE FUNCTION s.body() RETURNS int LANGUAGE sql AS $body$ SELECT 2 $body$;

CREATE OR REPLACE FUNCTION s.result() RETURNS bigint LANGUAGE sql AS 'SELECT 1';
COMMENT ON FUNCTION s.result() IS 'result';

CREATE OR REPLACE FUNCTION s.user() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT CASE WHEN true THEN s.result() END; END;
COMMENT ON FUNCTION s.user() IS 'of result';

CREATE OR REPLACE AGGREGATE s.more(int) (SFUNC = int4pl, STYPE = int);
COMMENT ON AGGREGATE s.more(int) IS 'm';
COMMENT ON TYPE s.t IS 'of t';
";
        assert_eq!(script.text, expected);
        assert_eq!(script.by_hand, ["TYPE s.t"]);
    }

    #[test]
    fn an_object_without_a_comment_is_refused() {
        let error = difference("", "CREATE FUNCTION s.mute() RETURNS int LANGUAGE sql AS ''").unwrap_err();
        assert!(error.to_string().contains("s.mute has no COMMENT"), "{error}");
    }
}
