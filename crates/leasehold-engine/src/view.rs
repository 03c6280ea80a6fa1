//! Views: limits, leases and waiting requests as they are at a moment.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::decay::Rate;
use crate::holder::Holder;
use crate::lease::{Lease, Notes};
use crate::limit::{Limit, MinimalLimit};
use crate::origin::Origin;
use crate::refusal::{Blocker, StuckOn};
use crate::ticket::Ticket;
use crate::time::Timestamp;
use crate::unleased::{Unheld, Unleased};

/// A limit as it is at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitView {
    /// The limit.
    pub limit: Limit,
    /// How many of its slots are taken: leased, unleased, or counted by another server.
    pub taken: u64,
    /// Those of them that no lease holds. Unlike those in `limit`, they have drained until now.
    pub unleased: Unleased,
    /// When the oldest of its leases was granted.
    pub oldest_lease: Option<Timestamp>,
    /// How many requests wait for it.
    pub waiting: usize,
    /// Since when the oldest of them waits.
    pub oldest_waiter: Option<Timestamp>,
    /// The holders of its leases, oldest first. Only for limits of tags.
    pub holders: Vec<Holder>,
}

/// A page of what holds the slots of a limit: leases, oldest first, then the slots without a lease,
/// and last those that another server counts.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldView {
    /// The limit.
    pub limit: MinimalLimit,
    /// How fast its slots drain.
    pub decay: Rate,
    /// The leases.
    pub leases: Vec<LeaseView>,
    /// The slots without a lease, by what took them.
    pub unleased: Vec<Unheld>,
    /// The slots that another server counts as taken, as one entry. 0 if there are none, or if they
    /// are not on this page.
    pub foreign: u64,
}

/// A lease as it is at a moment, with the names of its limits.
#[derive(Clone, Debug, PartialEq)]
pub struct LeaseView {
    /// The lease.
    pub lease: Lease,
    /// The names of the limits in `lease.holdings`, in their order.
    pub names: Vec<Arc<str>>,
}

/// A waiting request as it is at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct WaiterView {
    /// Its place.
    pub ticket: Ticket,
    /// Higher goes first.
    pub priority: i32,
    /// Its holder, if it has one.
    pub holder: Option<Holder>,
    /// How many slots it wants of the limit in question.
    pub slots: u64,
    /// Since when it waits.
    pub since: Timestamp,
    /// The limits that keep it from running.
    pub blockers: SmallVec<[Blocker; 1]>,
    /// The leases that it is stuck on.
    pub stuck: Vec<StuckOn>,
    /// The notes of the lease that it asks for.
    pub notes: Option<Arc<Notes>>,
    /// Where the request came from, if it is known.
    pub origin: Option<Arc<Origin>>,
}
