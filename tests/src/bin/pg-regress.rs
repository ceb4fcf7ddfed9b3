//! Runs PostgreSQL's own `pg_regress` over `pg_iot_kpi/tests/pg_regress`: each `sql/NAME.sql` in a new database that has the
//! extension, its output compared with `expected/NAME.out`. Speaks TAP. `pg-regress NAME...` runs some; `--accept` takes what
//! came out as expected.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::Parser;
use iot_kpi_tests::installation::{root, target};
use iot_kpi_tests::postgres::Postgres;

/// The regression tests of the extension.
#[derive(Parser)]
struct Arguments {
    /// Those to run, without `.sql`; all when none is named
    names: Vec<String>,
    /// Take the output as the expected one; read the difference in git
    #[arg(long)]
    accept: bool,
}

fn main() -> ExitCode {
    iot_kpi_tools::exit(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<()> {
    let input = root().join("pg_iot_kpi/tests/pg_regress");
    let names = if arguments.names.is_empty() {
        all(&input.join("sql"))?
    } else {
        arguments.names.clone()
    };
    let server = Postgres::temporary(&[])?;
    let suite = Suite {
        output: target().join(format!("pg_regress/{}", server.installation().major())),
        input,
        server,
    };
    println!("1..{}", names.len());
    let mut failures = 0;
    for (number, name) in (1..).zip(&names) {
        let difference = suite.difference(name, arguments.accept)?;
        println!("{}ok {number} - {name}", if difference.is_some() { "not " } else { "" });
        if let Some(difference) = difference {
            failures += 1;
            difference.lines().for_each(|line| println!("# {line}"));
        }
    }
    if failures > 0 {
        bail!(
            "{failures} of {} failed; `make regress NAME=... ACCEPT=1` takes an intended difference",
            names.len()
        );
    }
    Ok(())
}

fn all(folder: &Path) -> Result<Vec<String>> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .with_context(|| format!("read {}", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.strip_suffix(".sql")?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}

struct Suite {
    input: PathBuf,
    output: PathBuf,
    server: Postgres,
}

impl Suite {
    /// What is wrong with a test's output, if anything is.
    fn difference(&self, name: &str, accept: bool) -> Result<Option<String>> {
        let output = self.output.join(name);
        // An older result must not be taken for this one's.
        let _ = fs::remove_dir_all(&output);
        fs::create_dir_all(&output).with_context(|| format!("make {}", output.display()))?;
        let expected = self.input.join(format!("expected/{name}.out"));
        if accept && !expected.exists() {
            fs::write(&expected, "").with_context(|| format!("write {}", expected.display()))?;
        }
        let outcome = self.pg_regress(name, &output)?;
        if outcome.status.success() {
            return Ok(None);
        }
        let result = output.join(format!("results/{name}.out"));
        if accept && result.exists() {
            fs::copy(&result, &expected).with_context(|| format!("write {}", expected.display()))?;
            return Ok(None);
        }
        let difference = fs::read_to_string(output.join("regression.diffs")).unwrap_or_default();
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&outcome.stdout),
            String::from_utf8_lossy(&outcome.stderr)
        );
        Ok(Some(if difference.is_empty() { said } else { difference }))
    }

    fn pg_regress(&self, name: &str, output: &Path) -> Result<std::process::Output> {
        let installation = self.server.installation();
        let program = PathBuf::from(installation.ask("--pgxs")?).with_file_name("../test/regress/pg_regress");
        Command::new(&program)
            .arg("--load-extension=pg_iot_kpi")
            .arg(format!("--dbname=regress_{name}"))
            .arg(format!("--bindir={}", installation.bin().display()))
            .arg(format!("--inputdir={}", self.input.display()))
            .arg(format!("--outputdir={}", output.display()))
            .arg(format!("--host={}", self.server.socket_folder().display()))
            .arg(format!("--port={}", self.server.port()))
            .arg("--user=postgres")
            .arg(name)
            .output()
            .with_context(|| format!("run {}", program.display()))
    }
}
