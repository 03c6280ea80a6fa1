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
    by_lease: FxHashMap<LeaseId, Ending>,
}

impl Endings {
    pub(super) fn get(&self, lease: LeaseId) -> Option<&Ending> {
        self.by_lease.get(&lease)
    }

    /// All of them, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Ending> {
        self.order.values().filter_map(|lease| self.by_lease.get(lease))
    }

    /// Remembers one more. If that is one too many, answers the one forgotten for it.
    pub(super) fn remember(&mut self, ending: Ending, max: usize) -> Option<Fence> {
        self.order.insert((ending.at, ending.fence), ending.lease);
        self.by_lease.insert(ending.lease, ending);
        if self.order.len() <= max {
            return None;
        }
        let (_, oldest) = self.order.pop_first()?;
        self.by_lease.remove(&oldest).map(|ending| ending.fence)
    }

    /// Forgets how a lease ended: its id lives again.
    pub(super) fn forget(&mut self, lease: LeaseId) -> Option<Fence> {
        let ending = self.by_lease.remove(&lease)?;
        self.order.remove(&(ending.at, ending.fence));
        Some(ending.fence)
    }
}
