//! What a release promises: versions agree, everything in the database explains itself, released upgrade scripts stay as they are.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the message, outside a #[test] function too"
)]

use std::collections::BTreeMap;
use std::fs;

use iot_kpi_tests::installation::root;
use iot_kpi_tests::postgres::shared;
use iot_kpi_tests::upgrade::{Fixture, RELEASED};

const VERSION: &str = env!("CARGO_PKG_VERSION");

#[test]
fn versions_agree() {
    let database = shared().extension("release_versions");
    let sql = "SELECT extversion FROM pg_extension WHERE extname = 'pg_iot_kpi'";
    let installed: String = database.client().query_one(sql, &[]).unwrap().get(0);
    assert_eq!(installed, VERSION, "run `make install`");
    let changelog = fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    let newest = changelog.lines().find(|line| line.starts_with("## ")).unwrap();
    assert!(
        newest.starts_with(&format!("## {VERSION} ")),
        "CHANGELOG.md begins with {newest:?}, the version is {VERSION}"
    );
}

#[test]
fn every_object_has_a_comment() {
    let database = shared().extension("release_comments");
    let sql = "SELECT pg_describe_object(classid, objid, objsubid)
               FROM pg_depend
               WHERE deptype = 'e' AND refclassid = 'pg_extension'::regclass
                 AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_iot_kpi')
                 AND NOT (classid = 'pg_type'::regclass AND objid IN (SELECT typarray FROM pg_type))
                 AND coalesce(obj_description(objid, classid::regclass::name), '') = ''
               ORDER BY 1";
    let without: Vec<String> = database
        .client()
        .query(sql, &[])
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert!(without.is_empty(), "without a COMMENT:\n{}", without.join("\n"));
}

#[test]
fn released_scripts_are_frozen() {
    let list = fs::read_to_string(root().join(RELEASED)).unwrap();
    let released: BTreeMap<&str, &str> = list
        .lines()
        .filter_map(|line| line.split_once("  "))
        .map(|(sum, name)| (name, sum))
        .collect();
    let mut client = shared().create_database("release_scripts").unwrap().client();
    for (name, sum) in &released {
        let script = fs::read(root().join(name)).unwrap_or_else(|error| panic!("{name} was released: {error}"));
        let actual: String = client
            .query_one("SELECT encode(sha256($1), 'hex')", &[&script])
            .unwrap()
            .get(0);
        assert_eq!(
            actual, *sum,
            "{name} was released: write another script, from that version to the next"
        );
    }
    let steps = fs::read_dir(root().join("sql/upgrade")).unwrap();
    let steps = steps.map(|entry| format!("sql/upgrade/{}", entry.unwrap().file_name().to_str().unwrap()));
    let versions = Fixture::versions().unwrap();
    let whole = versions
        .iter()
        .map(|version| format!("tests/fixtures/{version}/pg_iot_kpi--{version}.sql"));
    for name in steps.chain(whole) {
        let in_work = name.ends_with(&format!("--{VERSION}.sql"));
        assert!(
            name == RELEASED || in_work || released.contains_key(name.as_str()),
            "{name} is of an older version than {VERSION} and is not in {RELEASED}"
        );
    }
}
