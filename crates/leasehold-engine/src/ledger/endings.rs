//! How the last leases ended that their holders did not give back themselves.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use crate::lease::{Ending, Fence, LeaseId};

/// A bounded memory of endings; the oldest is forgotten first.
#[derive(Debug, Default)]
pub(super) struct Endings {
    order: VecDeque<LeaseId>,
    by_lease: FxHashMap<LeaseId, Ending>,
}

impl Endings {
    pub(super) fn get(&self, lease: LeaseId) -> Option<&Ending> {
        self.by_lease.get(&lease)
    }

    /// All of them, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Ending> {
        self.order.iter().filter_map(|lease| self.by_lease.get(lease))
    }

    /// Remembers one more. If that is one too many, answers the one forgotten for it.
    pub(super) fn remember(&mut self, ending: Ending, max: usize) -> Option<Fence> {
        self.order.push_back(ending.lease);
        self.by_lease.insert(ending.lease, ending);
        if self.order.len() <= max {
            return None;
        }
        let oldest = self.order.pop_front()?;
        self.by_lease.remove(&oldest).map(|ending| ending.fence)
    }

    /// Forgets how a lease ended: its id lives again.
    pub(super) fn forget(&mut self, lease: LeaseId) -> Option<Fence> {
        self.by_lease.remove(&lease).map(|ending| ending.fence)
    }
}
