//! How the last leases ended.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::lease::{Ending, Fence, LeaseId};
use crate::time::Timestamp;

/// A bounded memory of endings; the oldest is forgotten first.
#[derive(Debug, Default)]
pub(super) struct Endings {
    /// Leases that ended at the same time are in the order of their fences, so that the order
    /// is the same after a restart.
    order: BTreeMap<(Timestamp, Fence), LeaseId>,
    by_lease: FxHashMap<LeaseId, Remembered>,
}

#[derive(Debug)]
struct Remembered {
    ending: Ending,
    /// A journal keeps it, and has to forget it, too.
    durable: bool,
}

impl Endings {
    pub(super) fn get(&self, lease: LeaseId) -> Option<&Ending> {
        self.by_lease.get(&lease).map(|remembered| &remembered.ending)
    }

    /// As [`get`](Self::get), for a journal, which keeps it from now on.
    pub(super) fn take(&mut self, lease: LeaseId) -> Option<Ending> {
        let remembered = self.by_lease.get_mut(&lease)?;
        remembered.durable = true;
        Some(remembered.ending.clone())
    }

    /// All of them, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Ending> {
        self.order.values().filter_map(|lease| self.get(*lease))
    }

    /// Remembers an ending. If there are more than `max`, forgets the oldest, and returns it if a
    /// journal keeps it.
    pub(super) fn remember(&mut self, ending: Ending, durable: bool, max: usize) -> Option<Fence> {
        self.order.insert((ending.at, ending.fence), ending.lease);
        self.by_lease.insert(ending.lease, Remembered { ending, durable });
        if self.order.len() <= max {
            return None;
        }
        let (_, oldest) = self.order.pop_first()?;
        let forgotten = self.by_lease.remove(&oldest)?;
        forgotten.durable.then_some(forgotten.ending.fence)
    }

    /// Forgets how a lease ended, for its id lives again. Returns it if a journal keeps it.
    pub(super) fn forget(&mut self, lease: LeaseId) -> Option<Fence> {
        let Remembered { ending, durable } = self.by_lease.remove(&lease)?;
        self.order.remove(&(ending.at, ending.fence));
        durable.then_some(ending.fence)
    }
}
