//! What goes out: one outcome for each command. A refusal is an outcome, not an error.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::command::GiveBack;
use crate::decay::Rate;
use crate::holder::Holder;
use crate::lease::{Ending, Fence, Holdings, Lease, LeaseId};
use crate::limit::{Limit, LimitId};
use crate::origin::Origin;
use crate::queue::{Ticket, WaiterView};
use crate::time::{Span, Timestamp};
use crate::unleased::{Unheld, Unleased};

/// What became of a [`Command`](crate::Command).
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Of `CreateLimit` and `PutTagLimit`.
    Created(Created),
    /// Of `UpdateLimit`, `ResetLimit` and `ResetTag`.
    Updated(Updated),
    /// Of `DeleteLimit`.
    Deleted(Deleted),
    /// Of `Acquire`.
    Acquired(Acquired),
    /// Of `GiveBack` and `ReleaseTags`: the limits that were named and exist.
    GivenBack(SmallVec<[MinimalLimit; 1]>),
    /// Of `Renew`.
    Renewed(Renewed),
    /// Of `RenewMany`, in its order.
    RenewedMany(Vec<Renewed>),
    /// Of `Release` and `Revoke`: the lease as it was, or how it had ended before.
    Ended(Result<Ended, Gone>),
    /// Of `TakeBack`: the lease as it was. `None` if it had ended before, or stays with its holder,
    /// who asked again.
    TakenBack(Option<Ended>),
    /// Of `Repossess`: the leases as they were, oldest first.
    Repossessed(Vec<Lease>),
    /// Of `Identify`: whether the lease lives.
    Identified(bool),
    /// Of `Query::Limit`.
    Limit(Option<LimitView>),
    /// Of `Query::Limits`.
    Limits(Vec<LimitView>),
    /// Of `Query::Leases` and `Query::FindLeases`; `None` if there is no such limit.
    Leases(Option<Vec<LeaseView>>),
    /// Of `Query::Held`; `None` if there is no such limit.
    Held(Option<HeldView>),
    /// Of `Query::Lease`.
    Lease(Result<LeaseView, Gone>),
    /// Of `Query::Waiters`; `None` if there is no such limit.
    Waiters(Option<Vec<WaiterView>>),
    /// Of `Query::Near`: each such name with the name that a limit has.
    Near(Vec<(Arc<str>, Arc<str>)>),
    /// Of `Query::Holders`.
    Holders(Vec<Holder>),
    /// Of `Tick`, `Abandon` and `SendWaitersAway`.
    Ticked,
}

/// What became of a limit to be made.
#[derive(Clone, Debug, PartialEq)]
pub enum Created {
    /// It is there now.
    Made(LimitView),
    /// The tag had a limit; it has the new number of slots now.
    Changed(LimitView),
    /// Another limit has this name.
    NameTaken,
}

/// What became of a limit to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Updated {
    /// It is as asked.
    Done,
    /// There is no such limit.
    NotFound,
    /// Another limit has the new name.
    NameTaken,
}

/// What became of a limit to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// It is gone.
    Done,
    /// There is no such limit.
    NotFound,
}

/// What became of slots wanted.
#[derive(Clone, Debug, PartialEq)]
pub enum Acquired {
    /// All of them are held now.
    Granted(Grant),
    /// Not all of them are free. Nothing has changed.
    Refused(Refusal),
    /// Not all of them are free. It waits; the outcome comes with a later step.
    Queued(Ticket),
    /// More slots than this limit, which is active, will ever have.
    TooManySlots(MinimalLimit),
    /// To be used as rate limits, but these have no decay.
    NotRateLimits(Vec<Arc<str>>),
    /// Names that no limit has, of a request that insists on all of them.
    Missing(Vec<Arc<str>>),
    /// Asked for before with the same idempotency key.
    Repeated(Repeated),
}

/// What becomes of a request whose idempotency key was used before. Slots are not taken again.
#[derive(Clone, Debug, PartialEq)]
pub enum Repeated {
    /// The lease that the same request was granted lives.
    Same(Box<LeaseView>),
    /// Another request has the key.
    Different,
    /// The lease that was granted then has ended.
    Ended(Gone),
}

/// Slots that are held now.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    /// The lease that holds them. `None` if there is nothing to hold: no name matched, or no
    /// limit that matched is active; and for slots taken without a lease.
    pub lease: Option<Granted>,
    /// What gives the slots back, if they were taken without a lease.
    pub unleased: Option<GiveBack>,
    /// What it holds on each limit.
    pub holdings: Holdings,
    /// The limits that were named and exist, the inactive ones included, as they were named.
    pub limits: SmallVec<[MinimalLimit; 1]>,
}

/// The lease of a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Its id.
    pub id: LeaseId,
    /// Its fencing token.
    pub fence: Fence,
    /// When it was granted.
    pub created: Timestamp,
    /// When it dies unless it is renewed.
    pub deadline: Option<Timestamp>,
    /// Whether it was asked for with an idempotency key. Then it stays though its client has
    /// gone: the client comes back for it with the key, or its deadline ends it.
    pub has_key: bool,
}

/// Why slots were not granted.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// The limits without room for what was wanted, or kept for somebody who came before.
    pub blockers: SmallVec<[Blocker; 1]>,
    /// The place in line that it keeps, should it come back to wait. `None` if it did not say
    /// that it waits.
    pub place: Option<Ticket>,
    /// How many go before it, plus one: in that one of the blockers' lines which is longest.
    pub position: u64,
    /// The leases for which it waits, or would wait, in vain: see [`StuckOn`].
    pub stuck: Vec<StuckOn>,
}

/// A lease that does not come back as long as all go on to wait: a request waits for its slots, and
/// its holder is that of the request itself, or waits for slots of that one, directly or through
/// others. Another thread of the holder may give it back all the same.
#[derive(Clone, Debug, PartialEq)]
pub struct StuckOn {
    /// The name of the limit that both are about.
    pub limit: Arc<str>,
    /// The lease.
    pub lease: LeaseId,
    /// Who holds it, if it was said.
    pub holder: Option<Holder>,
    /// Where it comes from, if that is known.
    pub origin: Option<Arc<Origin>>,
    /// Whether it is held by the one that waits for it.
    pub is_own: bool,
    /// The names of the limits that its holder waits for.
    pub waits_for: SmallVec<[Arc<str>; 1]>,
}

/// A limit without room.
#[derive(Clone, Debug, PartialEq)]
pub struct Blocker {
    /// The limit.
    pub limit: MinimalLimit,
    /// How many slots were wanted on it.
    pub wanted: u64,
    /// What a client can know of when there will be room.
    pub wait: Wait,
    /// Whether the limit is kept for somebody who was overtaken too often.
    pub is_kept: bool,
    /// Its slots that no lease holds: nobody will renew them, or fail to.
    pub unleased: Unleased,
}

/// What can be known of when there will be room.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wait {
    /// When somebody gives slots back; on average they are held this long, in seconds.
    Release {
        /// Average occupancy in seconds.
        occupancy_seconds_average: f64,
    },
    /// When enough has drained: in this time, unless somebody else comes first.
    Drain(Span),
}

/// What became of a lease to be renewed.
#[derive(Clone, Debug, PartialEq)]
pub enum Renewed {
    /// It lives until its new deadline; a lease without one needs no renewal.
    Renewed(Option<Timestamp>),
    /// It is dead.
    Gone(Gone),
}

/// A lease that has just ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// The lease as it was.
    pub lease: Lease,
    /// When it ended.
    pub at: Timestamp,
}

/// A lease that is not there: how it ended, if that is still known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone(pub Option<Ending>);

/// A limit in few words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MinimalLimit {
    /// Its id.
    pub id: LimitId,
    /// Its full name.
    pub name: Arc<str>,
    /// How many slots it has.
    pub slots: u64,
}

/// A limit as it is at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitView {
    /// The limit.
    pub limit: Limit,
    /// How many of its slots are taken, leased or not.
    pub taken: u64,
    /// Those of them that no lease holds. What stands in `limit` may have drained since.
    pub unleased: Unleased,
    /// Who holds leases on it, oldest first; known of the limits of tags only.
    pub holders: Vec<Holder>,
}

/// A part of what holds the slots of a limit: leases, oldest first, and after the last of them
/// the slots that no lease holds.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldView {
    /// The limit in few words.
    pub limit: MinimalLimit,
    /// How fast its slots drain.
    pub decay: Rate,
    /// The leases.
    pub leases: Vec<LeaseView>,
    /// The slots that no lease holds, by what took them.
    pub unleased: Vec<Unheld>,
}

/// A lease as it is at a moment, with the names of its limits.
#[derive(Clone, Debug, PartialEq)]
pub struct LeaseView {
    /// The lease.
    pub lease: Lease,
    /// The names of the limits in `lease.holdings`, in their order.
    pub names: Vec<Arc<str>>,
}

impl From<&Limit> for MinimalLimit {
    fn from(limit: &Limit) -> Self {
        Self { id: limit.id, name: limit.name.clone(), slots: limit.slots }
    }
}
