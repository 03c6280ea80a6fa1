//! Outcomes: the answer to each command. A refusal is an outcome, not an error.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::acquire::GiveBack;
use crate::holder::Holder;
use crate::lease::{Ending, Fence, Holdings, Lease, LeaseId};
use crate::limit::MinimalLimit;
use crate::refusal::Refusal;
use crate::ticket::{Ticket, WaiterId};
use crate::time::Timestamp;
use crate::view::{HeldView, LeaseView, LimitView, WaiterView};

/// The answer to a [`Command`](crate::Command).
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Of `CreateLimit`, `PutTagLimit` and `Adopt`.
    Created(Created),
    /// Of `UpdateLimit`, `ResetLimit`, `ResetTag`, `SetForeign` and `SetReturning`.
    Updated(Updated),
    /// Of `Import`.
    Imported(Imported),
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
    /// Of `Pair`: whether the lease lives.
    Paired(bool),
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
    /// It existed, and has the new values now.
    Changed(LimitView),
    /// Another limit has this name.
    NameTaken,
}

/// The answer to an import: how much of it came here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// How many limits were created or got other values.
    pub limits: usize,
    /// The leases that live here now and did not before.
    pub leases: Vec<LeaseId>,
    /// The names of limits that could not be created, because another one has the id or the name.
    pub refused: Vec<Arc<str>>,
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
    /// It names these limits, which are on their way back to another server. Nothing has changed.
    Elsewhere(Vec<Arc<str>>),
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
    /// The lease that holds them. `None` if they were taken without a lease, or if no named limit
    /// is active.
    pub lease: Option<Granted>,
    /// The command that returns the slots, if they were taken without a lease.
    pub unleased: Option<GiveBack>,
    /// The slots on each limit.
    pub holdings: Holdings,
    /// The named limits that exist, inactive ones included, in the order of their names in the
    /// request.
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
    /// Whether the request had an idempotency key. Then the lease stays when its client hangs up:
    /// the client asks for it again with the key, or its deadline ends it.
    pub has_key: bool,
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
