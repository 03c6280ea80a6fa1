//! Commands: everything that a ledger can be asked to do.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::decay::Rate;
use crate::holder::Holder;
use crate::lease::{LeaseId, Notes, RequestDigest};
use crate::limit::LimitId;
use crate::origin::{Identified, Origin};
use crate::ticket::{Departure, Ticket, WaiterId};
use crate::time::{Span, Timestamp};

/// One command. Each has its own variant of [`Outcome`](crate::Outcome).
#[derive(Clone, Debug)]
pub enum Command {
    /// Creates a limit.
    CreateLimit(CreateLimit),
    /// Creates the limit of a tag, or changes its slots if it exists.
    PutTagLimit {
        /// The id of the limit if it is created.
        id: LimitId,
        /// Its full name, `tag:` included.
        name: Arc<str>,
        /// How many slots it has from now on.
        slots: u64,
    },
    /// Changes what a patch names, and nothing else.
    UpdateLimit {
        /// Which limit.
        limit: LimitRef,
        /// What to change.
        patch: LimitPatch,
    },
    /// An operator's reset: `slots` slots are taken afterwards. Leases are revoked, oldest first,
    /// until they hold no more than that; slots without a lease make up the rest.
    ResetLimit {
        /// Which limit.
        limit: LimitRef,
        /// How many slots are to be taken.
        slots: u64,
        /// The reason that holders of revoked leases get.
        reason: Option<Arc<str>>,
    },
    /// An operator's reset of a tag: all its slots are freed, then each of `holders` gets one, even
    /// beyond the limit. A lease that is on other limits, too, keeps those.
    ResetTag {
        /// The limit's full name, `tag:` included.
        name: Arc<str>,
        /// The holders from now on, each with the id of its lease. Ids of live leases are skipped.
        holders: Vec<(LeaseId, Holder)>,
        /// The reason that holders of revoked leases get.
        reason: Option<Arc<str>>,
    },
    /// Deletes a limit. Leases lose this limit and keep their others.
    DeleteLimit {
        /// Which limit.
        limit: LimitRef,
        /// Where to look for it. Among tags, leases that held nothing else are revoked. Among all
        /// limits, those with a deadline stay without slots, so that their holders' renewals
        /// succeed.
        scope: Scope,
    },
    /// Takes slots.
    Acquire(Acquire),
    /// Returns slots that were taken without a lease; at most as many as are taken.
    GiveBack(GiveBack),
    /// Releases the named tags, and no others, that this holder holds.
    ReleaseTags {
        /// The limits' full names, `tag:` included.
        names: Vec<Arc<str>>,
        /// The holder.
        holder: Holder,
    },
    /// Moves a lease's deadline to `ttl` from now.
    Renew {
        /// Which lease.
        lease: LeaseId,
        /// How long it lives from now on.
        ttl: Span,
    },
    /// Moves the deadlines of many leases to `ttl` from now: those of one process, at once.
    RenewMany {
        /// Which leases.
        leases: Vec<LeaseId>,
        /// How long they live from now on.
        ttl: Span,
    },
    /// Ends a lease at its holder's request, and frees what it holds.
    Release {
        /// Which lease.
        lease: LeaseId,
    },
    /// Releases a lease whose grant did not reach its holder, unless the holder has asked again since
    /// and was answered this lease.
    TakeBack {
        /// Which lease.
        lease: LeaseId,
    },
    /// An operator takes a lease away.
    Revoke {
        /// Which lease.
        lease: LeaseId,
        /// The reason that its holder gets.
        reason: Option<Arc<str>>,
        /// The operator's name, for its holder.
        by: Option<Arc<str>>,
    },
    /// The client of a waiting request hung up.
    Abandon(WaiterId),
    /// Refuses all waiting requests.
    SendWaitersAway(Departure),
    /// Ends leases of a holder that is known to be gone: its run is over, or its process gives no
    /// sign of life. Without leases it changes nothing (defect D07).
    Repossess {
        /// The holder.
        holder: Holder,
        /// Whether leases with a deadline end, too: their holder proves by each renewal that it
        /// lives, and without renewals they end by themselves.
        with_deadline: bool,
        /// How it is known.
        evidence: Arc<str>,
    },
    /// Records in which runs a lease was asked for, as its client's own event says.
    Identify {
        /// Which lease.
        lease: LeaseId,
        /// The runs.
        identified: Arc<Identified>,
    },
    /// Reads, and changes nothing.
    Read(Query),
    /// Lets time pass: overdue leases expire.
    Tick,
}

/// How a limit is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitRef {
    /// By its id.
    Id(LimitId),
    /// By its full name.
    Name(Arc<str>),
}

/// Among which limits a command looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All limits, those of tags included.
    All,
    /// The limits of tags.
    Tags,
}

/// A limit to create.
#[derive(Clone, Debug)]
pub struct CreateLimit {
    /// Its id.
    pub id: LimitId,
    /// Its name; unique.
    pub name: Arc<str>,
    /// How many slots it has.
    pub slots: u64,
    /// Whether it limits anything.
    pub active: bool,
    /// How fast taken slots drain.
    pub decay: Rate,
    /// How many slots are taken without a lease from the start.
    pub unleased: u64,
    /// How many slots were refused before.
    pub denied_slots: u64,
}

/// Changes of a limit. `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct LimitPatch {
    /// A new name; unique.
    pub name: Option<Arc<str>>,
    /// A new number of slots.
    pub slots: Option<u64>,
    /// Active or not.
    pub active: Option<bool>,
    /// A new rate of decay.
    pub decay: Option<Rate>,
    /// How many slots are taken at most. It only lowers the slots without a lease, and the level of
    /// a rate limit: its sender may have read the number long ago, so it never takes a slot, and live
    /// leases stay (contract C16).
    pub taken_max: Option<u64>,
    /// A new number of slots refused.
    pub denied_slots: Option<u64>,
}

/// Slots wanted on one limit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Want {
    /// The limit's full name.
    pub name: Arc<str>,
    /// How many slots.
    pub slots: u64,
}

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
    /// By a lease without a deadline, for a holder that cannot renew. A limit that this holder holds
    /// is not taken again (contract C5).
    Holder {
        /// The lease's id.
        id: LeaseId,
        /// Its holder.
        holder: Holder,
    },
    /// Without a lease: only [`Command::GiveBack`], decay or a reset frees the slots. The same number
    /// on each limit.
    Unleased,
}

impl CreateLimit {
    /// An active limit with all its slots free, and without decay.
    pub fn new(id: LimitId, name: impl Into<Arc<str>>, slots: u64) -> Self {
        let (decay, unleased, denied_slots) = (Rate::NONE, 0, 0);
        Self { id, name: name.into(), slots, active: true, decay, unleased, denied_slots }
    }
}

impl Patience {
    /// Waits with priority 0, and has no place yet.
    pub fn new(waiter: WaiterId, until: Timestamp) -> Self {
        Self { waiter, until, priority: 0, place: None }
    }
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

/// A query. It changes nothing.
#[derive(Clone, Debug)]
pub enum Query {
    /// One limit.
    Limit(LimitRef, Scope),
    /// A page of limits in the order of their names.
    Limits(Scope, Page),
    /// The leases on a limit, oldest first.
    Leases(LimitRef, Page),
    /// The leases on a limit, oldest first, and then its slots without a lease.
    Held(LimitRef, Page),
    /// All leases that match, oldest first.
    FindLeases(LeaseFilter, Page),
    /// One lease.
    Lease(LeaseId),
    /// The waiting requests for a limit, the next one first.
    Waiters(LimitRef, Page),
    /// Those of these names that no limit has, though a limit has nearly the same name.
    Near(Vec<Arc<str>>),
    /// All holders of leases, in order.
    Holders,
}

/// Which leases. `None` matches all.
#[derive(Clone, Debug, Default)]
pub struct LeaseFilter {
    /// The name of a limit on which they are.
    pub limit: Option<Arc<str>>,
    /// The kind of their holders.
    pub holder_kind: Option<Arc<str>>,
    /// The id of their holders.
    pub holder_id: Option<Arc<str>>,
}

/// Which part of a list.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// How many to leave out first.
    pub offset: usize,
    /// How many at the most.
    pub limit: usize,
}
