//! A disk that fails, and that a power loss hits at every moment of a commit.

use leasehold_engine::{Changes, Snapshot};
use leasehold_journal::{CommitError, FaultyJournal, Journal, LoadError};

/// A power loss leaves behind what is in the journal, and nothing else.
#[derive(Default)]
pub(crate) struct Disk {
    journal: FaultyJournal,
    /// The changes of the running commit.
    writing: Option<Changes>,
    /// No commit succeeds before this time.
    pub(crate) full_until: u64,
    /// Nothing can be read before this time while the server runs.
    pub(crate) unreadable_until: u64,
}

impl Disk {
    pub(crate) fn load(&mut self, now: u64) -> Result<Snapshot, LoadError> {
        self.journal.hide(now < self.unreadable_until);
        self.journal.load()
    }

    pub(crate) fn begin(&mut self, changes: Changes) {
        self.writing = Some(changes);
    }

    pub(crate) fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    /// Ends the running commit: all of it is durable, or none.
    pub(crate) fn finish(&mut self, now: u64) -> Result<(), CommitError> {
        self.journal.fail(now < self.full_until);
        self.writing.take().map_or(Ok(()), |changes| self.journal.commit(&changes))
    }

    /// Cuts the power: all of a running commit is durable, or none.
    pub(crate) fn lose_power(&mut self, is_written: bool) {
        let lost = self.writing.take_if(|_| !is_written);
        if lost.is_none() {
            // At `full_until` the disk is no longer full, so the commit succeeds.
            drop(self.finish(self.full_until));
        }
    }
}
