//! What a journal makes durable, and what it gives back after a restart.
//!
//! Changes are rows in their newest state, not a log of commands: however often a limit or a
//! lease changed since the last time, it is in there once, and a lease that came and went in
//! between is not in there at all.

use crate::lease::{Ending, Fence, Lease};
use crate::limit::{Limit, LimitId};
use crate::time::{Span, Timestamp};

/// Everything that changed in a ledger since its changes were taken last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// The ledger's time. Durable with everything else, it tells after a restart for how long
    /// nobody was there to renew with, and which leases had run out before.
    pub at: Timestamp,
    /// The fencing token of the next lease.
    pub next_fence: Fence,
    /// How many limits and leases there are once all of this is durable.
    pub totals: Totals,
    /// Comes first of all: deadlines move because of a downtime.
    pub resumed: Option<Resume>,
    /// Limits that are no more. Come before `limits`: a name may be used again.
    pub deleted_limits: Vec<LimitId>,
    /// Limits that are new or different.
    pub limits: Vec<Limit>,
    /// Leases that ended; one that was never taken as a change is not among them.
    pub ended: Vec<Fence>,
    /// Leases that are new or different.
    pub leases: Vec<Lease>,
    /// Endings to remember.
    pub endings: Vec<Ending>,
    /// Leases whose endings need not be remembered any longer. Comes after `endings`.
    pub forgotten: Vec<Fence>,
}

/// How many limits and leases a ledger has. Made durable with every change, it tells a journal that
/// lost one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// How many limits.
    pub limits: u64,
    /// How many leases.
    pub leases: u64,
}

/// The server was down: each deadline later than `after` moves by `by`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume {
    /// When the server was last known to be up.
    pub after: Timestamp,
    /// For how long it was not.
    pub by: Span,
}

/// Everything that is durable of a ledger.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// The time of the last changes.
    pub at: Timestamp,
    /// The fencing token of the next lease.
    pub next_fence: Fence,
    /// All limits.
    pub limits: Vec<Limit>,
    /// All leases that have not ended.
    pub leases: Vec<Lease>,
    /// The endings that are remembered.
    pub endings: Vec<Ending>,
}

impl Changes {
    /// Whether there is nothing but the time to make durable.
    pub fn is_empty(&self) -> bool {
        self.resumed.is_none()
            && self.deleted_limits.is_empty()
            && self.limits.is_empty()
            && self.ended.is_empty()
            && self.leases.is_empty()
            && self.endings.is_empty()
            && self.forgotten.is_empty()
    }
}
