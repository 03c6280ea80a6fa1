//! A disk that fails, and that a crash catches at every moment of a commit.

use leasehold_engine::{Changes, Snapshot};
use leasehold_journal::{CommitError, FaultyJournal, Journal, LoadError};

/// What a power loss leaves behind is what is in the journal, and nothing else.
#[derive(Default)]
pub(crate) struct Disk {
    journal: FaultyJournal,
    /// On their way to the journal.
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

    /// Ends the commit that was begun: durable, or not at all.
    pub(crate) fn finish(&mut self, now: u64) -> Result<(), CommitError> {
        self.journal.fail(now < self.full_until);
        self.writing.take().map_or(Ok(()), |changes| self.journal.commit(&changes))
    }

    /// The power fails: a commit that was under way is either whole or not there.
    pub(crate) fn lose_power(&mut self, is_written: bool) {
        let lost = self.writing.take_if(|_| !is_written);
        if lost.is_none() {
            // A journal in memory that does not fail keeps everything.
            drop(self.finish(self.full_until));
        }
    }
}
