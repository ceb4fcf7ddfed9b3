//! How fast, measured; `make bench GROUPS=plugin` runs it from a release build and reads the lines that begin with `bench `:
//! JSON of a measure, its number, its limit, and what it came from.

use super::host::{Host, Source, peak_memory};
use super::store;
use futures_util::TryStreamExt;
use serde_json::json;
use std::time::Instant;
use tokio_postgres::NoTls;

const POINTS: f64 = 1e6;
const ROUNDS: usize = 15;

/// The best of some rounds of each, in turn and in seconds: what disturbs a measure only ever makes it longer.
fn best(mut one: impl FnMut(), mut other: impl FnMut()) -> [f64; 2] {
    fn time(run: &mut impl FnMut()) -> f64 {
        let started = Instant::now();
        run();
        started.elapsed().as_secs_f64()
    }
    (0..ROUNDS).fold([f64::INFINITY; 2], |[best_one, best_other], _| {
        [best_one.min(time(&mut one)), best_other.min(time(&mut other))]
    })
}

fn report(measure: &str, ratio: f64, limit: f64, detail: &str) {
    // On a line of its own, whatever the test runner has begun.
    println!(
        "\nbench {}",
        json!({"measure": measure, "ratio": ratio, "limit": limit, "detail": detail})
    );
}

#[test]
#[ignore = "a measurement, run by make bench"]
fn speed() {
    let database = store::make("plugin_speed");
    let mut client = database.client();
    client
        .batch_execute(
            "CREATE TABLE points AS SELECT timestamptz '2026-01-01Z' + n * interval '1 ms' AS time, n * 0.5::float8 AS value \
             FROM generate_series(1, 1000000) AS n",
        )
        .unwrap();
    client.batch_execute("VACUUM ANALYZE points").unwrap();
    let host = Host::start();
    let source = Source::of(store::server(), "plugin_speed");
    let query = json!({"queryType": "sql", "rawSql": "SELECT time, value FROM points", "format": "time_series"});
    let small = json!({"queryType": "sql", "rawSql": "SELECT 1 AS one"});
    host.ask(&source, &small).frame();

    let before = peak_memory(&host);
    assert_eq!(host.ask(&source, &query).frame().rows, 1_000_000);
    let (used, frame) = (peak_memory(&host) - before, POINTS * 16.0);
    let megabytes = format!("{:.0} MB ÷ {:.0} MB", used / 1e6, frame / 1e6);
    report(
        "plugin, memory of 1M points ÷ their frame",
        used / frame,
        3.0,
        &megabytes,
    );

    let (direct, connection) = host
        .runtime
        .block_on(async { tokio_postgres::connect(&database.uri(), NoTls).await })
        .unwrap();
    host.runtime.spawn(connection);
    let copy = || {
        let sql = "COPY (SELECT time, value FROM points) TO STDOUT (FORMAT binary)";
        let bytes = host.runtime.block_on(async {
            let stream = direct.copy_out(sql).await?;
            stream.try_fold(0, async |sum, bytes| Ok(sum + bytes.len())).await
        });
        assert!(bytes.unwrap() > 16_000_000);
    };
    let mut grpc = host.data();
    let mut ask = |query: &serde_json::Value| {
        let request = source.request(vec![super::host::panel("A", query)]);
        let response = host.runtime.block_on(async { grpc.query_data(request).await }).unwrap();
        assert_eq!(response.into_inner().responses["A"].error, "");
    };
    let [copied, asked] = best(copy, || ask(&query));
    let seconds = format!("{asked:.3} s ÷ {copied:.3} s");
    report("plugin, 1M points ÷ COPY binary", asked / copied, 1.3, &seconds);
    let small_alone = || {
        let asked = host
            .runtime
            .block_on(async { direct.simple_query("SELECT 1 AS one").await });
        drop(asked.unwrap());
    };
    let [alone, through] = best(small_alone, || ask(&small));
    let milliseconds = format!("{:.2} ms − {:.2} ms", through * 1e3, alone * 1e3);
    report(
        "plugin, extra latency of a small query, ms",
        (through - alone) * 1e3,
        5.0,
        &milliseconds,
    );
}
