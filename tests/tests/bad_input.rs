//! Wrong input is an error that names the value and the remedy, with its SQLSTATE; it never crashes the backend.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the message, outside a #[test] function too"
)]

use std::error::Error;

use iot_kpi_tests::postgres::{Postgres, shared};
use postgres::types::{IsNull, ToSql, Type, private::BytesMut};
use postgres::{Client, Statement};

/// SQL, SQLSTATE, words of the message, words of the hint. `$h`, `$s`, `$c`, `$r` are states of one sample, `$w` is a day.
type Case = (&'static str, &'static str, &'static str, &'static str);

const PARAMETER: &str = "22023";
const TIME: &str = "22008";
const NUMBER: &str = "22003";
const TEXT: &str = "22P02";
const BINARY: &str = "22P03";
const RANGE: &str = "22000";
const CHECK: &str = "23514";

const SHORTHANDS: [(&str, &str); 5] = [
    (
        "$h",
        "iot_kpi.heartbeat_agg('2026-01-01Z'::timestamptz, interval '3 min')",
    ),
    ("$s", "iot_kpi.status_agg('2026-01-01Z'::timestamptz, 'online')"),
    ("$c", "iot_kpi.cadence_agg('2026-01-01Z'::timestamptz)"),
    ("$r", "iot_kpi.response_agg(12.5)"),
    ("$w", "tstzrange('2026-01-01Z', '2026-01-02Z')"),
];

const AGGREGATES: &[Case] = &[
    // Times.
    (
        "iot_kpi.heartbeat_agg('infinity'::timestamptz, interval '1 min')",
        TIME,
        "infinity",
        "finite timestamp",
    ),
    (
        "iot_kpi.heartbeat_agg('-infinity'::timestamptz, interval '1 min')",
        TIME,
        "-infinity",
        "finite timestamp",
    ),
    (
        "iot_kpi.status_agg('infinity'::timestamptz, 'online')",
        TIME,
        "infinity",
        "finite timestamp",
    ),
    (
        "iot_kpi.cadence_agg('-infinity'::timestamptz)",
        TIME,
        "-infinity",
        "finite timestamp",
    ),
    (
        "iot_kpi.throughput_agg('infinity'::timestamptz, 1)",
        TIME,
        "infinity",
        "finite timestamp",
    ),
    ("iot_kpi.live_at($h, 'infinity')", TIME, "infinity", "finite timestamp"),
    (
        "iot_kpi.cadence_agg('4714-01-01 BC'::timestamptz)",
        TIME,
        "4714-01-01 BC",
        "",
    ),
    // Durations.
    (
        "iot_kpi.heartbeat_agg('2026-01-01Z'::timestamptz, interval '0')",
        PARAMETER,
        "not 0 s",
        "above zero",
    ),
    (
        "iot_kpi.heartbeat_agg('2026-01-01Z'::timestamptz, interval '-1 min')",
        PARAMETER,
        "not -60 s",
        "above zero",
    ),
    (
        "iot_kpi.heartbeat_agg('2026-01-01Z'::timestamptz, interval '1 month')",
        PARAMETER,
        "exact duration",
        "'30 days'",
    ),
    (
        "iot_kpi.completeness($c, '0', $w)",
        PARAMETER,
        "expected_interval must be positive",
        "above zero",
    ),
    (
        "iot_kpi.completeness($c, '1 month', $w)",
        PARAMETER,
        "exact duration",
        "'30 days'",
    ),
    (
        "iot_kpi.availability($s, $w, status_ttl => '-1 s')",
        PARAMETER,
        "status_ttl must be positive",
        "above zero",
    ),
    (
        "iot_kpi.outages($h, $w, min_outage => '1 month')",
        PARAMETER,
        "min_outage",
        "'30 days'",
    ),
    // Windows.
    (
        "iot_kpi.uptime($h, 'empty')",
        PARAMETER,
        "window is empty",
        "two finite bounds",
    ),
    (
        "iot_kpi.uptime($h, tstzrange('2026-01-01Z', '2026-01-01Z'))",
        PARAMETER,
        "window is empty",
        "two finite bounds",
    ),
    (
        "iot_kpi.uptime($h, tstzrange('2026-01-02Z', '2026-01-01Z'))",
        RANGE,
        "lower bound",
        "",
    ),
    (
        "iot_kpi.uptime($h, tstzrange(NULL, '2026-01-01Z'))",
        PARAMETER,
        "no lower bound",
        "two finite bounds",
    ),
    (
        "iot_kpi.uptime($h, tstzrange('2026-01-01Z', NULL))",
        PARAMETER,
        "no upper bound",
        "two finite bounds",
    ),
    (
        "iot_kpi.uptime($h, tstzrange('2026-01-01Z', 'infinity'))",
        TIME,
        "infinity",
        "finite timestamp",
    ),
    (
        "iot_kpi.availability($s, 'empty')",
        PARAMETER,
        "window is empty",
        "two finite bounds",
    ),
    (
        "iot_kpi.periods($s, 'empty')",
        PARAMETER,
        "window is empty",
        "two finite bounds",
    ),
    (
        "iot_kpi.regularity($c, '1 min', 'empty')",
        PARAMETER,
        "window is empty",
        "two finite bounds",
    ),
    // Numbers.
    ("iot_kpi.response_agg('NaN'::float8)", NUMBER, "NaN", "milliseconds"),
    (
        "iot_kpi.response_agg('Infinity'::float8)",
        NUMBER,
        "inf",
        "milliseconds",
    ),
    ("iot_kpi.response_agg(-1)", NUMBER, "-1", "milliseconds"),
    ("iot_kpi.percentile($r, 1.5)", PARAMETER, "1.5", "0.95"),
    ("iot_kpi.percentile($r, 'NaN')", PARAMETER, "NaN", "0.95"),
    ("iot_kpi.percentiles($r, ARRAY[0.5, NULL])", PARAMETER, "NULL", "NULLs"),
    ("iot_kpi.apdex($r, 0)", PARAMETER, "positive", "200"),
    ("iot_kpi.apdex($r, 'NaN')", PARAMETER, "NaN", "200"),
    ("iot_kpi.apdex($r, 100, -1)", PARAMETER, "-1", "zero or more"),
    (
        "iot_kpi.throughput_agg('2026-01-01Z'::timestamptz, 'NaN')",
        NUMBER,
        "NaN",
        "counter",
    ),
    (
        "iot_kpi.throughput_agg('2026-01-01Z'::timestamptz, 1, 'gauge')",
        PARAMETER,
        "\"gauge\"",
        "'delta'",
    ),
    (
        "iot_kpi.error_rate(5, 3)",
        PARAMETER,
        "5 failed of 3",
        "failed attempts first",
    ),
    ("iot_kpi.error_rate(-1, 3)", PARAMETER, "-1", "zero or more"),
    ("iot_kpi.burn_rate(0.9, 1)", PARAMETER, "objective", "0.999"),
    ("iot_kpi.burn_rate('NaN', 0.9)", PARAMETER, "NaN", "0.999"),
    (
        "iot_kpi.error_budget(0.9, '1 month')",
        PARAMETER,
        "exact duration",
        "'30 days'",
    ),
    ("iot_kpi.nines(1.5)", PARAMETER, "1.5", "0.999"),
    // Words.
    (
        "iot_kpi.status_agg('2026-01-01Z'::timestamptz, 'asleep')",
        PARAMETER,
        "\"asleep\"",
        "online, degraded",
    ),
    (
        "iot_kpi.status_agg('2026-01-01Z'::timestamptz, repeat('x', 10000))",
        PARAMETER,
        "xxxx",
        "online, degraded",
    ),
    (
        "iot_kpi.duration_in($s, 'asleep', $w)",
        PARAMETER,
        "\"asleep\"",
        "online, degraded",
    ),
    // States.
    ("'nonsense'::iot_kpi.heartbeats", TEXT, "\"nonsense\"", "hexadecimal"),
    ("''::iot_kpi.cadence", TEXT, "\"\"", "hexadecimal"),
    ("'\\x0'::iot_kpi.status_timeline", TEXT, "\\x0", "hexadecimal"),
    (
        "'\\x00'::iot_kpi.response_sketch",
        BINARY,
        "malformed response_sketch",
        "truncated",
    ),
    (
        "$c::text::iot_kpi.heartbeats",
        BINARY,
        "malformed heartbeats",
        "another type",
    ),
    // Tolerances.
    (
        "iot_kpi.outages($h, $w, min_outage => '-1 s')",
        PARAMETER,
        "min_outage must not be negative, not -1 s",
        "zero or more",
    ),
    ("iot_kpi.ewma(1, NULL)", PARAMETER, "lambda must not be NULL", "lambda"),
];

const REPORTS: &[Case] = &[
    // Windows.
    (
        "SELECT FROM iot_kpi.device_kpis('empty')",
        PARAMETER,
        "window is empty",
        "two finite bounds",
    ),
    (
        "SELECT FROM iot_kpi.device_kpis(tstzrange(NULL, '2026-01-01Z'))",
        PARAMETER,
        "no lower bound",
        "two finite bounds",
    ),
    (
        "SELECT FROM iot_kpi.device_kpis(tstzrange('2026-01-01Z', 'infinity'))",
        TIME,
        "infinity",
        "finite timestamp",
    ),
    (
        "SELECT FROM iot_kpi.device_kpis($w, as_of => 'infinity')",
        TIME,
        "infinity",
        "finite timestamp",
    ),
    (
        "SELECT FROM iot_kpi.device_kpis(NULL)",
        PARAMETER,
        "must not be NULL",
        "value",
    ),
    (
        "SELECT FROM iot_kpi.fleet_kpis('empty')",
        PARAMETER,
        "window is empty",
        "two finite bounds",
    ),
    (
        "SELECT FROM iot_kpi.status_periods('empty')",
        PARAMETER,
        "window is empty",
        "two finite bounds",
    ),
    (
        "SELECT FROM iot_kpi.outages('empty'::tstzrange)",
        PARAMETER,
        "window is empty",
        "two finite bounds",
    ),
    (
        "SELECT FROM iot_kpi.metric_series('heartbeat', 'empty', 100)",
        PARAMETER,
        "window is empty",
        "two finite bounds",
    ),
    (
        "SELECT FROM iot_kpi.kpi_series('uptime', 'empty', '1 hour')",
        PARAMETER,
        "window is empty",
        "two finite bounds",
    ),
    // Names.
    (
        "SELECT FROM iot_kpi.kpi_series('nonsense', $w, '1 hour')",
        PARAMETER,
        "\"nonsense\"",
        "uptime",
    ),
    (
        "SELECT FROM iot_kpi.kpi_series('device_id', $w, '1 hour')",
        PARAMETER,
        "\"device_id\"",
        "uptime",
    ),
    (
        "SELECT FROM iot_kpi.kpi_series(NULL, $w, '1 hour')",
        PARAMETER,
        "NULL",
        "uptime",
    ),
    (
        "SELECT FROM iot_kpi.metric_series('nonsense', $w, 100)",
        PARAMETER,
        "\"nonsense\"",
        "iot.metric_types",
    ),
    (
        "SELECT FROM iot_kpi.kpi_series('uptime', $w, '1 day', time_zone => 'Mars/Olympus')",
        PARAMETER,
        "Mars/Olympus",
        "",
    ),
    // Numbers.
    (
        "SELECT FROM iot_kpi.kpi_series('uptime', $w, '0')",
        PARAMETER,
        "00:00:00",
        "'1 hour'",
    ),
    (
        "SELECT FROM iot_kpi.kpi_series('uptime', $w, '-1 hour')",
        PARAMETER,
        "-01:00:00",
        "'1 hour'",
    ),
    (
        "SELECT FROM iot_kpi.kpi_series('uptime', $w, NULL)",
        PARAMETER,
        "NULL",
        "'1 hour'",
    ),
    (
        "SELECT FROM iot_kpi.kpi_series('uptime', $w, '1 microsecond')",
        PARAMETER,
        "buckets",
        "longer bucket",
    ),
    (
        "SELECT FROM iot_kpi.metric_series('heartbeat', $w, 0)",
        PARAMETER,
        "not 0",
        "Four points",
    ),
    (
        "SELECT FROM iot_kpi.metric_series('heartbeat', $w, -1)",
        PARAMETER,
        "not -1",
        "Four points",
    ),
    (
        "SELECT FROM iot_kpi.metric_before('nonsense', now())",
        PARAMETER,
        "\"nonsense\"",
        "iot.metric_types",
    ),
    (
        "SELECT FROM iot_kpi.metric_before('heartbeat', NULL)",
        PARAMETER,
        "not NULL",
        "start of the window",
    ),
    (
        "SELECT FROM iot_kpi.metric_before('heartbeat', now(), look_back => '0')",
        PARAMETER,
        "not 00:00:00",
        "1 day",
    ),
    // Devices.
    (
        "SELECT FROM iot_kpi.calculate_kpis($w, '{nobody}')",
        PARAMETER,
        "device \"nobody\" is not known",
        "iot.devices",
    ),
    // Durations and time zones.
    (
        "SELECT FROM iot_kpi.kpi_series('uptime', $w, '1 h', time_zone => NULL)",
        PARAMETER,
        "time_zone must not be NULL",
        "Europe/Berlin",
    ),
    (
        "SELECT FROM iot_kpi.sla_calendar($w, 0.99, time_zone => NULL)",
        PARAMETER,
        "time_zone must not be NULL",
        "Europe/Berlin",
    ),
    (
        "SELECT FROM iot_kpi.anomalies('temperature', $w, time_zone => NULL)",
        PARAMETER,
        "time_zone must not be NULL",
        "Europe/Berlin",
    ),
    // Also where nothing has happened yet, or nothing has to be converted.
    (
        "SELECT FROM iot_kpi.kpi_series('uptime', $w, '1 h', time_zone => NULL, as_of => '2020-01-01Z')",
        PARAMETER,
        "time_zone must not be NULL",
        "Europe/Berlin",
    ),
    (
        "SELECT FROM iot_kpi.sla_calendar($w, 0.99, time_zone => 'Mars/Olympus', as_of => '2020-01-01Z')",
        PARAMETER,
        "Mars/Olympus",
        "",
    ),
    (
        "SELECT FROM iot_kpi.anomalies('temperature', $w, time_zone => 'Mars/Olympus')",
        PARAMETER,
        "Mars/Olympus",
        "",
    ),
];

const STORE: &[Case] = &[
    // Devices.
    (
        "INSERT INTO iot.devices (device_id) VALUES ('')",
        PARAMETER,
        "''",
        "1 to 255",
    ),
    (
        "INSERT INTO iot.devices (device_id) VALUES (NULL)",
        PARAMETER,
        "NULL",
        "1 to 255",
    ),
    (
        "INSERT INTO iot.devices (device_id) VALUES (repeat('x', 10000))",
        PARAMETER,
        "xxx",
        "1 to 255",
    ),
    (
        "INSERT INTO iot.devices (device_id, liveness) VALUES ('a', '1 month')",
        PARAMETER,
        "1 mon",
        "'30 days'",
    ),
    (
        "INSERT INTO iot.devices (device_id, liveness) VALUES ('a', '0')",
        PARAMETER,
        "00:00:00",
        "above zero",
    ),
    (
        "INSERT INTO iot.devices (device_id, expected_interval) VALUES ('a', '-1 s')",
        PARAMETER,
        "-00:00:01",
        "above zero",
    ),
    // The strict door: PostgreSQL's own constraints say it where they can.
    (
        "INSERT INTO iot.device_metrics VALUES ('a', 'heartbeat', now(), 'NaN')",
        CHECK,
        "finite",
        "",
    ),
    (
        "INSERT INTO iot.device_metrics VALUES ('a', 'heartbeat', now(), NULL)",
        "23502",
        "\"value\"",
        "",
    ),
    (
        "INSERT INTO iot.device_metrics VALUES ('a', 'heartbeat', 'infinity', 1)",
        TIME,
        "'a' at infinity",
        "time of the measurement",
    ),
    (
        "INSERT INTO iot.device_metrics VALUES ('a', 'heartbeat', '-infinity', 1)",
        TIME,
        "'a' at -infinity",
        "time of the measurement",
    ),
    (
        "INSERT INTO iot.device_metrics VALUES ('a', 'heartbeat', '4714-11-24 00:00:00+00 BC', 1)",
        TIME,
        "4714-11-24",
        "earliest_time",
    ),
    (
        "INSERT INTO iot.device_metrics VALUES ('a', 'heartbeat', '294276-12-31', 1)",
        TIME,
        "294276-12-31",
        "clock_skew",
    ),
    (
        "INSERT INTO iot.device_metrics SELECT 'a', 'heartbeat', to_timestamp(5), 1",
        TIME,
        "1970-01-01 00:00:05",
        "earliest_time",
    ),
    (
        "INSERT INTO iot.device_status_history (device_id, time, status) SELECT 'a', to_timestamp(5), 'online'",
        TIME,
        "1970-01-01 00:00:05",
        "earliest_time",
    ),
    (
        "INSERT INTO iot.device_metrics VALUES ('a', 'nonsense', now(), 1)",
        "23503",
        "nonsense",
        "iot.metric_types",
    ),
    (
        "INSERT INTO iot.device_metrics VALUES ('', 'heartbeat', now(), 1)",
        CHECK,
        "device_id",
        "",
    ),
    (
        "INSERT INTO iot.device_metrics VALUES (repeat('x', 10000), 'heartbeat', now(), 1)",
        CHECK,
        "device_id",
        "",
    ),
    (
        "INSERT INTO iot.device_status_history VALUES ('a', now(), 'asleep')",
        CHECK,
        "status",
        "",
    ),
    (
        "INSERT INTO iot.device_status_history VALUES ('a', '-infinity', 'online')",
        CHECK,
        "time",
        "",
    ),
    // Windows, objectives, settings.
    (
        "INSERT INTO iot.maintenance_windows (period) VALUES ('empty')",
        PARAMETER,
        "'empty'",
        "later end",
    ),
    (
        "INSERT INTO iot.maintenance_windows (period) VALUES (tstzrange(NULL, now()))",
        PARAMETER,
        "(,",
        "later end",
    ),
    (
        "INSERT INTO iot.slo_targets (scope_kind, kpi, objective) VALUES ('all', 'uptime', 1)",
        CHECK,
        "objective",
        "",
    ),
    (
        "UPDATE iot.settings SET value = 'nonsense' WHERE name = 'unknown_devices'",
        PARAMETER,
        "'nonsense'",
        "register",
    ),
    (
        "UPDATE iot.settings SET value = '1969-12-31' WHERE name = 'earliest_time'",
        PARAMETER,
        "'earliest_time' cannot be '1969-12-31'",
        "from 1970 on",
    ),
    (
        "UPDATE iot.settings SET value = '2300-01-01' WHERE name = 'earliest_time'",
        PARAMETER,
        "'earliest_time' cannot be '2300-01-01'",
        "that is over",
    ),
    (
        "UPDATE iot.settings SET value = 'nonsense' WHERE name = 'earliest_time'",
        "22007",
        "nonsense",
        "",
    ),
    // The forgiving door forgives rows, not calls.
    (
        "iot_kpi.ingest_metrics(ARRAY['a'], ARRAY['heartbeat'], ARRAY[now(), now()], ARRAY[1])",
        PARAMETER,
        "1, 1, 2, 1",
        "one element",
    ),
    (
        "iot_kpi.ingest_metrics(NULL, NULL, NULL, NULL)",
        PARAMETER,
        "NULL",
        "one element",
    ),
    ("DROP EXTENSION pg_iot_kpi", "2BP01", "depend", ""),
];

#[test]
fn reports_and_store() {
    let database = shared().store("bad_input_store");
    let mut client = database.client();
    check(&mut client, REPORTS);
    check(&mut client, STORE);
    let stored: i64 = client
        .query_one("SELECT count(*) FROM iot.devices", &[])
        .unwrap()
        .get(0);
    assert_eq!(stored, 0, "a refused statement left a device");
    assert_healthy(shared());
}

#[test]
fn the_forgiving_door_keeps_the_good_rows() {
    let database = shared().store("bad_input_door");
    let sql = "SELECT stored, refused, (SELECT array_agg((r ->> 'position')::int ORDER BY (r ->> 'position')::int)
                                        FROM jsonb_array_elements(refusals) r WHERE r ->> 'reason' <> '')
               FROM iot_kpi.ingest_metrics(
                   ARRAY['good', NULL, '', 'a', 'a', 'a', 'a', repeat('x', 10000), 'a', 'good'],
                   ARRAY['heartbeat', 'heartbeat', 'heartbeat', 'heartbeat', 'heartbeat', 'heartbeat', 'heartbeat', 'heartbeat',
                         'nonsense', 'heartbeat'],
                   ARRAY[now(), now(), now(), NULL, 'infinity', '-infinity', now(), now(), now(), now() - interval '1 min'],
                   ARRAY[1, 1, 1, 1, 1, 1, 'NaN', 1, 1, 1]::float8[])";
    let row = database.client().query_one(sql, &[]).unwrap();
    assert_eq!(row.get::<_, i64>(0), 2);
    assert_eq!(row.get::<_, i64>(1), 8);
    assert_eq!(row.get::<_, Vec<i32>>(2), [2, 3, 4, 5, 6, 7, 8, 9]);
    assert_healthy(shared());
}

#[test]
fn aggregates_and_accessors() {
    let database = shared().extension("bad_input");
    check(&mut database.client(), AGGREGATES);
    assert_healthy(shared());
}

#[test]
fn nulls_give_null() {
    let database = shared().extension("bad_input_null");
    let mut client = database.client();
    for expression in [
        "iot_kpi.last_beat(iot_kpi.heartbeat_agg(NULL, interval '1 min'))",
        "iot_kpi.jitter(iot_kpi.cadence_agg(NULL), '1 min', $w)",
        "iot_kpi.percentile(iot_kpi.response_agg(NULL), 0.5)",
        "iot_kpi.uptime(NULL, $w)",
        "iot_kpi.uptime($h, NULL)",
        "iot_kpi.percentile($r, NULL)",
        "iot_kpi.error_rate(0, 0)",
        "iot_kpi.nines(1)",
    ] {
        let sql = format!("SELECT ({}) IS NULL", expand(expression));
        let null: bool = client
            .query_one(&sql, &[])
            .unwrap_or_else(|error| panic!("{expression}: {error:?}"))
            .get(0);
        assert!(null, "{expression} is not NULL");
    }
}

/// A sample of each type, for damage, and a question to it.
const STATES: [(&str, &str, &str); 7] = [
    (
        "heartbeats",
        "iot_kpi.heartbeat_agg(t, interval '90 s')",
        "iot_kpi.live_ranges(s)",
    ),
    (
        "status_timeline",
        "iot_kpi.status_agg(t, CASE WHEN n % 7 = 0 THEN 'offline' ELSE 'online' END)",
        "iot_kpi.flapping(s) + iot_kpi.transitions(s, '[2026-01-01, 2026-01-02)', '1 s')",
    ),
    (
        "status_timeline",
        "iot_kpi.status_agg(timestamptz '2026-01-01Z' + n * interval '1 min', CASE WHEN n < 50 THEN 'offline' ELSE 'online' END)",
        "iot_kpi.availability(s, '[2026-01-01, 2026-01-02)')",
    ),
    (
        "cadence",
        "iot_kpi.cadence_agg(t)",
        "iot_kpi.consistency(s, '1 min', '[2026-01-01, 2026-01-02)')",
    ),
    (
        "response_sketch",
        "iot_kpi.response_agg(n)",
        "iot_kpi.percentile(s, 0.5)",
    ),
    ("throughput", "iot_kpi.throughput_agg(t, n)", "iot_kpi.total(s)"),
    (
        "throughput",
        "iot_kpi.throughput_agg(t, CASE WHEN n % 9 = 0 THEN n / 3.0 ELSE n * 10 END, 'counter')",
        "iot_kpi.total(s) + iot_kpi.resets(s)",
    ),
];
const SAMPLES: &str = "(SELECT '2026-01-01Z'::timestamptz + n * interval '61 s' + (n % 5) * interval '1 s' AS t, n
                        FROM generate_series(1, 100) AS n) AS samples";

/// Every truncation and every changed byte is refused, behind a checksum that is right too; or it gives a state that can be used.
#[test]
fn damaged_states() {
    let database = shared().extension("bad_input_states");
    let mut client = database.client();
    for (name, aggregate, question) in STATES {
        let sql = format!("SELECT iot_kpi.{name}_send({aggregate}) FROM {SAMPLES}");
        let state: Vec<u8> = client.query_one(&sql, &[]).unwrap().get(0);
        let receive = client
            .prepare(&format!(
                "SELECT iot_kpi.rollup(s)::text, count({question}) FROM (SELECT $1::iot_kpi.{name} AS s) AS x"
            ))
            .unwrap();
        client.query_one(&receive, &[&Raw(state.clone())]).unwrap();
        let truncated = (0..state.len()).map(|length| state[..length].to_vec());
        let changed = (0..state.len()).flat_map(|place| {
            let state = &state;
            [0x01_u8, 0x80, 0xff].map(move |bits| {
                let mut changed = state.clone();
                changed[place] ^= bits;
                changed
            })
        });
        let longer = [state.clone(), vec![0]].concat();
        let (mut behind, mut used) = (0, 0);
        for (number, damaged) in truncated.chain(changed).chain([longer]).enumerate() {
            assert!(
                refused(&mut client, &receive, &damaged).is_some(),
                "{name}, damage {number} was taken for a state"
            );
            let is_inside = damaged.len() > CHECKED_FROM && damaged[..2] == state[..2];
            if !is_inside {
                continue;
            }
            behind += 1;
            match refused(&mut client, &receive, &sealed(damaged)) {
                Some(message) => assert!(!message.contains("checksum"), "{name}, damage {number}: {message}"),
                None => used += 1,
            }
        }
        // A changed status, time or count is a state like any other; most damage is none.
        assert!(
            behind > 3 * state.len() && used > 0,
            "{name}: {behind} behind the checksum, {used} used"
        );
    }
    assert_healthy(shared());
}

/// What a receive function says of bytes; none where they are a state that answers.
fn refused(client: &mut Client, receive: &Statement, bytes: &[u8]) -> Option<String> {
    let error = client.query(receive, &[&Raw(bytes.to_vec())]).err()?;
    let error = error.as_db_error().unwrap_or_else(|| panic!("{bytes:?}: {error}"));
    assert!(
        [BINARY, TIME, NUMBER].contains(&error.code().code()),
        "{bytes:?}: {error:?}"
    );
    Some(error.message().to_owned())
}

/// Letter, version and the checksum of both and of what follows.
const CHECKED_FROM: usize = 6;

fn sealed(mut state: Vec<u8>) -> Vec<u8> {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&state[..2]);
    crc.update(&state[CHECKED_FROM..]);
    state[2..CHECKED_FROM].copy_from_slice(&crc.finalize().to_le_bytes());
    state
}

/// Bytes for the receive function of any type.
#[derive(Debug)]
struct Raw(Vec<u8>);

impl ToSql for Raw {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(&self.0);
        Ok(IsNull::No)
    }
    fn accepts(_: &Type) -> bool {
        true
    }
    postgres::types::to_sql_checked!();
}

fn expand(sql: &str) -> String {
    SHORTHANDS
        .iter()
        .fold(sql.to_owned(), |sql, (short, long)| sql.replace(short, long))
}

fn check(client: &mut Client, cases: &[Case]) {
    let wrong: Vec<String> = cases.iter().filter_map(|case| wrong(client, case)).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// What is wrong with an error, if anything is.
fn wrong(client: &mut Client, (sql, code, message, hint): &Case) -> Option<String> {
    let statement = if sql.contains(' ') && sql.starts_with(|c: char| c.is_uppercase()) {
        expand(sql)
    } else {
        format!("SELECT {}", expand(sql))
    };
    let Err(error) = client.batch_execute(&statement) else {
        return Some(format!("{sql}: no error"));
    };
    let Some(error) = error.as_db_error() else {
        return Some(format!("{sql}: {error}"));
    };
    let right = error.code().code() == *code
        && error.message().contains(message)
        && error.hint().unwrap_or_default().contains(hint);
    (!right).then(|| {
        format!(
            "{sql}: {} {:?} {:?}",
            error.code().code(),
            error.message(),
            error.hint().unwrap_or_default()
        )
    })
}

fn assert_healthy(server: &Postgres) {
    let log = server.log();
    for word in [
        "terminated by signal",
        "PANIC",
        "panicked",
        "was terminated",
        "internal error",
    ] {
        let line = log.lines().find(|line| line.contains(word));
        assert!(line.is_none(), "the server's log says: {line:?}");
    }
}
