//! What the ledger's thread counts: its commits, how long they take, and how much is in them. Plain
//! atomics, which cost a few nanoseconds each; who shows them converts them.

use std::sync::atomic::{AtomicU64, Ordering};

/// The upper bounds of the time that a commit takes, in microseconds.
const COMMIT_MICROS: &[u64] =
    &[100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000];
/// The upper bounds of the number of rows in a commit.
const COMMIT_ROWS: &[u64] = &[0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 4_096];

/// The counters of a running ledger, since its start.
#[derive(Debug)]
pub struct Figures {
    /// How long each commit took, in microseconds. Its count is the number of commits that
    /// succeeded.
    pub commit_micros: Histogram,
    /// How many rows each of them had.
    pub commit_rows: Histogram,
    /// Commits that failed.
    pub failed_commits: AtomicU64,
}

/// How many values fall between bounds, and their sum.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    /// One for each bound, and one for what is above all of them.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            commit_micros: Histogram::new(COMMIT_MICROS),
            commit_rows: Histogram::new(COMMIT_ROWS),
            failed_commits: AtomicU64::new(0),
        }
    }
}

impl Histogram {
    /// A histogram with these upper bounds, in rising order.
    pub fn new(bounds: &'static [u64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum: AtomicU64::new(0) }
    }

    /// Counts a value.
    pub fn record(&self, value: u64) {
        let at = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(at) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// The sum of all values.
    pub fn sum(&self) -> u64 {
        self.sum.load(Ordering::Relaxed)
    }

    /// How many values are at most each bound and above the one before. The last entry has no
    /// bound.
    pub fn counts(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let bounds = self.bounds.iter().map(|bound| Some(*bound)).chain([None]);
        bounds.zip(self.counts.iter().map(|count| count.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_at_the_first_bound_that_is_not_below_it() {
        let histogram = Histogram::new(&[1, 10]);
        for value in [0, 1, 2, 10, 11, 500] {
            histogram.record(value);
        }
        let counts: Vec<_> = histogram.counts().collect();
        assert_eq!(counts, [(Some(1), 2), (Some(10), 2), (None, 2)]);
        assert_eq!(histogram.sum(), 524);
    }
}
