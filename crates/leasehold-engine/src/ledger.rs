//! The ledger: all state, and `step`, the only way it changes.
//!
//! `books` keeps the books: which lease holds what, who holds which leases, which deadline
//! comes next, and what has changed. The rules that use them are in `admission` (who gets
//! slots), `expiry` (who loses them), `limits` and `tags` (what operators do).

mod books;
mod downtime;
mod endings;
mod roll;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use rustc_hash::{FxBuildHasher, FxHashMap};
use smallvec::SmallVec;

pub(crate) use self::books::Room;
use self::books::{Entry, Pending};
use self::endings::Endings;
use self::roll::Roll;
use crate::changes::{Changes, Resume, Snapshot, Totals};
use crate::command::Command;
use crate::event::Event;
use crate::holder::Holder;
use crate::lease::{Fence, How, LeaseId};
use crate::limit::LimitId;
use crate::outcome::Outcome;
use crate::queue::{Answered, Queue};
use crate::time::{Span, Timestamp};

/// All limits and leases. Changes by [`Ledger::step`] alone.
#[derive(Debug)]
pub struct Ledger {
    pub(crate) now: Timestamp,
    /// When the step is taken that is under way. What happens by itself happened before; but
    /// whoever is granted a lease learns of it only now, and has its full time from now on.
    pub(crate) looked: Timestamp,
    pub(crate) rooms: FxHashMap<LimitId, Room>,
    pub(crate) names: BTreeMap<Arc<str>, LimitId>,
    leases: FxHashMap<LeaseId, Entry>,
    deadlines: BTreeSet<(Timestamp, LeaseId)>,
    by_holder: BTreeMap<Holder, SmallVec<[LeaseId; 1]>>,
    pub(crate) roll: Roll,
    endings: Endings,
    /// Leases that were given back. Not durable: a holder that asks again does so soon.
    releases: Endings,
    next_fence: Fence,
    pending: Pending,
    pub(crate) queue: Queue,
    /// In the step that is under way.
    pub(crate) events: Vec<Event>,
}

/// What a step did.
#[derive(Debug)]
pub struct Step {
    /// What became of the command.
    pub outcome: Outcome,
    /// The leases that were found past their deadline, before the command was looked at.
    pub expired: Vec<LeaseId>,
    /// The requests whose wait is over.
    pub answered: Vec<Answered>,
    /// What happened, in order: for whoever keeps a record.
    pub events: Vec<Event>,
    /// How often somebody who waits was looked at: what the line costs, apart from any clock.
    pub looks: usize,
}

impl Ledger {
    /// How many endings are remembered, and how many releases beside them.
    pub const ENDINGS_MAX: usize = 10_000;
    /// Half of the integers that a double holds exactly: 2⁵² more tokens are still exact.
    const FENCE_OF_CLOCK_MAX: u64 = 1 << 52;

    /// The ledger that a journal kept, at `now`, after a time in which nobody was there.
    ///
    /// A lease that was alive when the server was last known to be up has the time left that
    /// it had then: nobody could renew it in between. One that had run out by then is dead.
    /// Rate limits have drained meanwhile, as the time has passed.
    ///
    /// A journal that is ahead of `now` was written by a clock that was wrong: everything in it
    /// moves back, so that the ledger's time is the clock's again.
    pub fn restore(mut snapshot: Snapshot, now: Timestamp) -> Self {
        let ahead = snapshot.at.since(now);
        snapshot.set_back(ahead);
        let mut ledger = Self {
            now,
            looked: now,
            // No lease has token 0: who guards a resource can begin there.
            next_fence: snapshot.next_fence.max(Fence(1)),
            rooms: HashMap::with_capacity_and_hasher(snapshot.limits.len(), FxBuildHasher),
            names: BTreeMap::new(),
            leases: HashMap::with_capacity_and_hasher(snapshot.leases.len(), FxBuildHasher),
            deadlines: BTreeSet::new(),
            by_holder: BTreeMap::new(),
            roll: Roll::default(),
            endings: Endings::default(),
            releases: Endings::default(),
            pending: Pending::default(),
            queue: Queue::default(),
            events: Vec::new(),
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
            ledger.enter(Entry::new(lease, true));
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

    /// Lets fencing tokens go on from a clock's microseconds, if these are greater: at the start
    /// of a server, before its first grant.
    ///
    /// A journal that was restored from a backup, or copied, does not know the tokens that were
    /// granted after it was written. Each start goes on from the time, and each grant takes the next
    /// number: so an earlier token is greater than the time now only if more than 10⁶ tokens a second
    /// were granted, or if the clock is behind the one from which those went on. Times after 2112 are
    /// not believed, so that a token stays exact as a JSON number.
    pub fn raise_fences(&mut self, now: Timestamp) {
        let micros = u64::try_from(now.as_micros()).unwrap_or(0);
        self.next_fence = self.next_fence.max(Fence(micros.min(Self::FENCE_OF_CLOCK_MAX)));
    }

    /// Forgets what did not become durable: everything is again as a journal kept it. Nobody waits
    /// any longer, and no place in line is taken twice. No token is granted twice either, though
    /// the journal may know nothing of this start.
    pub fn reload(&mut self, snapshot: Snapshot, now: Timestamp) {
        let queue = self.queue.emptied();
        let next_fence = self.next_fence.max(snapshot.next_fence);
        *self = Self { queue, next_fence, ..Self::restore(snapshot, now) };
    }

    /// Does what a command asks, at a point in time. Time never runs backwards here: an
    /// earlier `now` counts as the latest that was seen.
    pub fn step(&mut self, command: Command, now: Timestamp) -> Step {
        self.looked = self.now.max(now);
        // Whoever is gone is gone before time passes: nothing that came free is theirs any more.
        let gone = self.take_out_of_line(&command);
        let mut answered = Vec::new();
        let expired = self.pass_until(self.looked, &mut answered);
        // Whoever waits for what has come free by now was here before this command.
        answered.extend(self.serve_lines());
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
            Command::RenewMany { leases, ttl } => {
                Outcome::RenewedMany(self.renew_many(&leases, ttl))
            }
            Command::Release { lease } => Outcome::Ended(self.release(lease)),
            Command::TakeBack { lease } => Outcome::TakenBack(self.take_back(lease)),
            Command::Revoke { lease, reason, by } => Outcome::Ended(self.revoke(lease, reason, by)),
            Command::Repossess { holder, with_deadline, evidence } => {
                Outcome::Repossessed(self.repossess(&holder, with_deadline, &evidence))
            }
            Command::Identify { lease, identified } => {
                Outcome::Identified(self.identify(lease, identified))
            }
            Command::Read(query) => self.read(query),
            Command::Abandon(_) | Command::SendWaitersAway(_) => {
                self.left_the_line(&gone);
                Outcome::Ticked
            }
            Command::Tick => Outcome::Ticked,
        };
        answered.extend(self.serve_lines());
        let (events, looks) = (std::mem::take(&mut self.events), self.queue.take_looks());
        Step { outcome, expired, answered, events, looks }
    }

    /// When something happens by itself next: a lease dies, a rate limit has drained enough for
    /// somebody who waits, or somebody has waited long enough.
    pub fn next_wake_up(&self) -> Option<Timestamp> {
        self.next_deadline().into_iter().chain(self.queue.next_wake_up()).min()
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
            totals: Totals { limits: self.rooms.len() as u64, leases: self.leases.len() as u64 },
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
        // As long as more leases end than fit, those that merely expired are not worth a row each:
        // most will be forgotten by the time that the last has ended.
        let is_behind = self.now < self.looked;
        for id in pending.endings {
            let expired = self.endings.get(id).is_some_and(|ending| ending.how == How::Expired);
            if is_behind && expired {
                self.pending.endings.push(id);
            } else {
                changes.endings.extend(self.endings.take(id));
            }
        }
        changes
    }

    /// Everything there is, as a journal would give it back.
    pub fn snapshot(&self) -> Snapshot {
        let mut limits: Vec<_> = self.rooms.values().map(|room| room.limit.clone()).collect();
        limits.sort_by_key(|limit| limit.id);
        let mut leases: Vec<_> = self.leases.values().map(|entry| entry.lease.clone()).collect();
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
