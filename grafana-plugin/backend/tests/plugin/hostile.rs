//! What people may send, at its worst: megabytes of nesting, of lists and of long words, and answers that would fill any memory. Each is
//! refused with a reason or answered, and the process that serves everybody else goes on.

use super::caller::Caller;
use super::frames::Answer;
use super::host::{Host, Source, panel, peak_memory};
use super::store;
use serde_json::{Value, json};

const MANY: usize = 1_000_000;

fn sql(text: &str, format: &str) -> Value {
    json!({"queryType": "sql", "rawSql": text, "format": format})
}

#[test]
fn queries_of_megabytes_are_refused_with_a_reason() {
    store::make("plugin_hostile");
    let host = Host::start();
    let source = Source::of(store::server(), "plugin_hostile");
    let nested = |text: &str, end: &str| sql(&(text.repeat(MANY) + &end.repeat(MANY)), "table");
    let filter = |operator: &str, values: Value| json!({"queryType": "device_kpis", "adhocFilters": [{"key": "floor", "operator": operator, "values": values}]});
    for (query, word) in [
        (nested("$__f(", ""), "write some of them out"),
        (nested("$__time(", ")"), "write some of them out"),
        (nested("$__timeFilter('", ""), "write some of them out"),
        (
            sql(&("$__time(".to_owned() + &"(".repeat(8 * MANY)), "table"),
            "no closing bracket",
        ),
        (sql(&"$__timeFrom()".repeat(MANY), "table"), "shorten it"),
        (
            sql(&format!("SELECT $__{}()", "x".repeat(8 * MANY)), "table"),
            "is not known",
        ),
        (sql("SELECT 'a\0b'", "table"), "zero character"),
        (
            json!({"queryType": "device_kpis", "legend": "{{device}}".repeat(MANY)}),
            "the legend has 10000000 characters",
        ),
        (
            json!({"queryType": "device_kpis", "devices": vec!["x"; MANY]}),
            "more than 200000 values",
        ),
        (
            json!({"queryType": "fleet_kpis", "kpis": vec!["no such"; 100_000]}),
            "no column \"no such\"",
        ),
        (json!({"queryType": "x".repeat(8 * MANY)}), "unknown variant"),
        (
            json!({"queryType": "outages", "minOutage": "9".repeat(8 * MANY)}),
            "is no duration",
        ),
        (filter(&"=".repeat(8 * MANY), json!(["1"])), "is not known"),
        (filter("=~", json!(["(".repeat(MANY)])), "regular expression"),
        (filter("=", json!(vec!["1"; 300_000])), "more than 200000 values"),
    ] {
        let answer = host.ask(&source, &query);
        let message: String = answer.error.chars().take(2_100).collect();
        assert!(message.contains(word), "{word}: {message}");
        assert_eq!((answer.status, message.len()), (400, answer.error.len()), "{message}");
    }
    // What is too deep for PostgreSQL is PostgreSQL's word.
    let deep = host.ask(&source, &sql(&format!("SELECT {}1", "(".repeat(MANY)), "table"));
    assert!(
        deep.error.contains("exhausted") || deep.error.contains("stack depth"),
        "{}",
        deep.error
    );
    // An id that nobody has is passed over, and told of by its beginning.
    let unknown = json!({"queryType": "device_kpis", "devices": ["x".repeat(8 * MANY)]});
    let notices = host.ask(&source, &unknown).frame().meta["notices"].to_string();
    assert!(
        notices.contains("None of the devices") && notices.len() < 500,
        "{} bytes",
        notices.len()
    );
    // Asked for again and again, a number is there once.
    let again = json!({"queryType": "fleet_kpis", "kpis": vec!["devices"; 100_000], "groupBy": "device_type"});
    assert_eq!(host.ask(&source, &again).frame().names(), ["devices", "devices"]);
    for (text, word) in [
        ("[".repeat(8 * MANY), "more than 200000 values"),
        ("{\"queryType\":".repeat(90_000), "recursion limit"),
        (
            format!("{{\"queryType\": \"sql\", \"x\": {}", "[".repeat(100_000)),
            "recursion limit",
        ),
    ] {
        let mut query = panel("A", &Value::Null);
        query.json = text.into_bytes();
        let response = host.query_data(&source, vec![query]).unwrap();
        let error = Answer::of(response.responses["A"].clone()).error;
        assert!(error.contains(word), "{error}");
    }
    let few = json!({"queryType": "device_kpis"});
    let queries = (0..1_001).map(|n| panel(&format!("Q{n}"), &few)).collect();
    let refused = host.query_data(&source, queries).unwrap_err();
    assert!(refused.message().contains("1000 at most"), "{refused}");
    assert_eq!(host.ask(&source, &few).frame().rows, 4);
    let (status, _, log) = host.end();
    assert!(status.success());
    // Grafana reads lines of less than 64 KiB.
    let longest = log.lines().map(str::len).max().unwrap_or_default();
    assert!(longest < 10_000, "a line of {longest} bytes");
}

#[test]
fn a_series_is_refused_before_it_is_made_where_it_would_be_mostly_holes() {
    store::make("plugin_cells");
    let host = Host::start();
    let source = Source::of(store::server(), "plugin_cells");
    let rows = |series: &str| {
        format!(
            "SELECT timestamptz '2026-01-01Z' + n * interval '1 ms' AS time, ({series})::text AS series, n::float8 AS value \
             FROM generate_series(1, 200000) AS n ORDER BY 1"
        )
    };
    host.ask(&source, &sql("SELECT 1", "table")).frame();
    let before = peak_memory(&host);
    for (text, words) in [
        (
            rows("n % 2000"),
            [
                "2000 series at 200000 different times make 400000000 cells",
                "$__timeGroup",
            ],
        ),
        (rows("n"), ["more than 10000 series apart", "format table"]),
        (
            rows("n % 2000").replace(
                "n::float8 AS value",
                "n::float8 AS value, n AS a, n AS b, n AS c, n AS d, n AS e",
            ),
            ["more than 1666 series apart", "format table"],
        ),
    ] {
        let answer = host.ask(&source, &sql(&text, "time_series"));
        assert!(words.iter().all(|word| answer.error.contains(word)), "{}", answer.error);
        assert_eq!(answer.status, 400);
    }
    // Its cells alone would have been 3.2 GB.
    let used = peak_memory(&host) - before;
    assert!(used < 200e6, "{used} bytes");
    // The same rows on a grid, and as many cells as a series without a hole has.
    let gridded = rows("n % 2000").replace("n * interval '1 ms'", "n / 2000 * interval '1 s'");
    let frame = host.ask(&source, &sql(&gridded, "time_series")).frame();
    assert_eq!((frame.fields.len(), frame.rows), (2_001, 101));
    let dense = rows("n % 2").replace("n * interval '1 ms'", "n / 2 * interval '1 ms'");
    assert_eq!(host.ask(&source, &sql(&dense, "time_series")).frame().rows, 100_001);
    assert_eq!(
        host.ask(&source, &sql(&rows("n % 2000"), "table")).frame().rows,
        200_000
    );
}

#[test]
fn a_long_answer_is_cut_with_a_word_before_it_fills_the_memory() {
    store::make("plugin_bytes");
    let host = Host::start();
    let source = Source::of(store::server(), "plugin_bytes");
    let wide = "SELECT n, repeat('x', 1000000) AS text FROM generate_series(1, 3000) AS n";
    let frame = host.ask(&source, &sql(wide, "table")).frame();
    assert_eq!(frame.rows, 269);
    let notices = frame.meta["notices"].to_string();
    assert!(
        notices.contains("first 269 rows") && notices.contains("fill 256 MiB"),
        "{notices}"
    );
    let used = peak_memory(&host);
    assert!(used < 1.5e9, "{used} bytes");
    assert_eq!(host.ask(&source, &json!({"queryType": "device_kpis"})).frame().rows, 4);
}

#[test]
fn requests_of_megabytes_are_refused_with_a_reason() {
    store::make("plugin_rest_hostile");
    let host = Host::start();
    let source = Source::of(store::server(), "plugin_rest_hostile");
    let rest = Caller::new(&host, &source);
    let metrics = "v1/devices/TEMP_001/metrics";
    for (body, code, word) in [
        ("[".repeat(2 * MANY), 400, "more than 200000 values"),
        ("[".repeat(MANY / 10), 400, "recursion limit"),
        ("[0,".repeat(MANY), 400, "more than 200000 values"),
        (format!("{{\"{}\": 1}}", "x".repeat(3 * MANY)), 400, "is not known"),
        (
            format!("{{\"timestamp\": \"{}\"}}", "x".repeat(3 * MANY)),
            400,
            "is no time such as",
        ),
        (format!("{{\"value\": {}}}", "9".repeat(3 * MANY)), 400, "out of range"),
        (" ".repeat(5 * MANY), 413, "at most 4194304 bytes"),
    ] {
        let (found, _, problem) = rest.raw("POST", metrics, body);
        assert!(found == code && problem.contains(word), "{found} {problem:.300}");
        assert!(problem.len() < 5_000, "{} bytes", problem.len());
    }
    for (address, code) in [
        ("/".repeat(4 * MANY), 414),
        ("v1/devices/".to_owned() + &"%2F".repeat(MANY), 414),
        ("v1/devices?".to_owned() + &"&a=".repeat(MANY), 414),
        ("v1/devices/".to_owned() + &"x/".repeat(10_000), 404),
        ("v1/devices/".to_owned() + &"%C3%28".repeat(5_000), 400),
        ("v1/devices?limit=".to_owned() + &"9".repeat(50_000), 400),
        ("v1/devices?location=".to_owned() + &"%".repeat(50_000), 200),
        ("options/values?key=".to_owned() + &"'".repeat(50_000), 200),
    ] {
        let (found, _, problem) = rest.raw("GET", &address, "");
        assert_eq!(found, code, "{address:.40}: {problem:.300}");
        assert!(problem.len() < 5_000, "{} bytes", problem.len());
    }
    // What is less than there is, is not passed over in silence: who reads page by page would miss it.
    let small = Caller::new(&host, &source.clone().with("rowLimit", json!(2)));
    let (code, _, problem) = small.raw("GET", "v1/devices", "");
    assert!(code == 400 && problem.contains("ask for fewer by limit"), "{problem}");
    assert_eq!(small.get("v1/devices?limit=2")["items"].as_array().unwrap().len(), 2);
    assert_eq!(rest.get("v1/devices")["total"], 4);
}
