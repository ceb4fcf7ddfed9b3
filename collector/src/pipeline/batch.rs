//! What travels to the database: samples, status samples, and batches of both.

use crate::runtime::time_grid::Micros;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
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
    pub fn sample(&self, place: usize) -> Option<Batch> {
        let samples = vec![self.samples.get(place)?.clone()];
        Some(Batch {
            samples,
            ..Batch::default()
        })
    }

    /// One of its statuses alone.
    pub fn status(&self, place: usize) -> Option<Batch> {
        let statuses = vec![self.statuses.get(place)?.clone()];
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

    /// The same rows in at most so many batches of about one size, each device in one of them; what `last` measured
    /// comes separately.
    pub fn by_device(self, parts: usize, last: &str) -> (Vec<Batch>, Batch) {
        let mut rows: HashMap<Name, usize> = HashMap::new();
        let mut order: Vec<Name> = Vec::new();
        let devices = self.samples.iter().map(|s| &s.device);
        for device in devices.chain(self.statuses.iter().map(|s| &s.device)) {
            if let Some(count) = rows.get_mut(device) {
                *count += 1;
            } else {
                rows.insert(device.clone(), 1);
                order.push(device.clone());
            }
        }
        let mut sizes = vec![0; parts.max(1)];
        let mut places: HashMap<Name, usize> = HashMap::new();
        for device in order.into_iter().filter(|device| &**device != last) {
            let place = (0..sizes.len()).min_by_key(|place| sizes[*place]).unwrap_or(0);
            sizes[place] += rows.get(&device).copied().unwrap_or(0);
            places.insert(device, place);
        }
        let (mut made, mut rest) = (vec![Batch::default(); sizes.len()], Batch::default());
        for sample in self.samples {
            let part = places.get(&sample.device).and_then(|place| made.get_mut(*place));
            part.unwrap_or(&mut rest).samples.push(sample);
        }
        for status in self.statuses {
            let part = places.get(&status.device).and_then(|place| made.get_mut(*place));
            part.unwrap_or(&mut rest).statuses.push(status);
        }
        made.retain(|part| !part.is_empty());
        (made, rest)
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

    #[test]
    fn each_device_is_in_one_part() {
        let sample = |device: usize, i: usize| Sample {
            device: format!("D{device}").into(),
            metric: "m".into(),
            time: i as i64,
            value: 0.0,
        };
        // Device 9 has half of the rows; the collector's come last.
        let samples: Vec<Sample> = (0..200)
            .map(|i| sample(if i % 2 == 0 { 9 } else { i % 7 }, i))
            .collect();
        let whole = Batch {
            samples,
            statuses: batch(0, 3).statuses,
        };
        for parts in 1..5 {
            let (made, last) = whole.clone().by_device(parts, "D3");
            assert!(!made.is_empty() && made.len() <= parts.max(1));
            let of = |batch: &Batch| -> Vec<Name> { batch.samples.iter().map(|s| s.device.clone()).collect() };
            assert!(!last.is_empty() && of(&last).iter().all(|device| &**device == "D3"));
            let mut again = last;
            for (place, part) in made.iter().enumerate() {
                assert!(
                    part.samples.is_sorted_by_key(|s| s.time),
                    "in the order in which they came"
                );
                for other in &made[place + 1..] {
                    assert!(of(part).iter().all(|device| !of(other).contains(device)));
                }
                again.append(part.clone());
            }
            assert!(made.iter().all(|part| part.len() <= 103 || parts == 1));
            again.samples.sort_by_key(|s| s.time);
            assert_eq!(again, whole);
        }
    }
}
