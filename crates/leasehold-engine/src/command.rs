//! What comes in: everything that can be asked of a ledger.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::decay::Rate;
use crate::event::Departure;
use crate::holder::Holder;
use crate::lease::{LeaseId, Notes, RequestDigest};
use crate::limit::LimitId;
use crate::origin::{Identified, Origin};
use crate::queue::{Ticket, WaiterId};
use crate::time::{Span, Timestamp};

/// One thing asked of the ledger. Each has its own variant of [`Outcome`](crate::Outcome).
#[derive(Clone, Debug)]
pub enum Command {
    /// Makes a limit.
    CreateLimit(CreateLimit),
    /// Makes the limit of a tag, or changes the slots of the one there is.
    PutTagLimit {
        /// The id of the limit, should it be made.
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
    /// An operator's reset: exactly `slots` slots are taken afterwards, if leases can be cut
    /// that fine. Leases are revoked, oldest first, until no more than that are held; slots
    /// that no lease holds make up the rest.
    ResetLimit {
        /// Which limit.
        limit: LimitRef,
        /// How many slots are to be taken.
        slots: u64,
        /// What the holders of revoked leases are told.
        reason: Option<Arc<str>>,
    },
    /// An operator's reset of a tag: everything on it is freed, then each of `holders` gets
    /// one slot, even beyond the limit. Leases on other limits too lose this one alone.
    ResetTag {
        /// The limit's full name, `tag:` included.
        name: Arc<str>,
        /// Who holds the tag from now on, and under which lease. An id that is a live lease's
        /// already is skipped.
        holders: Vec<(LeaseId, Holder)>,
        /// What the holders of revoked leases are told.
        reason: Option<Arc<str>>,
    },
    /// Deletes a limit. Leases lose this limit and keep their others.
    DeleteLimit {
        /// Which limit.
        limit: LimitRef,
        /// Where to look for it. On a tag, leases that held nothing else are revoked; else
        /// those with a deadline live on empty, so that their holders' renewals succeed.
        scope: Scope,
    },
    /// Takes slots.
    Acquire(Acquire),
    /// Gives back slots that were taken without a lease; at most what there is.
    GiveBack(GiveBack),
    /// Gives back the tags named, and no others, that this holder holds.
    ReleaseTags {
        /// The limits' full names, `tag:` included.
        names: Vec<Arc<str>>,
        /// Who gives them back.
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
    /// Gives back everything that a lease holds.
    Release {
        /// Which lease.
        lease: LeaseId,
    },
    /// A lease was granted, and its holder never heard of it: gives back what it holds, unless the
    /// holder has asked again meanwhile and was told that it has it.
    TakeBack {
        /// Which lease.
        lease: LeaseId,
    },
    /// An operator takes a lease away.
    Revoke {
        /// Which lease.
        lease: LeaseId,
        /// What its holder is told.
        reason: Option<Arc<str>>,
        /// Who does it, as its holder is told.
        by: Option<Arc<str>>,
    },
    /// Whoever sent a request that waits is gone.
    Abandon(WaiterId),
    /// Nobody waits any longer.
    SendWaitersAway(Departure),
    /// Ends leases of a holder that is known to be gone: its run is over, or its process gives
    /// no sign of life. Without leases it changes nothing (defect D07).
    Repossess {
        /// Who is gone.
        holder: Holder,
        /// Whether leases with a deadline end too: they would end by themselves, and their
        /// holder proves by each renewal that it lives.
        with_deadline: bool,
        /// From what it is known.
        evidence: Arc<str>,
    },
    /// The client's own event says in which runs it asked for a lease.
    Identify {
        /// Which lease.
        lease: LeaseId,
        /// The runs.
        identified: Arc<Identified>,
    },
    /// Looks, and changes nothing.
    Read(Query),
    /// Nothing but that time has passed: what is due expires.
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

/// Which limits a command is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of them, those of tags included.
    All,
    /// Those of tags only.
    Tags,
}

/// The limit to make.
#[derive(Clone, Debug)]
pub struct CreateLimit {
    /// Its id.
    pub id: LimitId,
    /// Its name; unique.
    pub name: Arc<str>,
    /// How many slots it has.
    pub slots: u64,
    /// Whether it refuses anybody.
    pub active: bool,
    /// How fast taken slots drain.
    pub decay: Rate,
    /// How many slots are taken from the start, by nobody in particular.
    pub unleased: u64,
    /// How many slots were refused before.
    pub denied_slots: u64,
}

/// What to change of a limit; `None` stays as it is.
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
    /// How many slots are to be taken at most. It only lowers what no lease holds, down to nothing,
    /// and the level of a rate limit: who sends it may have read it long ago, so it never takes a
    /// slot that nobody took, and live leases stay (contract C16).
    pub taken_max: Option<u64>,
    /// A new number of slots refused.
    pub denied_slots: Option<u64>,
}

/// Slots wanted on one limit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Want {
    /// The limit's full name. A name that no limit has is skipped.
    pub name: Arc<str>,
    /// How many slots.
    pub slots: u64,
}

/// Slots wanted: all of them, or none.
#[derive(Clone, Debug)]
pub struct Acquire {
    /// On which limits. A limit that is named twice counts once.
    pub wants: SmallVec<[Want; 1]>,
    /// What the limits are used for.
    pub mode: Mode,
    /// How the slots are held.
    pub hold: Hold,
    /// What to do about names that no limit has.
    pub missing: Missing,
    /// How it waits, if it cannot be granted at once. `None`: it is refused.
    pub patience: Option<Patience>,
    /// Where the request comes from, if that is known. No rule depends on it.
    pub origin: Option<Arc<Origin>>,
}

/// How a request waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// What the request is called by when its wait is over.
    pub waiter: WaiterId,
    /// Until when it waits. With no time to wait, its refusal gives it a place to come back to.
    pub until: Timestamp,
    /// Higher goes first.
    pub priority: i32,
    /// A place that it was given at an earlier refusal, to be kept.
    pub place: Option<Ticket>,
}

/// What becomes of a request that names limits which do not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Missing {
    /// They are skipped.
    Skip,
    /// It is refused, and told all of them; also if they are deleted while it waits.
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
    /// By a lease with a deadline. An id that is a live lease's already is answered as that
    /// lease was. With a digest of the request in the notes, the id stands for an idempotency
    /// key: see [`Repeated`](crate::Repeated).
    Lease {
        /// The lease's id.
        id: LeaseId,
        /// Who holds it, if it was said.
        holder: Option<Holder>,
        /// How long it lives unless it is renewed.
        ttl: Span,
        /// What else is said of it.
        notes: Option<Arc<Notes>>,
    },
    /// By a lease without a deadline, for a holder that cannot renew. What this holder holds
    /// already is not taken again (contract C5).
    Holder {
        /// The lease's id.
        id: LeaseId,
        /// Who holds it.
        holder: Holder,
    },
    /// By nobody in particular: slots that only [`Command::GiveBack`], decay or a reset free.
    /// The same number on each limit.
    Unleased,
}

impl Hold {
    /// The lease that holds the slots, once they are granted.
    pub fn lease(&self) -> Option<LeaseId> {
        match self {
            Self::Lease { id, .. } | Self::Holder { id, .. } => Some(*id),
            Self::Unleased => None,
        }
    }

    /// Who holds the slots, if it was said.
    pub fn holder(&self) -> Option<&Holder> {
        match self {
            Self::Lease { holder, .. } => holder.as_ref(),
            Self::Holder { holder, .. } => Some(holder),
            Self::Unleased => None,
        }
    }

    /// Who holds the slots, if it is one who cannot hold a limit twice.
    pub(crate) fn only_once(&self) -> Option<&Holder> {
        match self {
            Self::Holder { holder, .. } => Some(holder),
            Self::Lease { .. } | Self::Unleased => None,
        }
    }

    /// What else is said of the lease.
    pub(crate) fn notes(&self) -> Option<&Arc<Notes>> {
        match self {
            Self::Lease { notes, .. } => notes.as_ref(),
            Self::Holder { .. } | Self::Unleased => None,
        }
    }

    /// The lease that stands for the request's idempotency key, and what is asked for with it.
    pub(crate) fn key(&self) -> Option<(LeaseId, RequestDigest)> {
        match self {
            Self::Lease { id, notes: Some(notes), .. } => Some((*id, notes.request?)),
            Self::Lease { .. } | Self::Holder { .. } | Self::Unleased => None,
        }
    }
}

/// Slots given back that were taken without a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GiveBack {
    /// The limits' full names.
    pub names: SmallVec<[Arc<str>; 1]>,
    /// How many slots on each.
    pub slots: u64,
    /// For how long they were held, if it was said.
    pub occupancy: Option<Span>,
}

/// A question that changes nothing.
#[derive(Clone, Debug)]
pub enum Query {
    /// One limit.
    Limit(LimitRef, Scope),
    /// A page of limits in the order of their names.
    Limits(Scope, Page),
    /// The leases on a limit, oldest first.
    Leases(LimitRef, Page),
    /// What holds the slots of a limit: its leases, oldest first, and then its slots without one.
    Held(LimitRef, Page),
    /// All leases that match, oldest first.
    FindLeases(LeaseFilter, Page),
    /// One lease.
    Lease(LeaseId),
    /// Who waits for a limit, in the order in which they are next.
    Waiters(LimitRef, Page),
    /// Which of these names no limit has, though a limit has nearly the same.
    Near(Vec<Arc<str>>),
    /// Everybody who holds a lease and said who they are, in order.
    Holders,
}

/// Which leases; what is not said does not matter.
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
