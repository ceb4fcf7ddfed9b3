//! What a session may hand in takes a small multiple of its length, and memory that cannot be had is an error of the statement:
//! the server goes on.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the message, outside a #[test] function too"
)]

use std::error::Error;
use std::fs;

use iot_kpi_tests::identity::Identity;
use iot_kpi_tests::postgres::{Database, shared};
use postgres::Client;
use postgres::types::{IsNull, ToSql, Type, private::BytesMut};

/// The body of a state from outside is so long.
const LENGTH: usize = 1 << 20;
/// What a session may take in memory for each byte of a state that it is handed, and asked about.
const FACTOR: usize = 100;
/// What it may take anyway: the message, its text, the query's own memory.
const ANYWAY: usize = 32 << 20;

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn numbers(numbers: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    numbers.iter().for_each(|n| varint(&mut bytes, *n));
    bytes
}

fn counted(bytes: &[u8]) -> Vec<u8> {
    [numbers(&[bytes.len() as u64]), bytes.to_vec()].concat()
}

/// A state of a type's letter and a version, its checksum right.
fn sealed(letter: u8, version: u8, body: &[u8]) -> Vec<u8> {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&[letter, version]);
    crc.update(body);
    let mut bytes = vec![letter, version];
    bytes.extend(crc.finalize().to_le_bytes());
    bytes.extend(body);
    bytes
}

/// Numbers about how many pieces there are, and as many pieces as there is room for.
fn body(head: impl Fn(u64) -> Vec<u8>, piece: &[u8]) -> Vec<u8> {
    let count = LENGTH / piece.len();
    [head(count as u64), piece.repeat(count)].concat()
}

/// What two response times at either end of floats leave in a slot of evidence, beside nothing else: 292 kB once.
fn far_apart() -> Vec<u8> {
    let extremes = [1e-9f64.to_le_bytes(), f64::MAX.to_le_bytes()].concat();
    [
        numbers(&[2]),
        extremes,
        numbers(&[0, 0, 2, 2071, 1, 72_000, 1]),
        vec![0, 0, 0, 0],
    ]
    .concat()
}

/// A state of each type that is as large in memory as any of its length, and questions to it.
fn states() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let window = "tstzrange('2000-01-01Z', '2000-01-02Z')";
    let uneven: Vec<u8> = [5, 5].into_iter().chain([4, 2].repeat(LENGTH / 2)).collect();
    let even: Vec<u8> = [5, 5].into_iter().chain([0, 31].repeat(LENGTH / 2)).collect();
    let count = 2 + 31 * (LENGTH / 2) as u64;
    let restless: Vec<u8> = [8, 9].repeat(uneven.len() / 2);
    let status_timeline = [numbers(&[uneven.len() as u64]), counted(&uneven), counted(&restless)].concat();
    let counter = [
        vec![0, 0],
        numbers(&[count]),
        counted(&even),
        counted(&numbers(&[count << 3])),
        counted(&even),
        vec![0],
    ]
    .concat();
    let mut sketch = [
        numbers(&[36_500]),
        1e-9f64.to_le_bytes().to_vec(),
        f64::MAX.to_le_bytes().to_vec(),
    ]
    .concat();
    sketch.extend(numbers(&[0, 0, 36_500, 2071, 1]));
    sketch.extend([2, 1].repeat(36_499));
    let slots = |slot: &[u8]| {
        body(
            |n| [vec![0, 0], numbers(&[n]), vec![2; n as usize + 1], vec![0, 0]].concat(),
            slot,
        )
    };
    vec![
        ("heartbeats", sealed(b'H', 1, &body(|n| numbers(&[n, n]), &[2, 0, 1])), "iot_kpi.uptime($1, {w})"),
        ("status_timeline", sealed(b'S', 2, &status_timeline), "iot_kpi.availability($1, {w}, status_ttl => '1 us')"),
        ("cadence", sealed(b'C', 1, &[numbers(&[uneven.len() as u64]), counted(&uneven)].concat()), "iot_kpi.jitter($1, '1 us', {w})"),
        ("response_sketch", sealed(b'R', 1, &sketch), "iot_kpi.percentile($1, 0.99)"),
        ("throughput", sealed(b'T', 2, &counter), "iot_kpi.total($1)"),
        ("evidence", sealed(b'E', 1, &slots(&far_apart())), "(SELECT count(*) FROM iot_kpi.device_values(ROW ({e}, '60 s', NULL, NULL, NULL, NULL, $1, NULL, NULL, NULL, NULL, NULL)::iot_kpi.dossier, 'uptime') AS r)"),
        ("evidence", sealed(b'E', 1, &slots(&[0, 0, 0, 0, 0])), "(SELECT count(*) FROM iot_kpi.device_values(ROW ({e}, '60 s', NULL, NULL, NULL, NULL, $1, NULL, NULL, NULL, NULL, NULL)::iot_kpi.dossier, 'uptime') AS r)"),
    ]
    .into_iter()
    .map(|(name, state, question)| {
        let asked = question.replace("{w}", window).replace("{e}", "ARRAY['2000-01-01Z', '2000-01-02Z']::timestamptz[]");
        (name, state, &*asked.leak())
    })
    .collect()
}

#[test]
fn a_state_of_a_megabyte_takes_a_few_megabytes() {
    let database = shared().extension("memory_states");
    for (name, state, question) in states() {
        let text = format!(
            "SELECT '\\x{}'::iot_kpi.{name} IS NULL",
            state.iter().map(|b| format!("{b:02x}")).collect::<String>()
        );
        let read = taken(&database, |client| drop(client.batch_execute(&text)));
        let asked = taken(&database, |client| {
            let sql = format!("SELECT {}", question.replace("$1", &format!("$1::iot_kpi.{name}")));
            client.query(&sql, &[&Raw(state.clone())]).unwrap();
        });
        let rolled_up = taken(&database, |client| {
            let sql = format!(
                "SELECT iot_kpi.rollup(s) FROM (SELECT $1::iot_kpi.{name} AS s FROM generate_series(1, 3)) AS r"
            );
            if name != "evidence" {
                client.query(&sql, &[&Raw(state.clone())]).unwrap();
            }
        });
        for (what, bytes) in [("read as text", read), ("asked", asked), ("rolled up", rolled_up)] {
            println!("{name} of {} bytes, {what}: {bytes} bytes", state.len());
            assert!(
                bytes <= FACTOR * state.len() + ANYWAY,
                "{name} of {} bytes, {what}: {bytes} bytes",
                state.len()
            );
        }
    }
    assert_server_went_on();
}

/// Memory near its end: whatever a session asks for is answered, or refused with SQLSTATE 53200.
#[test]
fn memory_that_cannot_be_had_is_an_error() {
    let database = shared().extension("memory_limits");
    let gathered = [
        "SELECT iot_kpi.beat_count(iot_kpi.heartbeat_agg(timestamptz '2000-01-01' + n * interval '1 min', '1 s')) FROM generate_series(1, 3000000) AS n",
        "SELECT octet_length(iot_kpi.cadence_send(iot_kpi.cadence_agg(timestamptz '2000-01-01' + n::float8 * n * interval '1 us'))) FROM generate_series(1, 2000000) AS n",
        "SELECT octet_length(iot_kpi.cadence_send(iot_kpi.cadence_agg(timestamptz '2000-01-01' - n::float8 * n * interval '1 us'))) FROM generate_series(1, 1000000) AS n",
        "SELECT iot_kpi.flapping(iot_kpi.status_agg(timestamptz '2000-01-01' - n::float8 * n * interval '1 us', 'online')) FROM generate_series(1, 1000000) AS n",
        "SELECT iot_kpi.total(iot_kpi.throughput_agg(timestamptz '2000-01-01' + n::float8 * n * interval '1 us', n / 3.0, 'counter')) FROM generate_series(1, 1000000) AS n",
        "SELECT count(*), max(iot_kpi.percentile(r, 0.5)) FROM (SELECT iot_kpi.response_agg(exp(n % 700)) AS r FROM generate_series(1, 400000) AS n GROUP BY n % 20000) AS g",
    ];
    let mut refused = 0;
    // As much as the session has when it begins, and so many megabytes more.
    for more in [1, 2, 4, 8, 16, 32, 64] {
        for sql in gathered {
            let mut client = limited(&database, more << 20);
            refused += u32::from(is_refused(client.batch_execute(sql), sql));
            went_on(&mut client);
        }
        for (name, state, question) in states().into_iter().filter(|s| s.0 != "evidence") {
            let mut client = limited(&database, more << 20);
            let sql = format!("SELECT {}", question.replace("$1", &format!("$1::iot_kpi.{name}")));
            refused += u32::from(is_refused(client.query(&sql, &[&Raw(state)]).map(drop), question));
            went_on(&mut client);
        }
    }
    assert!(refused > 20, "only {refused} statements met the limit");
    assert_server_went_on();
}

/// The most memory that a session of its own takes for something, beyond what it has before.
fn taken(database: &Database<'_>, ask: impl FnOnce(&mut Client)) -> usize {
    let mut client = database.client();
    // The library is loaded, and its first call is behind it.
    client.batch_execute("SELECT iot_kpi.nines(0.5)").unwrap();
    let pid = backend(&mut client);
    let before = status_of(pid, "VmHWM");
    ask(&mut client);
    status_of(pid, "VmHWM").saturating_sub(before)
}

fn backend(client: &mut Client) -> i32 {
    client.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0)
}

/// A line of a process's status, in bytes.
fn status_of(pid: i32, name: &str) -> usize {
    let file = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&file).unwrap_or_else(|error| panic!("read {file}: {error}"));
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kilobytes: usize = line.unwrap().split_whitespace().next().unwrap().parse().unwrap();
    kilobytes * 1024
}

/// A session that can have no more than so many bytes beyond what it has.
fn limited(database: &Database<'_>, more: usize) -> Client {
    let mut client = database.client();
    client
        .batch_execute(
            "SET jit = off; SET work_mem = '1GB'; SET max_parallel_workers_per_gather = 0; SELECT iot_kpi.nines(0.5)",
        )
        .unwrap();
    let pid = backend(&mut client);
    // The server's user may do that, root without all its capabilities may not.
    let server = Identity::find(&shared().installation().program("postgres"), &shared().data()).unwrap();
    let set = server
        .command("prlimit")
        .arg(format!("--pid={pid}"))
        .arg(format!("--as={}", status_of(pid, "VmSize") + more))
        .status();
    assert!(
        set.is_ok_and(|set| set.success()),
        "prlimit (of the package util-linux) failed"
    );
    client
}

fn is_refused(result: Result<(), postgres::Error>, what: &str) -> bool {
    let Err(error) = result else { return false };
    let code = error.code().unwrap_or_else(|| panic!("{what}: {error}")).code();
    assert_eq!(code, "53200", "{what}: {error:?}");
    true
}

fn went_on(client: &mut Client) {
    let one: i32 = client.query_one("SELECT 1", &[]).unwrap().get(0);
    assert_eq!(one, 1);
}

fn assert_server_went_on() {
    let log = shared().log();
    for word in ["terminated by signal", "PANIC", "panicked", "memory allocation of"] {
        let line = log.lines().find(|line| line.contains(word));
        assert!(line.is_none(), "the server's log says: {line:?}");
    }
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
