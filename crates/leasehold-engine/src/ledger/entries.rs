//! The entries of a ledger: a limit and a lease, each with its state in the journal, and the rows
//! of the next changes.

use std::collections::BTreeMap;

use crate::changes::Resume;
use crate::decay::Level;
use crate::lease::{Fence, Lease, LeaseId};
use crate::limit::{Limit, LimitId};
use crate::time::{Span, Timestamp};
use crate::unleased::Unleased;

/// A limit and what the leases hold on it.
#[derive(Debug)]
pub(crate) struct LimitEntry {
    pub(crate) limit: Limit,
    /// The sum of what `leases` hold, as it was when the limit was last settled.
    pub(crate) leased: Level,
    /// Oldest first.
    pub(crate) leases: BTreeMap<Fence, LeaseId>,
    /// All leases older than this one have drained to nothing.
    pub(super) drained_before: Fence,
    pub(super) dirty: bool,
}

/// A lease and its state in the journal.
#[derive(Debug)]
pub(super) struct LeaseEntry {
    pub(super) lease: Lease,
    /// It is part of the next changes.
    pub(super) dirty: bool,
    /// It was part of changes before, so its end has to be, too.
    pub(super) durable: bool,
    /// Its holder asked for the same again and was answered this lease.
    pub(super) asked_again: bool,
}

/// The rows of the next changes.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) resumed: Option<Resume>,
    pub(super) deleted_limits: Vec<LimitId>,
    pub(super) limits: Vec<LimitId>,
    pub(super) ended: Vec<Fence>,
    pub(super) leases: Vec<LeaseId>,
    pub(super) endings: Vec<LeaseId>,
    pub(super) forgotten: Vec<Fence>,
    /// How many leases expired.
    pub(super) expired: usize,
}

impl LimitEntry {
    pub(super) fn new(limit: Limit) -> Self {
        Self {
            limit,
            leased: Level::ZERO,
            leases: BTreeMap::new(),
            drained_before: Fence(0),
            dirty: false,
        }
    }

    /// What is taken at `now`: leased, unleased, or counted by another server.
    pub(crate) fn occupied(&self, now: Timestamp) -> Level {
        self.taken_here(now) + Level::from_slots(self.limit.foreign)
    }

    /// What is taken here at `now`, with and without a lease. On a rate limit, this drains.
    fn taken_here(&self, now: Timestamp) -> Level {
        let drained = self.limit.decay.drained(self.limit.settled, now);
        (self.leased + self.limit.unleased.level()).saturating_sub(drained)
    }

    /// The slots that are taken without a lease at `now`.
    pub(crate) fn unleased(&self, now: Timestamp) -> Unleased {
        self.limit.unleased.after(self.limit.decay.drained(self.limit.settled, now))
    }

    /// By how much the limit would be exceeded at `now` with `slots` more.
    pub(crate) fn excess(&self, slots: u64, now: Timestamp) -> Level {
        let after = self.occupied(now) + Level::from_slots(slots);
        after.saturating_sub(Level::from_slots(self.limit.slots))
    }

    /// How long it takes until so much has drained. `None` if there is not so much to drain.
    pub(crate) fn time_to_drain(&self, excess: Level, now: Timestamp) -> Option<Span> {
        if excess > self.taken_here(now) { None } else { self.limit.decay.time_to_drain(excess) }
    }

    /// Lets decay begin again with the oldest lease.
    pub(crate) fn refill(&mut self) {
        self.drained_before = Fence(0);
    }

    pub(super) fn touch(&mut self, now: Timestamp, pending: &mut Pending) {
        self.limit.updated = now;
        if !self.dirty {
            self.dirty = true;
            pending.limits.push(self.limit.id);
        }
    }
}

impl LeaseEntry {
    /// `durable`: whether a journal keeps it.
    pub(super) fn new(lease: Lease, durable: bool) -> Self {
        Self { lease, dirty: false, durable, asked_again: false }
    }

    pub(super) fn touch(&mut self, pending: &mut Pending) {
        if !self.dirty {
            self.dirty = true;
            pending.leases.push(self.lease.id);
        }
    }
}
