//! Measures and their baselines, run in turn.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use postgres::Client;

/// Runs each statement once to warm up, then all of them in turn, `rounds` times; the medians.
///
/// What is taken is the time that the session's process was running, where the kernel says it: with everything in memory
/// that is the time of the statement, less what other programs took from it.
pub(super) fn in_turn<const N: usize>(
    client: &mut Client,
    rounds: usize,
    statements: [&str; N],
) -> Result<[Duration; N]> {
    medians(rounds, |which| {
        let statement = statements[which];
        worked(client, |client| {
            client
                .simple_query(statement)
                .map(drop)
                .with_context(|| format!("run {statement}"))
        })
    })
}

/// How long the session's process was running meanwhile.
pub(super) fn worked(client: &mut Client, run: impl FnOnce(&mut Client) -> Result<()>) -> Result<Duration> {
    let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[])?.get(0);
    let (running, began) = (running_time(pid), Instant::now());
    run(client)?;
    let taken = began.elapsed();
    Ok(running_time(pid)
        .zip(running)
        .map_or(taken, |(after, before)| after - before))
}

/// How long a process has been running on a processor; the kernel of Linux knows it to the nanosecond.
fn running_time(pid: i32) -> Option<Duration> {
    let file = fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
    file.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// The same for anything that says how long it took.
pub(super) fn medians<const N: usize>(
    rounds: usize,
    mut run: impl FnMut(usize) -> Result<Duration>,
) -> Result<[Duration; N]> {
    for which in 0..N {
        run(which)?;
    }
    let mut times = [const { Vec::new() }; N];
    for _ in 0..rounds {
        for (which, taken) in times.iter_mut().enumerate() {
            taken.push(run(which)?);
        }
    }
    Ok(times.map(median))
}

/// The middle one, or the later of the two in the middle.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
