//! A process that fills and empties a spool is killed at random moments, again and again: what it was promised is all there.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the message")]

use iot_kpi_collector::pipeline::batch::{Batch, Sample};
use iot_kpi_collector::pipeline::spool::{Kept, Loss, Spool};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Names the folder to the process that is to be killed.
const FOLDER: &str = "IOT_KPI_TEST_SPOOL";
/// Small, so that segments come and go.
const MAX: u64 = 2 << 20;

/// Some rows that tell their number.
fn batch(number: i64) -> Batch {
    let rows = 20 + number % 200;
    let sample = |i| Sample {
        device: format!("DEVICE_{i}").into(),
        metric: "x".into(),
        time: number,
        value: i as f64,
    };
    Batch {
        samples: (0..rows).map(sample).collect(),
        statuses: Vec::new(),
    }
}

/// The process that is killed: it says what it was promised, and before it lets go of something what that is.
#[test]
#[ignore = "is started by the test below"]
fn fill_and_empty() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let mut spool = Spool::open(Path::new(&folder), MAX).unwrap();
    let mut out = std::io::stdout();
    let mut number: i64 = std::env::var("IOT_KPI_TEST_FIRST").unwrap().parse().unwrap();
    loop {
        for _ in 0..7 {
            if spool.push(&batch(number)).unwrap() == Kept::Safe {
                writeln!(out, "\nkept {number}").unwrap();
            }
            number += 1;
        }
        for _ in 0..5 {
            if let Some(waiting) = spool.oldest(1).unwrap() {
                writeln!(out, "\nleft {}", waiting.batch.samples[0].time).unwrap();
                spool.delivered(&waiting);
            }
        }
        out.flush().unwrap();
    }
}

#[test]
fn nothing_that_was_promised_is_lost_to_kills() {
    let folder = tempfile::tempdir().unwrap();
    let (mut kept, mut left) = (Vec::<i64>::new(), Vec::<i64>::new());
    for round in 0..12u64 {
        let first = kept.last().map_or(0, |last| last + 1000);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "fill_and_empty", "--ignored", "--nocapture"])
            .env(FOLDER, folder.path())
            .env("IOT_KPI_TEST_FIRST", first.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Killed after so many words of it, at whatever it does then.
        let (words, deadline) = (20 + round * 37 % 200, Instant::now() + Duration::from_secs(20));
        let mut seen = Vec::new();
        while (seen.len() as u64) < words && Instant::now() < deadline {
            seen.extend(lines.next().map(Result::unwrap));
            seen.retain(|line: &String| line.starts_with("kept ") || line.starts_with("left "));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        seen.extend(lines.map(Result::unwrap));
        let numbers = |word: &str| -> Vec<i64> {
            let said = seen.iter().filter_map(|line| line.strip_prefix(word));
            said.filter_map(|number| number.parse().ok()).collect()
        };
        kept.extend(numbers("kept "));
        let now_left = numbers("left ");
        assert!(now_left.is_sorted(), "out of order: {now_left:?}");
        left.extend(now_left);
    }
    let mut spool = Spool::open(folder.path(), MAX).unwrap();
    let mut rest = Vec::new();
    while let Some(waiting) = spool.oldest(1).unwrap() {
        let number = waiting.batch.samples[0].time;
        assert_eq!(*waiting.batch, batch(number));
        rest.push(number);
        spool.delivered(&waiting);
    }
    assert!(rest.is_sorted(), "out of order: {rest:?}");
    assert_eq!(spool.losses(), Loss::default());
    let lost: Vec<&i64> = kept
        .iter()
        .filter(|number| !left.contains(number) && !rest.contains(number))
        .collect();
    assert!(lost.is_empty(), "{lost:?} were promised and are gone");
    assert!(
        kept.len() > 300 && left.len() > 200 && rest.len() > 50,
        "{} {} {}",
        kept.len(),
        left.len(),
        rest.len()
    );
}
