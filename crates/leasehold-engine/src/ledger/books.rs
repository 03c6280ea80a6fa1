//! The books of a ledger: what each entry must be beside when it is written, changed or
//! struck out. The rules, in the modules around, see nothing of a lease but through these.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use super::Ledger;
use crate::changes::Resume;
use crate::command::{LimitRef, Scope};
use crate::decay::Level;
use crate::event::EventKind;
use crate::holder::Holder;
use crate::lease::{Ending, Fence, How, Lease, LeaseId};
use crate::limit::{Limit, LimitId};
use crate::outcome::Gone;
use crate::time::{Span, Timestamp};
use crate::unleased::Unleased;

/// A limit and what the leases hold on it.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) limit: Limit,
    /// The sum of what the leases below hold, as it was when the limit was last settled.
    pub(crate) leased: Level,
    /// Oldest first.
    pub(crate) leases: BTreeMap<Fence, LeaseId>,
    /// All leases older than this one have drained to nothing.
    drained_before: Fence,
    pub(super) dirty: bool,
}

/// A lease, and what a journal knows of it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) lease: Lease,
    /// It is among the next changes.
    pub(super) dirty: bool,
    /// It was among changes before: its end will have to be, too.
    pub(super) durable: bool,
    /// Its holder asked for the same again, and was told that it has it.
    asked_again: bool,
}

/// Which rows changes will be made of.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) resumed: Option<Resume>,
    pub(super) deleted_limits: Vec<LimitId>,
    pub(super) limits: Vec<LimitId>,
    pub(super) ended: Vec<Fence>,
    pub(super) leases: Vec<LeaseId>,
    pub(super) endings: Vec<LeaseId>,
    pub(super) forgotten: Vec<Fence>,
    /// How many leases ended by themselves.
    pub(super) expired: usize,
}

impl Ledger {
    pub(crate) fn find(&self, limit: &LimitRef, scope: Scope) -> Option<LimitId> {
        let id = match limit {
            LimitRef::Id(id) => *id,
            LimitRef::Name(name) => *self.names.get(name)?,
        };
        let room = self.rooms.get(&id)?;
        (scope == Scope::All || room.limit.tag().is_some()).then_some(id)
    }

    pub(crate) fn lease(&self, id: LeaseId) -> Option<&Lease> {
        self.leases.get(&id).map(|entry| &entry.lease)
    }

    /// A lease to be changed; it is among the next changes.
    pub(crate) fn lease_mut(&mut self, id: LeaseId) -> Option<&mut Lease> {
        let entry = self.leases.get_mut(&id)?;
        entry.touch(&mut self.pending);
        Some(&mut entry.lease)
    }

    pub(crate) fn leases_of(&self, holder: &Holder) -> &[LeaseId] {
        self.by_holder.get(holder).map_or(&[], |ids| ids)
    }

    pub(crate) fn holders(&self) -> impl Iterator<Item = &Holder> {
        self.by_holder.keys()
    }

    /// The room of a limit to be changed, settled; it is among the next changes.
    ///
    /// Settling applies the decay up to now: what nobody holds drains first, then the oldest
    /// lease. Only then can a lease give back exactly what has not drained yet.
    pub(crate) fn settled_room(&mut self, id: LimitId) -> Option<&mut Room> {
        let Self { rooms, leases, pending, now, queue, .. } = self;
        let room = rooms.get_mut(&id)?;
        queue.touch(id);
        room.touch(*now, pending);
        let mut drained = room.limit.decay.drained(room.limit.settled, *now);
        room.limit.settled = *now;
        let unleased = room.limit.unleased.level();
        room.limit.unleased.drain(drained.min(unleased));
        drained = drained.saturating_sub(unleased).min(room.leased);
        while drained > Level::ZERO {
            let Some((&fence, lease)) = room.leases.range(room.drained_before..).next() else {
                break;
            };
            if let Some(entry) = leases.get_mut(lease)
                && let Some(holding) =
                    entry.lease.holdings.iter_mut().find(|holding| holding.limit == id)
            {
                let from_lease = drained.min(holding.level);
                holding.level -= from_lease;
                room.leased -= from_lease;
                drained -= from_lease;
                if holding.level > Level::ZERO {
                    entry.touch(pending);
                    break;
                }
                if from_lease > Level::ZERO {
                    entry.touch(pending);
                }
            }
            room.drained_before = Fence(fence.0 + 1);
        }
        Some(room)
    }

    pub(crate) fn insert_limit(&mut self, limit: Limit) {
        let id = limit.id;
        self.names.insert(limit.name.clone(), id);
        let mut room = Room::new(limit);
        room.touch(self.now, &mut self.pending);
        let made = Box::new(room.limit.clone());
        self.rooms.insert(id, room);
        self.emit_for_limit(EventKind::LimitCreated(made), id);
    }

    pub(crate) fn remove_limit(&mut self, id: LimitId) -> Option<Room> {
        let gone = Box::new(self.rooms.get(&id)?.limit.clone());
        self.emit_for_limit(EventKind::LimitDeleted(gone), id);
        let room = self.rooms.remove(&id)?;
        self.names.remove(&room.limit.name);
        self.pending.deleted_limits.push(id);
        self.queue.touch(id);
        Some(room)
    }

    /// Puts a lease that was just granted into the books. Its limits are settled.
    pub(crate) fn insert_lease(&mut self, lease: Lease) {
        debug_assert!(!self.leases.contains_key(&lease.id), "{:?} exists", lease.id);
        self.pending.forgotten.extend(self.endings.forget(lease.id));
        self.releases.forget(lease.id);
        self.emit_for_lease(EventKind::Granted, &lease);
        let mut entry = Entry::new(lease, false);
        entry.touch(&mut self.pending);
        self.enter(entry);
    }

    /// A holder has asked for limits that it holds already.
    pub(crate) fn ask_again(&mut self, holder: &Holder, limits: impl Fn(LimitId) -> bool) {
        for id in self.by_holder.get(holder).into_iter().flatten() {
            if let Some(entry) = self.leases.get_mut(id) {
                let held = entry.lease.holdings.iter().any(|holding| limits(holding.limit));
                entry.asked_again |= held;
            }
        }
    }

    pub(crate) fn was_asked_for_again(&self, id: LeaseId) -> bool {
        self.leases.get(&id).is_some_and(|entry| entry.asked_again)
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

    /// Takes a lease out of the books and frees what it holds. Answers it as it was.
    pub(crate) fn remove_lease(&mut self, id: LeaseId) -> Option<Lease> {
        let limits: SmallVec<[LimitId; 1]> =
            self.lease(id)?.holdings.iter().map(|holding| holding.limit).collect();
        for limit in limits {
            self.settled_room(limit);
        }
        let entry = self.leases.remove(&id)?;
        for holding in &entry.lease.holdings {
            if let Some(room) = self.rooms.get_mut(&holding.limit) {
                room.leased -= holding.level;
                room.leases.remove(&entry.lease.fence);
            }
        }
        if let Some(deadline) = entry.lease.deadline {
            self.deadlines.remove(&(deadline, id));
        }
        if let Some(holder) = &entry.lease.holder
            && let Some(ids) = self.by_holder.get_mut(holder)
        {
            ids.retain(|held| *held != id);
            if ids.is_empty() {
                self.by_holder.remove(holder);
            }
        }
        self.roll.remove(&entry.lease);
        if entry.durable {
            self.pending.ended.push(entry.lease.fence);
        }
        Some(entry.lease)
    }

    /// Takes one limit out of a lease, which keeps its others; frees what it held there.
    /// Answers whether the lease is empty now.
    pub(crate) fn remove_holding(&mut self, id: LeaseId, limit: LimitId) -> bool {
        self.settled_room(limit);
        let Some(entry) = self.leases.get_mut(&id) else {
            return false;
        };
        if let Some(at) = entry.lease.holdings.iter().position(|held| held.limit == limit) {
            let holding = entry.lease.holdings.remove(at);
            entry.touch(&mut self.pending);
            if let Some(room) = self.rooms.get_mut(&limit) {
                room.leased -= holding.level;
                room.leases.remove(&entry.lease.fence);
            }
        }
        entry.lease.holdings.is_empty()
    }

    /// Remembers how a lease ended, so that its holder can be told.
    pub(crate) fn remember(&mut self, lease: &Lease, how: How) {
        self.emit_for_lease(EventKind::Ended(how.clone()), lease);
        let ending = Ending { lease: lease.id, fence: lease.fence, at: self.now, how };
        self.pending.endings.push(lease.id);
        self.pending.forgotten.extend(self.endings.remember(ending, false, Self::ENDINGS_MAX));
    }

    /// Remembers that a lease was given back, so that its holder can be told once more.
    pub(crate) fn remember_release(&mut self, lease: &Lease) {
        let (lease, fence) = (lease.id, lease.fence);
        let ending = Ending { lease, fence, at: self.now, how: How::Released };
        self.releases.remember(ending, false, Self::ENDINGS_MAX);
    }

    pub(crate) fn gone(&self, id: LeaseId) -> Gone {
        Gone(self.endings.get(id).or_else(|| self.releases.get(id)).cloned())
    }

    /// How many leases have ended by themselves since the changes were taken.
    pub(crate) fn expired_since_taken(&self) -> usize {
        self.pending.expired
    }

    pub(crate) fn note_expired(&mut self) {
        self.pending.expired += 1;
    }

    /// The lease that dies first unless it is renewed, and when.
    pub(crate) fn first_deadline(&self) -> Option<(Timestamp, LeaseId)> {
        self.deadlines.first().copied()
    }

    pub(super) fn enter(&mut self, entry: Entry) {
        let lease = &entry.lease;
        for holding in &lease.holdings {
            if let Some(room) = self.rooms.get_mut(&holding.limit) {
                room.leased += holding.level;
                room.leases.insert(lease.fence, lease.id);
            }
        }
        if let Some(deadline) = lease.deadline {
            self.deadlines.insert((deadline, lease.id));
        }
        if let Some(holder) = &lease.holder {
            self.by_holder.entry(holder.clone()).or_default().push(lease.id);
        }
        self.roll.add(lease);
        self.leases.insert(lease.id, entry);
    }
}

impl Room {
    pub(super) fn new(limit: Limit) -> Self {
        Self {
            limit,
            leased: Level::ZERO,
            leases: BTreeMap::new(),
            drained_before: Fence(0),
            dirty: false,
        }
    }

    /// What is taken at `now`: slots of leases and slots that no lease holds.
    pub(crate) fn occupied(&self, now: Timestamp) -> Level {
        let drained = self.limit.decay.drained(self.limit.settled, now);
        (self.leased + self.limit.unleased.level()).saturating_sub(drained)
    }

    /// The slots that no lease holds at `now`.
    pub(crate) fn unleased(&self, now: Timestamp) -> Unleased {
        self.limit.unleased.after(self.limit.decay.drained(self.limit.settled, now))
    }

    /// By how much `slots` more would exceed the limit at `now`.
    pub(crate) fn excess(&self, slots: u64, now: Timestamp) -> Level {
        let after = self.occupied(now) + Level::from_slots(slots);
        after.saturating_sub(Level::from_slots(self.limit.slots))
    }

    /// How long it takes until so much has drained. Never, if there is not so much to drain.
    pub(crate) fn time_to_drain(&self, excess: Level, now: Timestamp) -> Option<Span> {
        if excess > self.occupied(now) { None } else { self.limit.decay.time_to_drain(excess) }
    }

    /// Lets every lease be drained again, from the oldest on.
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

impl Entry {
    /// A lease that a journal knows, or not yet.
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
