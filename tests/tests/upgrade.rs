//! A store that an earlier version, or an earlier PostgreSQL, made is brought up to date: nothing of it is lost, and nothing
//! tells it from a new one.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the message, outside a #[test] function too"
)]

use std::io::Write as _;

use iot_kpi_tests::answers::{self, Answers};
use iot_kpi_tests::catalog;
use iot_kpi_tests::installation::Installation;
use iot_kpi_tests::postgres::{Database, Postgres, Stop, shared};
use iot_kpi_tests::upgrade::{Fixture, Step};
use postgres::Client;

#[test]
fn the_script_is_what_the_files_of_sql_ask_for() {
    let step = Step::find().unwrap();
    let should_be = step.script().unwrap();
    let is = std::fs::read_to_string(step.file()).unwrap();
    assert!(
        is == should_be.text,
        "run `make upgrade-script`: {} is not up to date with the files of sql/, which would {:#?}",
        step.file().display(),
        should_be.changes
    );
    assert!(
        should_be.by_hand.is_empty(),
        "by hand, above the mark: {:?}",
        should_be.by_hand
    );
}

#[test]
fn an_updated_extension_is_like_a_new_one() {
    let new = shared().extension("upgrade_new");
    let should_be = catalog::extension(&mut new.client()).unwrap();
    assert!(should_be.len() > 200, "only {} objects compared", should_be.len());
    for version in versions() {
        let updated = extension_of("upgrade_updated", &version);
        let mut client = updated.client();
        client.batch_execute("ALTER EXTENSION pg_iot_kpi UPDATE").unwrap();
        let is = catalog::extension(&mut client).unwrap();
        equal(
            &catalog::differences(&is, &should_be),
            &format!("an extension updated from {version} and a new one"),
        );
    }
}

#[test]
fn an_updated_store_is_like_a_new_one() {
    for version in versions() {
        an_updated_store_of(&version);
    }
}

fn an_updated_store_of(version: &str) {
    let new = shared().store("upgrade_store_new");
    let updated = extension_of("upgrade_store_updated", version);
    let mut client = updated.client();
    create_store(&mut client);
    let old = catalog::store(&mut client).unwrap();
    client.batch_execute("ALTER EXTENSION pg_iot_kpi UPDATE").unwrap();
    let health = "SELECT status FROM iot_kpi.health() WHERE \"check\" = 'store'";
    let health: String = client.query_one(health, &[]).unwrap().get(0);
    create_store(&mut client);
    let is = catalog::store(&mut client).unwrap();
    let should_be = catalog::store(&mut new.client()).unwrap();
    equal(
        &catalog::differences(&is, &should_be),
        &format!("a store updated from {version} and a new one"),
    );
    // Whoever forgets create_store() must be told.
    let changed = catalog::differences(&old, &should_be);
    assert_eq!(
        health == "ok",
        changed.is_empty(),
        "health() says {health:?}, and create_store() changes:\n{}\nraise store_version in default_settings()",
        changed.join("\n")
    );
}

#[test]
fn a_store_of_any_version_answers_as_it_did() {
    for version in versions() {
        it_answers_as_it_did(&version);
    }
}

fn it_answers_as_it_did(version: &str) {
    let fixture = Fixture::of(version);
    let expected = fixture.answers().unwrap();
    let database = extension_of("upgrade_filled", version);
    let mut client = database.client();
    create_store(&mut client);
    fixture.load(&database).unwrap();
    // The files are installed before the database is updated: old SQL calls the new library.
    // It goes on, and says what the rules of then and the library of now make of it.
    let before = answers::ask_of(&mut client, expected.keys()).unwrap();
    assert!(before.keys().eq(expected.keys()), "{version} before the update");

    client.batch_execute("ALTER EXTENSION pg_iot_kpi UPDATE").unwrap();
    create_store(&mut client);
    same_answers(&mut client, &expected, &format!("{version} after the update"));
    let tables = answers::tables(&mut client).unwrap();
    create_store(&mut client);
    assert_eq!(
        tables,
        answers::tables(&mut client).unwrap(),
        "create_store() run again"
    );

    // Its triggers are at work, and the calculations that it left can be made anew.
    client
        .batch_execute("INSERT INTO iot.device_metrics VALUES ('CAM_001', 'heartbeat', '2026-02-28 22:01:01+00', 1)")
        .unwrap();
    let stale = "SELECT count(*) FROM iot.kpi_calculations WHERE stale AND device_id = 'CAM_001'";
    assert!(client.query_one(stale, &[]).unwrap().get::<_, i64>(0) > 0);
    let calculate =
        "SELECT iot_kpi.calculate_kpis('[2026-02-28 00:00+00, 2026-03-01 02:00+00)', as_of => '2026-03-01 04:00+00')";
    assert!(client.query_one(calculate, &[]).unwrap().get::<_, i64>(0) > 0);
    client
        .batch_execute("DELETE FROM iot.device_metrics WHERE time = '2026-02-28 22:01:01+00'")
        .unwrap();
    client.query_one(calculate, &[]).unwrap();
    same_answers(&mut client, &expected, &format!("{version} calculated anew"));
}

/// What 0.2.0 told apart by words a column tells apart, and its writers lose what they should not have had.
#[test]
fn an_old_store_is_mended() {
    let database = old_extension("upgrade_mended");
    let mut client = database.client();
    create_store(&mut client);
    for level in ["reader", "writer", "admin"] {
        let role = format!("upgrade_{level}");
        let made = format!(
            "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN CREATE ROLE {role}; END IF; END $$;
             SELECT iot_kpi.grant_{level}('{role}')"
        );
        client.batch_execute(&made).unwrap();
    }
    for sql in [
        "INSERT INTO iot.devices (device_id, expected_interval, commissioned_at)
         SELECT d, '1 hour', now() - interval '3 days' FROM unnest('{silent, back, fine}'::text[]) d",
        "SELECT iot_kpi.ingest_metrics('{back}', '{heartbeat}', ARRAY[now() - interval '50 hours'], '{1}')",
        "CALL iot_kpi.maintain()",
        "SELECT iot_kpi.ingest_metrics('{back}', '{heartbeat}', ARRAY[now()], '{1}')",
        "SELECT iot_kpi.ingest_status('{fine}', ARRAY[now() - interval '60 hours'], '{online}', '{iot_kpi: never felt better}')",
        "CALL iot_kpi.maintain()",
        "ALTER EXTENSION pg_iot_kpi UPDATE",
    ] {
        client.batch_execute(sql).unwrap();
    }
    create_store(&mut client);
    let mut ask =
        |query: &str| -> Vec<String> { client.query(query, &[]).unwrap().iter().map(|row| row.get(0)).collect() };
    assert_eq!(
        ask(
            "SELECT concat_ws(' ', device_id, status, coalesce(recorded_by, 'device'), left(reason, 24))
             FROM iot.device_status_history ORDER BY device_id, time"
        ),
        [
            "back offline upkeep iot_kpi: deadline missed",
            "back online upkeep iot_kpi: reports again",
            "fine offline upkeep iot_kpi: deadline missed",
            "fine online device iot_kpi: never felt bett",
            "silent offline upkeep iot_kpi: deadline missed",
        ]
    );
    // The device's own word counts from now on, and what was calculated by the rules of then is stale, of all.
    assert_eq!(
        ask("SELECT concat_ws(' ', device_id, last_status) FROM iot.device_liveness ORDER BY device_id"),
        ["back", "fine online", "silent"]
    );
    assert_eq!(
        ask("SELECT DISTINCT device_id FROM iot.kpi_calculations WHERE stale ORDER BY device_id"),
        ["back", "fine", "silent"]
    );

    assert_eq!(
        ask("SELECT role FROM unnest('{upgrade_reader, upgrade_writer, upgrade_admin}'::text[]) role
             WHERE has_column_privilege(role, 'iot.devices', 'metadata', 'UPDATE') OR has_any_column_privilege(role, 'iot.device_liveness', 'INSERT, UPDATE')
                OR has_any_column_privilege(role, 'iot.kpi_calculations', 'UPDATE')"),
        ["upgrade_admin"]
    );
    assert_eq!(
        ask("SELECT role FROM unnest('{upgrade_reader, upgrade_writer, upgrade_admin}'::text[]) role
             WHERE has_column_privilege(role, 'iot.devices', 'collector_id', 'UPDATE') AND has_table_privilege(role, 'iot.device_metrics', 'INSERT')"),
        ["upgrade_writer", "upgrade_admin"]
    );
    assert_eq!(
        ask("SELECT proname::text FROM pg_proc WHERE pronamespace = 'iot'::regnamespace ORDER BY proname"),
        ["make_partition_as_owner", "upkeep_as_owner"]
    );
}

#[test]
fn states_of_any_version_are_read_in_binary() {
    for version in versions() {
        its_states_are_read_in_binary(&version);
    }
}

fn its_states_are_read_in_binary(version: &str) {
    let fixture = Fixture::of(version);
    let database = shared().store("upgrade_states");
    fixture.load(&database).unwrap();
    let mut client = database.client();
    let text = "SELECT string_agg(s::text, ' ' ORDER BY device_id) FROM public.states s";
    let as_text: String = client.query_one(text, &[]).unwrap().get(0);
    client.batch_execute("TRUNCATE public.states").unwrap();
    let mut copy = client.copy_in("COPY public.states FROM STDIN (FORMAT binary)").unwrap();
    copy.write_all(&fixture.states().unwrap()).unwrap();
    assert_eq!(copy.finish().unwrap(), 3);
    let as_binary: String = client.query_one(text, &[]).unwrap().get(0);
    assert_eq!(as_text, as_binary);
    same_answers(
        &mut client,
        &fixture.answers().unwrap(),
        &format!("from binary states of {version}"),
    );
}

#[test]
fn dropping_the_extension_leaves_every_value() {
    let database = shared().store("upgrade_dropped");
    let mut client = database.client();
    client.batch_execute(answers::FILL).unwrap();
    let mut expected = answers::ask(&mut client).unwrap();
    let mut tables = answers::tables(&mut client).unwrap();
    let refused = client.batch_execute("DROP EXTENSION pg_iot_kpi").unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "2BP01", "{refused}");
    client.batch_execute("DROP EXTENSION pg_iot_kpi CASCADE").unwrap();
    // A column of the extension's type goes with it.
    expected.remove("states");
    tables.remove("states");
    let mut left = answers::tables(&mut client).unwrap();
    left.remove("states");
    assert_eq!(left, tables);

    client
        .batch_execute("CREATE EXTENSION pg_iot_kpi; DROP TABLE public.states")
        .unwrap();
    create_store(&mut client);
    same_answers(&mut client, &expected, "with the extension created anew");
}

/// To the private PostgreSQL 18: from 15 when that is under test, else from itself.
#[test]
fn pg_upgrade_takes_the_store_along() {
    let latest = Installation::private_for_tests().ok().filter(has_extension);
    let latest = latest.unwrap_or_else(|| Installation::for_tests().unwrap());
    // PostgreSQL 18 would have checksums, which a cluster of 15 has not.
    let options = |installation: &Installation| {
        if installation.major() >= 18 {
            vec!["--no-data-checksums"]
        } else {
            vec![]
        }
    };
    let found = Installation::for_tests().unwrap();
    let mut old = Postgres::stopped(found.clone(), &options(&found), &[]).unwrap();
    old.start().unwrap();
    let database = old.store("iot");
    database.client().batch_execute(answers::FILL).unwrap();
    let expected = answers::ask(&mut database.client()).unwrap();
    let tables = answers::tables(&mut database.client()).unwrap();
    forget_column_versions(&mut database.client());
    old.stop(Stop::Fast).unwrap();

    let mut new = Postgres::stopped(latest.clone(), &options(&latest), &[]).unwrap();
    let output = new
        .command("pg_upgrade")
        .args([
            "--username=postgres",
            "--no-sync",
            "--old-port=50431",
            "--new-port=50432",
        ])
        .arg("--old-bindir")
        .arg(found.bin())
        .arg("--new-bindir")
        .arg(latest.bin())
        .arg("--old-datadir")
        .arg(old.data())
        .arg("--new-datadir")
        .arg(new.data())
        .arg("--socketdir")
        .arg(new.socket_folder())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{said}\n{}\n{}",
        String::from_utf8_lossy(&output.stderr),
        logs_of_pg_upgrade(&new)
    );
    new.start().unwrap();
    let mut client = new.database("iot").client();
    same_answers(&mut client, &expected, "after pg_upgrade");
    assert_eq!(answers::tables(&mut client).unwrap(), tables);
    client
        .batch_execute("INSERT INTO iot.device_metrics VALUES ('CAM_001', 'heartbeat', '2026-02-28 22:01:01+00', 1)")
        .unwrap();
    let stale = "SELECT count(*) FROM iot.kpi_calculations WHERE stale AND device_id = 'CAM_001'";
    assert!(client.query_one(stale, &[]).unwrap().get::<_, i64>(0) > 0);
}

/// PostgreSQL 15.20 numbers columns by an option `pg_attver`, which the private 18.6 is too old to know: `pg_upgrade` goes to a
/// release that is no older than the one it comes from. Without these numbers it is as if 15 were of that age too.
fn forget_column_versions(client: &mut Client) {
    client
        .batch_execute(
            "SET allow_system_table_mods = on;
             UPDATE pg_attribute SET attoptions = NULL WHERE attoptions::text LIKE '{pg\\_attver=%}' AND cardinality(attoptions) = 1",
        )
        .unwrap();
}

/// The ends of the logs to which pg_upgrade refers.
fn logs_of_pg_upgrade(server: &Postgres) -> String {
    let mut ends = String::new();
    let runs = std::fs::read_dir(server.data().join("pg_upgrade_output.d"))
        .into_iter()
        .flatten();
    for log in runs
        .flatten()
        .flat_map(|run| std::fs::read_dir(run.path().join("log")))
        .flatten()
        .flatten()
    {
        let text = std::fs::read(log.path()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let from = text.lines().count().saturating_sub(12);
        ends.extend(text.lines().skip(from).map(|line| format!("{line}\n")));
    }
    ends
}

fn has_extension(installation: &Installation) -> bool {
    let folder = installation.ask("--sharedir").unwrap();
    std::path::Path::new(&folder)
        .join("extension/pg_iot_kpi.control")
        .exists()
}

/// All that were released, the oldest first.
fn versions() -> Vec<String> {
    let versions = Fixture::versions().unwrap();
    assert_eq!(versions.last().unwrap(), Step::find().unwrap().from());
    versions
}

/// A database with the extension as the last release had it.
fn old_extension(name: &str) -> Database<'static> {
    extension_of(name, Step::find().unwrap().from())
}

fn extension_of(name: &str, version: &str) -> Database<'static> {
    let database = shared().create_database(name).unwrap();
    Fixture::of(version)
        .create_extension(&database)
        .unwrap_or_else(|error| panic!("{error:#}"));
    database
}

fn create_store(client: &mut Client) {
    client.batch_execute("SELECT iot_kpi.create_store()").unwrap();
}

fn same_answers(client: &mut Client, expected: &Answers, when: &str) {
    let is = answers::ask_of(client, expected.keys()).unwrap();
    equal(&answers::differences(expected, &is), when);
}

fn equal(differences: &[String], what: &str) {
    let shown = differences.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
    assert!(
        differences.is_empty(),
        "{what}: {} differences\n{shown}",
        differences.len()
    );
}
