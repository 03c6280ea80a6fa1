//! Requests for slots: which slots, how they are held, and how a request waits for them.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::holder::Holder;
use crate::lease::{LeaseId, Notes, RequestDigest};
use crate::origin::Origin;
use crate::ticket::{Ticket, WaiterId};
use crate::time::{Span, Timestamp};

/// A request for slots: it gets all of them or none.
#[derive(Clone, Debug)]
pub struct Acquire {
    /// The limits. A limit that is named twice counts once.
    pub wants: SmallVec<[Want; 1]>,
    /// What the limits are used for.
    pub mode: Mode,
    /// How the slots are held.
    pub hold: Hold,
    /// What to do about unknown names.
    pub missing: Missing,
    /// How it waits if it cannot be granted at once. `None`: it does not.
    pub patience: Option<Patience>,
    /// Where the request comes from, if it is known. No rule depends on it.
    pub origin: Option<Arc<Origin>>,
}

/// Slots wanted on one limit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Want {
    /// The limit's full name.
    pub name: Arc<str>,
    /// How many slots.
    pub slots: u64,
}

/// How a request waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Identifies the request in [`Step::answered`](crate::Step).
    pub waiter: WaiterId,
    /// Until when it waits. With no time to wait, its refusal has a place to come back to.
    pub until: Timestamp,
    /// Higher goes first.
    pub priority: i32,
    /// The place that an earlier refusal gave it.
    pub place: Option<Ticket>,
}

/// What happens to a request that names limits which do not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Missing {
    /// These limits are skipped.
    Skip,
    /// The request is refused with their names, also if they are deleted while it waits.
    Refuse,
}

/// What limits are used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// At most so many at once. Any limit will do.
    Concurrency,
    /// At most so many per second: each limit must have decay.
    RateLimit,
}

/// How slots are held.
#[derive(Clone, Debug)]
pub enum Hold {
    /// By a lease with a deadline. If a live lease has this id, that lease is the answer. With a
    /// digest of the request in the notes, the id stands for an idempotency key: see
    /// [`Repeated`](crate::Repeated).
    Lease {
        /// The lease's id.
        id: LeaseId,
        /// Its holder, if the request names one.
        holder: Option<Holder>,
        /// How long it lives unless it is renewed.
        ttl: Span,
        /// What else the request says of it.
        notes: Option<Arc<Notes>>,
    },
    /// By a lease without a deadline, for a holder that cannot renew. A limit that this holder
    /// holds is not taken again (contract C5).
    Holder {
        /// The lease's id.
        id: LeaseId,
        /// Its holder.
        holder: Holder,
    },
    /// Without a lease: only `Command::GiveBack`, decay or a reset frees the slots. The same
    /// number on each limit.
    Unleased,
}

impl Acquire {
    /// A request that skips unknown names and does not wait, for any limits.
    pub fn new<Name: Into<Arc<str>>>(
        wants: impl IntoIterator<Item = (Name, u64)>,
        hold: Hold,
    ) -> Self {
        let want = |(name, slots): (Name, u64)| Want { name: name.into(), slots };
        Self {
            wants: wants.into_iter().map(want).collect(),
            mode: Mode::Concurrency,
            hold,
            missing: Missing::Skip,
            patience: None,
            origin: None,
        }
    }

    /// The parties for which a request waits: its holder, and the runs in which it is made.
    pub(crate) fn parties(&self) -> SmallVec<[Holder; 1]> {
        let holder = self.hold.holder();
        let runs = self.origin.iter().flat_map(|origin| origin.runs());
        holder.cloned().into_iter().chain(runs.filter(|run| Some(run) != holder)).collect()
    }
}

impl Patience {
    /// Waits with priority 0, and has no place yet.
    pub fn new(waiter: WaiterId, until: Timestamp) -> Self {
        Self { waiter, until, priority: 0, place: None }
    }
}

impl Hold {
    /// A lease with a deadline, without a holder or notes.
    pub fn for_ttl(id: LeaseId, ttl: Span) -> Self {
        Self::Lease { id, holder: None, ttl, notes: None }
    }

    /// The lease that will hold the slots.
    pub fn lease(&self) -> Option<LeaseId> {
        match self {
            Self::Lease { id, .. } | Self::Holder { id, .. } => Some(*id),
            Self::Unleased => None,
        }
    }

    /// The holder, if the request names one.
    pub fn holder(&self) -> Option<&Holder> {
        match self {
            Self::Lease { holder, .. } => holder.as_ref(),
            Self::Holder { holder, .. } => Some(holder),
            Self::Unleased => None,
        }
    }

    /// The holder, if it cannot hold a limit twice.
    pub(crate) fn only_once(&self) -> Option<&Holder> {
        match self {
            Self::Holder { holder, .. } => Some(holder),
            Self::Lease { .. } | Self::Unleased => None,
        }
    }

    /// The notes of the lease.
    pub(crate) fn notes(&self) -> Option<&Arc<Notes>> {
        match self {
            Self::Lease { notes, .. } => notes.as_ref(),
            Self::Holder { .. } | Self::Unleased => None,
        }
    }

    /// The lease that stands for the request's idempotency key, and the request's digest.
    pub(crate) fn key(&self) -> Option<(LeaseId, RequestDigest)> {
        match self {
            Self::Lease { id, notes: Some(notes), .. } => Some((*id, notes.request?)),
            Self::Lease { .. } | Self::Holder { .. } | Self::Unleased => None,
        }
    }
}

/// Slots to return that were taken without a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GiveBack {
    /// The limits' full names.
    pub names: SmallVec<[Arc<str>; 1]>,
    /// How many slots on each.
    pub slots: u64,
    /// For how long they were held, if it is known.
    pub occupancy: Option<Span>,
}
