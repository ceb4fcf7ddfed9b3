//! Who may do what: readers, writers, administrators; a search_path that lies, names that want quoting, and tenants that see their own
//! devices only.

#![allow(
    clippy::unwrap_used,
    reason = "in tests, helpers outside a #[test] included, a panic is the message"
)]

#[path = "rights/quiet.rs"]
mod quiet;
#[path = "rights/table.rs"]
mod table;

use iot_kpi_tests::postgres::{Database, Postgres, shared};
use postgres::Client;
use postgres::error::SqlState;

/// A role's name as nobody should choose it.
const HOSTILE: &str = "a\"; drop table iot.devices; --";
const DEVICES: &str = "ARRAY['d1', 'd2', $q$d'; drop table iot.devices; --$q$]";
const DAY: &str = "tstzrange(date_trunc('day', now(), 'UTC') - interval '24 hours', date_trunc('day', now(), 'UTC'))";
const REPORTS: [&str; 14] = [
    "iot_kpi.device_kpis(w, as_of => upper(w))",
    "iot_kpi.fleet_kpis(w, as_of => upper(w))",
    "iot_kpi.fleet_kpis(w, 'device_type', as_of => upper(w))",
    "iot_kpi.kpi_series('uptime', w, '1 hour')",
    "iot_kpi.kpi_series('uptime', w, '1 hour', 'location')",
    "iot_kpi.status_periods(w)",
    "iot_kpi.outages(w)",
    "iot_kpi.metric_series('temperature', w, 50)",
    "iot_kpi.slo_report(as_of => upper(w))",
    "iot_kpi.burn_rate_alerts(as_of => upper(w))",
    "iot_kpi.anomalies('temperature', w, 2)",
    "iot_kpi.sla_calendar(w, 0.9, group_by => 'device_type')",
    "(SELECT \"check\", status FROM iot_kpi.health())",
    "iot.kpi_calculations",
];

fn ask<T: for<'a> postgres::types::FromSql<'a>>(client: &mut Client, query: &str) -> T {
    client
        .query_one(query, &[])
        .unwrap_or_else(|error| panic!("{query}: {error:?}"))
        .get(0)
}

fn run(client: &mut Client, sql: &str) {
    client
        .batch_execute(sql)
        .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}

fn refused(client: &mut Client, sql: &str) -> (SqlState, String) {
    let error = client
        .batch_execute(sql)
        .err()
        .unwrap_or_else(|| panic!("not refused: {sql}"));
    let error = error.as_db_error().unwrap();
    (
        error.code().clone(),
        format!("{} | {}", error.message(), error.hint().unwrap_or_default()),
    )
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A store with a day of samples, some calculated, and an objective.
fn store<'a>(server: &'a Postgres, name: &str) -> Database<'a> {
    let database = server.store(name);
    run(
        &mut database.client(),
        &format!(
            "INSERT INTO iot.devices (device_id, device_type, location, commissioned_at)
             SELECT d, 'type ' || length(d) % 2, 'here', now() - interval '3 days' FROM unnest({DEVICES}) d;
             SELECT iot_kpi.ingest_metrics(array_agg(d), array_agg(m), array_agg(t), array_agg(abs(hashtext(d || t::text) % 50)::float8 / CASE m WHEN 'error' THEN 50 ELSE 1 END))
             FROM unnest({DEVICES}) d, unnest(ARRAY['temperature', 'error']) m, generate_series(now() - interval '2 days', now(), '4 min') t;
             SELECT iot_kpi.ingest_status(array_agg(d), array_agg(t), array_agg(CASE hashtext(d || t::text) % 3 WHEN 0 THEN 'offline' ELSE 'online' END), array_agg(NULL::text))
             FROM unnest({DEVICES}) d, generate_series(now() - interval '2 days', now(), '1 hour') t;
             SELECT iot_kpi.calculate_kpis(tstzrange(lower(r), upper(r) - interval '6 hours')) FROM (SELECT {DAY}) x (r);
             INSERT INTO iot.slo_targets (scope_kind, kpi, objective) VALUES ('all', 'uptime', 0.99);
             INSERT INTO iot.slo_targets (scope_kind, scope_value, kpi, objective) VALUES ('device', 'd1', 'uptime', 0.99)"
        ),
    );
    database
}

/// A session as a role, which is made anew.
fn session(database: &Database<'_>, role: &str, grant: &str) -> Client {
    let mut owner = database.client();
    let name = quoted(role);
    run(
        &mut owner,
        &format!(
            "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = $q${role}$q$) THEN CREATE ROLE {name}; END IF; END $$"
        ),
    );
    if !grant.is_empty() {
        owner.execute(&format!("SELECT iot_kpi.{grant}($1)"), &[&role]).unwrap();
    }
    let mut client = database.client();
    run(&mut client, &format!("SET SESSION AUTHORIZATION {name}"));
    client
}

/// All that the store holds.
fn picture(client: &mut Client) -> String {
    let tables = client
        .query(
            "SELECT c.oid::regclass::text FROM pg_class c WHERE c.relnamespace = 'iot'::regnamespace AND c.relkind IN ('r', 'p') ORDER BY 1",
            &[],
        )
        .unwrap();
    tables
        .iter()
        .map(|row| {
            let table: String = row.get(0);
            let rows: Option<String> = ask(
                client,
                &format!("SELECT md5(string_agg(t::text, ';' ORDER BY t::text)) FROM {table} t"),
            );
            format!("{table} {rows:?}\n")
        })
        .collect()
}

fn report(client: &mut Client, report: &str) -> String {
    ask(
        client,
        &format!(
            "SELECT count(*) || ' ' || coalesce(string_agg(r::text, ';'), '') FROM (SELECT {DAY}) x (w), {report} r"
        ),
    )
}

#[test]
fn a_reader_calls_every_report_and_changes_nothing() {
    let database = store(shared(), "rights_reader");
    let mut owner = database.client();
    let mut reader = session(&database, HOSTILE, "grant_reader");
    let before = picture(&mut owner);
    for name in REPORTS {
        assert_eq!(report(&mut reader, name), report(&mut owner, name), "{name}");
    }
    let tables: Vec<String> = owner
        .query("SELECT c.oid::regclass::text FROM pg_class c WHERE c.relnamespace = 'iot'::regnamespace AND c.relkind IN ('r', 'p') ORDER BY 1", &[])
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert!(tables.len() > 10);
    for table in tables {
        for sql in [
            "DELETE FROM {}",
            "INSERT INTO {} DEFAULT VALUES",
            "TRUNCATE {} CASCADE",
            "DROP TABLE {}",
            "ALTER TABLE {} ADD x int",
            "SELECT FROM {} FOR UPDATE",
            "CREATE TRIGGER t AFTER INSERT ON {} EXECUTE FUNCTION iot_kpi.everything_changed()",
        ] {
            let (code, _) = refused(&mut reader, &sql.replace("{}", &table));
            assert_eq!(code, SqlState::INSUFFICIENT_PRIVILEGE, "{sql} {table}");
        }
    }
    // Every function that could change something, with arguments that mean something.
    let calls: Vec<String> = owner
        .query(
            "SELECT CASE p.prokind WHEN 'p' THEN 'CALL ' ELSE 'SELECT ' END || format('%s.%I(', p.pronamespace::regnamespace, p.proname) || coalesce((
                 SELECT string_agg(CASE a.type
                     WHEN 'text'::regtype THEN '''d1''' WHEN 'text[]'::regtype THEN '''{d1}''' WHEN 'timestamptz'::regtype THEN 'now()'
                     WHEN 'timestamptz[]'::regtype THEN 'ARRAY[now()]' WHEN 'float8[]'::regtype THEN '''{1}''' WHEN 'jsonb'::regtype THEN '''{\"step\": \"partitions\"}'''
                     WHEN 'tstzrange'::regtype THEN 'tstzrange(now() - interval ''1 day'', now())' WHEN 'regclass'::regtype THEN '''iot.settings'''
                     WHEN 'integer'::regtype THEN '1' WHEN 'bigint'::regtype THEN '1' WHEN 'boolean'::regtype THEN 'true' ELSE 'NULL' END || '::' || a.type::regtype, ', ' ORDER BY a.n)
                 FROM unnest(p.proargtypes) WITH ORDINALITY a (type, n)), '') || ')'
             FROM pg_proc p WHERE p.pronamespace IN ('iot_kpi'::regnamespace, 'iot'::regnamespace) AND p.provolatile = 'v' AND p.prorettype <> 'trigger'::regtype ORDER BY 1",
            &[],
        )
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert!(calls.len() > 30, "{calls:?}");
    for call in calls {
        // Refused, or without effect.
        let _ = reader.batch_execute(&call);
    }
    assert_eq!(picture(&mut owner), before);
    // What comes later is readable too.
    run(
        &mut owner,
        "SELECT iot_kpi.make_partitions('[2024-03-10, 2024-03-11)'); INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('d1', 'temperature', '2024-03-10', 1)",
    );
    assert_eq!(
        ask::<i64>(
            &mut reader,
            "SELECT count(*) FROM iot_kpi.metric_series('temperature', '[2024-03-10, 2024-03-11)')"
        ),
        1
    );

    owner.execute("SELECT iot_kpi.revoke_reader($1)", &[&HOSTILE]).unwrap();
    for name in REPORTS {
        refused(
            &mut reader,
            &format!("SELECT count(*) FROM (SELECT {DAY}) x (w), {name} r"),
        );
    }
}

#[test]
fn a_writer_uses_both_doors_and_makes_the_partitions_it_wants() {
    let database = store(shared(), "rights_writer");
    let mut owner = database.client();
    let mut writer = session(&database, "rights_writer", "grant_writer");
    for name in REPORTS {
        report(&mut writer, name);
    }
    // Neither door needs a partition; a writer makes those that it wants before.
    let stored = "SELECT stored FROM iot_kpi.ingest_metrics('{d1, brand new}', '{error, error}', ARRAY['2024-03-10 10:00Z', '2024-03-10 10:00Z']::timestamptz[], '{0, 1}')";
    assert_eq!(ask::<i64>(&mut writer, stored), 2);
    assert_eq!(
        ask::<i32>(
            &mut writer,
            "SELECT iot_kpi.make_partitions('[2024-03-11, 2024-03-13)')"
        ),
        2
    );
    run(
        &mut writer,
        "INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('d1', 'error', '2024-03-11 10:00Z', 0);
         INSERT INTO iot.device_status_history (device_id, time, status) VALUES ('d1', '2024-03-11 10:00Z', 'online');
         SELECT iot_kpi.ingest_status('{d1, d1}', ARRAY['2024-03-11 10:00Z', '2024-03-11 11:00Z']::timestamptz[], '{degraded, online}', '{x, y}')",
    );
    assert_eq!(
        ask::<String>(
            &mut owner,
            "SELECT string_agg(DISTINCT pg_get_userbyid(relowner), ',') FROM pg_class WHERE relnamespace = 'iot'::regnamespace"
        ),
        "postgres"
    );
    // A late sample marks what was calculated of its day.
    run(
        &mut writer,
        &format!(
            "INSERT INTO iot.device_metrics (device_id, metric, time, value) SELECT 'd1', 'error', lower(r) + interval '61 s', 0 FROM (SELECT {DAY}) x (r)"
        ),
    );
    assert!(ask::<i64>(&mut owner, "SELECT count(*) FROM iot.kpi_calculations WHERE stale") >= 1);

    let late = refused(
        &mut writer,
        "SELECT iot_kpi.make_partitions(tstzrange(now() + interval '30 days', now() + interval '31 days'))",
    );
    assert!(late.1.contains("out of bounds"), "{late:?}");
    run(
        &mut owner,
        "UPDATE iot.settings SET value = '500 days' WHERE name = 'retention'",
    );
    let early = refused(
        &mut writer,
        "SELECT iot_kpi.make_partitions('[2010-03-11, 2010-03-13)')",
    );
    assert!(early.1.contains("out of bounds"), "{early:?}");
    run(
        &mut owner,
        "UPDATE iot.settings SET value = NULL WHERE name = 'retention'",
    );
    for forbidden in [
        "DELETE FROM iot.device_metrics",
        "UPDATE iot.device_metrics SET value = 0",
        "UPDATE iot.kpi_calculations SET uptime = 1",
        "DELETE FROM iot.kpi_calculations",
        "UPDATE iot.settings SET value = '1 day' WHERE name = 'retention'",
        "INSERT INTO iot.slo_targets (scope_kind, kpi, objective) VALUES ('all', 'uptime', 0.5)",
        "UPDATE iot.metric_types SET kind = 'counter'",
        "DROP TABLE iot.device_metrics",
        "CREATE TABLE iot.mine (i int)",
        "CALL iot_kpi.maintain()",
        "SELECT iot_kpi.create_store()",
        "SELECT iot_kpi.enable_row_security()",
        "SELECT iot_kpi.grant_admin('rights_writer')",
        "SELECT iot.upkeep_as_owner('{\"step\": \"partitions\"}')",
    ] {
        assert_eq!(
            refused(&mut writer, forbidden).0,
            SqlState::INSUFFICIENT_PRIVILEGE,
            "{forbidden}"
        );
    }
    // Without the right, the partition that is missing is told of.
    let mut nobody = session(&database, "rights_old_writer", "grant_writer");
    run(
        &mut owner,
        "REVOKE EXECUTE ON FUNCTION iot.make_partition_as_owner FROM rights_old_writer",
    );
    let elsewhere = "SELECT stored FROM iot_kpi.ingest_metrics('{d1}', '{error}', '{2024-05-01}', '{0}')";
    assert_eq!(ask::<i64>(&mut nobody, elsewhere), 1);
    let told = refused(
        &mut nobody,
        "SELECT iot_kpi.make_partitions('[2024-05-02, 2024-05-03)')",
    );
    assert!(
        told.1.contains("there is no partition for 2024-05-02")
            && told.1.contains("iot_kpi.grant_writer('rights_old_writer')"),
        "{told:?}"
    );
}

#[test]
fn an_admin_runs_the_store_and_does_not_own_it() {
    let database = store(shared(), "rights_admin");
    let mut admin = session(&database, "rights admin", "grant_admin");
    run(
        &mut admin,
        "UPDATE iot.settings SET value = '36 hours' WHERE name = 'retention'",
    );
    run(&mut admin, "CALL iot_kpi.maintain()");
    assert_eq!(
        ask::<i64>(&mut admin, "SELECT count(*) FROM iot_kpi.expired_partitions()"),
        0
    );
    assert_eq!(
        ask::<String>(
            &mut admin,
            "SELECT status FROM iot_kpi.health() WHERE \"check\" = 'upkeep'"
        ),
        "ok"
    );
    run(
        &mut admin,
        "SELECT iot_kpi.calculate_kpis(tstzrange(now() - interval '6 hours', now()));
         INSERT INTO iot.maintenance_windows (device_id, period) VALUES ('d1', tstzrange(now(), NULL));
         DELETE FROM iot.maintenance_windows;
         UPDATE iot.metric_types SET retention = '2 days' WHERE metric = 'humidity';
         DELETE FROM iot.device_metrics WHERE device_id = 'd2'; DELETE FROM iot.device_status_history WHERE device_id = 'd2'; DELETE FROM iot.devices WHERE device_id = 'd2'",
    );
    for forbidden in [
        "DROP TABLE iot.devices",
        "TRUNCATE iot.device_metrics",
        "ALTER TABLE iot.devices ADD x int",
        "SELECT iot_kpi.create_store()",
        "SELECT iot_kpi.grant_reader('rights admin')",
        "DROP EXTENSION pg_iot_kpi CASCADE",
    ] {
        assert_eq!(
            refused(&mut admin, forbidden).0,
            SqlState::INSUFFICIENT_PRIVILEGE,
            "{forbidden}"
        );
    }
}

#[test]
fn what_is_granted_is_taken_back_whole() {
    let database = store(shared(), "rights_revoke");
    let mut owner = database.client();
    let rights = "SELECT (SELECT coalesce(string_agg(a::text, ',' ORDER BY a::text), '') FROM pg_class c, unnest(c.relacl) a WHERE c.relnamespace = 'iot'::regnamespace AND a::text LIKE 'rights_revoked=%')
                      || (SELECT coalesce(string_agg(a::text, ',' ORDER BY a::text), '') FROM pg_attribute t, unnest(t.attacl) a WHERE a::text LIKE 'rights_revoked=%')
                      || (SELECT coalesce(string_agg(a::text, ',' ORDER BY a::text), '') FROM pg_namespace n, unnest(n.nspacl) a WHERE a::text LIKE 'rights_revoked=%')
                      || (SELECT coalesce(string_agg(a::text, ',' ORDER BY a::text), '') FROM pg_proc p, unnest(p.proacl) a WHERE a::text LIKE 'rights_revoked=%')";
    run(
        &mut owner,
        "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'rights_revoked') THEN CREATE ROLE rights_revoked; END IF; END $$",
    );
    for level in ["reader", "writer", "admin"] {
        run(
            &mut owner,
            &format!("SELECT iot_kpi.grant_{level}('rights_revoked'); SELECT iot_kpi.grant_{level}('rights_revoked')"),
        );
        assert_ne!(ask::<String>(&mut owner, rights), "", "{level}");
        run(
            &mut owner,
            &format!(
                "SELECT iot_kpi.revoke_{level}('rights_revoked'); SELECT iot_kpi.revoke_{level}('rights_revoked')"
            ),
        );
        assert_eq!(ask::<String>(&mut owner, rights), "", "{level}");
    }
}

#[test]
fn unknown_roles_are_told() {
    let mut client = shared().store("rights_unknown").client();
    for function in [
        "grant_reader",
        "grant_writer",
        "grant_admin",
        "revoke_reader",
        "revoke_writer",
        "revoke_admin",
    ] {
        for (role, message) in [
            (
                "'nobody of that name'",
                "role \"nobody of that name\" does not exist | CREATE ROLE \"nobody of that name\"",
            ),
            (
                "'x\"; DROP TABLE iot.devices; --'",
                "role \"x\"\"; DROP TABLE iot.devices; --\" does not exist",
            ),
            ("''", "role \"\" does not exist"),
            ("'public'", "role public does not exist"),
            ("repeat('r', 70)", "at most 63 bytes"),
            ("NULL", "role must not be NULL"),
        ] {
            let (_, said) = refused(&mut client, &format!("SELECT iot_kpi.{function}({role})"));
            assert!(said.contains(message), "{function}({role}): {said}");
        }
    }
    let mut client = shared().extension("rights_no_store").client();
    let (code, said) = refused(&mut client, "SELECT iot_kpi.grant_reader('postgres')");
    assert_eq!(code, SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "{said}");
}

#[test]
fn nothing_is_looked_up_by_the_callers_search_path() {
    let mut client = shared().store("rights_catalog").client();
    let lines = |client: &mut Client, query: &str| -> Vec<String> {
        client.query(query, &[]).unwrap().iter().map(|row| row.get(0)).collect()
    };
    let of_ours = "FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
         WHERE p.pronamespace IN ('iot_kpi'::regnamespace, 'iot'::regnamespace) AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (p.proconfig), false)";
    let definers = lines(
        &mut client,
        &format!("SELECT p.oid::regprocedure::text {of_ours} AND p.prosecdef"),
    );
    assert!(
        definers.is_empty(),
        "SECURITY DEFINER without a search_path: {definers:?}"
    );
    assert_eq!(
        ask::<i64>(
            &mut client,
            "SELECT count(*) FROM pg_proc WHERE pronamespace IN ('iot_kpi'::regnamespace, 'iot'::regnamespace) AND prosecdef"
        ),
        2
    );
    assert_eq!(
        ask::<i64>(
            &mut client,
            "SELECT count(*) FROM pg_proc p WHERE p.pronamespace = 'iot'::regnamespace AND has_function_privilege('public', p.oid, 'EXECUTE')"
        ),
        0
    );
    // Those that the planner must look into cannot fix it: their bodies are parsed when they are made. The rest are called by
    // functions that fix it.
    let open = lines(
        &mut client,
        &format!(
            "SELECT p.proname::text {of_ours} AND l.lanname IN ('sql', 'plpgsql') AND p.prosqlbody IS NULL ORDER BY 1"
        ),
    );
    assert_eq!(open, ["fresh_periods", "maintain", "wanted_calculations"]);
}

/// A schema in which everything is there that a careless query would pick up, and each of it tells that it was.
const EVIL: &str = "
    CREATE SCHEMA evil;
    CREATE FUNCTION evil.caught() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'evil'; END $$;
    DO $$
    DECLARE o record; f record;
    BEGIN
        FOR o IN SELECT op.oprname, op.oprleft::regtype AS l, op.oprright::regtype AS r FROM pg_operator op
                 WHERE op.oprkind = 'b' AND op.oprnamespace = 'pg_catalog'::regnamespace AND op.oprresult = 'boolean'::regtype
                   AND op.oprleft IN ('text'::regtype, 'timestamptz'::regtype, 'interval'::regtype, 'float8'::regtype, 'bigint'::regtype, 'integer'::regtype, 'anyrange'::regtype, 'name'::regtype, 'oid'::regtype, 'jsonb'::regtype)
        LOOP
            EXECUTE format('CREATE FUNCTION evil.op(%s, %s) RETURNS boolean LANGUAGE sql AS $f$ SELECT evil.caught() $f$', o.l, o.r);
            EXECUTE format('CREATE OPERATOR evil.%s (FUNCTION = evil.op, LEFTARG = %s, RIGHTARG = %s)', o.oprname, o.l, o.r);
            EXECUTE format('ALTER FUNCTION evil.op(%s, %s) RENAME TO %I', o.l, o.r, 'op' || o.oprname || o.l || o.r);
        END LOOP;
        FOR f IN SELECT p.proname, pg_get_function_identity_arguments(p.oid) AS arguments, p.prorettype::regtype AS result FROM pg_proc p
                 WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f' AND NOT p.proretset AND p.prorettype <> 'internal'::regtype
                   AND p.proname IN ('now', 'lower', 'upper', 'length', 'date_trunc', 'make_interval', 'format', 'abs', 'isempty', 'to_char', 'set_config', 'array_length', 'cardinality', 'extract', 'tstzrange', 'jsonb_build_object', 'timestamptz_pl_interval', 'left', 'starts_with', 'isfinite', 'current_setting', 'quote_ident')
                   AND pg_get_function_identity_arguments(p.oid) NOT LIKE '%any%' AND p.prorettype NOT IN ('anyelement'::regtype)
        LOOP
            EXECUTE format('CREATE FUNCTION evil.%I(%s) RETURNS %s LANGUAGE plpgsql AS $f$ BEGIN RAISE EXCEPTION ''evil''; END $f$', f.proname, f.arguments, f.result);
        END LOOP;
        FOR o IN SELECT op.oprname, op.oprleft::regtype AS l, op.oprright::regtype AS r, op.oprresult::regtype AS result FROM pg_operator op
                 WHERE op.oprkind = 'b' AND op.oprnamespace = 'pg_catalog'::regnamespace AND op.oprname IN ('+', '-', '*', '/', '||', '->>', '->')
                   AND op.oprleft IN ('text'::regtype, 'timestamptz'::regtype, 'interval'::regtype, 'float8'::regtype, 'bigint'::regtype, 'integer'::regtype, 'jsonb'::regtype)
                   AND op.oprright NOT IN ('anycompatible'::regtype, 'anynonarray'::regtype)
        LOOP
            EXECUTE format('CREATE FUNCTION evil.op(%s, %s) RETURNS %s LANGUAGE plpgsql AS $f$ BEGIN RAISE EXCEPTION ''evil''; END $f$', o.l, o.r, o.result);
            EXECUTE format('CREATE OPERATOR evil.%s (FUNCTION = evil.op, LEFTARG = %s, RIGHTARG = %s)', o.oprname, o.l, o.r);
            EXECUTE format('ALTER FUNCTION evil.op(%s, %s) RENAME TO %I', o.l, o.r, 'op' || o.oprname || o.l || o.r);
        END LOOP;
    END $$;
    CREATE FUNCTION evil.setting(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'evil'; END $$;
    CREATE FUNCTION evil.quiet() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'evil'; END $$;
    CREATE DOMAIN evil.jsonb AS pg_catalog.text CHECK (evil.caught());
    CREATE DOMAIN evil.text AS pg_catalog.varchar CHECK (evil.caught());
    CREATE TABLE evil.devices (device_id pg_catalog.text);
    CREATE TABLE evil.settings (name pg_catalog.text, value pg_catalog.text)";

#[test]
fn a_hostile_search_path_catches_nobody() {
    let database = store(shared(), "rights_search_path");
    let mut calm = database.client();
    run(&mut calm, EVIL);
    let mut misled = database.client();
    run(&mut misled, "SET search_path = evil, pg_catalog");
    assert!(
        refused(&mut misled, "SELECT pg_catalog.now() + '1 day'::pg_catalog.interval")
            .1
            .contains("evil")
    );
    assert!(
        refused(&mut misled, "SELECT 'a'::pg_catalog.text = 'a'::pg_catalog.text")
            .1
            .contains("evil")
    );
    let window: String = ask(&mut calm, &format!("SELECT ({DAY})::text"));
    let end: String = ask(&mut calm, &format!("SELECT upper({DAY})::text"));
    for name in REPORTS {
        if name.contains("health") || !name.contains('(') {
            continue;
        }
        let call = name
            .replace("upper(w)", &format!("'{end}'"))
            .replace("(w", &format!("('{window}'"))
            .replace(", w", &format!(", '{window}'"));
        let sql = format!("SELECT r::pg_catalog.text FROM {call} r");
        let rows = |client: &mut Client| -> Vec<String> {
            client
                .query(&sql, &[])
                .unwrap_or_else(|error| panic!("{sql}: {error:?}"))
                .iter()
                .map(|row| row.get(0))
                .collect()
        };
        let expected = rows(&mut calm);
        assert!(!expected.is_empty() || name.contains("anomalies"), "{name}");
        assert_eq!(rows(&mut misled), expected, "{name}");
    }
    // Two of them are refused, for what they ask and not for what they found.
    for (sql, refusal) in [
        "SELECT iot_kpi.health()",
        "SELECT iot_kpi.ingest_metrics('{d1, e}', '{error, error}', '{2024-03-10 10:00Z, 2024-03-10 11:00Z}', '{0, 1}')",
        "SELECT iot_kpi.ingest_metrics('{d1, e, f}', '{error, error, nix}', '{2024-03-10 10:00Z, 2024-03-10 11:00Z, 2024-03-10}', '{0, 1, 2}')",
        "SELECT iot_kpi.ingest_status('{d1}', '{2024-03-10 10:00Z}', '{offline}', '{x}')",
        "INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('d1', 'error', '2024-03-10 12:00Z', 0)",
        "INSERT INTO iot.device_status_history (device_id, time, status) VALUES ('d1', '2024-03-10 12:00Z', 'online')",
        "UPDATE iot.devices SET liveness = '10 min'",
        "INSERT INTO iot.maintenance_windows (device_id, period) VALUES ('d1', '[2024-03-10 12:00Z, 2024-03-10 13:00Z)')",
        "UPDATE iot.settings SET value = '800 days'",
        "UPDATE iot.metric_types SET kind = 'counter', retention = '3 days'",
        "SELECT iot_kpi.calculate_kpis('[2024-03-10, 2024-03-11)')",
        "SELECT iot_kpi.make_partitions('[2024-03-13, 2024-03-14)'), iot_kpi.drop_expired()",
        "SELECT iot_kpi.create_store()",
        "CALL iot_kpi.maintain()",
        "SELECT iot_kpi.grant_writer('postgres'), iot_kpi.revoke_admin('postgres')",
        "SELECT iot_kpi.enable_row_security()",
        "SELECT iot_kpi.disable_row_security()",
        "DELETE FROM iot.devices",
    ]
    .map(|sql| match sql {
        "UPDATE iot.settings SET value = '800 days'" => (sql, "setting "),
        "DELETE FROM iot.devices" => (sql, "still has samples"),
        _ => (sql, ""),
    }) {
        let said = match misled.batch_execute(sql) {
            Ok(()) => String::new(),
            Err(error) => error.as_db_error().unwrap().message().to_owned(),
        };
        assert!(said.is_empty() == refusal.is_empty() && said.contains(refusal), "{sql}: {said}");
    }
}

/// Two tenants, a collector that both see, and an operator who sees all.
const TENANTS: &str = "
    UPDATE iot.devices SET metadata = jsonb_build_object('tenant', CASE device_id WHEN 'd1' THEN 'tenant_a' ELSE 'tenant_b' END);
    INSERT INTO iot.devices (device_id, commissioned_at, metadata) VALUES ('collector', now() - interval '3 days', '{\"tenant\": \"all\"}');
    SELECT iot_kpi.ingest_metrics(array_agg('collector'::text), array_agg('heartbeat'::text), array_agg(t), array_agg(1::float8)) FROM generate_series(now() - interval '2 days', now(), '1 min') t WHERE extract(hour FROM t) <> 5;
    UPDATE iot.devices SET collector_id = 'collector' WHERE device_id <> 'collector';
    INSERT INTO iot.slo_targets (scope_kind, scope_value, kpi, objective) VALUES ('device', 'd2', 'uptime', 0.9);
    INSERT INTO iot.maintenance_windows (device_id, period) VALUES ('d2', tstzrange(now() - interval '30 hours', now() - interval '29 hours')), (NULL, tstzrange(now() - interval '28 hours', now() - interval '27 hours'));
    SELECT iot_kpi.enable_row_security();
    CREATE POLICY tenants ON iot.devices USING (metadata ->> 'tenant' IN (current_user, 'all'))";

#[test]
fn a_tenant_sees_its_own_devices_in_every_report() {
    let database = store(shared(), "rights_tenants");
    let mut owner = database.client();
    let mut tenant = session(&database, "tenant_a", "grant_writer");
    let reports = |owner: &mut Client, tenant: &mut Client| {
        let at: String = ask(owner, &format!("SELECT upper({DAY})::text"));
        for (name, of_tenant) in [
            ("device_kpis(w, {})", true),
            ("fleet_kpis(w, device_ids => {})", false),
            ("fleet_kpis(w, 'device_type', {})", false),
            (
                "kpi_series('uptime', w, '1 hour', device_ids => {}, time_zone => 'UTC')",
                true,
            ),
            ("kpi_series('uptime', w, '1 hour', 'location', 'UTC', {})", false),
            ("status_periods(w, {})", true),
            ("outages(w, device_ids => {})", true),
            ("metric_series('temperature', w, 50, {})", true),
            ("anomalies('temperature', w, 1, device_ids => {})", true),
            ("sla_calendar(w, 0.9, device_ids => {})", true),
            ("burn_rate_alerts({}, as_of => upper(w))", false),
            ("slo_report(NULL, {}, as_of => upper(w))", false),
        ] {
            let seen = |client: &mut Client, devices: &str, of: &str| -> String {
                let name = name
                    .replace("{}", devices)
                    .replace(
                        "(w",
                        &format!("(tstzrange('{at}'::timestamptz - interval '24 hours', '{at}')"),
                    )
                    .replace(
                        ", w",
                        &format!(", tstzrange('{at}'::timestamptz - interval '24 hours', '{at}')"),
                    )
                    .replace("upper(w)", &format!("'{at}'"));
                // A report of single devices has the collector in it, which every tenant sees; one of a fleet leaves it out.
                ask(
                    client,
                    &format!(
                        "SELECT count(*) || ' ' || coalesce(string_agg(r::text, ';' ORDER BY r::text), '') FROM iot_kpi.{name} r WHERE {of}"
                    ),
                )
            };
            // Objectives for other devices are not there at all.
            let own = "r::text NOT LIKE '%d2%'";
            let expected = seen(owner, if of_tenant { "'{d1,collector}'" } else { "'{d1}'" }, own);
            assert!(
                expected.starts_with(|n: char| n.is_ascii_digit() && n != '0') || name.contains("outages"),
                "{name}: {expected}"
            );
            assert_eq!(seen(tenant, "NULL", "true"), expected, "{name}");
            if name.starts_with("slo") || name.starts_with("burn") {
                continue; // An objective for no device that can be seen: no value, and no error.
            }
            // Somebody else's device is passed over, as one that does not exist: nothing tells them apart.
            for other in ["'{no such device}'", "'{d2}'"] {
                assert_eq!(seen(tenant, other, "true"), "0 ", "{name} of {other}");
            }
        }
    };
    run(&mut owner, TENANTS);
    reports(&mut owner, &mut tenant);
    // The same from parts.
    run(&mut owner, &format!("SELECT iot_kpi.calculate_kpis({DAY})"));
    reports(&mut owner, &mut tenant);

    for (table, column) in [
        ("devices", "device_id"),
        ("device_metrics", "device_id"),
        ("device_status_history", "device_id"),
        ("device_liveness", "device_id"),
        ("kpi_calculations", "device_id"),
        ("maintenance_windows", "device_id"),
        ("slo_targets", "scope_value"),
    ] {
        let seen: Option<String> = ask(
            &mut tenant,
            &format!(
                "SELECT string_agg(DISTINCT {column}, ',') FROM iot.{table} WHERE {column} NOT IN ('d1', 'collector')"
            ),
        );
        assert_eq!(seen, None, "{table}");
        assert!(
            ask::<i64>(&mut owner, &format!("SELECT count(*) FROM iot.{table}"))
                > ask::<i64>(&mut tenant, &format!("SELECT count(*) FROM iot.{table}")),
            "{table}"
        );
    }
    let partition: String = ask(
        &mut owner,
        "SELECT tableoid::regclass::text FROM iot.device_metrics LIMIT 1",
    );
    assert_eq!(
        refused(&mut tenant, &format!("SELECT FROM {partition}")).0,
        SqlState::INSUFFICIENT_PRIVILEGE
    );
    // Granted all the same, by who knows no better, a partition shows nothing: neither one that was there, of a day or of a year, nor
    // a later one.
    run(
        &mut owner,
        "SELECT iot_kpi.make_partitions('[2024-03-10, 2024-03-11)');
         UPDATE iot.settings SET value = '2003-01-01' WHERE name = 'earliest_time';
         INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES
             ('d1', 'error', '2024-03-10 12:00', 0), ('d1', 'error', '2024-02-10 12:00', 0), ('d1', 'error', '2003-02-10 12:00', 0);
         SELECT iot_kpi.make_partitions();
         INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('d1', 'error', '2004-02-10 12:00', 0);
         GRANT SELECT ON ALL TABLES IN SCHEMA iot TO tenant_a",
    );
    for partition in [
        &*partition,
        "iot.device_metrics_p20240310",
        "iot.device_metrics_y2024",
        "iot.device_metrics_y2003",
        "iot.device_metrics_years",
    ] {
        let count = format!("SELECT count(*) FROM {partition}");
        assert_eq!(ask::<i64>(&mut tenant, &count), 0, "{partition}");
        assert_ne!(ask::<i64>(&mut owner, &count), 0, "{partition}");
    }
    run(&mut owner, "DELETE FROM iot.device_metrics WHERE time < '2024-03-11'");
    assert_eq!(
        ask::<String>(
            &mut tenant,
            "SELECT substring(detail FROM '^\\d+ devices') FROM iot_kpi.health() WHERE \"check\" = 'samples'"
        ),
        "2 devices"
    );

    // Writing: its own, and no other's, through either door.
    let row = tenant
        .query_one("SELECT stored, refused, refusals::text FROM iot_kpi.ingest_metrics('{d1, d2, never heard of}', '{error, error, error}', ARRAY[now(), now(), now()], '{0, 0, 0}')", &[])
        .unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (1, 2));
    assert_eq!(row.get::<_, String>(2).matches("unknown device").count(), 2);
    assert_eq!(
        ask::<i64>(
            &mut tenant,
            "SELECT refused FROM iot_kpi.ingest_status('{d1, d2}', ARRAY[now(), now()], '{online, online}', '{x, x}')"
        ),
        1
    );
    run(
        &mut tenant,
        "INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('d1', 'error', now() - interval '3 s', 0)",
    );
    run(
        &mut tenant,
        "INSERT INTO iot.devices (device_id, metadata) VALUES ('a new one', '{\"tenant\": \"tenant_a\"}'); SELECT iot_kpi.ingest_metrics('{a new one}', '{error}', ARRAY[now()], '{0}')",
    );
    for forbidden in [
        "INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('d2', 'error', now(), 0)",
        "INSERT INTO iot.device_status_history (device_id, time, status) VALUES ('d2', now(), 'online')",
        "INSERT INTO iot.devices (device_id, metadata) VALUES ('b new one', '{\"tenant\": \"tenant_b\"}')",
        "UPDATE iot.devices SET metadata = '{\"tenant\": \"tenant_b\"}' WHERE device_id = 'd1'",
    ] {
        assert_eq!(
            refused(&mut tenant, forbidden).0,
            SqlState::INSUFFICIENT_PRIVILEGE,
            "{forbidden}"
        );
    }
    // What it may change of whom: see rights/table.rs.
    let named = "SELECT string_agg(device_id, ',' ORDER BY device_id) FROM iot.devices WHERE name = 'mine'";
    run(
        &mut tenant,
        "UPDATE iot.devices SET name = 'mine' WHERE device_id <> 'collector'",
    );
    assert_eq!(ask::<String>(&mut owner, named), "a new one,d1");
    assert_eq!(
        ask::<i64>(&mut owner, "SELECT count(*) FROM iot.kpi_calculations WHERE stale"),
        0
    );
    // What a tenant writes of the common collector bears upon the other's devices.
    run(
        &mut tenant,
        &format!(
            "SELECT iot_kpi.ingest_metrics('{{collector}}', '{{heartbeat}}', ARRAY[lower(r) + interval '5 hours 10 min'], '{{1}}') FROM (SELECT {DAY}) x (r)"
        ),
    );
    assert!(
        ask::<i64>(
            &mut owner,
            "SELECT count(*) FROM iot.kpi_calculations WHERE stale AND device_id = 'd2'"
        ) > 0
    );
    // An administrator among the tenants runs the upkeep for all, and cannot calculate by itself.
    let mut admin = session(&database, "tenant_a", "grant_admin");
    let told = refused(
        &mut admin,
        "SELECT iot_kpi.calculate_kpis(tstzrange(now() - interval '6 hours', now()))",
    );
    assert!(told.1.contains("CALL iot_kpi.maintain()"), "{told:?}");
    run(&mut admin, "CALL iot_kpi.maintain()");
    assert_eq!(
        ask::<i64>(&mut owner, "SELECT count(*) FROM iot.kpi_calculations WHERE stale"),
        0
    );
    assert_eq!(
        refused(
            &mut admin,
            "INSERT INTO iot.maintenance_windows (period) VALUES (tstzrange(now(), NULL))"
        )
        .0,
        SqlState::INSUFFICIENT_PRIVILEGE
    );
    run(&mut owner, "SELECT iot_kpi.enable_row_security()");

    // Switched off, no plan knows of it.
    let plan = "EXPLAIN (COSTS OFF) SELECT FROM iot.device_metrics WHERE metric = 'error' AND time > now()";
    let plan = |client: &mut Client| -> String {
        client
            .query(plan, &[])
            .unwrap()
            .iter()
            .map(|row| row.get::<_, String>(0))
            .collect()
    };
    assert!(plan(&mut tenant).contains("SubPlan") && !plan(&mut owner).contains("SubPlan"));
    run(&mut owner, "SELECT iot_kpi.disable_row_security()");
    assert_eq!(plan(&mut tenant), plan(&mut owner));
    assert_eq!(
        ask::<i64>(&mut tenant, "SELECT count(*) FROM iot.devices"),
        ask::<i64>(&mut owner, "SELECT count(*) FROM iot.devices")
    );
}
