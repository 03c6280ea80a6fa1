//! The entries of a ledger: limits and leases are added, changed and removed here, together with
//! every index and with what becomes durable.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use super::Ledger;
use crate::changes::Resume;
use crate::command::{LimitRef, Scope};
use crate::decay::Level;
use crate::event::EventKind;
use crate::holder::Holder;
use crate::lease::{EndReason, Ending, Fence, Lease, LeaseId};
use crate::limit::{Limit, LimitId};
use crate::outcome::Gone;
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
    drained_before: Fence,
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
    asked_again: bool,
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

impl Ledger {
    pub(crate) fn find(&self, limit: &LimitRef, scope: Scope) -> Option<LimitId> {
        let id = match limit {
            LimitRef::Id(id) => *id,
            LimitRef::Name(name) => *self.names.get(name)?,
        };
        let entry = self.limits.get(&id)?;
        (scope == Scope::All || entry.limit.tag().is_some()).then_some(id)
    }

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

    /// The leases on a limit, oldest first.
    pub(crate) fn leases_on(&self, limit: LimitId) -> Vec<LeaseId> {
        self.limits
            .get(&limit)
            .map_or_else(Vec::new, |entry| entry.leases.values().copied().collect())
    }

    pub(crate) fn holders(&self) -> impl Iterator<Item = &Holder> {
        self.by_holder.keys()
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

    /// Removes one limit from a lease, which keeps its others, and frees what it held there. Returns
    /// whether the lease is empty now.
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
        self.emit_for_lease(EventKind::Ended(how.clone()), lease);
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

    /// What is taken at `now`, with and without a lease.
    pub(crate) fn occupied(&self, now: Timestamp) -> Level {
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
        if excess > self.occupied(now) { None } else { self.limit.decay.time_to_drain(excess) }
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
