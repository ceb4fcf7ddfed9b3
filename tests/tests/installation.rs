//! Tests have an installation of PostgreSQL of their own: what they do to it, a demo of the same checkout does not notice.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the message, outside a #[test] function too"
)]

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use iot_kpi_tests::installation::{Installation, root, target};
use iot_kpi_tests::postgres::Postgres;

#[test]
fn tests_do_not_use_what_programs_use() {
    if std::env::var_os("PG_CONFIG").is_some() {
        println!("PG_CONFIG names one for both");
        return;
    }
    let _copied = nobody_copies();
    let [programs, tests] = [Installation::find(), Installation::for_tests()].map(Result::unwrap);
    assert_ne!(programs.bin(), tests.bin());
    let files = extension_files(&tests);
    assert!(files.len() > 3, "`make install` puts the extension there: {files:?}");
    for file in files {
        // With a second link it would be one file in both.
        assert_eq!(file.metadata().unwrap().nlink(), 1, "{}", file.display());
    }
}

/// As set-up makes the tests' copy, and then without the extension.
#[test]
fn taking_the_extension_out_of_a_copy_leaves_it_in_the_other() {
    let Ok(original) = Installation::private_for_tests() else {
        println!("there is no installation in target/ that could be copied");
        return;
    };
    let _copying = nobody_copies();
    let copy = copy_of(&original);
    let server = Postgres::temporary_of(original.clone(), &[]).unwrap();
    let other = Postgres::temporary_of(copy.clone(), &[]).unwrap();
    other.extension("before");

    run(Command::new(root().join("tools/install.sh"))
        .arg("uninstall")
        .env("PG_CONFIG", copy.bin().join("pg_config")));
    assert_eq!(extension_files(&copy), Vec::<PathBuf>::new());
    let error = format!("{:#}", other.try_extension("after").unwrap_err());
    assert!(error.contains("make install"), "{error}");
    // Another session of the first server loads the library anew.
    server.store("still_there");
}

/// What was released before is there as steps from version to version; whole it is a thing of the tests.
#[test]
fn one_version_is_installed_whole() {
    let mut installed: Vec<String> = extension_files(&Installation::for_tests().unwrap())
        .iter()
        .map(|file| file.file_name().unwrap().to_str().unwrap().to_owned())
        .filter(|name| name.ends_with(".sql"))
        .collect();
    let mut should_be = vec![format!("pg_iot_kpi--{}.sql", env!("CARGO_PKG_VERSION"))];
    let steps = std::fs::read_dir(root().join("sql/upgrade")).unwrap();
    should_be.extend(
        steps
            .map(|step| step.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".sql")),
    );
    installed.sort();
    should_be.sort();
    assert_eq!(installed, should_be, "as `make install` leaves it");
}

/// A copy by links has the files twice, until it is without the extension.
fn nobody_copies() -> MutexGuard<'static, ()> {
    static COPYING: Mutex<()> = Mutex::new(());
    COPYING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn copy_of(installation: &Installation) -> Installation {
    let from = target().join("postgres-18-tests");
    let to = target().join("tests/installation");
    let _ = std::fs::remove_dir_all(&to);
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    run(Command::new("cp").arg("-al").arg(&from).arg(&to));
    let pg_config = installation.bin().join("pg_config");
    Installation::of(to.join(pg_config.strip_prefix(&from).unwrap())).unwrap()
}

fn extension_files(installation: &Installation) -> Vec<PathBuf> {
    let folders = ["--pkglibdir", "--sharedir"].map(|option| installation.ask(option).unwrap());
    let folders = [PathBuf::from(&folders[0]), Path::new(&folders[1]).join("extension")];
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
    files
        .map(|file| file.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_string_lossy().contains("pg_iot_kpi"))
        .collect()
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
