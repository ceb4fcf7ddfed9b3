//! Many panels, long answers, cancelled ones, a database that goes away, settings that change.

use super::frames::Answer;
use super::host::{Host, Source, eventually, panel, runs};
use super::store;
use iot_kpi_tests::postgres::{Postgres, Stop};
use serde_json::json;
use std::time::Duration;

fn connections(name: &str) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND application_name = 'iot-kpi-grafana'";
    store::server()
        .database("postgres")
        .client()
        .query_one(sql, &[&name])
        .unwrap()
        .get(0)
}

#[test]
fn fifty_panels_at_once_share_a_bounded_pool() {
    store::make("plugin_many");
    let host = Host::start();
    let source = Source::of(store::server(), "plugin_many");
    let queries = (0..50).map(|n| {
        let query = json!({"queryType": "sql", "rawSql": format!("SELECT {n} AS n, pg_sleep(0.02)::text")});
        panel(&format!("P{n}"), &query)
    });
    let mut most = 0;
    std::thread::scope(|scope| {
        let call = scope.spawn(|| host.query_data(&source, queries.collect()).unwrap());
        while !call.is_finished() {
            most = most.max(connections("plugin_many"));
        }
        let response = call.join().unwrap();
        for n in 0..50 {
            let frame = Answer::of(response.responses[&format!("P{n}")].clone()).frame();
            assert_eq!(frame.rows, 1);
        }
    });
    assert!((2..=5).contains(&most), "{most} connections");
}

#[test]
fn a_million_rows_arrive_whole() {
    store::make("plugin_long");
    let host = Host::start();
    let source = Source::of(store::server(), "plugin_long");
    let sql = "SELECT timestamptz '2026-01-01Z' + n * interval '1 ms' AS time, n::float8 AS value FROM generate_series(1, 1000000) AS n";
    let frame = host
        .ask(
            &source,
            &json!({"queryType": "sql", "rawSql": sql, "format": "time_series"}),
        )
        .frame();
    assert_eq!(frame.rows, 1_000_000);
    assert_eq!(frame.field("value").floats()[999_999], Some(1e6));
    assert_eq!(frame.field("time").times()[0], store::FROM + 1);
}

#[test]
fn a_request_of_16_mib_is_read_and_a_larger_one_refused() {
    store::make("plugin_large");
    let host = Host::start();
    let source = Source::of(store::server(), "plugin_large");
    let sized = |bytes: usize| json!({"queryType": "device_kpis", "comment": "x".repeat(bytes)});
    // The rest of the message is less than a kilobyte.
    let most = 16 * 1024 * 1024 - 1_024;
    assert_eq!(host.ask(&source, &sized(most)).frame().rows, 4);
    let refused = host.query_data(&source, vec![panel("A", &sized(most + 1_024))]);
    assert_eq!(refused.unwrap_err().code(), tonic::Code::OutOfRange);
    assert_eq!(host.ask(&source, &sized(0)).frame().rows, 4);
}

#[test]
fn a_cancelled_panel_cancels_its_statement() {
    let database = store::make("plugin_cancel");
    let host = Host::start();
    let source = Source::of(store::server(), "plugin_cancel").with("poolSize", json!(1));
    for query in [
        json!({"queryType": "sql", "rawSql": "SELECT pg_sleep(600)::text AS cancel_me"}),
        json!({"queryType": "sql", "rawSql": "SELECT n AS cancel_me FROM generate_series(1, 1000000000000) AS n"}),
    ] {
        let (mut client, request) = (host.data(), source.request(vec![panel("A", &query)]));
        let call = host.runtime.spawn(async move { client.query_data(request).await });
        eventually("it runs", || runs(&database, "AS cancel_me"));
        call.abort();
        eventually("it ended", || !runs(&database, "AS cancel_me"));
        // The pool's only connection is good for the next one.
        assert_eq!(host.ask(&source, &json!({"queryType": "device_kpis"})).frame().rows, 4);
    }
}

#[test]
fn a_statement_that_takes_too_long_says_what_to_do() {
    store::make("plugin_slow");
    let host = Host::start();
    let source = Source::of(store::server(), "plugin_slow").with("statementTimeout", json!(1));
    let answer = host.ask(
        &source,
        &json!({"queryType": "sql", "rawSql": "SELECT pg_sleep(60)::text"}),
    );
    assert_eq!(answer.status, 504);
    assert!(answer.error.contains("narrow the time range"), "{}", answer.error);
    assert_eq!(host.ask(&source, &json!({"queryType": "device_kpis"})).frame().rows, 4);
}

#[test]
fn a_killed_database_is_found_again() {
    let mut server = Postgres::temporary(&[]).unwrap();
    // A server for tests forgets in a crash what it has not written.
    let store = server.try_store("plugin_killed").unwrap();
    store.client().batch_execute("CHECKPOINT").unwrap();
    let host = Host::start();
    let source = Source::of(&server, "plugin_killed");
    let query = json!({"queryType": "device_kpis"});
    assert_eq!(host.ask(&source, &query).frame().rows, 0);
    let port = server.port();
    server.stop(Stop::Immediate).unwrap();
    let answer = host.ask(&source, &query);
    assert_eq!(answer.status, 502, "{}", answer.error);
    server.start().unwrap();
    assert_eq!(server.port(), port, "the data source's settings still fit");
    eventually("it answers again", || host.ask(&source, &query).error.is_empty());
    // Sessions ended by an administrator are not even noticed.
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'iot-kpi-grafana'";
    server.database("plugin_killed").client().execute(end, &[]).unwrap();
    assert_eq!(host.ask(&source, &query).frame().rows, 0);
}

#[test]
fn changed_settings_close_the_old_connections() {
    store::make("plugin_changed");
    let host = Host::start();
    let source = Source::of(store::server(), "plugin_changed");
    host.ask(&source, &json!({"queryType": "device_kpis"})).frame();
    let mut changed = source.clone();
    changed.updated = 2;
    changed.json["statementTimeout"] = json!(7);
    let timeout = json!({"queryType": "sql", "rawSql": "SELECT current_setting('statement_timeout') AS s"});
    let frame = host.ask(&changed, &timeout).frame();
    assert_eq!(frame.field("s").texts()[0].as_deref(), Some("7s"));
    eventually("the old one is gone", || connections("plugin_changed") == 1);
    // A request that was on its way with the older settings is answered by the newer ones.
    let frame = host.ask(&source, &timeout).frame();
    assert_eq!(frame.field("s").texts()[0].as_deref(), Some("7s"));
}

#[test]
fn who_waits_for_a_connection_by_older_settings_gets_one_by_the_newer() {
    let database = store::make("plugin_waiting");
    let host = Host::start();
    let source = Source::of(store::server(), "plugin_waiting").with("poolSize", json!(1));
    let ask = |sql: &str| {
        let query = json!({"queryType": "sql", "rawSql": sql});
        let (mut client, request) = (host.data(), source.request(vec![panel("A", &query)]));
        host.runtime.spawn(async move { client.query_data(request).await })
    };
    let busy = ask("SELECT pg_sleep(600)::text AS busy_meanwhile");
    eventually("it runs", || runs(&database, "AS busy_meanwhile"));
    let waiting = ask("SELECT current_setting('statement_timeout') AS s");
    eventually("another one waits", || {
        host.metrics().contains("state=\"awaited\"} 1\n")
    });
    let mut changed = source.clone();
    changed.updated = 2;
    changed.json["statementTimeout"] = json!(7);
    host.ask(&changed, &json!({"queryType": "device_kpis"})).frame();
    let answered = host
        .runtime
        .block_on(async { tokio::time::timeout(Duration::from_secs(20), waiting).await });
    let response = answered.expect("it waits no longer").unwrap().unwrap().into_inner();
    let frame = Answer::of(response.responses["A"].clone()).frame();
    assert_eq!(frame.field("s").texts()[0].as_deref(), Some("7s"));
    // What ran already is left in peace.
    assert!(runs(&database, "AS busy_meanwhile"));
    busy.abort();
    eventually("it ended", || !runs(&database, "AS busy_meanwhile"));
}
