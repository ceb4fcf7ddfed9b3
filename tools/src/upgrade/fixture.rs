//! What is kept of a released version: its SQL whole, and a small store as that version made and answered it.

use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use postgres::Client;

use super::{RELEASED, numbers};
use crate::answers::{self, Answers};
use crate::installation::{Installation, root};
use crate::postgres::{Database, Postgres};

const STATES: &str = "COPY (SELECT * FROM public.states ORDER BY device_id) TO STDOUT (FORMAT binary)";

/// One at a time puts a version's SQL where the server looks for it: nobody takes away what another is about to read.
static PLACING: Mutex<()> = Mutex::new(());

/// The folder of a version's things.
#[derive(Debug)]
pub struct Fixture {
    version: String,
    folder: PathBuf,
}

impl Fixture {
    /// The versions that something is kept of, the oldest first.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn versions() -> Result<Vec<String>> {
        let folder = root().join("tests/fixtures");
        let mut versions = Vec::new();
        for entry in fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))? {
            versions.push(entry?.file_name().to_string_lossy().into_owned());
        }
        versions.sort_by_key(|version| numbers(version));
        Ok(versions)
    }

    /// Of a released version.
    pub fn of(version: &str) -> Self {
        let folder = root().join("tests/fixtures").join(version);
        let version = version.to_owned();
        Self { version, folder }
    }

    /// The file of the version's SQL whole, named as an installation of it has it.
    pub fn sql(&self) -> PathBuf {
        self.folder.join(whole(&self.version))
    }

    /// Makes the extension as the version had it. Its SQL is in the server's installation no longer than that takes: users' have the
    /// steps between versions alone, and an update must do with those.
    ///
    /// # Errors
    /// When the installation cannot be written, or its library lacks what the version needs.
    pub fn create_extension(&self, database: &Database<'_>) -> Result<()> {
        let _one = PLACING.lock().unwrap_or_else(PoisonError::into_inner);
        let mut client = database.try_client()?;
        let placed = extension_folder(database.server())?.join(whole(&self.version));
        ensure!(
            !placed.exists(),
            "{} is there already: `make install` anew",
            placed.display()
        );
        fs::copy(self.sql(), &placed)
            .with_context(|| format!("write {}, as who may `make install`", placed.display()))?;
        let made = client.batch_execute(&format!("CREATE EXTENSION pg_iot_kpi VERSION '{}'", self.version));
        fs::remove_file(&placed).with_context(|| format!("remove {}", placed.display()))?;
        made.context("a released symbol of the library must stay; and see `make install`")
    }

    /// What the version answered about its store.
    ///
    /// # Errors
    /// When the file is not there.
    pub fn answers(&self) -> Result<Answers> {
        let file = self.folder.join("answers.json");
        let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        Ok(serde_json::from_str(&text)?)
    }

    /// The rows of `public.states` as that version sent them in binary.
    ///
    /// # Errors
    /// When the file is not there.
    pub fn states(&self) -> Result<Vec<u8>> {
        let file = self.folder.join("states.bin");
        fs::read(&file).with_context(|| format!("read {}", file.display()))
    }

    /// Puts the version's rows into an empty store, as a restored dump does: no trigger fires.
    ///
    /// # Errors
    /// When the store does not take them.
    pub fn load(&self, database: &Database<'_>) -> Result<()> {
        let file = self.folder.join("store.sql");
        let output = database
            .psql()
            .args(["--quiet", "--set=ON_ERROR_STOP=1", "--file"])
            .arg(&file)
            .output()
            .context("run psql")?;
        ensure!(
            output.status.success(),
            "{}: {}",
            file.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// Keeps all that of the version that is installed; returns the files.
    ///
    /// # Errors
    /// When it is kept already, or something cannot be written.
    pub fn freeze() -> Result<Vec<PathBuf>> {
        let server = Postgres::temporary_of(Installation::find()?, &[])?;
        let database = server.try_store("fixture")?;
        let mut client = database.try_client()?;
        let version: String = client
            .query_one("SELECT extversion FROM pg_extension WHERE extname = 'pg_iot_kpi'", &[])?
            .get(0);
        client.batch_execute(answers::FILL).context("fill the store")?;
        let fixture = Self::of(&version);
        if fixture.folder.exists() {
            bail!("version {version} is kept already in {}", fixture.folder.display());
        }
        fs::create_dir_all(&fixture.folder).with_context(|| format!("make {}", fixture.folder.display()))?;

        let mut files = vec![fixture.folder.join("store.sql"), fixture.folder.join("states.bin")];
        fs::write(&files[0], rows(&database)?)?;
        let mut states = Vec::new();
        client.copy_out(STATES)?.read_to_end(&mut states)?;
        fs::write(&files[1], states)?;
        files.push(fixture.folder.join("answers.json"));
        fs::write(
            &files[2],
            serde_json::to_string_pretty(&answers::ask(&mut client)?)? + "\n",
        )?;
        files.push(fixture.sql());
        let installed = extension_folder(&server)?.join(whole(&version));
        fs::copy(&installed, &files[3]).with_context(|| format!("copy {}", installed.display()))?;
        files.extend(freeze_sql(&mut client, &version)?);
        Ok(files)
    }
}

/// The store's rows as `COPY` takes them.
fn rows(database: &Database<'_>) -> Result<String> {
    let output = database
        .client_program("pg_dump")
        .args([
            "--data-only",
            "--load-via-partition-root",
            "--table=iot.*",
            "--table=public.states",
        ])
        .arg(format!("--dbname={}", database.name()))
        .output()
        .context("run pg_dump")?;
    ensure!(
        output.status.success(),
        "pg_dump: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let dump = String::from_utf8(output.stdout).context("read the dump")?;
    let begin = dump.find("\nCOPY ").context("the dump has no rows")?;
    let mut text = "-- Rows of a small store, as pg_dump wrote them. No trigger may fire: that is how a dump is restored.
SET session_replication_role = replica;
SELECT iot_kpi.make_partitions('[2026-02-28 00:00+00, 2026-03-01 04:00+00]');
TRUNCATE iot.settings, iot.metric_types;
CREATE TABLE public.states (
    device_id text PRIMARY KEY, heartbeats iot_kpi.heartbeats, status_timeline iot_kpi.status_timeline, cadence iot_kpi.cadence,
    response_sketch iot_kpi.response_sketch, throughput iot_kpi.throughput
);
"
    .to_owned();
    // Between tables pg_dump says what is not needed here, and every line of a table is one of data.
    let mut inside = false;
    for line in dump[begin..].lines() {
        inside |= line.starts_with("COPY ");
        if inside || line.starts_with("SELECT pg_catalog.setval(") {
            writeln!(text, "{line}")?;
        }
        inside &= line != "\\.";
    }
    Ok(text)
}

/// The name of a version's SQL whole.
fn whole(version: &str) -> String {
    format!("pg_iot_kpi--{version}.sql")
}

/// Where a server looks for the SQL of extensions.
fn extension_folder(server: &Postgres) -> Result<PathBuf> {
    Ok(Path::new(&server.installation().ask("--sharedir")?).join("extension"))
}

/// Notes the checksums of the version's SQL whole, and of the script from the version before; returns what it wrote, and that script.
fn freeze_sql(client: &mut Client, version: &str) -> Result<Vec<PathBuf>> {
    let mut names = vec![format!("tests/fixtures/{version}/{}", whole(version))];
    for entry in fs::read_dir(root().join("sql/upgrade")).context("read sql/upgrade")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(&format!("--{version}.sql")) {
            names.push(format!("sql/upgrade/{name}"));
        }
    }
    let list = root().join(RELEASED);
    let mut sums = fs::read_to_string(&list).unwrap_or_default();
    for name in &names {
        let script = fs::read(root().join(name)).with_context(|| format!("read {name}"))?;
        let sum: String = client.query_one("SELECT encode(sha256($1), 'hex')", &[&script])?.get(0);
        writeln!(sums, "{sum}  {name}")?;
    }
    fs::write(&list, sums).context("write released.sha256")?;
    Ok(names
        .iter()
        .skip(1)
        .map(|name| root().join(name))
        .chain([list])
        .collect())
}
