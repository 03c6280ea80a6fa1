//! A journal in memory: the reference for the others.

use std::collections::{BTreeMap, HashMap};

use leasehold_engine::{Changes, Ending, Fence, Lease, Limit, LimitId, Snapshot, Timestamp};

use crate::{CommitError, Journal, LoadError};

/// Stores rows in memory, for tests and simulations.
#[derive(Clone, Debug, Default)]
pub struct MemoryJournal {
    at: Timestamp,
    next_fence: Fence,
    limits: BTreeMap<LimitId, Limit>,
    leases: BTreeMap<Fence, Lease>,
    endings: HashMap<Fence, Ending>,
}

impl MemoryJournal {
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut endings: Vec<_> = self.endings.values().cloned().collect();
        endings.sort_by_key(|ending| (ending.at, ending.fence));
        Snapshot {
            at: self.at,
            next_fence: self.next_fence,
            limits: self.limits.values().cloned().collect(),
            leases: self.leases.values().cloned().collect(),
            endings,
        }
    }
}

impl Journal for MemoryJournal {
    fn load(&mut self) -> Result<Snapshot, LoadError> {
        Ok(self.snapshot())
    }

    fn commit(&mut self, changes: &Changes) -> Result<(), CommitError> {
        self.at = changes.at;
        self.next_fence = changes.next_fence;
        if let Some(resume) = changes.resumed {
            let deadlines = self.leases.values_mut().filter_map(|lease| lease.deadline.as_mut());
            for deadline in deadlines.filter(|deadline| **deadline > resume.after) {
                *deadline = *deadline + resume.by;
            }
        }
        for id in &changes.deleted_limits {
            self.limits.remove(id);
        }
        for limit in &changes.limits {
            self.limits.insert(limit.id, limit.clone());
        }
        for fence in &changes.ended {
            self.leases.remove(fence);
        }
        for lease in &changes.leases {
            self.leases.insert(lease.fence, lease.clone());
        }
        for ending in &changes.endings {
            self.endings.insert(ending.fence, ending.clone());
        }
        for fence in &changes.forgotten {
            self.endings.remove(fence);
        }
        Ok(())
    }
}
