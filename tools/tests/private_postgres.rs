//! The private server itself: it starts, survives what tests do to it, and leaves nothing behind.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use iot_kpi_tools::postgres::{Postgres, Stop, shared};
use postgres::{Client, NoTls};

#[test]
fn the_port_asks_for_the_password() {
    let database = shared().create_database("by_port").unwrap();
    Client::connect(&database.uri(), NoTls).unwrap();
    let wrong = database.uri().replace(shared().password(), "wrong");
    let error = Client::connect(&wrong, NoTls).err().unwrap();
    assert_eq!(error.code().map(|code| code.code()), Some("28P01"));
}

#[test]
fn committed_rows_survive_every_kind_of_end() {
    let mut server = Postgres::temporary(&["fsync=on", "synchronous_commit=on"]).unwrap();
    let database = server.create_database("kept").unwrap();
    database
        .client()
        .batch_execute("CREATE TABLE t (i int); INSERT INTO t VALUES (1)")
        .unwrap();
    for how in [Stop::Fast, Stop::Immediate, Stop::Kill] {
        server.restart(how).unwrap();
        let count: i64 = server
            .database("kept")
            .client()
            .query_one("SELECT count(*) FROM t", &[])
            .unwrap()
            .get(0);
        assert_eq!(count, 1, "after {how:?}");
    }
}

#[test]
fn a_dropped_server_leaves_nothing() {
    let server = Postgres::temporary(&[]).unwrap();
    let (folder, port) = (server.socket_folder().to_path_buf(), server.port());
    drop(server);
    assert!(!folder.exists());
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
}

/// Not a test of its own: the process that [`a_killed_owner_leaves_nothing`] kills.
#[test]
#[ignore = "started by a_killed_owner_leaves_nothing"]
fn owner_to_be_killed() {
    let server = Postgres::temporary(&[]).unwrap();
    println!("\nsocket folder: {}", server.socket_folder().display());
    sleep(Duration::from_secs(60));
}

#[test]
fn a_killed_owner_leaves_nothing() {
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["owner_to_be_killed", "--exact", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let folder = BufReader::new(owner.stdout.take().unwrap())
        .lines()
        .find_map(|line| line.unwrap().strip_prefix("socket folder: ").map(PathBuf::from))
        .unwrap();
    assert!(folder.join("data/postmaster.pid").exists());
    owner.kill().unwrap();
    owner.wait().unwrap();
    for _ in 0..200 {
        if !folder.exists() {
            return;
        }
        sleep(Duration::from_millis(50));
    }
    panic!(
        "{} is still there ten seconds after its owner was killed",
        folder.display()
    );
}
