//! Nobody makes the store's triggers stand aside, or has them act for somebody: not by a setting, an error that is caught, a trigger or a
//! function of one's own.

use iot_kpi_tests::postgres::{Database, shared};
use postgres::Client;
use postgres::error::SqlState;

use super::{ask, refused, run, session};

/// A device with yesterday calculated.
const STORE: &str = "
    INSERT INTO iot.devices (device_id, expected_interval, commissioned_at) VALUES ('d', '1 hour', now() - interval '3 days');
    SELECT iot_kpi.ingest_metrics(array_agg('d'::text), array_agg('error'::text), array_agg(t), array_agg(0::float8))
    FROM generate_series(now() - interval '60 hours', now(), '1 hour') t;
    SELECT iot_kpi.calculate_kpis(tstzrange(now() - interval '50 hours', now()))";
const STALE: &str = "SELECT count(*) FROM iot.kpi_calculations WHERE stale";
/// A status of yesterday, as the writer's own statement.
const STATUS: &str = "INSERT INTO iot.device_status_history (device_id, time, status)
                      VALUES ('d', date_trunc('day', now(), 'UTC') - interval '10 hours', 'offline')";

fn store(name: &str) -> (Database<'static>, Client) {
    let database = shared().store(name);
    run(&mut database.client(), STORE);
    let writer = session(&database, "rights_quiet", "grant_writer");
    (database, writer)
}

/// A status is written and counts: the rules were kept, and it made calculations stale.
fn triggers_are_at_work(writer: &mut Client, when: &str) {
    run(writer, "BEGIN");
    run(writer, STATUS);
    assert!(ask::<i64>(writer, STALE) > 0, "{when}: nothing is stale");
    assert_eq!(
        ask::<String>(writer, "SELECT last_status FROM iot.device_liveness"),
        "offline",
        "{when}"
    );
    run(writer, "ROLLBACK");
    for sql in [
        "INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('d', 'error', now() + interval '1 hour', 0)",
        "INSERT INTO iot.device_status_history (device_id, time, status) VALUES ('d', now() + interval '1 hour', 'online')",
    ] {
        assert_eq!(
            refused(writer, sql).0,
            SqlState::DATETIME_FIELD_OVERFLOW,
            "{when}: {sql}"
        );
    }
    assert_eq!(
        ask::<String>(writer, "SELECT current_user::text"),
        "rights_quiet",
        "{when}"
    );
    assert!(!ask::<bool>(writer, "SELECT iot_kpi.quiet()"), "{when}");
}

#[test]
fn no_setting_makes_triggers_stand_aside() {
    let (_database, mut writer) = store("rights_quiet_setting");
    for name in ["iot_store.quiet", "iot_kpi.quiet"] {
        // Names that the library has for its own settings are refused to others.
        let _ = writer.batch_execute(&format!("SET {name} = 'on'"));
    }
    triggers_are_at_work(&mut writer, "with settings");
}

#[test]
fn an_error_ends_what_it_interrupts() {
    let (database, mut writer) = store("rights_quiet_error");
    // Of the door, and of a trigger, which acts as the owner of the store.
    for wrong in [
        "PERFORM iot_kpi.ingest_status('{d, d}', ARRAY[now()], '{online}', '{x}')",
        "INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('d', 'nothing like that', now(), 0)",
        "INSERT INTO iot.device_status_history (device_id, time, status) VALUES ('d', now() + interval '1 hour', 'online')",
    ] {
        run(
            &mut writer,
            &format!("DO $$ BEGIN {wrong}; RAISE 'not refused'; EXCEPTION WHEN datetime_field_overflow OR invalid_parameter_value OR foreign_key_violation THEN
                          IF current_user <> 'rights_quiet' THEN RAISE 'acts as %', current_user; END IF; {STATUS}; END $$"),
        );
        assert!(ask::<i64>(&mut writer, STALE) > 0, "{wrong}");
        run(
            &mut database.client(),
            "DELETE FROM iot.device_status_history; UPDATE iot.kpi_calculations SET stale = false",
        );
        let plain = wrong.replace("PERFORM", "SELECT");
        run(&mut writer, "BEGIN; SAVEPOINT before");
        refused(&mut writer, &plain);
        run(&mut writer, "ROLLBACK TO before");
        run(&mut writer, STATUS);
        assert!(ask::<i64>(&mut writer, STALE) > 0, "after a savepoint: {wrong}");
        run(&mut writer, "ROLLBACK");
        refused(&mut writer, &plain);
        triggers_are_at_work(&mut writer, wrong);
    }
    // A subtransaction that ends well ends nothing around it.
    run(
        &mut database.client(),
        "CREATE FUNCTION public.catches() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN BEGIN PERFORM 1 / 0; EXCEPTION WHEN division_by_zero THEN NULL; END; RETURN NULL; END $$;
         CREATE TRIGGER a_first AFTER INSERT ON iot.device_status_history FOR EACH STATEMENT EXECUTE FUNCTION public.catches()",
    );
    let row = writer
        .query_one("SELECT stored, duplicates FROM iot_kpi.ingest_status('{d, d}', ARRAY[now(), now() - interval '1 min'], '{online, online}', '{x, x}')", &[])
        .unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (2, 0));
    run(
        &mut database.client(),
        "DELETE FROM iot.device_status_history; UPDATE iot.kpi_calculations SET stale = false",
    );
    triggers_are_at_work(&mut writer, "after a trigger that catches an error");
}

#[test]
fn what_others_write_meanwhile_is_judged_as_ever() {
    let (database, mut writer) = store("rights_quiet_others");
    let mut owner = database.client();
    // The operator's own trigger, which runs while a trigger of the store registers a device.
    run(
        &mut owner,
        "CREATE FUNCTION public.welcome() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN INSERT INTO iot.device_status_history (device_id, time, status, reason) VALUES (NEW.device_id, now(), 'degraded', 'new'); RETURN NULL; END $$;
         CREATE TRIGGER welcome AFTER INSERT ON iot.devices FOR EACH ROW EXECUTE FUNCTION public.welcome()",
    );
    run(
        &mut writer,
        "SELECT iot_kpi.ingest_metrics('{by a sample}', '{error}', ARRAY[now() - interval '1 min'], '{0}');
         SELECT iot_kpi.ingest_status('{by a status}', ARRAY[now() - interval '1 min'], '{online}', '{x}');
         INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('by the strict door', 'error', now() - interval '1 min', 0)",
    );
    assert_eq!(
        ask::<String>(
            &mut owner,
            "SELECT string_agg(device_id || ' ' || coalesce(last_status, 'nothing'), ', ' ORDER BY device_id) FROM iot.device_liveness WHERE device_id LIKE 'by%'"
        ),
        "by a sample degraded, by a status degraded, by the strict door degraded"
    );
}

#[test]
fn a_trigger_of_ones_own_gives_no_rights() {
    let (database, mut writer) = store("rights_quiet_trigger");
    run(
        &mut database.client(),
        "CREATE SCHEMA rights_quiet AUTHORIZATION rights_quiet",
    );
    for (table, function, code) in [
        (
            "pg_temp.device_metrics",
            "iot_kpi.as_owner('metrics_changed')",
            SqlState::WRONG_OBJECT_TYPE,
        ),
        (
            "rights_quiet.device_metrics",
            "iot_kpi.as_owner('metrics_changed')",
            SqlState::WRONG_OBJECT_TYPE,
        ),
        (
            "rights_quiet.device_metrics",
            "iot_kpi.metrics_changed()",
            SqlState::INSUFFICIENT_PRIVILEGE,
        ),
        (
            "pg_temp.device_metrics",
            "iot_kpi.metrics_changed()",
            SqlState::INSUFFICIENT_PRIVILEGE,
        ),
    ] {
        run(
            &mut writer,
            &format!(
                "BEGIN; CREATE TABLE {table} (LIKE iot.device_metrics INCLUDING DEFAULTS);
                 CREATE TRIGGER mine AFTER INSERT ON {table} REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION {function}"
            ),
        );
        let (is, said) = refused(
            &mut writer,
            &format!("INSERT INTO {table} VALUES ('d', 'error', now(), 0)"),
        );
        assert_eq!(is, code, "{function} on {table}: {said}");
        run(&mut writer, "ROLLBACK");
    }
    for (sql, code) in [
        ("SELECT iot_kpi.as_owner()", SqlState::E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
        (
            "CREATE TRIGGER mine AFTER INSERT ON iot.devices EXECUTE FUNCTION iot_kpi.as_owner('metrics_changed')",
            SqlState::INSUFFICIENT_PRIVILEGE,
        ),
    ] {
        assert_eq!(refused(&mut writer, sql).0, code, "{sql}");
    }
    triggers_are_at_work(&mut writer, "after all of that");
}
