//! Leases are added, changed and removed, together with every index and with what becomes durable.

use smallvec::SmallVec;

use super::Ledger;
use super::entries::LeaseEntry;
use crate::event::EventKind;
use crate::holder::Holder;
use crate::lease::{EndReason, Ending, Fence, Lease, LeaseId};
use crate::limit::LimitId;
use crate::outcome::Gone;
use crate::time::Timestamp;

impl Ledger {
    pub(crate) fn lease(&self, id: LeaseId) -> Option<&Lease> {
        self.leases.get(&id).map(|lease_entry| &lease_entry.lease)
    }

    /// A lease to change. It becomes part of the next changes.
    pub(crate) fn lease_mut(&mut self, id: LeaseId) -> Option<&mut Lease> {
        let lease_entry = self.leases.get_mut(&id)?;
        lease_entry.touch(&mut self.pending);
        Some(&mut lease_entry.lease)
    }

    pub(crate) fn leases_of(&self, holder: &Holder) -> &[LeaseId] {
        self.by_holder.get(holder).map_or(&[], |ids| ids)
    }

    pub(crate) fn holders(&self) -> impl Iterator<Item = &Holder> {
        self.by_holder.keys()
    }

    /// Adds a lease that was just granted. Its limits are settled.
    pub(crate) fn insert_lease(&mut self, lease: Lease) {
        debug_assert!(!self.leases.contains_key(&lease.id), "{:?} exists", lease.id);
        self.pending.forgotten.extend(self.endings.forget(lease.id));
        self.releases.forget(lease.id);
        self.emit_for_lease(EventKind::Granted, &lease);
        let mut lease_entry = LeaseEntry::new(lease, false);
        lease_entry.touch(&mut self.pending);
        self.enter(lease_entry);
    }

    /// A holder asked for limits that it holds already.
    pub(crate) fn ask_again(&mut self, holder: &Holder, limits: impl Fn(LimitId) -> bool) {
        for id in self.by_holder.get(holder).into_iter().flatten() {
            if let Some(lease_entry) = self.leases.get_mut(id) {
                let held = lease_entry.lease.holdings.iter().any(|holding| limits(holding.limit));
                lease_entry.asked_again |= held;
            }
        }
    }

    pub(crate) fn was_asked_for_again(&self, id: LeaseId) -> bool {
        self.leases.get(&id).is_some_and(|lease_entry| lease_entry.asked_again)
    }

    pub(crate) fn next_fence(&mut self) -> Fence {
        let fence = self.next_fence;
        self.next_fence = Fence(fence.0 + 1);
        fence
    }

    pub(crate) fn set_deadline(&mut self, id: LeaseId, deadline: Timestamp) {
        if let Some(lease) = self.lease_mut(id) {
            let old = lease.deadline.replace(deadline);
            if let Some(old) = old {
                self.deadlines.remove(&(old, id));
            }
            self.deadlines.insert((deadline, id));
        }
    }

    /// Removes a lease and frees what it holds. Returns it as it was.
    pub(crate) fn remove_lease(&mut self, id: LeaseId) -> Option<Lease> {
        let limits: SmallVec<[LimitId; 1]> =
            self.lease(id)?.holdings.iter().map(|holding| holding.limit).collect();
        for limit in limits {
            self.settle(limit);
        }
        let lease_entry = self.leases.remove(&id)?;
        for holding in &lease_entry.lease.holdings {
            if let Some(entry) = self.limits.get_mut(&holding.limit) {
                entry.leased -= holding.level;
                entry.leases.remove(&lease_entry.lease.fence);
            }
        }
        if let Some(deadline) = lease_entry.lease.deadline {
            self.deadlines.remove(&(deadline, id));
        }
        if let Some(holder) = &lease_entry.lease.holder
            && let Some(ids) = self.by_holder.get_mut(holder)
        {
            ids.retain(|held| *held != id);
            if ids.is_empty() {
                self.by_holder.remove(holder);
            }
        }
        self.by_age.remove(&lease_entry.lease);
        if lease_entry.durable {
            self.pending.ended.push(lease_entry.lease.fence);
        }
        Some(lease_entry.lease)
    }

    /// Removes one limit from a lease, which keeps its others, and frees what it held there.
    /// Returns whether the lease is empty now.
    pub(crate) fn remove_holding(&mut self, id: LeaseId, limit: LimitId) -> bool {
        self.settle(limit);
        let Some(lease_entry) = self.leases.get_mut(&id) else {
            return false;
        };
        if let Some(at) = lease_entry.lease.holdings.iter().position(|held| held.limit == limit) {
            let holding = lease_entry.lease.holdings.remove(at);
            lease_entry.touch(&mut self.pending);
            if let Some(entry) = self.limits.get_mut(&limit) {
                entry.leased -= holding.level;
                entry.leases.remove(&lease_entry.lease.fence);
            }
        }
        lease_entry.lease.holdings.is_empty()
    }

    /// Remembers how a lease ended, for its holder's next request.
    pub(crate) fn remember(&mut self, lease: &Lease, how: EndReason) {
        self.emit_end(EventKind::Ended(how.clone()), lease);
        let ending = Ending { lease: lease.id, fence: lease.fence, at: self.now, how };
        self.pending.endings.push(lease.id);
        self.pending.forgotten.extend(self.endings.remember(ending, false, Self::ENDINGS_MAX));
    }

    /// Remembers that a lease was released, for its holder's next request.
    pub(crate) fn remember_release(&mut self, lease: &Lease) {
        let (lease, fence) = (lease.id, lease.fence);
        let ending = Ending { lease, fence, at: self.now, how: EndReason::Released };
        self.releases.remember(ending, false, Self::ENDINGS_MAX);
    }

    pub(crate) fn gone(&self, id: LeaseId) -> Gone {
        Gone(self.endings.get(id).or_else(|| self.releases.get(id)).cloned())
    }

    /// How many leases have expired since the changes were taken.
    pub(crate) fn expired_since_taken(&self) -> usize {
        self.pending.expired
    }

    pub(crate) fn note_expired(&mut self) {
        self.pending.expired += 1;
    }

    /// The first deadline, and its lease.
    pub(crate) fn first_deadline(&self) -> Option<(Timestamp, LeaseId)> {
        self.deadlines.first().copied()
    }

    pub(super) fn enter(&mut self, lease_entry: LeaseEntry) {
        let lease = &lease_entry.lease;
        for holding in &lease.holdings {
            if let Some(entry) = self.limits.get_mut(&holding.limit) {
                entry.leased += holding.level;
                entry.leases.insert(lease.fence, lease.id);
            }
        }
        if let Some(deadline) = lease.deadline {
            self.deadlines.insert((deadline, lease.id));
        }
        if let Some(holder) = &lease.holder {
            self.by_holder.entry(holder.clone()).or_default().push(lease.id);
        }
        self.by_age.add(lease);
        self.leases.insert(lease.id, lease_entry);
    }
}
