//! What happened in a step, for whoever keeps a record of it. Nothing here is needed to decide
//! anything, and nothing of it is made durable with the ledger.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::holder::Holder;
use crate::lease::{How, Lease, LeaseId};
use crate::ledger::Ledger;
use crate::limit::LimitId;
use crate::queue::Waiter;
use crate::time::{Span, Timestamp};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Happening {
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: What,
    /// The names of the limits that it happened on.
    pub limits: SmallVec<[Arc<str>; 1]>,
    /// The lease that it happened to; of a request that waits, the lease that it asks for.
    pub lease: Option<LeaseId>,
    /// Who held that or waits, if they said so.
    pub holder: Option<Holder>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A limit was made.
    LimitCreated,
    /// A limit was changed or reset.
    LimitChanged,
    /// A limit was deleted.
    LimitDeleted,
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
    /// A request joined the line of each of these limits.
    Queued,
    /// A request left the line, and no lease that was granted to it tells so.
    Left(Departure),
}

/// Why a request left the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// It got its slots, without a lease: with one, that is told as [`What::Granted`].
    Served,
    /// Whoever sent it is gone.
    HungUp,
    /// It has waited for as long as it wanted to.
    OutOfPatience,
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
    pub(crate) fn happened_to_limit(&mut self, what: What, limit: LimitId) {
        let limits = self.name_of(limit).into_iter().collect();
        self.happened.push(Happening { at: self.now, what, limits, lease: None, holder: None });
    }

    pub(crate) fn happened_to_lease(&mut self, what: What, lease: &Lease) {
        let limits: Names =
            lease.holdings.iter().filter_map(|held| self.name_of(held.limit)).collect();
        self.happened_on(what, limits, lease);
    }

    /// A lease lost one of its limits, and is told of as it was before.
    pub(crate) fn happened_on_limit(&mut self, what: What, limit: LimitId, lease: LeaseId) {
        let limits = self.name_of(limit).into_iter().collect();
        if let Some(lease) = self.lease(lease).cloned() {
            self.happened_on(what, limits, &lease);
        }
    }

    fn happened_on(&mut self, what: What, limits: Names, lease: &Lease) {
        self.happened.push(Happening {
            at: self.now,
            what,
            limits,
            lease: Some(lease.id),
            holder: lease.holder.clone(),
        });
    }

    pub(crate) fn happened_in_line(&mut self, what: What, waiter: &Waiter) {
        let limits = waiter.wanted.iter().filter_map(|want| self.name_of(want.limit)).collect();
        let hold = &waiter.acquire.hold;
        let (lease, holder) = (hold.lease(), hold.holder().cloned());
        self.happened.push(Happening { at: self.now, what, limits, lease, holder });
    }

    fn name_of(&self, limit: LimitId) -> Option<Arc<str>> {
        self.rooms.get(&limit).map(|room| room.limit.name.clone())
    }
}
