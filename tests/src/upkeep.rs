//! Servers with the background worker, and waiting for what it does.

use std::thread::sleep;
use std::time::{Duration, Instant};

use postgres::Client;
use postgres::types::FromSql;

use crate::postgres::Postgres;

/// How long a test waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// What makes the worker come often. Not on the command line, which nothing overrides.
const OFTEN: &str = "ALTER SYSTEM SET iot_kpi.naptime = '1s'";

/// A server that preloads the library, with further settings; its worker comes every second.
///
/// # Panics
/// When it does not start.
pub fn with_worker(settings: &[&str]) -> Postgres {
    let mut all = vec!["shared_preload_libraries=pg_iot_kpi", "max_worker_processes=16"];
    all.extend(settings);
    let server = Postgres::temporary(&all).unwrap_or_else(|error| panic!("{error:#}"));
    let mut client = server.database("postgres").client();
    for sql in [OFTEN, "SELECT pg_reload_conf()"] {
        client
            .batch_execute(sql)
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    server
}

/// The only value of a query's only row.
///
/// # Panics
/// When the query fails, or has another result.
pub fn ask<T: for<'a> FromSql<'a>>(client: &mut Client, query: &str) -> T {
    client
        .query_one(query, &[])
        .unwrap_or_else(|error| panic!("{query}: {error}"))
        .get(0)
}

/// Waits until a query says yes.
///
/// # Panics
/// When it does not, with the state of upkeep.
pub fn until(client: &mut Client, condition: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !ask::<bool>(client, &format!("SELECT coalesce(({condition}), false)")) {
        if Instant::now() > deadline {
            let state: Option<String> = client
                .query_one("SELECT string_agg(u::text, E'\\n') FROM iot.upkeep u", &[])
                .ok()
                .and_then(|row| row.get(0));
            panic!("never: {condition}\nupkeep: {}", state.unwrap_or_default());
        }
        sleep(Duration::from_millis(20));
    }
}

/// Waits until a whole run has begun and ended from now on.
///
/// # Panics
/// As [`until`].
pub fn after_a_run(client: &mut Client) {
    let now: String = ask(client, "SELECT clock_timestamp()::text");
    until(
        client,
        &format!("SELECT started_at > '{now}' AND finished_at > started_at FROM iot.upkeep WHERE step = 'run'"),
    );
}

/// Checks that `health()` finds fault with nothing; samples may be older than it likes.
///
/// # Panics
/// When it does, with what it says.
pub fn healthy(client: &mut Client) {
    let complaints: Option<String> = ask(
        client,
        "SELECT string_agg(h::text, E'\\n') FROM iot_kpi.health() h WHERE status <> 'ok' AND \"check\" <> 'samples'",
    );
    assert!(complaints.is_none(), "health: {}", complaints.unwrap_or_default());
}
