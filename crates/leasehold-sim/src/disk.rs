//! A journal on a disk that fails, and that a crash catches at every moment of a commit.

use leasehold_engine::{Changes, Snapshot};
use leasehold_journal::{Journal, MemoryJournal};

/// What a power loss leaves behind is what is in `durable`, and nothing else.
#[derive(Default)]
pub(crate) struct Disk {
    durable: MemoryJournal,
    /// On their way to the disk.
    writing: Option<Changes>,
    /// No commit succeeds before this time.
    pub(crate) full_until: u64,
}

impl Disk {
    pub(crate) fn load(&mut self) -> Snapshot {
        // A journal in memory cannot fail to be read.
        self.durable.load().unwrap_or_default()
    }

    pub(crate) fn begin(&mut self, changes: Changes) {
        self.writing = Some(changes);
    }

    /// Ends the commit that was begun: durable, or not at all. Answers whether it is durable.
    pub(crate) fn finish(&mut self, now: u64) -> bool {
        let changes = self.writing.take();
        now >= self.full_until && changes.is_some_and(|changes| self.write(&changes))
    }

    /// The power fails: a commit that was under way is either whole or not there.
    pub(crate) fn lose_power(&mut self, is_written: bool) {
        if let Some(changes) = self.writing.take()
            && is_written
        {
            self.write(&changes);
        }
    }

    fn write(&mut self, changes: &Changes) -> bool {
        self.durable.commit(changes).is_ok()
    }
}
