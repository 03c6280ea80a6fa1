//! Outcomes: the answer to each command. A refusal is an outcome, not an error.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::command::GiveBack;
use crate::decay::Rate;
use crate::holder::Holder;
use crate::lease::{Ending, Fence, Holdings, Lease, LeaseId, Notes};
use crate::limit::{Limit, LimitId};
use crate::origin::Origin;
use crate::ticket::{Ticket, WaiterId};
use crate::time::{Span, Timestamp};
use crate::unleased::{Unheld, Unleased};

/// The answer to a [`Command`](crate::Command).
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
    /// Of `GiveBack` and `ReleaseTags`: the named limits that exist.
    GivenBack(SmallVec<[MinimalLimit; 1]>),
    /// Of `Renew`.
    Renewed(Renewed),
    /// Of `RenewMany`, in its order.
    RenewedMany(Vec<Renewed>),
    /// Of `Release` and `Revoke`: the lease as it was, or how it ended before.
    Ended(Result<Ended, Gone>),
    /// Of `TakeBack`: the lease as it was. `None` if it ended before, or if it stays because its
    /// holder asked again.
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

/// The answer to the creation of a limit.
#[derive(Clone, Debug, PartialEq)]
pub enum Created {
    /// It was created.
    Made(LimitView),
    /// The tag had a limit, which has the new number of slots now.
    Changed(LimitView),
    /// Another limit has this name.
    NameTaken,
}

/// The answer to a change of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Updated {
    /// It was changed.
    Done,
    /// There is no such limit.
    NotFound,
    /// Another limit has the new name.
    NameTaken,
}

/// The answer to the deletion of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// It was deleted.
    Done,
    /// There is no such limit.
    NotFound,
}

/// The answer to a request for slots.
#[derive(Clone, Debug, PartialEq)]
pub enum Acquired {
    /// It holds all of them.
    Granted(Grant),
    /// Not all of them are free. Nothing has changed.
    Refused(Refusal),
    /// Not all of them are free. It waits: a later step answers it.
    Queued(Ticket),
    /// It wants more slots than this active limit has.
    TooManySlots(MinimalLimit),
    /// It wants rate limits, but these limits have no decay.
    NotRateLimits(Vec<Arc<str>>),
    /// It insists on all its limits, but these do not exist.
    Missing(Vec<Arc<str>>),
    /// Its idempotency key was used before.
    Repeated(Repeated),
}

/// The answer to a request whose idempotency key was used before. No slots are taken again.
#[derive(Clone, Debug, PartialEq)]
pub enum Repeated {
    /// The same request was granted this lease, which lives.
    Same(Box<LeaseView>),
    /// Another request used the key.
    Different,
    /// The same request was granted a lease that has ended.
    Ended(Gone),
}

/// A waiting request that a step answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// Which request.
    pub waiter: WaiterId,
    /// Granted; or refused, because its time is over or its limits have changed.
    pub outcome: Acquired,
}

/// Granted slots.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    /// The lease that holds them. `None` if they were taken without a lease, or if no named limit is
    /// active.
    pub lease: Option<Granted>,
    /// The command that returns the slots, if they were taken without a lease.
    pub unleased: Option<GiveBack>,
    /// The slots on each limit.
    pub holdings: Holdings,
    /// The named limits that exist, inactive ones included, in the order of their names in the request.
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
    /// When it expires unless it is renewed.
    pub deadline: Option<Timestamp>,
    /// Whether the request had an idempotency key. Then the lease stays when its client hangs up: the
    /// client asks for it again with the key, or its deadline ends it.
    pub has_key: bool,
}

/// Why slots were not granted.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// The limits that lack free slots, or reserve them for an older request.
    pub blockers: SmallVec<[Blocker; 1]>,
    /// The place that it keeps if it comes back to wait. `None` if it does not wait.
    pub place: Option<Ticket>,
    /// Its position, from 1, in the longest line among those of the blockers.
    pub position: u64,
    /// The leases that it is stuck on, or would be if it waited: see [`StuckOn`].
    pub stuck: Vec<StuckOn>,
}

/// A lease that a request is stuck on: its holder holds the lease itself, or waits for slots of the
/// request's holder, directly or through others. The lease is not released as long as all of them
/// wait. Another thread of its holder may release it all the same.
#[derive(Clone, Debug, PartialEq)]
pub struct StuckOn {
    /// The name of the limit.
    pub limit: Arc<str>,
    /// The lease.
    pub lease: LeaseId,
    /// Its holder, if it has one.
    pub holder: Option<Holder>,
    /// Where the request for it came from, if it is known.
    pub origin: Option<Arc<Origin>>,
    /// Whether the waiting request has the same holder.
    pub is_own: bool,
    /// The names of the limits that its holder waits for.
    pub waits_for: SmallVec<[Arc<str>; 1]>,
}

/// A limit that lacks free slots for a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Blocker {
    /// The limit.
    pub limit: MinimalLimit,
    /// How many of its slots the request wants.
    pub wanted: u64,
    /// When slots may come free, as far as that is known.
    pub wait: Wait,
    /// Whether it has free slots, but reserves them for a request that was overtaken too often.
    pub is_kept: bool,
    /// Its slots that are taken without a lease: no deadline frees them.
    pub unleased: Unleased,
}

/// When slots may come free.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wait {
    /// When a holder releases some.
    Release {
        /// For how long a slot is held on average, in seconds.
        occupancy_seconds_average: f64,
    },
    /// When enough has drained: after this time, unless another request comes first.
    Drain(Span),
}

/// The answer to a renewal.
#[derive(Clone, Debug, PartialEq)]
pub enum Renewed {
    /// The lease lives until this deadline. A lease without one needs no renewal.
    Renewed(Option<Timestamp>),
    /// The lease has ended.
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

/// A lease that does not exist: how it ended, if that is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone(pub Option<Ending>);

/// A limit in short.
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
    /// Those of them that no lease holds. Unlike those in `limit`, they have drained until now.
    pub unleased: Unleased,
    /// The holders of its leases, oldest first. Only for limits of tags.
    pub holders: Vec<Holder>,
}

/// A page of what holds the slots of a limit: leases, oldest first, and after the last of them the
/// slots without a lease.
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

impl From<&Lease> for Granted {
    fn from(lease: &Lease) -> Self {
        Self {
            id: lease.id,
            fence: lease.fence,
            created: lease.created,
            deadline: lease.deadline,
            has_key: lease.request().is_some(),
        }
    }
}

impl From<&Limit> for MinimalLimit {
    fn from(limit: &Limit) -> Self {
        Self { id: limit.id, name: limit.name.clone(), slots: limit.slots }
    }
}
