//! Who may do what, as a table: two tenants, three roles each, and for every kind of statement whether it is refused or what it changes,
//! of whom. The store is the same before each: a statement runs in a transaction of its own, which is taken back.

use std::collections::{BTreeMap, BTreeSet};

use iot_kpi_tests::postgres::shared;
use postgres::{Client, Transaction};

use super::run;

/// Tenant a with two devices of its own, tenant b with one; `gate` collects for both, `a-gate` for a alone. Yesterday is calculated.
const STORE: &str = "
    INSERT INTO iot.metric_types (metric) VALUES ('a metric'), ('b metric');
    INSERT INTO iot.devices (device_id, metadata, expected_interval, commissioned_at, collector_id)
    SELECT d.id, jsonb_build_object('tenant', d.tenant), '1 hour', now() - interval '3 days', d.collector
    FROM (VALUES ('gate', 'all', NULL), ('a-gate', 'a', NULL), ('a-1', 'a', 'gate'), ('a-2', 'a', 'a-gate'), ('b-1', 'b', 'gate'),
                 ('a-silent', 'a', NULL)) AS d (id, tenant, collector);
    SELECT iot_kpi.ingest_metrics(array_agg(d.id), array_agg(d.metric), array_agg(t), array_agg(0::float8))
    FROM (VALUES ('gate', 'error'), ('a-gate', 'error'), ('a-1', 'error'), ('a-2', 'error'), ('b-1', 'error'), ('a-1', 'a metric'), ('b-1', 'b metric')) AS d (id, metric),
         generate_series(now() - interval '60 hours', now(), '1 hour') t;
    SELECT iot_kpi.ingest_metrics('{a-first, a-first}', '{error, error}', ARRAY[now() - interval '50 hours', now() - interval '40 hours'], '{0, 0}');
    SELECT iot_kpi.ingest_status(array_agg(d), array_agg(now() - interval '60 hours'), array_agg('online'::text), array_agg(NULL::text))
    FROM unnest('{a-1, b-1}'::text[]) d;
    UPDATE iot.devices SET metadata = '{\"tenant\": \"a\"}' WHERE device_id = 'a-first';
    INSERT INTO iot.maintenance_windows (device_id, period) VALUES ('b-1', tstzrange(now() - interval '9 hours', now() - interval '8 hours'));
    INSERT INTO iot.slo_targets (scope_kind, scope_value, kpi, objective) VALUES ('device', 'b-1', 'uptime', 0.9), ('all', NULL, 'uptime', 0.9)";
/// After upkeep has calculated, and recorded that `a-silent` and `a-first` are silent.
const TENANTS: &str = "
    INSERT INTO iot.devices (device_id, metadata) VALUES ('a-new', '{\"tenant\": \"a\"}');
    SELECT iot_kpi.enable_row_security();
    CREATE POLICY tenants ON iot.devices USING (metadata ->> 'tenant' IN (left(current_user, 1), 'all'))";

/// Everything in the store, by table and device.
const PICTURE: &str = "
    SELECT what || ' ' || whose, md5(string_agg(line, ';' ORDER BY line)) FROM (
        SELECT 'devices', device_id, (to_jsonb(t) - 'updated_at')::text FROM iot.devices t
        UNION ALL SELECT 'metrics', device_id, t::text FROM iot.device_metrics t
        UNION ALL SELECT 'statuses', device_id, t::text FROM iot.device_status_history t
        UNION ALL SELECT 'liveness', device_id, t::text FROM iot.device_liveness t
        UNION ALL SELECT 'stale', device_id, concat(grain, period, stale) FROM iot.kpi_calculations
        UNION ALL SELECT 'calculations', device_id, (to_jsonb(t) - 'stale')::text FROM iot.kpi_calculations t
        UNION ALL SELECT 'windows', coalesce(device_id, 'all'), t::text FROM iot.maintenance_windows t
        UNION ALL SELECT 'objectives', coalesce(scope_value, 'all'), t::text FROM iot.slo_targets t
        UNION ALL SELECT 'settings', name, t::text FROM iot.settings t
        UNION ALL SELECT 'metric types', metric, t::text FROM iot.metric_types t
        UNION ALL SELECT 'upkeep', step, t::text FROM iot.upkeep t
        UNION ALL SELECT 'partitions', inhrelid::regclass::text, '' FROM pg_inherits WHERE inhparent = 'iot.device_metrics'::regclass
    ) AS all_of_it (what, whose, line) GROUP BY what, whose";

/// A time of yesterday, for which there is no sample.
const LATE: &str = "date_trunc('day', now(), 'UTC') - interval '10 hours 1 s'";

/// What is tried, and what it does for a reader, a writer and an administrator: nothing, what it changes, or with what it is refused.
type Line = (&'static str, [&'static str; 3]);

const DENIED: &str = "42501";
const NOTHING: &str = "";
const LATE_SAMPLE: &str = "liveness a-1, metrics a-1, stale a-1";
const LATE_STATUS: &str = "liveness a-1, stale a-1, statuses a-1";

/// As tenant a.
#[rustfmt::skip]
const OF_TENANTS: &[Line] = &[
    // Samples, by both doors.
    ("INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('a-1', 'error', {LATE}, 1)", [DENIED, LATE_SAMPLE, LATE_SAMPLE]),
    ("INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('b-1', 'error', {LATE}, 1)", [DENIED, DENIED, DENIED]),
    ("INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('nobody', 'error', {LATE}, 1)", [DENIED, DENIED, DENIED]),
    ("SELECT iot_kpi.ingest_metrics('{a-1, b-1, nobody}', '{error, error, error}', ARRAY[{LATE}, {LATE}, {LATE}], '{1, 1, 1}')", [DENIED, LATE_SAMPLE, LATE_SAMPLE]),
    // A collector's beats bear upon all that it observes, seen or not.
    ("INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('gate', 'error', {LATE}, 0)",
     [DENIED, "liveness gate, metrics gate, stale a-1, stale b-1, stale gate", "liveness gate, metrics gate, stale a-1, stale b-1, stale gate"]),
    ("UPDATE iot.device_metrics SET value = 1 WHERE device_id = 'a-1' AND metric = 'error' AND time < now() - interval '3 hours'",
     [DENIED, DENIED, "metrics a-1, stale a-1"]),
    ("UPDATE iot.device_metrics SET value = 1 WHERE device_id IN ('b-1', 'nobody')", [DENIED, DENIED, NOTHING]),
    ("UPDATE iot.device_metrics SET value = 1 WHERE device_id = 'gate'", [DENIED, DENIED, DENIED]),
    ("DELETE FROM iot.device_metrics WHERE device_id = 'a-1' AND time < now() - interval '3 hours'", [DENIED, DENIED, "metrics a-1, stale a-1"]),
    ("DELETE FROM iot.device_metrics WHERE device_id = 'b-1'", [DENIED, DENIED, NOTHING]),
    // What a common collector saw is not one tenant's to forget; what an own one saw is.
    ("DELETE FROM iot.device_metrics WHERE device_id = 'gate'", [DENIED, DENIED, DENIED]),
    ("DELETE FROM iot.device_metrics WHERE device_id = 'a-gate' AND time < now() - interval '3 hours'",
     [DENIED, DENIED, "metrics a-gate, stale a-2, stale a-gate"]),
    ("TRUNCATE iot.device_metrics", [DENIED, DENIED, DENIED]),
    // The first sample, and the next.
    ("DELETE FROM iot.device_metrics WHERE device_id = 'a-first' AND time < now() - interval '45 hours'",
     [DENIED, DENIED, "devices a-first, metrics a-first, stale a-first"]),
    // Statuses.
    ("INSERT INTO iot.device_status_history (device_id, time, status) VALUES ('a-1', {LATE}, 'error')", [DENIED, LATE_STATUS, LATE_STATUS]),
    ("INSERT INTO iot.device_status_history (device_id, time, status, reason) VALUES ('a-1', {LATE}, 'error', 'iot_kpi: deadline missed, says the device')",
     [DENIED, LATE_STATUS, LATE_STATUS]),
    ("SELECT iot_kpi.ingest_status('{a-1}', ARRAY[{LATE}], '{error}', '{iot_kpi: reports again}')", [DENIED, LATE_STATUS, LATE_STATUS]),
    ("INSERT INTO iot.device_status_history (device_id, time, status) VALUES ('b-1', {LATE}, 'error')", [DENIED, DENIED, DENIED]),
    ("SELECT iot_kpi.ingest_status('{b-1}', ARRAY[{LATE}], '{error}', '{x}')", [DENIED, NOTHING, NOTHING]),
    ("UPDATE iot.device_status_history SET status = 'error'", [DENIED, DENIED, DENIED]),
    ("UPDATE iot.device_status_history SET status = 'error' WHERE recorded_by IS NULL", [DENIED, LATE_STATUS, LATE_STATUS]),
    ("DELETE FROM iot.device_status_history WHERE device_id IN ('a-1', 'b-1')", [DENIED, DENIED, LATE_STATUS]),
    // Nobody passes off as upkeep's what is not, nor hides a status so.
    ("INSERT INTO iot.device_status_history (device_id, time, status, recorded_by) VALUES ('a-1', {LATE}, 'error', 'upkeep')", [DENIED, DENIED, DENIED]),
    ("UPDATE iot.device_status_history SET recorded_by = 'upkeep' WHERE device_id = 'a-1'", [DENIED, DENIED, DENIED]),
    ("UPDATE iot.device_status_history SET reason = 'was not me' WHERE recorded_by = 'upkeep'", [DENIED, DENIED, DENIED]),
    // Devices.
    ("INSERT INTO iot.devices (device_id, metadata) VALUES ('a-3', '{\"tenant\": \"a\"}')", [DENIED, "devices a-3", "devices a-3"]),
    ("INSERT INTO iot.devices (device_id, metadata) VALUES ('b-3', '{\"tenant\": \"b\"}')", [DENIED, DENIED, DENIED]),
    ("INSERT INTO iot.devices (device_id, metadata, collector_id) VALUES ('a-3', '{\"tenant\": \"a\"}', 'gate')", [DENIED, "devices a-3", "devices a-3"]),
    // Else b could not change its own device any more.
    ("INSERT INTO iot.devices (device_id, metadata, collector_id) VALUES ('a-3', '{\"tenant\": \"a\"}', 'b-1')", [DENIED, "23503", "23503"]),
    ("UPDATE iot.devices SET collector_id = 'b-1' WHERE device_id = 'a-1'", [DENIED, "23503", "23503"]),
    ("UPDATE iot.devices SET liveness = '9 hours' WHERE device_id = 'a-1'", [DENIED, "devices a-1, stale a-1", "devices a-1, stale a-1"]),
    ("UPDATE iot.devices SET liveness = '9 hours' WHERE device_id = 'b-1'", [DENIED, NOTHING, NOTHING]),
    ("UPDATE iot.devices SET liveness = '9 hours' WHERE device_id = 'gate'", [DENIED, DENIED, DENIED]),
    ("UPDATE iot.devices SET name = 'mine' WHERE device_id = 'gate'", [DENIED, DENIED, DENIED]),
    ("UPDATE iot.devices SET liveness = '9 hours' WHERE device_id = 'a-gate'",
     [DENIED, "devices a-gate, stale a-2, stale a-gate", "devices a-gate, stale a-2, stale a-gate"]),
    ("UPDATE iot.devices SET metadata = '{\"tenant\": \"a\", \"floor\": 2}' WHERE device_id = 'a-1'", [DENIED, DENIED, "devices a-1"]),
    ("UPDATE iot.devices SET metadata = '{\"tenant\": \"b\"}' WHERE device_id = 'a-1'", [DENIED, DENIED, DENIED]),
    ("UPDATE iot.devices SET metadata = '{\"tenant\": \"a\"}' WHERE device_id = 'gate'", [DENIED, DENIED, DENIED]),
    ("UPDATE iot.devices SET decommissioned_at = now() WHERE device_id = 'a-1'", [DENIED, DENIED, "devices a-1, stale a-1"]),
    ("DELETE FROM iot.devices WHERE device_id = 'a-1'", [DENIED, DENIED, "23503"]),
    ("DELETE FROM iot.devices WHERE device_id = 'a-first'", [DENIED, DENIED, "23503"]),
    ("DELETE FROM iot.devices WHERE device_id = 'gate'", [DENIED, DENIED, "23503"]),
    ("DELETE FROM iot.devices WHERE device_id = 'b-1'", [DENIED, DENIED, NOTHING]),
    ("DELETE FROM iot.devices WHERE device_id = 'a-new'", [DENIED, DENIED, "devices a-new"]),
    ("DELETE FROM iot.devices WHERE device_id = 'a-silent'",
     [DENIED, DENIED, "calculations a-silent, devices a-silent, liveness a-silent, stale a-silent, statuses a-silent"]),
    // What triggers and upkeep keep.
    ("UPDATE iot.device_liveness SET last_beat = 'infinity', calculated_until = NULL", [DENIED, DENIED, NOTHING]),
    ("DELETE FROM iot.device_liveness", [DENIED, DENIED, NOTHING]),
    ("INSERT INTO iot.device_liveness (device_id) VALUES ('a-new')", [DENIED, DENIED, DENIED]),
    ("UPDATE iot.kpi_calculations SET stale = NOT stale", [DENIED, DENIED, NOTHING]),
    ("DELETE FROM iot.kpi_calculations", [DENIED, DENIED, NOTHING]),
    ("UPDATE iot.upkeep SET calculated_until = 'infinity'", [DENIED, DENIED, DENIED]),
    // What is everybody's.
    ("UPDATE iot.settings SET value = '1 day' WHERE name = 'retention'", [DENIED, DENIED, DENIED]),
    ("DELETE FROM iot.settings WHERE name = 'clock_skew'", [DENIED, DENIED, DENIED]),
    ("UPDATE iot.metric_types SET kind = 'counter' WHERE metric = 'error'", [DENIED, DENIED, DENIED]),
    ("UPDATE iot.metric_types SET maximum = 0.5 WHERE metric = 'error'", [DENIED, DENIED, DENIED]),
    ("UPDATE iot.metric_types SET retention = '1 day'", [DENIED, DENIED, DENIED]),
    ("UPDATE iot.metric_types SET metric = 'failure' WHERE metric = 'error'", [DENIED, DENIED, DENIED]),
    ("DELETE FROM iot.metric_types WHERE metric = 'error'", [DENIED, DENIED, "23503"]),
    ("DELETE FROM iot.metric_types WHERE metric = 'b metric'", [DENIED, DENIED, "23503"]),
    ("DELETE FROM iot.metric_types WHERE metric = 'a metric'", [DENIED, DENIED, "23503"]),
    ("UPDATE iot.metric_types SET metric = 'another' WHERE metric = 'a metric'", [DENIED, DENIED, "23503"]),
    // One that only its own devices send, or none yet: a kind says what values of all times amount to.
    ("UPDATE iot.metric_types SET kind = 'counter' WHERE metric = 'a metric'",
     [DENIED, DENIED, "liveness a-new, metric types a metric, stale a-1, stale a-2, stale a-first, stale a-gate, stale a-silent, stale b-1, stale gate"]),
    ("UPDATE iot.metric_types SET kind = 'counter' WHERE metric = 'bytes'",
     [DENIED, DENIED, "liveness a-new, metric types bytes, stale a-1, stale a-2, stale a-first, stale a-gate, stale a-silent, stale b-1, stale gate"]),
    ("INSERT INTO iot.metric_types (metric) VALUES ('another')", [DENIED, "metric types another", "metric types another"]),
    // Windows and objectives.
    ("INSERT INTO iot.maintenance_windows (device_id, period) VALUES ('a-1', tstzrange({LATE}, now()))", [DENIED, DENIED, "stale a-1, windows a-1"]),
    ("INSERT INTO iot.maintenance_windows (device_id, period) VALUES ('b-1', tstzrange({LATE}, now()))", [DENIED, DENIED, DENIED]),
    ("INSERT INTO iot.maintenance_windows (device_id, period) VALUES (NULL, tstzrange({LATE}, now()))", [DENIED, DENIED, DENIED]),
    ("UPDATE iot.maintenance_windows SET device_id = 'a-1'", [DENIED, DENIED, NOTHING]),
    ("DELETE FROM iot.maintenance_windows", [DENIED, DENIED, NOTHING]),
    ("INSERT INTO iot.slo_targets (scope_kind, scope_value, kpi, objective) VALUES ('device', 'a-1', 'uptime', 0.5)", [DENIED, DENIED, "objectives a-1"]),
    ("INSERT INTO iot.slo_targets (scope_kind, scope_value, kpi, objective) VALUES ('device', 'b-1', 'availability', 0.5)", [DENIED, DENIED, DENIED]),
    ("INSERT INTO iot.slo_targets (scope_kind, kpi, objective) VALUES ('all', 'availability', 0.5)", [DENIED, DENIED, DENIED]),
    ("UPDATE iot.slo_targets SET objective = 0.1", [DENIED, DENIED, NOTHING]),
    ("DELETE FROM iot.slo_targets", [DENIED, DENIED, NOTHING]),
    // Deputies and what else acts as the owner take nobody's word.
    ("SELECT iot.upkeep_as_owner('{\"step\": \"retention\", \"part\": \"metrics\", \"deleting\": true}')", [DENIED, DENIED, NOTHING]),
    ("SELECT iot_kpi.upkeep('{\"step\": \"calculations\", \"part\": \"missing\", \"until\": \"2100-01-01\", \"day\": \"2100-01-01\", \"from\": \"zzz\"}')",
     [DENIED, DENIED, NOTHING]),
    ("SELECT iot.make_partition_as_owner('1969-01-01')", [DENIED, "22008", "22008"]),
    ("SELECT iot_kpi.mark_stale('{b-1}', '{-infinity}', '{infinity}')", [DENIED, DENIED, NOTHING]),
    ("SELECT iot_kpi.note_statuses('{b-1, nobody}', '{2024-01-01, 2024-01-01}')", [DENIED, DENIED, DENIED]),
    ("SELECT iot_kpi.note_statuses_work('{b-1, nobody}', '{2024-01-01, 2024-01-01}')", [DENIED, DENIED, DENIED]),
    ("SELECT iot_kpi.register_devices('{b-1, nobody}', '{2024-01-01, 2024-01-01}')", [DENIED, DENIED, DENIED]),
    ("SELECT iot_kpi.commission_anew('{b-1, a-first}')", [DENIED, NOTHING, NOTHING]),
    ("SELECT iot_kpi.lock_liveness('{b-1}')", [DENIED, DENIED, NOTHING]),
    ("SELECT iot_kpi.recount_liveness('{b-1}')", [DENIED, DENIED, NOTHING]),
    ("SELECT iot_kpi.calculate_kpis(tstzrange(now() - interval '4 hours', now()))", [DENIED, DENIED, DENIED]),
    ("SELECT iot_kpi.lock_for_calculation(NULL, 'infinity')", [DENIED, DENIED, DENIED]),
    ("SELECT iot_kpi.catch_up()", [DENIED, DENIED, DENIED]),
    ("SELECT iot_kpi.delete_expired_samples(now(), '{a-1, b-1}', '{error}')", [DENIED, DENIED, DENIED]),
    ("SELECT iot_kpi.delete_expired_samples_work(now(), '{a-1, b-1}', '{error}')", [DENIED, DENIED, DENIED]),
    ("SELECT iot_kpi.create_store()", [DENIED, DENIED, DENIED]),
    ("SELECT iot_kpi.disable_row_security()", [DENIED, DENIED, DENIED]),
];

/// The same roles where nobody has a tenant.
#[rustfmt::skip]
const OF_ONE_HAND: &[Line] = &[
    ("INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('a-1', 'error', {LATE}, 1)", [DENIED, LATE_SAMPLE, LATE_SAMPLE]),
    ("INSERT INTO iot.device_metrics (device_id, metric, time, value) VALUES ('nobody', 'error', {LATE}, 1)",
     [DENIED, "devices nobody, liveness nobody, metrics nobody", "devices nobody, liveness nobody, metrics nobody"]),
    ("DELETE FROM iot.device_metrics WHERE device_id = 'gate' AND time < now() - interval '3 hours'",
     [DENIED, DENIED, "metrics gate, stale a-1, stale b-1, stale gate"]),
    ("UPDATE iot.devices SET liveness = '9 hours' WHERE device_id = 'gate'",
     [DENIED, "devices gate, stale a-1, stale b-1, stale gate", "devices gate, stale a-1, stale b-1, stale gate"]),
    ("UPDATE iot.devices SET metadata = '{}' WHERE device_id = 'b-1'", [DENIED, DENIED, "devices b-1"]),
    ("UPDATE iot.device_liveness SET calculated_until = NULL WHERE device_id = 'a-1'", [DENIED, DENIED, "liveness a-1"]),
    ("INSERT INTO iot.device_liveness (device_id) VALUES ('a-new')", [DENIED, DENIED, "liveness a-new"]),
    ("UPDATE iot.kpi_calculations SET stale = NOT stale WHERE device_id = 'a-1'", [DENIED, DENIED, "stale a-1"]),
    ("UPDATE iot.settings SET value = '1 min' WHERE name = 'clock_skew'", [DENIED, DENIED, "settings clock_skew"]),
    ("UPDATE iot.metric_types SET maximum = 2 WHERE metric = 'error'", [DENIED, DENIED, "metric types error"]),
    ("UPDATE iot.metric_types SET metric = 'failure' WHERE metric = 'error'", [DENIED, DENIED, "23503"]),
    ("INSERT INTO iot.device_status_history (device_id, time, status, recorded_by) VALUES ('a-1', {LATE}, 'error', 'upkeep')", [DENIED, DENIED, DENIED]),
    ("SELECT iot_kpi.note_statuses('{nobody}', '{2024-01-01}')", [DENIED, DENIED, "devices nobody, liveness nobody"]),
    ("SELECT iot_kpi.catch_up()", [DENIED, DENIED, DENIED]),
    ("SELECT iot_kpi.delete_expired_samples(now(), '{a-1, b-1}', '{error}')", [DENIED, DENIED, DENIED]),
];

#[test]
fn each_role_changes_what_is_its_own() {
    let database = shared().store("rights_table");
    let mut owner = database.client();
    run(&mut owner, STORE);
    run(&mut owner, "CALL iot_kpi.maintain()");
    run(&mut owner, TENANTS);
    roles(&mut owner);
    let mut wrong = tried(&mut owner, "a", OF_TENANTS);
    run(&mut owner, "SELECT iot_kpi.disable_row_security()");
    wrong.extend(tried(&mut owner, "a", OF_ONE_HAND));
    assert!(
        wrong.is_empty(),
        "{} of the table are wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// `a_reader`, `a_writer`, `a_admin`, and as many of b.
fn roles(owner: &mut Client) {
    for tenant in ["a", "b"] {
        for level in ["reader", "writer", "admin"] {
            let role = format!("{tenant}_{level}");
            run(
                owner,
                &format!(
                    "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN CREATE ROLE {role}; END IF; END $$;
                     SELECT iot_kpi.grant_{level}('{role}')"
                ),
            );
        }
    }
}

/// What did otherwise than the table says.
fn tried(owner: &mut Client, tenant: &str, lines: &[Line]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (statement, expected) in lines {
        let statement = statement.replace("{LATE}", LATE);
        for (level, expected) in ["reader", "writer", "admin"].iter().zip(expected) {
            let did = outcome(owner, &format!("{tenant}_{level}"), &statement);
            if did != *expected {
                wrong.push(format!(
                    "{tenant}_{level}: {statement}\n    expected: {expected}\n    did:      {did}"
                ));
            }
        }
    }
    wrong
}

/// Runs a statement as a role, and takes it back: what it changed, or the SQLSTATE with which it was refused.
fn outcome(owner: &mut Client, role: &str, statement: &str) -> String {
    let mut transaction = owner.transaction().unwrap();
    let before = picture(&mut transaction);
    transaction
        .batch_execute(&format!("SET LOCAL SESSION AUTHORIZATION {role}"))
        .unwrap();
    if let Err(error) = transaction.batch_execute(statement) {
        let error = error
            .as_db_error()
            .unwrap_or_else(|| panic!("{role}: {statement}: {error}"));
        return error.code().code().to_owned();
    }
    transaction.batch_execute("RESET SESSION AUTHORIZATION").unwrap();
    let after = picture(&mut transaction);
    let changed: BTreeSet<&String> = before
        .keys()
        .chain(after.keys())
        .filter(|key| before.get(*key) != after.get(*key))
        .collect();
    changed.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn picture(transaction: &mut Transaction<'_>) -> BTreeMap<String, String> {
    let rows = transaction.query(PICTURE, &[]).unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}
