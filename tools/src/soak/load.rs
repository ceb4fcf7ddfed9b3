//! What goes on beside the devices: reports all the time, and upkeep; and what a kill explains of their errors.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use postgres::{Client, NoTls};

use crate::postgres::is_broken;

/// What is asked all the time, over the last minutes.
const REPORTS: [&str; 5] = [
    "SELECT count(*) FROM iot_kpi.device_kpis(tstzrange(now() - interval '2 min', now()))",
    "SELECT count(*) FROM iot_kpi.fleet_kpis(tstzrange(now() - interval '3 min', now()), 'device_type')",
    "SELECT count(*) FROM iot_kpi.kpi_series('uptime', tstzrange(now() - interval '5 min', now()), '30 s', device_ids => ARRAY(SELECT device_id FROM iot.devices LIMIT 20))",
    "SELECT count(*) FROM iot_kpi.outages(tstzrange(now() - interval '5 min', now()), device_ids => ARRAY(SELECT device_id FROM iot.devices LIMIT 100))",
    "SELECT count(*) FROM iot_kpi.health()",
];

/// What happened meanwhile.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) reports: AtomicU64,
    pub(super) interrupted: AtomicU64,
    pub(super) upkeep: AtomicU64,
    pub(super) slowest_ms: AtomicU64,
}

/// How often the server was killed, and how often it has come back since: what breaks then is no fault.
#[derive(Debug, Default)]
pub(super) struct Kills {
    pub(super) begun: AtomicU64,
    pub(super) over: AtomicU64,
}

impl Kills {
    /// What is asked now knows of so many.
    fn known(&self) -> u64 {
        self.over.load(SeqCst)
    }

    /// Whether an error is of a kill that was not over when the question began, and not the server's or ours.
    fn explain(&self, error: &postgres::Error, known: u64) -> bool {
        self.begun.load(SeqCst) > known
            // The leader of parallel workers may notice first.
            && (is_broken(error) || error.as_db_error().is_some_and(|error| error.message() == "lost connection to parallel worker"))
    }
}

/// Asks report after report, by a new connection where one broke.
pub(super) fn read_all_the_time(
    uri: &str,
    reader: usize,
    (tally, kills): (&Tally, &Kills),
    over: &AtomicBool,
) -> Result<()> {
    let mut turn = reader;
    while !over.load(Relaxed) {
        let known = kills.known();
        let asked =
            Client::connect(uri, NoTls).map(|mut client| ask_until_it_fails(&mut client, &mut turn, tally, over));
        match asked {
            Ok(Ok(())) => {}
            Ok(Err(error)) if kills.explain(&error, known) => {
                tally.interrupted.fetch_add(1, Relaxed);
            }
            // It is not back yet.
            Err(error) if kills.explain(&error, known) => sleep(Duration::from_millis(100)),
            Ok(Err(error)) | Err(error) => {
                return Err(error).with_context(|| format!("{} fails", REPORTS[turn % REPORTS.len()]));
            }
        }
    }
    Ok(())
}

fn ask_until_it_fails(
    client: &mut Client,
    turn: &mut usize,
    tally: &Tally,
    over: &AtomicBool,
) -> Result<(), postgres::Error> {
    while !over.load(Relaxed) {
        let asked = Instant::now();
        client.query_one(REPORTS[*turn % REPORTS.len()], &[])?;
        let took = asked.elapsed();
        tally.reports.fetch_add(1, Relaxed);
        tally.slowest_ms.fetch_max(took.as_millis() as u64, Relaxed);
        *turn += 1;
        // The devices want the machine too.
        sleep(took.min(Duration::from_secs(1)));
    }
    Ok(())
}

/// What cron would do, where there is no worker.
pub(super) fn keep_up(uri: &str, (tally, kills): (&Tally, &Kills), over: &AtomicBool) -> Result<()> {
    let worker = "SELECT coalesce(current_setting('iot_kpi.worker', true), 'off')::bool";
    if Client::connect(uri, NoTls)?.query_one(worker, &[])?.get(0) {
        return Ok(());
    }
    while !over.load(Relaxed) {
        for _ in 0..50 {
            if !over.load(Relaxed) {
                sleep(Duration::from_millis(200));
            }
        }
        let known = kills.known();
        let done = Client::connect(uri, NoTls).and_then(|mut client| client.batch_execute("CALL iot_kpi.maintain()"));
        match done {
            Ok(()) => tally.upkeep.fetch_add(1, Relaxed),
            Err(error) if kills.explain(&error, known) => 0,
            Err(error) => return Err(error).context("CALL iot_kpi.maintain()"),
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Kills;
    use crate::postgres::{Postgres, Stop};
    use postgres::{Client, NoTls};
    use std::sync::atomic::Ordering::SeqCst;

    #[test]
    fn only_a_killed_server_explains_an_error() {
        let kills = Kills::default();
        let mut server = Postgres::temporary(&[]).unwrap();
        let uri = server.database("postgres").uri();
        let mut client = Client::connect(&uri, NoTls).unwrap();
        let known = kills.known();
        // Without a SQLSTATE, and none of the connection.
        let no_row = client.query_one("SELECT WHERE false", &[]).unwrap_err();
        kills.begun.fetch_add(1, SeqCst);
        assert!(!kills.explain(&no_row, known), "{no_row:?}");
        server.stop(Stop::Immediate).unwrap();
        let broken = client.query_one("SELECT 1", &[]).unwrap_err();
        assert!(kills.explain(&broken, known), "{broken:?}");
        let away = Client::connect(&uri, NoTls).err().unwrap();
        assert!(kills.explain(&away, known), "{away:?}");
        // A server that goes by itself has crashed.
        kills.over.fetch_add(1, SeqCst);
        assert!(!kills.explain(&away, kills.known()));
    }
}
