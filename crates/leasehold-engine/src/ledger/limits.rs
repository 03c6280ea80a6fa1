//! Limits are added, settled and removed.

use super::Ledger;
use super::entries::LimitEntry;
use crate::decay::Level;
use crate::event::EventKind;
use crate::lease::{Fence, LeaseId};
use crate::limit::{Limit, LimitId};
use crate::query::{LimitRef, Scope};

impl Ledger {
    pub(crate) fn find(&self, limit: &LimitRef, scope: Scope) -> Option<LimitId> {
        let id = match limit {
            LimitRef::Id(id) => *id,
            LimitRef::Name(name) => *self.names.get(name)?,
        };
        let entry = self.limits.get(&id)?;
        (scope == Scope::All || entry.limit.tag().is_some()).then_some(id)
    }

    /// The entry of a limit to change, settled. It becomes part of the next changes.
    ///
    /// Settling applies the decay up to now: slots without a lease drain first, then those of the
    /// oldest lease. Only then can a lease release exactly what has not drained yet.
    pub(crate) fn settle(&mut self, id: LimitId) -> Option<&mut LimitEntry> {
        let Self { limits, leases, pending, now, queue, .. } = self;
        let entry = limits.get_mut(&id)?;
        queue.touch(id);
        entry.touch(*now, pending);
        let mut drained = entry.limit.decay.drained(entry.limit.settled, *now);
        entry.limit.settled = *now;
        let unleased = entry.limit.unleased.level();
        entry.limit.unleased.drain(drained.min(unleased));
        drained = drained.saturating_sub(unleased).min(entry.leased);
        while drained > Level::ZERO {
            let Some((&fence, lease)) = entry.leases.range(entry.drained_before..).next() else {
                break;
            };
            if let Some(lease_entry) = leases.get_mut(lease)
                && let Some(holding) =
                    lease_entry.lease.holdings.iter_mut().find(|holding| holding.limit == id)
            {
                let from_lease = drained.min(holding.level);
                holding.level -= from_lease;
                entry.leased -= from_lease;
                drained -= from_lease;
                if holding.level > Level::ZERO {
                    lease_entry.touch(pending);
                    break;
                }
                if from_lease > Level::ZERO {
                    lease_entry.touch(pending);
                }
            }
            entry.drained_before = Fence(fence.0 + 1);
        }
        Some(entry)
    }

    pub(crate) fn insert_limit(&mut self, limit: Limit) {
        let id = limit.id;
        self.names.insert(limit.name.clone(), id);
        let mut entry = LimitEntry::new(limit);
        entry.touch(self.now, &mut self.pending);
        let made = Box::new(entry.limit.clone());
        self.limits.insert(id, entry);
        self.emit_for_limit(EventKind::LimitCreated(made), id);
    }

    pub(crate) fn remove_limit(&mut self, id: LimitId) -> Option<LimitEntry> {
        let gone = Box::new(self.limits.get(&id)?.limit.clone());
        self.emit_for_limit(EventKind::LimitDeleted(gone), id);
        let entry = self.limits.remove(&id)?;
        self.names.remove(&entry.limit.name);
        self.pending.deleted_limits.push(id);
        self.queue.touch(id);
        Some(entry)
    }

    /// The leases on a limit, oldest first.
    pub(crate) fn leases_on(&self, limit: LimitId) -> Vec<LeaseId> {
        self.limits
            .get(&limit)
            .map_or_else(Vec::new, |entry| entry.leases.values().copied().collect())
    }
}
