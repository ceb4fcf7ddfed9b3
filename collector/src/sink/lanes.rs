//! A long history over several connections at once. Each device is written over one of them alone, so that they never
//! wait for each other's rows; none waits for the slowest, but before the collector's own rows.

use crate::error::Error;
use crate::pipeline::batch::{Batch, Name};
use crate::runtime::shutdown::Shutdown;
use crate::sink::link::Link;
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Batches that wait for a lane.
const AHEAD: usize = 2;

enum Work {
    Write(Batch),
    /// Whatever came before is written.
    Tell(oneshot::Sender<()>),
}

struct Lane {
    work: mpsc::Sender<Work>,
    /// False where it was stopped before the end.
    task: JoinHandle<Result<bool, Error>>,
}

/// The lanes, and which devices go over which.
pub struct Lanes {
    lanes: Vec<Lane>,
    places: HashMap<Name, usize>,
    last: Name,
}

impl Lanes {
    /// Over the first link and others beside it, as many as the server admits. What `last` measured comes after all that
    /// was given before.
    pub async fn open(mut first: Link, lanes: usize, last: Name, longest: Duration, shutdown: &Shutdown) -> Self {
        let mut links = Vec::new();
        for connections in 1..lanes {
            match first.beside().await {
                Ok(another) => links.push(another),
                Err(error) => {
                    tracing::warn!(%error, connections, "going on with fewer connections");
                    break;
                }
            }
        }
        links.push(first);
        let start = |link| {
            let (work, waiting) = mpsc::channel(AHEAD);
            let task = tokio::spawn(run(link, waiting, longest, shutdown.clone()));
            Lane { work, task }
        };
        Lanes {
            lanes: links.into_iter().map(start).collect(),
            places: HashMap::new(),
            last,
        }
    }

    /// Takes a batch; false where a lane has ended, and [`Lanes::end`] tells why.
    pub async fn write(&mut self, batch: Batch) -> bool {
        let (parts, last) = self.deal(batch);
        for (lane, part) in self.lanes.iter().zip(parts) {
            if !part.is_empty() && lane.work.send(Work::Write(part)).await.is_err() {
                return false;
            }
        }
        last.is_empty() || self.drain().await && self.lanes[0].work.send(Work::Write(last)).await.is_ok()
    }

    /// A part for each lane, and what comes after all of them.
    fn deal(&mut self, batch: Batch) -> (Vec<Batch>, Batch) {
        let (mut parts, mut last) = (vec![Batch::default(); self.lanes.len()], Batch::default());
        let Lanes {
            lanes,
            places,
            last: latest,
        } = self;
        let mut part = |device: &Name| {
            if device == latest {
                return None;
            }
            if let Some(place) = places.get(device) {
                return Some(*place);
            }
            let next = places.len() % lanes.len();
            places.insert(device.clone(), next);
            Some(next)
        };
        for sample in batch.samples {
            part(&sample.device)
                .map_or(&mut last, |place| &mut parts[place])
                .samples
                .push(sample);
        }
        for status in batch.statuses {
            part(&status.device)
                .map_or(&mut last, |place| &mut parts[place])
                .statuses
                .push(status);
        }
        (parts, last)
    }

    async fn drain(&self) -> bool {
        let mut told = Vec::new();
        for lane in &self.lanes {
            let (tell, done) = oneshot::channel();
            if lane.work.send(Work::Tell(tell)).await.is_err() {
                return false;
            }
            told.push(done);
        }
        for done in told {
            if done.await.is_err() {
                return false;
            }
        }
        true
    }

    /// Waits until all is written; false where it was stopped before.
    pub async fn end(self) -> Result<bool, Error> {
        let mut complete = true;
        let tasks: Vec<_> = self.lanes.into_iter().map(|lane| lane.task).collect();
        for task in tasks {
            complete &= task.await.map_err(|_| Error::Ended("writer"))??;
        }
        Ok(complete)
    }
}

async fn run(
    mut link: Link,
    mut waiting: mpsc::Receiver<Work>,
    longest: Duration,
    mut shutdown: Shutdown,
) -> Result<bool, Error> {
    while let Some(work) = waiting.recv().await {
        match work {
            Work::Write(batch) => {
                if shutdown.is_requested() || !link.write_at_last(&batch, longest, &mut shutdown).await? {
                    return Ok(false);
                }
            }
            // Nobody may be left who listens.
            Work::Tell(done) => _ = done.send(()),
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::batch::Sample;
    use std::collections::HashSet;
    use std::sync::{Arc, Mutex};

    type Written = Arc<Mutex<Vec<(usize, Batch)>>>;

    /// Lanes that note what they are given; the later ones are slower.
    fn lanes(count: usize, written: &Written, ends_after: usize) -> Lanes {
        let lane = |place: usize| {
            let (work, mut waiting) = mpsc::channel(AHEAD);
            let written = written.clone();
            let task = tokio::spawn(async move {
                for _ in 0..ends_after {
                    match waiting.recv().await {
                        Some(Work::Write(batch)) => {
                            for _ in 0..place * 100 {
                                tokio::task::yield_now().await;
                            }
                            written.lock().unwrap().push((place, batch));
                        }
                        Some(Work::Tell(done)) => done.send(()).unwrap(),
                        None => return Ok(true),
                    }
                }
                Ok(false)
            });
            Lane { work, task }
        };
        Lanes {
            lanes: (0..count).map(lane).collect(),
            places: HashMap::new(),
            last: "C".into(),
        }
    }

    fn batch(devices: impl IntoIterator<Item = usize>, time: i64, and: &[&str]) -> Batch {
        let devices = devices.into_iter().map(|d| Name::from(format!("D{d}")));
        let sample = |device| Sample {
            device,
            metric: "m".into(),
            time,
            value: 0.0,
        };
        Batch {
            samples: devices.chain(and.iter().map(|d| Name::from(*d))).map(sample).collect(),
            ..Batch::default()
        }
    }

    #[tokio::test]
    async fn a_device_has_one_lane_and_the_collector_comes_after_all() {
        for count in 1..5 {
            let written = Written::default();
            let mut lanes = lanes(count, &written, usize::MAX);
            for time in 0..6 {
                let collector: &[&str] = if time == 3 { &["C"] } else { &[] };
                assert!(lanes.write(batch(0..10, time, collector)).await);
            }
            assert!(lanes.end().await.unwrap());
            let written = written.lock().unwrap();
            let mut of: HashMap<Name, HashSet<usize>> = HashMap::new();
            let mut seen = 0;
            for (lane, sample) in written
                .iter()
                .flat_map(|(lane, b)| b.samples.iter().map(move |s| (lane, s)))
            {
                if &*sample.device == "C" {
                    assert!(seen >= 40, "{seen} of the 40 samples before the collector's");
                } else {
                    of.entry(sample.device.clone()).or_default().insert(*lane);
                    seen += 1;
                }
            }
            assert_eq!((seen, of.len()), (60, 10));
            assert!(of.values().all(|lanes| lanes.len() == 1), "{of:?}");
            let used: HashSet<usize> = of.values().flatten().copied().collect();
            assert_eq!(used.len(), count);
        }
    }

    #[tokio::test]
    async fn a_lane_that_ends_ends_all() {
        let written = Written::default();
        let mut lanes = lanes(3, &written, 2);
        let mut taken = 0;
        while lanes.write(batch(0..10, taken, &["C"])).await {
            taken += 1;
            assert!(taken < 100);
        }
        assert!(!lanes.end().await.unwrap());
    }
}
