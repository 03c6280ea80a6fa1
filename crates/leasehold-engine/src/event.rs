//! What happened in a step, for whoever keeps a record of it. Nothing here is needed to decide
//! anything, and nothing of it is made durable with the ledger.

use std::cmp::Ordering;
use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use crate::admission::Wanted;
use crate::decay::Level;
use crate::holder::Holder;
use crate::lease::{How, Lease, LeaseId};
use crate::ledger::Ledger;
use crate::limit::{Limit, LimitId};
use crate::origin::Origin;
use crate::outcome::StuckOn;
use crate::queue::Waiter;
use crate::time::{Span, Timestamp};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: EventKind,
    /// The names of the limits that it happened on.
    pub limits: SmallVec<[Arc<str>; 1]>,
    /// The lease that it happened to; of a request that waits, the lease that it asks for.
    pub lease: Option<LeaseId>,
    /// Who held that or waits, if they said so.
    pub holder: Option<Holder>,
    /// Where the request for that lease came from, if it is known.
    pub origin: Option<Arc<Origin>>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum EventKind {
    /// A limit was made.
    LimitCreated(Box<Limit>),
    /// A limit was changed. With another name than before, that is told under both.
    LimitChanged {
        /// The limit as it was.
        was: Box<Limit>,
        /// The limit as it is.
        is: Box<Limit>,
    },
    /// An operator said how many slots of a limit are taken; what leases lost by it is told
    /// of each of them.
    LimitReset {
        /// How many are taken now.
        taken: u64,
        /// How many of these no lease holds.
        unleased: u64,
        /// The limit, if that was said as an edit of it.
        edited: Option<Box<Limit>>,
    },
    /// A limit was deleted. It is told as it was.
    LimitDeleted(Box<Limit>),
    /// A lease was granted.
    Granted,
    /// A lease was renewed when hardly any of its time was left.
    RenewedLate {
        /// The time that was left.
        left: Span,
    },
    /// A lease was given back, or some of its limits.
    Released,
    /// A lease ended that its holder did not give back.
    Ended(How),
    /// A lease lost one of its limits, perhaps its only one, and its holder gave nothing back.
    Lost(Loss),
    /// The limit of a lease was renamed. Told under the old name: there it is held no longer.
    MovedOut {
        /// The new name.
        to: Arc<str>,
    },
    /// The limit of a lease was renamed. Told under the new name: there it is held now.
    MovedIn {
        /// The old name.
        from: Arc<str>,
    },
    /// Slots were taken without a lease. Not told of a limit that drains: there nobody holds them.
    Taken {
        /// How many.
        slots: u64,
        /// How many are taken so now.
        unleased: u64,
    },
    /// Slots were given back that had been taken without a lease.
    GivenBack {
        /// How many.
        slots: u64,
        /// How many are still taken so.
        unleased: u64,
    },
    /// A request joined the line of each of these limits.
    Queued,
    /// A request in line waits in vain for these leases: see [`StuckOn`]. Told once of each.
    Stuck(Vec<StuckOn>),
    /// A request left the line, and no lease that was granted to it tells so.
    Left(Departure),
}

/// Why a lease lost one of its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loss {
    /// An operator reset it.
    Reset {
        /// Why, if it was said.
        reason: Option<Arc<str>>,
    },
    /// It was deleted.
    Deleted,
}

/// Why a request left the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// It got its slots, without a lease: with one, that is told as [`EventKind::Granted`].
    Served,
    /// Whoever sent it is gone.
    HungUp,
    /// It has waited for as long as it wanted to.
    OutOfPatience,
    /// It was sent away to come back to its place, and did not.
    NotBack,
    /// Its limits have changed: it cannot be granted any longer.
    LimitsChanged,
    /// The ledger stops serving.
    Stopping,
    /// The journal failed, and everybody's place was lost.
    JournalFailed,
}

/// What is on a lease's limits happens to all of them at once.
type Names = SmallVec<[Arc<str>; 1]>;

impl Ledger {
    pub(crate) fn emit_for_limit(&mut self, kind: EventKind, limit: LimitId) {
        let limits = self.name_of(limit).into_iter().collect();
        self.events.push(Event {
            at: self.now,
            kind,
            limits,
            lease: None,
            holder: None,
            origin: None,
        });
    }

    /// Slots that no lease holds were taken or given back; `before` of them were taken then.
    pub(crate) fn emit_unleased_change(&mut self, limit: LimitId, before: Level) {
        let room = self.rooms.get(&limit).filter(|room| room.limit.decay.is_none());
        let Some(unleased) = room.map(|room| room.limit.unleased.slots_taken()) else { return };
        let before = before.slots_taken();
        let kind = match unleased.cmp(&before) {
            Ordering::Greater => EventKind::Taken { slots: unleased - before, unleased },
            Ordering::Less => EventKind::GivenBack { slots: before - unleased, unleased },
            Ordering::Equal => return,
        };
        self.emit_for_limit(kind, limit);
    }

    /// A limit is not what it was. Whoever holds it under a new name holds the old one no longer.
    pub(crate) fn emit_limit_change(&mut self, was: Limit) {
        let Some(is) = self.rooms.get(&was.id).map(|room| room.limit.clone()) else { return };
        if was == is {
            return;
        }
        let (id, from, to) = (was.id, was.name.clone(), is.name.clone());
        let is_renamed = from != to;
        let mut limits: Names = smallvec![from.clone()];
        limits.extend(is_renamed.then(|| to.clone()));
        let kind = EventKind::LimitChanged { was: Box::new(was), is: Box::new(is) };
        self.events.push(Event {
            at: self.now,
            kind,
            limits,
            lease: None,
            holder: None,
            origin: None,
        });
        for lease in is_renamed.then(|| self.leases_on(id)).into_iter().flatten() {
            self.emit_under(EventKind::MovedOut { to: to.clone() }, from.clone(), lease);
            self.emit_under(EventKind::MovedIn { from: from.clone() }, to.clone(), lease);
        }
    }

    /// A lease that holds nothing is nobody's answer to "who held it": what becomes of it is not
    /// told.
    pub(crate) fn emit_for_lease(&mut self, kind: EventKind, lease: &Lease) {
        let limits: Names =
            lease.holdings.iter().filter_map(|held| self.name_of(held.limit)).collect();
        if !limits.is_empty() {
            self.emit_on(kind, limits, lease);
        }
    }

    /// A lease lost one of its limits, and is told of as it was before.
    pub(crate) fn emit_for_lease_on(&mut self, kind: EventKind, limit: LimitId, lease: LeaseId) {
        if let Some(name) = self.name_of(limit) {
            self.emit_under(kind, name, lease);
        }
    }

    fn emit_under(&mut self, kind: EventKind, name: Arc<str>, lease: LeaseId) {
        if let Some(lease) = self.lease(lease).cloned() {
            self.emit_on(kind, smallvec![name], &lease);
        }
    }

    fn emit_on(&mut self, kind: EventKind, limits: Names, lease: &Lease) {
        self.events.push(Event {
            at: self.now,
            kind,
            limits,
            lease: Some(lease.id),
            holder: lease.holder.clone(),
            origin: lease.origin.clone(),
        });
    }

    pub(crate) fn emit_for_waiter(&mut self, kind: EventKind, waiter: &Waiter) {
        // A limit that is deleted has no name any more, but the request still says it.
        let asked_for = |want: &Wanted| {
            let asked = waiter.acquire.wants.get(want.nth)?;
            Some(asked.name.clone())
        };
        let names =
            waiter.wanted.iter().filter_map(|it| self.name_of(it.limit).or_else(|| asked_for(it)));
        let limits = names.collect();
        let hold = &waiter.acquire.hold;
        let (lease, holder) = (hold.lease(), hold.holder().cloned());
        let origin = waiter.acquire.origin.clone();
        self.events.push(Event { at: self.now, kind, limits, lease, holder, origin });
    }

    fn name_of(&self, limit: LimitId) -> Option<Arc<str>> {
        self.rooms.get(&limit).map(|room| room.limit.name.clone())
    }
}
