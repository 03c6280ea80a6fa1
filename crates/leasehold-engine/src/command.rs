//! Commands: everything that a ledger can be asked to do.

use std::sync::Arc;

use crate::acquire::{Acquire, GiveBack};
use crate::decay::{Level, Rate};
use crate::holder::Holder;
use crate::lease::LeaseId;
use crate::limit::LimitId;
use crate::origin::Identified;
use crate::query::{LimitRef, Query, Scope};
use crate::ticket::{Departure, WaiterId};
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
    /// Takes a limit over from another server: creates it with the id and the values that it has
    /// there, or updates these if the limit is here already.
    Adopt(Adopt),
    /// Carries limits and leases of another server here, at once.
    Import(Box<Import>),
    /// Sets how many slots another server still counts as taken on a limit.
    SetForeign {
        /// Which limit.
        limit: LimitId,
        /// How many slots from now on.
        slots: u64,
    },
    /// Says whether a limit is on its way back to another server. If so, it grants nothing new, and
    /// its waiters are refused, so that they ask again at once.
    SetReturning {
        /// Which limit.
        limit: LimitId,
        /// Whether it is.
        returning: bool,
    },
    /// Sets the leases on another server that live and end with a lease.
    Pair {
        /// Which lease.
        lease: LeaseId,
        /// Its partners from now on.
        partners: Vec<LeaseId>,
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
    /// Releases a lease whose grant did not reach its holder, unless the holder has asked again
    /// since and was answered this lease.
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

/// A limit that another server has.
#[derive(Clone, Debug)]
pub struct Adopt {
    /// Its id, its name and its values there. Slots without a lease and refused slots count only if
    /// the limit is not here yet.
    pub limit: CreateLimit,
    /// How many slots the other server still counts as taken. They do not drain.
    pub foreign: u64,
    /// For how long a slot is held on average, in seconds.
    pub occupancy_seconds_average: f64,
    /// The level of a rate limit. If the limit is here already, the higher of both levels stays.
    pub level: Level,
}

/// Limits and leases that another server had. Whatever is here under the same ids stays, apart from
/// the values of the limits.
#[derive(Clone, Debug, Default)]
pub struct Import {
    /// The limits. One that has a name of these and another id is deleted.
    pub limits: Vec<ImportLimit>,
    /// The leases.
    pub leases: Vec<ImportLease>,
}

/// A limit that another server had.
#[derive(Clone, Debug)]
pub struct ImportLimit {
    /// Its id, its name and its values. If it is here already, its slots without a lease stay.
    pub limit: CreateLimit,
    /// When it was created there.
    pub created: Timestamp,
    /// For how long a slot is held on average, in seconds.
    pub occupancy_seconds_average: f64,
    /// The level of a rate limit. If the limit is here already, the higher of both levels stays.
    pub level: Level,
}

/// A lease that another server granted.
#[derive(Clone, Debug)]
pub struct ImportLease {
    /// Its id. A lease that is here already, or has expired, is skipped.
    pub id: LeaseId,
    /// Its holder, if it was named.
    pub holder: Option<Holder>,
    /// Its limits. Those that are not here or not active are skipped.
    pub limits: Vec<LimitId>,
    /// How many slots on each.
    pub slots: u64,
    /// When it was granted there.
    pub created: Timestamp,
    /// When it expires unless it is renewed. `None` for holders that cannot renew.
    pub deadline: Option<Timestamp>,
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
    /// a rate limit: its sender may have read the number long ago, so it never takes a slot, and
    /// live leases stay (contract C16).
    pub taken_max: Option<u64>,
    /// A new number of slots refused.
    pub denied_slots: Option<u64>,
}

impl CreateLimit {
    /// An active limit with all its slots free, and without decay.
    pub fn new(id: LimitId, name: impl Into<Arc<str>>, slots: u64) -> Self {
        let (decay, unleased, denied_slots) = (Rate::NONE, 0, 0);
        Self { id, name: name.into(), slots, active: true, decay, unleased, denied_slots }
    }
}
