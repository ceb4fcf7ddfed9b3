//! What travels to the database: samples, status samples, and batches of both.

use crate::runtime::time_grid::Micros;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A name that many samples share.
pub type Name = Arc<str>;

/// One measured value; its identity is (device, metric, time).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Who measured.
    pub device: Name,
    /// What was measured.
    pub metric: Name,
    /// When, by the device's clock.
    pub time: Micros,
    /// In the metric's unit.
    pub value: f64,
}

/// What a device was said to be from an instant on; its identity is (device, time).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusSample {
    /// Whose status.
    pub device: Name,
    /// From when on.
    pub time: Micros,
    /// `online`, `degraded`, `offline`, `error`, `maintenance` or `unknown`.
    pub status: Name,
    /// Why, for people.
    pub reason: Name,
}

/// Samples that are written together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// Measured values.
    pub samples: Vec<Sample>,
    /// Statuses.
    pub statuses: Vec<StatusSample>,
}

impl Batch {
    /// How many rows of either sort.
    pub fn len(&self) -> usize {
        self.samples.len() + self.statuses.len()
    }

    /// Nothing to write.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes in another batch's rows behind its own.
    pub fn append(&mut self, mut other: Batch) {
        self.samples.append(&mut other.samples);
        self.statuses.append(&mut other.statuses);
    }

    /// One of its samples alone.
    pub fn sample(&self, index: usize) -> Option<Batch> {
        let samples = vec![self.samples.get(index)?.clone()];
        Some(Batch {
            samples,
            ..Batch::default()
        })
    }

    /// One of its statuses alone.
    pub fn status(&self, index: usize) -> Option<Batch> {
        let statuses = vec![self.statuses.get(index)?.clone()];
        Some(Batch {
            statuses,
            ..Batch::default()
        })
    }

    /// The earliest and the latest time in it.
    pub fn span(&self) -> Option<(Micros, Micros)> {
        let times = || {
            self.samples
                .iter()
                .map(|s| s.time)
                .chain(self.statuses.iter().map(|s| s.time))
        };
        Some((times().min()?, times().max()?))
    }

    /// The same rows in batches of at most `rows`: the samples in their order, then the statuses in theirs.
    pub fn split(self, rows: usize) -> Vec<Batch> {
        if self.len() <= rows {
            return if self.is_empty() { Vec::new() } else { vec![self] };
        }
        let samples = pieces(self.samples, rows).map(|samples| Batch {
            samples,
            ..Batch::default()
        });
        let statuses = pieces(self.statuses, rows).map(|statuses| Batch {
            statuses,
            ..Batch::default()
        });
        samples.chain(statuses).collect()
    }
}

fn pieces<T>(items: Vec<T>, rows: usize) -> impl Iterator<Item = Vec<T>> {
    let mut items = items.into_iter();
    std::iter::from_fn(move || Some(items.by_ref().take(rows.max(1)).collect::<Vec<T>>()).filter(|p| !p.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(samples: usize, statuses: usize) -> Batch {
        let name: Name = "x".into();
        let sample = |i| Sample {
            device: name.clone(),
            metric: name.clone(),
            time: i as i64,
            value: 0.0,
        };
        let status = |i| StatusSample {
            device: name.clone(),
            time: i as i64,
            status: name.clone(),
            reason: name.clone(),
        };
        Batch {
            samples: (0..samples).map(sample).collect(),
            statuses: (0..statuses).map(status).collect(),
        }
    }

    #[test]
    fn splitting_keeps_every_row_and_its_order() {
        for (samples, statuses, rows) in [(0, 0, 3), (3, 0, 3), (7, 2, 3), (0, 5, 2), (10, 10, 100), (2, 2, 0)] {
            let whole = batch(samples, statuses);
            let mut again = Batch::default();
            for part in whole.clone().split(rows) {
                assert!(part.len() <= rows.max(1) && !part.is_empty());
                again.append(part);
            }
            assert_eq!(whole, again);
        }
    }
}
