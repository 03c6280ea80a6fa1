//! The ledger: all limits, leases and waiting requests, with the indices that find them.
//!
//! `limits` and `leases` add, change and remove entries, and keep every index in step with them.
//! The rules change a ledger by these functions alone.

mod by_age;
mod downtime;
mod emit;
mod endings;
mod entries;
mod leases;
mod limits;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use rustc_hash::{FxBuildHasher, FxHashMap};
use smallvec::SmallVec;

use self::by_age::LeasesByAge;
use self::endings::Endings;
pub(crate) use self::entries::LimitEntry;
use self::entries::{LeaseEntry, Pending};
use crate::changes::{Changes, Resume, Snapshot, Totals};
use crate::event::Event;
use crate::holder::Holder;
use crate::lease::{EndReason, Fence, Lease, LeaseId};
use crate::limit::{Limit, LimitId};
use crate::queue::Queue;
use crate::time::{Span, Timestamp};

/// All limits, leases and waiting requests. Changes by [`Ledger::step`] alone.
#[derive(Debug)]
pub struct Ledger {
    pub(crate) now: Timestamp,
    /// The time of the current step. A timer of the ledger may have been due before: then `now` is
    /// that earlier time. But a lease's time begins here, for its holder is answered only now.
    pub(crate) stepped_at: Timestamp,
    pub(crate) limits: FxHashMap<LimitId, LimitEntry>,
    pub(crate) names: BTreeMap<Arc<str>, LimitId>,
    leases: FxHashMap<LeaseId, LeaseEntry>,
    deadlines: BTreeSet<(Timestamp, LeaseId)>,
    by_holder: BTreeMap<Holder, SmallVec<[LeaseId; 1]>>,
    pub(crate) by_age: LeasesByAge,
    endings: Endings,
    /// Released leases. Not durable: a holder that asks again does so soon.
    releases: Endings,
    next_fence: Fence,
    pending: Pending,
    pub(crate) queue: Queue,
    /// The events of the current step.
    pub(crate) events: Vec<Event>,
}

impl Ledger {
    /// How many endings are remembered, and as many releases.
    pub const ENDINGS_MAX: usize = 10_000;
    /// Half of the integers that a double holds exactly: 2⁵² more tokens are still exact.
    const FENCE_OF_CLOCK_MAX: u64 = 1 << 52;

    /// The ledger that a journal kept, at `now`, after a downtime.
    ///
    /// A lease that was alive when the server was last known to be up has the time left that it had
    /// then: its holder could not renew it in between. A lease that had run out by then is dead.
    /// Rate limits have drained during the downtime.
    ///
    /// A journal that is ahead of `now` was written by a wrong clock: everything in it moves back,
    /// so that the ledger's time is the clock's again.
    pub fn restore(mut snapshot: Snapshot, now: Timestamp) -> Self {
        let ahead = snapshot.at.since(now);
        snapshot.set_back(ahead);
        let mut ledger = Self {
            now,
            stepped_at: now,
            // No lease has token 0: a guarded resource can begin there.
            next_fence: snapshot.next_fence.max(Fence(1)),
            limits: HashMap::with_capacity_and_hasher(snapshot.limits.len(), FxBuildHasher),
            names: BTreeMap::new(),
            leases: HashMap::with_capacity_and_hasher(snapshot.leases.len(), FxBuildHasher),
            deadlines: BTreeSet::new(),
            by_holder: BTreeMap::new(),
            by_age: LeasesByAge::default(),
            endings: Endings::default(),
            releases: Endings::default(),
            pending: Pending::default(),
            queue: Queue::default(),
            events: Vec::new(),
        };
        let downtime = ledger.now.since(snapshot.at);
        for limit in snapshot.limits {
            ledger.names.insert(limit.name.clone(), limit.id);
            ledger.limits.insert(limit.id, LimitEntry::new(limit));
        }
        for mut lease in snapshot.leases {
            if let Some(deadline) = lease.deadline.as_mut()
                && *deadline > snapshot.at
            {
                *deadline = *deadline + downtime;
            }
            ledger.enter(LeaseEntry::new(lease, true));
        }
        for ending in snapshot.endings {
            let forgotten = ledger.endings.remember(ending, true, Self::ENDINGS_MAX);
            ledger.pending.forgotten.extend(forgotten);
        }
        if ahead > Span::ZERO {
            ledger.touch_everything();
        }
        if downtime > Span::ZERO && !ledger.deadlines.is_empty() {
            ledger.pending.resumed = Some(Resume { after: snapshot.at, by: downtime });
        }
        ledger
    }

    /// Raises the next fencing token to a clock's microseconds, if these are greater: at the start
    /// of a server, before its first grant.
    ///
    /// A journal that was restored from a backup, or copied, does not know the tokens that were
    /// granted after it was written. Each start goes on from the time, and each grant takes the
    /// next number. So an earlier token can be greater only if more than 10⁶ tokens a second were
    /// granted, or if the clock went back. Times after 2112 are ignored, so that a token stays
    /// exact as a JSON number.
    pub fn raise_fences(&mut self, now: Timestamp) {
        let micros = u64::try_from(now.as_micros()).unwrap_or(0);
        self.next_fence = self.next_fence.max(Fence(micros.min(Self::FENCE_OF_CLOCK_MAX)));
    }

    /// Drops what did not become durable: the ledger is again as a journal kept it. The queue is
    /// empty. Neither a ticket nor a fencing token is given out twice, though the journal may not
    /// know the tokens of this start.
    pub fn reload(&mut self, snapshot: Snapshot, now: Timestamp) {
        let queue = self.queue.emptied();
        let next_fence = self.next_fence.max(snapshot.next_fence);
        *self = Self { queue, next_fence, ..Self::restore(snapshot, now) };
    }

    /// When the next timer is due: a deadline passes, a rate limit has drained enough for a waiter,
    /// or a waiter's time is over.
    pub fn next_wake_up(&self) -> Option<Timestamp> {
        self.next_deadline().into_iter().chain(self.queue.next_wake_up()).min()
    }

    /// The next deadline of a lease.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
    }

    /// The ledger's time.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// All limits, in no order.
    pub fn limits(&self) -> impl Iterator<Item = &Limit> {
        self.limits.values().map(|entry| &entry.limit)
    }

    /// All leases that have not ended, in no order.
    pub fn leases(&self) -> impl Iterator<Item = &Lease> {
        self.leases.values().map(|entry| &entry.lease)
    }

    /// How many leases there are.
    pub fn lease_count(&self) -> usize {
        self.leases.len()
    }

    /// How many limits there are.
    pub fn limit_count(&self) -> usize {
        self.limits.len()
    }

    /// Takes what has changed since the last call, to make it durable.
    pub fn take_changes(&mut self) -> Changes {
        let pending = std::mem::take(&mut self.pending);
        let mut changes = Changes {
            at: self.now,
            next_fence: self.next_fence,
            totals: Totals { limits: self.limits.len() as u64, leases: self.leases.len() as u64 },
            resumed: pending.resumed,
            deleted_limits: pending.deleted_limits,
            ended: pending.ended,
            forgotten: pending.forgotten,
            ..Changes::default()
        };
        for id in pending.limits {
            if let Some(entry) = self.limits.get_mut(&id).filter(|entry| entry.dirty) {
                entry.dirty = false;
                changes.limits.push(entry.limit.clone());
            }
        }
        for id in pending.leases {
            if let Some(lease_entry) =
                self.leases.get_mut(&id).filter(|lease_entry| lease_entry.dirty)
            {
                lease_entry.dirty = false;
                lease_entry.durable = true;
                changes.leases.push(lease_entry.lease.clone());
            }
        }
        // While more leases expire than fit into one commit, their endings get no rows yet: most of
        // these would be forgotten before the last lease has expired.
        let is_behind = self.now < self.stepped_at;
        for id in pending.endings {
            let expired =
                self.endings.get(id).is_some_and(|ending| ending.how == EndReason::Expired);
            if is_behind && expired {
                self.pending.endings.push(id);
            } else {
                changes.endings.extend(self.endings.take(id));
            }
        }
        changes
    }

    /// The durable state, as a journal would load it.
    pub fn snapshot(&self) -> Snapshot {
        let mut limits: Vec<_> = self.limits.values().map(|entry| entry.limit.clone()).collect();
        limits.sort_by_key(|limit| limit.id);
        let mut leases: Vec<_> =
            self.leases.values().map(|lease_entry| lease_entry.lease.clone()).collect();
        leases.sort_by_key(|lease| lease.fence);
        Snapshot {
            at: self.now,
            next_fence: self.next_fence,
            limits,
            leases,
            endings: self.endings.iter().cloned().collect(),
        }
    }
}
