//! The ground truth: what truly happened, to compare with what the database makes of it.
//!
//! One JSON object a line, times in RFC 3339 with microseconds:
//!
//! | kind | fields | meaning |
//! |---|---|---|
//! | `failed` | `device_id`, `time` | an attempt that failed; the database has an `error` sample of 1 at this `time` |
//! | `outage` | `device_id`, `started_at`, `ended_at`, `last_beat`, `began_before`, `ongoing` | the device was away |
//! | `unobserved` | `started_at`, `ended_at` | rounds the collector itself missed (it was suspended) |
//! | `end` | `from`, `to`, `interval_seconds`, `seed`, `devices` | the last line; a device: `device_id`, `attempts`, `failed`, `bytes`, `beats`, `outages` |
//!
//! How it looks from the database, where liveness is three intervals:
//!
//! - `started_at` is the instant in which the device fell silent, between its last beat and the first report it missed.
//!   Nobody can see it: an outage in the database starts at `last_beat + liveness`, which lies in
//!   `[started_at, started_at + liveness)`.
//! - `ended_at` is the time of the first beat after it, in both worlds, to the microsecond; null while `ongoing`.
//! - `began_before`: the device was away at the run's first round; the database knows only the end, unless an earlier
//!   run's data are there. `last_beat` is null then.
//! - Every `outage` is seen as one outage and there are no others, as long as the collector watched
//!   (see [`crate::source::simulation`]); single lost reports are not outages.
//! - An outage that is `ongoing` and whose `last_beat` is younger than liveness cannot be seen yet.
//! - `attempts` = `error` samples, `failed` = those of value 1, `beats` = `heartbeat` samples, `bytes` = Σ `bytes`.

use crate::error::Error;
use crate::runtime::time_grid::{Micros, text};
use crate::source::simulation::Report;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Writes the ground truth while it happens; without a file it only counts.
#[derive(Debug)]
pub struct GroundTruth {
    file: Option<(PathBuf, BufWriter<File>)>,
    devices: Vec<DeviceState>,
}

#[derive(Debug)]
struct DeviceState {
    id: String,
    away_since: Option<Micros>,
    last_beat: Option<Micros>,
    attempts: u64,
    failed: u64,
    bytes: u64,
    beats: u64,
    outages: u64,
}

/// What a run was, for the last line.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Start of its first round.
    pub from: Micros,
    /// End of its last one.
    pub to: Micros,
    /// Length of a round.
    pub interval: Micros,
    /// The seed.
    pub seed: u64,
}

impl GroundTruth {
    /// Starts a new file at `path`, if there is one, about these devices.
    pub fn new<'a>(path: Option<&Path>, ids: impl Iterator<Item = &'a str>) -> Result<Self, Error> {
        let file = path.map(|path| {
            let file =
                File::create(path).map_err(Error::file("write", path, "name another file with --ground-truth"))?;
            Ok((path.to_owned(), BufWriter::new(file)))
        });
        let blank = |id: &str| DeviceState {
            id: id.to_owned(),
            away_since: None,
            last_beat: None,
            attempts: 0,
            failed: 0,
            bytes: 0,
            beats: 0,
            outages: 0,
        };
        Ok(GroundTruth {
            file: file.transpose()?,
            devices: ids.map(blank).collect(),
        })
    }

    /// Takes note of a device's next report; `device` is its index in the fleet.
    pub fn note(&mut self, device: usize, report: &Report) -> Result<(), Error> {
        let Some(state) = self.devices.get_mut(device) else {
            return Ok(());
        };
        state.attempts += report.failures.len() as u64 + u64::from(report.beat.is_some());
        state.failed += report.failures.len() as u64;
        state.bytes += report.bytes;
        state.away_since = state.away_since.or(report.away_since);
        let mut lines = Vec::new();
        if self.file.is_some() {
            let id = &state.id;
            lines.extend(
                report
                    .failures
                    .iter()
                    .map(|&t| json!({"kind": "failed", "device_id": id, "time": text(t)})),
            );
        }
        if let Some(beat) = report.beat {
            if let Some(since) = state.away_since.take() {
                state.outages += 1;
                lines.push(state.outage(since, Some(beat)));
            }
            state.beats += 1;
            state.last_beat = Some(beat);
        }
        lines.iter().try_for_each(|line| self.line(line))
    }

    /// The collector did not look at these rounds.
    pub fn unobserved(&mut self, from: Micros, to: Micros) -> Result<(), Error> {
        self.line(&json!({"kind": "unobserved", "started_at": text(from), "ended_at": text(to)}))
    }

    /// Everything noted so far reaches the file.
    pub fn flush(&mut self) -> Result<(), Error> {
        match &mut self.file {
            Some((path, file)) => file.flush().map_err(Error::file("write", &*path, WRITABLE)),
            None => Ok(()),
        }
    }

    /// The outages that still last, and the totals.
    pub fn end(mut self, run: Run) -> Result<(), Error> {
        let mut lines = Vec::new();
        for state in &mut self.devices {
            if let Some(since) = state.away_since {
                state.outages += 1;
                lines.push(state.outage(since, None));
            }
        }
        let totals: Vec<Value> = self.devices.iter().map(DeviceState::totals).collect();
        lines.push(json!({
            "kind": "end", "from": text(run.from), "to": text(run.to),
            "interval_seconds": run.interval as f64 / 1e6, "seed": run.seed, "devices": totals,
        }));
        lines.iter().try_for_each(|line| self.line(line))?;
        self.flush()
    }

    fn line(&mut self, line: &Value) -> Result<(), Error> {
        match &mut self.file {
            Some((path, file)) => writeln!(file, "{line}").map_err(Error::file("write", &*path, WRITABLE)),
            None => Ok(()),
        }
    }
}

const WRITABLE: &str = "make room for it, or name another file with --ground-truth";

impl DeviceState {
    fn outage(&self, since: Micros, ended: Option<Micros>) -> Value {
        json!({
            "kind": "outage", "device_id": self.id, "started_at": text(since), "ended_at": ended.map(text),
            "last_beat": self.last_beat.map(text), "began_before": self.last_beat.is_none(), "ongoing": ended.is_none(),
        })
    }

    fn totals(&self) -> Value {
        json!({
            "device_id": self.id, "attempts": self.attempts, "failed": self.failed, "bytes": self.bytes,
            "beats": self.beats, "outages": self.outages,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::time_grid::TimeGrid;
    use crate::source::simulation::fleet::Fleet;
    use crate::source::simulation::{Scenario, Simulator, metric_names};
    use std::time::Duration;

    /// The file's counts are those of the samples that were delivered.
    #[test]
    fn totals_are_the_samples() {
        let grid = TimeGrid::new(Duration::from_secs(60));
        let fleet = Fleet::new(5);
        let simulator = Simulator::new(
            Scenario {
                seed: 3,
                grid,
                trouble: 5.0,
            },
            &fleet,
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ground_truth");
        let mut ground_truth = GroundTruth::new(Some(&path), fleet.devices.iter().map(|d| &*d.id)).unwrap();
        let mut sums = std::collections::HashMap::new();
        for round in 29_000_000..29_005_000 {
            for (index, device) in simulator.devices.iter().enumerate() {
                let report = device.report(round, false);
                ground_truth.note(index, &report).unwrap();
                for sample in &report.content.samples {
                    let sum = sums
                        .entry((sample.device.to_string(), sample.metric.to_string()))
                        .or_insert((0u64, 0.0));
                    *sum = (sum.0 + 1, sum.1 + sample.value);
                }
            }
        }
        ground_truth
            .end(Run {
                from: 0,
                to: 0,
                interval: grid.interval(),
                seed: 3,
            })
            .unwrap();

        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let count = |kind: &str, id: &str| {
            lines
                .iter()
                .filter(|l| l["kind"] == kind && l["device_id"] == id)
                .count()
        };
        let end = lines.last().unwrap();
        assert_eq!(end["kind"], "end");
        for totals in end["devices"].as_array().unwrap() {
            let id = totals["device_id"].as_str().unwrap();
            let of = |metric: &str| sums[&(id.to_owned(), metric.to_owned())];
            assert_eq!(totals["attempts"], of(metric_names::ERROR).0);
            assert_eq!(totals["failed"], of(metric_names::ERROR).1 as u64);
            assert_eq!(totals["beats"], of(metric_names::HEARTBEAT).0);
            assert_eq!(totals["bytes"], of(metric_names::BYTES).1 as u64);
            assert_eq!(totals["failed"], count("failed", id));
            assert_eq!(totals["outages"], count("outage", id));
            assert!(count("outage", id) > 0);
        }
    }
}
