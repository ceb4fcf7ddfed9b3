//! SQL that a person wrote, as a table and as time series.

use super::host::{Host, Source};
use super::queries::{notices, with_store};
use super::store;
use serde_json::{Value, json};

#[test]
fn sql_answers_in_the_shape_that_was_asked_for() {
    with_store("plugin_sql", |host, source| {
        sql_tables(host, source);
        sql_series(host, source);
    });
}

fn sql(text: &str, format: &str) -> Value {
    json!({"queryType": "sql", "rawSql": text, "format": format})
}

fn sql_tables(host: &Host, source: &Source) {
    let every_type = "SELECT true b, 1::int2 i2, 2::int4 i4, 3::int8 i8, 1.5::float4 f4, 2.5::float8 f8, 12.25::numeric n, \
        'x'::text t, 'y'::varchar v, '{\"a\": 1}'::jsonb j, '{}'::json js, date '2026-01-01' d, timestamptz '2026-01-01Z' tz, \
        interval '1 day 2 s' iv, 'a1b2c3d4-0000-0000-0000-000000000001'::uuid u, NULL::float8 e, 'c'::\"char\"::text c";
    let frame = host.ask(source, &sql(every_type, "table")).frame();
    assert_eq!(frame.rows, 1);
    assert_eq!(frame.field("n").floats(), [Some(12.25)]);
    assert_eq!(frame.field("iv").floats(), [Some(86_402.0)]);
    assert_eq!(frame.field("j").texts()[0].as_deref(), Some("{\"a\": 1}"));
    assert_eq!(
        frame.field("u").texts()[0].as_deref(),
        Some("a1b2c3d4-0000-0000-0000-000000000001")
    );
    assert_eq!(frame.field("d").times(), [store::FROM]);
    assert_eq!(frame.field("e").floats(), [None]);

    for (text, word) in [
        ("SELECT", "no columns"),
        ("", "empty"),
        ("SELECT '{1}'::int[] AS many", "many::text"),
        ("SELECT timestamptz 'infinity' AS late", "infinity"),
        ("SELECT timestamptz '3000-01-01Z' AS late", "3000-01-01"),
        ("SELECT nonsense", "nonsense"),
        ("SELECT 1; SELECT 2", "multiple commands"),
        ("DELETE FROM iot.devices RETURNING device_id", "read-only"),
        ("CREATE TABLE iot.mine ()", "no columns"),
        ("COPY (SELECT 1) TO PROGRAM 'true'", "no columns"),
        ("SET TRANSACTION READ WRITE", "no columns"),
        (
            "SELECT set_config('transaction_read_only', 'off', false)",
            "read-write mode",
        ),
        ("SELECT $__nonsense(time)", "nonsense"),
    ] {
        let answer = host.ask(source, &sql(text, "table"));
        assert!(answer.error.contains(word), "{text}: {}", answer.error);
    }
    // What one person sets, another does not find.
    host.ask(
        source,
        &sql("SELECT set_config('statement_timeout', '1', false)", "table"),
    )
    .frame();
    host.ask(source, &sql("SELECT pg_advisory_lock(1)::text", "table"))
        .well();
    let mut other = store::server().database(&source.uid).client();
    let free: bool = other.query_one("SELECT pg_try_advisory_lock(1)", &[]).unwrap().get(0);
    assert!(free, "a lock outlives the question");
    for _ in 0..6 {
        let frame = host
            .ask(source, &sql("SELECT current_setting('statement_timeout') s", "table"))
            .frame();
        assert_eq!(frame.field("s").texts()[0].as_deref(), Some("1min"));
    }
    let forbidden = host.ask(
        &source.clone().with("allowSql", json!(false)),
        &sql("SELECT 1", "table"),
    );
    assert_eq!(forbidden.status, 403);
    let limited = source.clone().with("rowLimit", json!(10));
    let frame = host
        .ask(&limited, &sql("SELECT generate_series(1, 1000000) AS n", "table"))
        .frame();
    assert_eq!(frame.rows, 10);
    assert!(notices(&frame).contains("first 10 rows"), "{}", notices(&frame));
}

fn sql_series(host: &Host, source: &Source) {
    let text = "SELECT $__timeGroupAlias(time, 1h), device_id, avg(value) AS value FROM iot.device_metrics \
                WHERE $__timeFilter(time) AND metric = 'temperature' GROUP BY 1, 2 ORDER BY 1";
    let frame = host.ask(source, &sql(text, "time_series")).frame();
    assert_eq!(frame.meta["type"], "timeseries-wide");
    let titles: Vec<&str> = frame.fields.iter().map(|field| field.title()).collect();
    assert_eq!(titles, ["time", "CAM_001", "TEMP_001", "TEMP_002"]);
    assert_eq!(frame.fields[1].labels, json!({"device_id": "CAM_001"}));
    assert_eq!(frame.rows, 6);
    let text = "SELECT $__timeGroupAlias(t, 30m, 0), count(*) AS n FROM (VALUES (timestamptz '2026-01-01 01:10Z')) AS v (t) GROUP BY 1";
    let frame = host.ask(source, &sql(text, "time_series")).frame();
    assert_eq!(frame.rows, 12);
    assert_eq!(frame.field("n").floats().iter().flatten().sum::<f64>(), 1.0);
    let frame = host
        .ask(source, &sql(&text.replace(", 0)", ", previous)"), "time_series"))
        .frame();
    let filled = [vec![None; 2], vec![Some(1.0); 10]].concat();
    assert_eq!(frame.field("n").floats(), filled);
    let many = host.ask(source, &sql(&text.replace("30m", "1ms"), "time_series"));
    assert!(many.error.contains("choose a longer interval"), "{}", many.error);
    let no_instant = host.ask(source, &sql("SELECT NULL::timestamptz AS time, 1 AS n", "time_series"));
    assert!(no_instant.error.contains("has NULL in it"), "{}", no_instant.error);
    let no_time = host.ask(source, &sql("SELECT 1 AS n", "time_series"));
    assert!(no_time.error.contains("timestamp column"), "{}", no_time.error);
}
