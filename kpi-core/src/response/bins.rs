//! How often each bin of a sketch was hit, in memory that grows with the bins that were.
//!
//! Response times of a device lie close together: their bins are counted in a list without gaps, where a bin is found by its
//! place. Bins far from it stand one by one, so that two values at either end of floats take no more than any two.

use std::ops::Range;

/// So long the list may be, however few of its bins were hit;
const SPARE: usize = 32;
/// and so many times as long as there are bins in it that were.
const THIN: usize = 8;
/// When so many bins stand far from the list, it is looked where it belongs.
const FAR: usize = 8;

/// A bin and how often it was hit.
pub(super) type Count = (i32, u64);

/// Counts of bins.
#[derive(Debug, Clone, Default)]
pub(super) struct Bins {
    /// Count of bin `first + i`.
    near: Vec<u64>,
    first: i32,
    /// How many of those are not zero.
    hit: u32,
    /// Bins before and after the list, in order.
    far: Vec<Count>,
}

impl Bins {
    /// From bins in order, none of them twice and none of them never hit.
    pub(super) fn of(counts: Vec<Count>) -> Self {
        let crowd = fullest_crowd(&counts);
        let mut bins = Self::default();
        if let [first, .., last] | [first @ last] = &counts[crowd.clone()] {
            bins.reach(first.0, last.0 + 1);
        }
        for (i, count) in counts.iter().enumerate() {
            match crowd.contains(&i) {
                true => bins.add(count.0, count.1),
                false => bins.far.push(*count),
            }
        }
        bins
    }

    /// Counts a bin so many times more.
    #[inline]
    pub(super) fn add(&mut self, bin: i32, n: u64) {
        let at = bin.wrapping_sub(self.first) as usize;
        match self.near.get_mut(at) {
            Some(count) => {
                self.hit += u32::from(*count == 0);
                *count += n;
            }
            None => self.add_outside(bin, n),
        }
    }

    #[cold]
    fn add_outside(&mut self, bin: i32, n: u64) {
        let place = match self.far.binary_search_by_key(&bin, |f| f.0) {
            Ok(place) => {
                self.far[place].1 += n;
                return;
            }
            Err(place) => place,
        };
        let wanted = self.range_with(bin..bin + 1);
        if affordable(&wanted, self.hit) {
            self.reach(wanted.start, wanted.end);
            return self.add(bin, n);
        }
        self.far.insert(place, (bin, n));
        if self.far.len() >= FAR && self.far.len().is_power_of_two() {
            *self = Self::of(self.iter().collect());
        }
    }

    /// Adds all counts of another.
    pub(super) fn merge(&mut self, other: &Self) {
        let wanted = self.range_with(other.range());
        if self.far.is_empty() && other.far.is_empty() && affordable(&wanted, self.hit.max(other.hit)) {
            self.reach(wanted.start, wanted.end);
            other.iter().for_each(|(bin, n)| self.add(bin, n));
            return;
        }
        let mut all: Vec<Count> = self.iter().chain(other.iter()).collect();
        all.sort_unstable();
        all.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            kept.1 += if same { next.1 } else { 0 };
            same
        });
        *self = Self::of(all);
    }

    /// The bins that were hit, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Count> {
        let (before, after) = self.far.split_at(self.far.partition_point(|f| f.0 < self.first));
        let near = (self.first..).zip(&self.near).filter(|b| *b.1 > 0);
        before
            .iter()
            .copied()
            .chain(near.map(|(bin, n)| (bin, *n)))
            .chain(after.iter().copied())
    }

    /// Bytes in use beyond the structure itself.
    pub(super) fn heap_size(&self) -> usize {
        self.near.capacity() * size_of::<u64>() + self.far.capacity() * size_of::<Count>()
    }

    fn range(&self) -> Range<i32> {
        self.first..self.first + self.near.len() as i32
    }

    /// What the list and another range reach over together.
    fn range_with(&self, other: Range<i32>) -> Range<i32> {
        match (self.near.is_empty(), other.is_empty()) {
            (true, _) => other,
            (_, true) => self.range(),
            _ => self.first.min(other.start)..self.range().end.max(other.end),
        }
    }

    /// Makes the list reach over more bins.
    fn reach(&mut self, start: i32, end: i32) {
        let before = if self.near.is_empty() { 0 } else { self.first - start };
        let mut longer = Vec::with_capacity((end - start) as usize);
        longer.resize(before as usize, 0);
        longer.extend_from_slice(&self.near);
        longer.resize((end - start) as usize, 0);
        (self.near, self.first) = (longer, start);
        let inside = self.far.partition_point(|f| f.0 < start)..self.far.partition_point(|f| f.0 < end);
        for (bin, n) in self.far.drain(inside) {
            self.near[(bin - start) as usize] = n;
            self.hit += 1;
        }
    }
}

/// Whether a list may be so long with so many bins in it that were hit.
fn affordable(range: &Range<i32>, hit: u32) -> bool {
    range.len() <= SPARE + THIN * hit as usize
}

/// Of bins in order, the neighbours that were hit most often together.
fn fullest_crowd(counts: &[Count]) -> Range<usize> {
    let (mut fullest, mut most, mut start) = (0..0, 0, 0);
    for end in 1..=counts.len() {
        let goes_on = counts
            .get(end)
            .is_some_and(|next| (next.0 - counts[end - 1].0) as usize <= THIN);
        if !goes_on {
            let hits = counts[start..end].iter().map(|c| u128::from(c.1)).sum::<u128>();
            if hits > most {
                (fullest, most) = (start..end, hits);
            }
            start = end;
        }
    }
    fullest
}

#[cfg(test)]
mod tests {
    use super::{Bins, Count};

    fn of(bins: impl IntoIterator<Item = i32>) -> Bins {
        let mut all = Bins::default();
        bins.into_iter().for_each(|bin| all.add(bin, 1));
        all
    }

    #[test]
    fn bins_anywhere_are_counted_in_little_memory() {
        // As many as there are, at either end and close together, in both orders.
        let far_apart: Vec<i32> = (0..400).map(|i| i * 91 - 1000).collect();
        let together: Vec<i32> = (0..400).map(|i| 5000 + i * 7 % 400).collect();
        let mixed: Vec<i32> = together
            .iter()
            .zip(&far_apart)
            .flat_map(|(a, b)| [*a, *a, *b])
            .collect();
        for bins in [far_apart, together, mixed] {
            let mut sorted = bins.clone();
            sorted.sort_unstable();
            let mut expected: Vec<Count> = Vec::new();
            for bin in sorted {
                match expected.last_mut() {
                    Some(last) if last.0 == bin => last.1 += 1,
                    _ => expected.push((bin, 1)),
                }
            }
            let forwards = of(bins.iter().copied());
            let backwards = of(bins.iter().rev().copied());
            let mut merged = of(bins[..bins.len() / 3].iter().copied());
            merged.merge(&of(bins[bins.len() / 3..].iter().copied()));
            for found in [&forwards, &backwards, &merged, &Bins::of(expected.clone())] {
                assert_eq!(found.iter().collect::<Vec<_>>(), expected);
                assert!(
                    found.heap_size() <= 1024 + 80 * expected.len(),
                    "{} bytes",
                    found.heap_size()
                );
            }
        }
    }

    #[test]
    fn the_list_lies_where_most_was_counted() {
        // The first value is an outlier: it must not keep all others from the list.
        let late = of([9000].into_iter().chain((0..100).map(|i| i % 50)));
        assert_eq!((late.far.len(), late.hit), (1, 50));
    }
}
