//! The ledger: all state, and `step`, the only way it changes.
//!
//! This module keeps the books: which lease holds what, who holds which leases, which
//! deadline comes next, and what has changed. The rules that use them are in `admission`
//! (who gets slots), `expiry` (who loses them), `limits` and `tags` (what operators do).

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use rustc_hash::{FxBuildHasher, FxHashMap};
use smallvec::SmallVec;

use crate::changes::{Changes, Resume, Snapshot};
use crate::command::{Command, LimitRef, Scope};
use crate::decay::Level;
use crate::holder::Holder;
use crate::lease::{Ending, Fence, How, Lease, LeaseId};
use crate::limit::{Limit, LimitId};
use crate::outcome::{Gone, Outcome};
use crate::time::{Span, Timestamp};

/// All limits and leases. Changes by [`Ledger::step`] alone.
#[derive(Debug)]
pub struct Ledger {
    pub(crate) now: Timestamp,
    pub(crate) rooms: FxHashMap<LimitId, Room>,
    pub(crate) names: BTreeMap<Arc<str>, LimitId>,
    leases: FxHashMap<LeaseId, Entry>,
    deadlines: BTreeSet<(Timestamp, LeaseId)>,
    by_holder: BTreeMap<Holder, SmallVec<[LeaseId; 1]>>,
    endings: Endings,
    next_fence: Fence,
    pending: Pending,
}

/// What a step did.
#[derive(Debug)]
pub struct Step {
    /// What became of the command.
    pub outcome: Outcome,
    /// The leases that were found past their deadline, before the command was looked at.
    pub expired: Vec<LeaseId>,
}

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
    dirty: bool,
}

#[derive(Debug)]
struct Entry {
    lease: Lease,
    dirty: bool,
    durable: bool,
}

/// Which rows changes will be made of.
#[derive(Debug, Default)]
struct Pending {
    resumed: Option<Resume>,
    deleted_limits: Vec<LimitId>,
    limits: Vec<LimitId>,
    ended: Vec<Fence>,
    leases: Vec<LeaseId>,
    endings: Vec<LeaseId>,
    forgotten: Vec<Fence>,
}

/// The last endings of leases that their holders did not give back themselves.
#[derive(Debug, Default)]
struct Endings {
    order: VecDeque<LeaseId>,
    by_lease: FxHashMap<LeaseId, Ending>,
}

impl Ledger {
    /// How many endings are remembered.
    pub const ENDINGS_MAX: usize = 10_000;

    /// The ledger that a journal kept, at `now`, after a time in which nobody was there.
    ///
    /// A lease that was alive when the server was last known to be up has the time left that
    /// it had then: nobody could renew it in between. One that had run out by then is dead.
    /// Rate limits have drained meanwhile, as the time has passed.
    pub fn restore(snapshot: Snapshot, now: Timestamp) -> Self {
        let mut ledger = Self {
            now: now.max(snapshot.at),
            // No lease has token 0: who guards a resource can begin there.
            next_fence: snapshot.next_fence.max(Fence(1)),
            rooms: HashMap::with_capacity_and_hasher(snapshot.limits.len(), FxBuildHasher),
            names: BTreeMap::new(),
            leases: HashMap::with_capacity_and_hasher(snapshot.leases.len(), FxBuildHasher),
            deadlines: BTreeSet::new(),
            by_holder: BTreeMap::new(),
            endings: Endings::default(),
            pending: Pending::default(),
        };
        let downtime = ledger.now.since(snapshot.at);
        for limit in snapshot.limits {
            ledger.names.insert(limit.name.clone(), limit.id);
            ledger.rooms.insert(limit.id, Room::new(limit));
        }
        for mut lease in snapshot.leases {
            if let Some(deadline) = lease.deadline.as_mut()
                && *deadline > snapshot.at
            {
                *deadline = *deadline + downtime;
            }
            ledger.enter(Entry { lease, dirty: false, durable: true });
        }
        for ending in snapshot.endings {
            ledger.endings.order.push_back(ending.lease);
            ledger.endings.by_lease.insert(ending.lease, ending);
        }
        if downtime > Span::ZERO && !ledger.deadlines.is_empty() {
            ledger.pending.resumed = Some(Resume { after: snapshot.at, by: downtime });
        }
        ledger
    }

    /// Does what a command asks, at a point in time. Time never runs backwards here: an
    /// earlier `now` counts as the latest that was seen.
    pub fn step(&mut self, command: Command, now: Timestamp) -> Step {
        self.now = self.now.max(now);
        let expired = self.expire();
        let outcome = match command {
            Command::CreateLimit(create) => Outcome::Created(self.create_limit(create)),
            Command::PutTagLimit { id, name, slots } => {
                Outcome::Created(self.put_tag_limit(id, &name, slots))
            }
            Command::UpdateLimit { limit, patch } => {
                Outcome::Updated(self.update_limit(&limit, patch))
            }
            Command::ResetLimit { limit, slots, reason } => {
                Outcome::Updated(self.reset_limit(&limit, slots, reason.as_ref()))
            }
            Command::ResetTag { name, holders, reason } => {
                Outcome::Updated(self.reset_tag(&name, holders, reason.as_ref()))
            }
            Command::DeleteLimit { limit, scope } => {
                Outcome::Deleted(self.delete_limit(&limit, scope))
            }
            Command::Acquire(acquire) => Outcome::Acquired(self.acquire(acquire)),
            Command::GiveBack(give_back) => Outcome::GivenBack(self.give_back(&give_back)),
            Command::ReleaseTags { names, holder } => {
                Outcome::GivenBack(self.release_tags(&names, &holder))
            }
            Command::Renew { lease, ttl } => Outcome::Renewed(self.renew(lease, ttl)),
            Command::Release { lease } => Outcome::Ended(self.release(lease)),
            Command::Revoke { lease, reason } => Outcome::Ended(self.revoke(lease, reason)),
            Command::Read(query) => self.read(query),
            Command::Tick => Outcome::Ticked,
        };
        Step { outcome, expired }
    }

    /// When the next lease dies unless it is renewed.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
    }

    /// The latest time that the ledger has seen.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// How many leases there are.
    pub fn lease_count(&self) -> usize {
        self.leases.len()
    }

    /// How many limits there are.
    pub fn limit_count(&self) -> usize {
        self.rooms.len()
    }

    /// Takes what has changed since the last time, to make it durable.
    pub fn take_changes(&mut self) -> Changes {
        let pending = std::mem::take(&mut self.pending);
        let mut changes = Changes {
            at: self.now,
            next_fence: self.next_fence,
            resumed: pending.resumed,
            deleted_limits: pending.deleted_limits,
            ended: pending.ended,
            forgotten: pending.forgotten,
            ..Changes::default()
        };
        for id in pending.limits {
            if let Some(room) = self.rooms.get_mut(&id).filter(|room| room.dirty) {
                room.dirty = false;
                changes.limits.push(room.limit.clone());
            }
        }
        for id in pending.leases {
            if let Some(entry) = self.leases.get_mut(&id).filter(|entry| entry.dirty) {
                entry.dirty = false;
                entry.durable = true;
                changes.leases.push(entry.lease.clone());
            }
        }
        for id in pending.endings {
            changes.endings.extend(self.endings.by_lease.get(&id).cloned());
        }
        changes
    }

    /// Everything there is, as a journal would give it back.
    pub fn snapshot(&self) -> Snapshot {
        let mut limits: Vec<_> = self.rooms.values().map(|room| room.limit.clone()).collect();
        limits.sort_by_key(|limit| limit.id);
        let mut leases: Vec<_> = self.leases.values().map(|entry| entry.lease.clone()).collect();
        leases.sort_by_key(|lease| lease.fence);
        let endings = self.endings.order.iter().filter_map(|id| self.endings.by_lease.get(id));
        Snapshot {
            at: self.now,
            next_fence: self.next_fence,
            limits,
            leases,
            endings: endings.cloned().collect(),
        }
    }

    // The books: what the rules are written with.

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

    /// The room of a limit to be changed, settled; it is among the next changes.
    ///
    /// Settling applies the decay up to now: what nobody holds drains first, then the oldest
    /// lease. Only then can a lease give back exactly what has not drained yet.
    pub(crate) fn settled_room(&mut self, id: LimitId) -> Option<&mut Room> {
        let Self { rooms, leases, pending, now, .. } = self;
        let room = rooms.get_mut(&id)?;
        room.touch(*now, pending);
        let mut drained = room.limit.decay.drained(room.limit.settled, *now);
        room.limit.settled = *now;
        let from_unleased = drained.min(room.limit.unleased);
        room.limit.unleased -= from_unleased;
        drained = drained.saturating_sub(from_unleased).min(room.leased);
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
        self.rooms.insert(id, room);
    }

    pub(crate) fn remove_limit(&mut self, id: LimitId) -> Option<Room> {
        let room = self.rooms.remove(&id)?;
        self.names.remove(&room.limit.name);
        self.pending.deleted_limits.push(id);
        Some(room)
    }

    /// Puts a lease that was just granted into the books. Its limits are settled.
    pub(crate) fn insert_lease(&mut self, lease: Lease) {
        debug_assert!(!self.leases.contains_key(&lease.id), "{:?} exists", lease.id);
        if let Some(ending) = self.endings.by_lease.remove(&lease.id) {
            self.pending.forgotten.push(ending.fence);
        }
        let mut entry = Entry { lease, dirty: false, durable: false };
        entry.touch(&mut self.pending);
        self.enter(entry);
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
        let ending = Ending { lease: lease.id, fence: lease.fence, at: self.now, how };
        self.pending.endings.push(lease.id);
        self.endings.order.push_back(lease.id);
        self.endings.by_lease.insert(lease.id, ending);
        while self.endings.order.len() > Self::ENDINGS_MAX {
            let oldest = self.endings.order.pop_front();
            if let Some(ending) = oldest.and_then(|id| self.endings.by_lease.remove(&id)) {
                self.pending.forgotten.push(ending.fence);
            }
        }
    }

    pub(crate) fn gone(&self, id: LeaseId) -> Gone {
        Gone(self.endings.by_lease.get(&id).cloned())
    }

    /// The lease that is first past its deadline.
    pub(crate) fn first_overdue(&self) -> Option<LeaseId> {
        let &(deadline, id) = self.deadlines.first()?;
        (deadline <= self.now).then_some(id)
    }

    fn enter(&mut self, entry: Entry) {
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
        self.leases.insert(lease.id, entry);
    }
}

impl Room {
    fn new(limit: Limit) -> Self {
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
        (self.leased + self.limit.unleased).saturating_sub(drained)
    }

    /// Lets every lease be drained again, from the oldest on.
    pub(crate) fn refill(&mut self) {
        self.drained_before = Fence(0);
    }

    fn touch(&mut self, now: Timestamp, pending: &mut Pending) {
        self.limit.updated = now;
        if !self.dirty {
            self.dirty = true;
            pending.limits.push(self.limit.id);
        }
    }
}

impl Entry {
    fn touch(&mut self, pending: &mut Pending) {
        if !self.dirty {
            self.dirty = true;
            pending.leases.push(self.lease.id);
        }
    }
}
