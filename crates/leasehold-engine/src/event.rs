//! Events: what happened in a step, for logs and subscribers. No rule reads them, and they are not
//! part of the ledger's durable state.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::holder::Holder;
use crate::lease::{EndReason, LeaseId};
use crate::limit::Limit;
use crate::origin::Origin;
use crate::refusal::StuckOn;
use crate::ticket::Departure;
use crate::time::{Span, Timestamp};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub kind: EventKind,
    /// The names of the limits that it happened on.
    pub limits: SmallVec<[Arc<str>; 1]>,
    /// The lease that it happened to. For a waiting request: the lease that it asks for.
    pub lease: Option<LeaseId>,
    /// When that lease was granted. `None` for a waiting request.
    pub granted: Option<Timestamp>,
    /// The holder of that lease or request, if it has one.
    pub holder: Option<Holder>,
    /// Where the request for that lease came from, if it is known.
    pub origin: Option<Arc<Origin>>,
    /// The partners of the lease, if the lease ended: see [`Lease`](crate::Lease).
    pub partners: Vec<LeaseId>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum EventKind {
    /// A limit was created.
    LimitCreated(Box<Limit>),
    /// A limit was changed. If its name changed, the event names both the old and the new name.
    LimitChanged {
        /// The limit before.
        was: Box<Limit>,
        /// The limit now.
        is: Box<Limit>,
    },
    /// An operator set how many slots of a limit are taken. Each lease that lost slots by this has
    /// an event of its own.
    LimitReset {
        /// How many slots are taken now, those that another server counts included.
        taken: u64,
        /// How many slots are taken without a lease.
        unleased: u64,
        /// The limit now, if the reset was part of an edit.
        edited: Option<Box<Limit>>,
    },
    /// A limit was deleted. The event has its last state.
    LimitDeleted(Box<Limit>),
    /// A lease was granted.
    Granted,
    /// A lease was renewed when little of its time was left.
    RenewedLate {
        /// The time that was left.
        left: Span,
    },
    /// A holder released a lease, or some of its limits.
    Released,
    /// A lease ended, and not by its holder's release.
    Ended(EndReason),
    /// A lease lost one of its limits, perhaps its only one, and not by its holder's release.
    Lost(Loss),
    /// The limit of a lease was renamed. This event has the old name: the lease holds it no more.
    MovedOut {
        /// The new name.
        to: Arc<str>,
    },
    /// The limit of a lease was renamed. This event has the new name: the lease holds it now.
    MovedIn {
        /// The old name.
        from: Arc<str>,
    },
    /// Slots were taken without a lease. Rate limits have no such event: their slots drain.
    Taken {
        /// How many slots.
        slots: u64,
        /// How many slots are taken without a lease now.
        unleased: u64,
    },
    /// Slots that had been taken without a lease were returned.
    GivenBack {
        /// How many slots.
        slots: u64,
        /// How many slots are still taken without a lease.
        unleased: u64,
    },
    /// A request joined the lines of these limits.
    Queued,
    /// A waiting request cannot be granted as long as these leases live: see [`StuckOn`]. Emitted
    /// once for each request.
    Stuck(Vec<StuckOn>),
    /// A request left the queue without being granted a lease.
    Left(Departure),
}

/// Why a lease lost one of its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loss {
    /// An operator reset the limit.
    Reset {
        /// Why, if a reason was given.
        reason: Option<Arc<str>>,
    },
    /// The limit was deleted.
    Deleted,
}
