//! The collector's program, as cargo built it beside this one.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

/// The program that lies beside this one, or beside the tests' folder.
///
/// # Errors
/// When it is missing, or older than its sources: to build tests builds no program of another crate.
pub fn program() -> Result<PathBuf> {
    let this = std::env::current_exe().context("find this program")?;
    let folder = this.parent().unwrap_or(&this);
    let folder = folder.parent().filter(|_| folder.ends_with("deps")).unwrap_or(folder);
    let program = folder.join("iot-kpi-collector");
    let remedy = "`cargo build --package iot-kpi-collector` makes it";
    let Some(built) = modified(&program) else {
        bail!("{} is missing; {remedy}", program.display());
    };
    let list = program.with_extension("d");
    let list = fs::read_to_string(&list).with_context(|| format!("read {}; {remedy}", list.display()))?;
    let newer = sources(&list)
        .into_iter()
        .find(|source| modified(source).is_none_or(|changed| changed > built));
    match newer {
        Some(source) => bail!(
            "{} is older than {}; {remedy} anew",
            program.display(),
            source.display()
        ),
        None => Ok(program),
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

/// The files that a program was built from, out of cargo's list: `PROGRAM: FILE FILE`, a blank within a name behind a backslash.
fn sources(list: &str) -> Vec<PathBuf> {
    let files = list.split_once(": ").map_or("", |(_, files)| files);
    let files = files.trim_end().replace("\\ ", "\0");
    files
        .split(' ')
        .map(|file| PathBuf::from(file.replace('\0', " ")))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn a_list_of_sources() {
        let found = super::sources("/a/b c: /a/lib.rs /a/my\\ own/x.rs\n");
        assert_eq!(found, [Path::new("/a/lib.rs"), Path::new("/a/my own/x.rs")]);
    }
}
