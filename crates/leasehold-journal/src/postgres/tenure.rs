//! For how long a node may answer for the ledger: by its own monotonic clock, and never longer than
//! by the database's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// For how long this node owns the ledger without another word from the database.
///
/// It is counted from before the request that took or renewed the ledger was sent, so it is over
/// before another node can own the ledger. A node that is cut off from the database, or was paused,
/// sees by it that what it knows may be out of date.
#[derive(Clone, Debug)]
pub struct Tenure {
    origin: Instant,
    /// In microseconds since `origin`.
    until: Arc<AtomicU64>,
}

/// The moment before the database is asked.
pub(super) fn sent() -> Instant {
    Instant::now()
}

impl Tenure {
    pub(super) fn new() -> Self {
        Self { origin: Instant::now(), until: Arc::default() }
    }

    /// Whether this node owns the ledger now.
    pub fn lasts(&self) -> bool {
        self.micros(Instant::now()) < self.until.load(Ordering::Relaxed)
    }

    /// Owns the ledger for a time from `sent`, which was before the database was asked.
    pub(super) fn renew(&self, sent: Instant, owned_for: Duration) {
        self.until.store(self.micros(sent + owned_for), Ordering::Relaxed);
    }

    pub(super) fn end(&self) {
        self.until.store(0, Ordering::Relaxed);
    }

    fn micros(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.origin);
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenure_is_counted_from_before_the_database_was_asked() {
        let tenure = Tenure::new();
        assert!(!tenure.lasts(), "nothing is owned yet");
        let hour = Duration::from_secs(3_600);
        tenure.renew(tenure.origin, hour);
        assert!(tenure.lasts());
        tenure.renew(tenure.origin, Duration::ZERO);
        assert!(!tenure.lasts(), "the answer came too late");
        tenure.renew(tenure.origin, hour);
        tenure.end();
        assert!(!tenure.lasts(), "it was given up");
    }
}
