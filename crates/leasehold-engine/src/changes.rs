//! What a journal makes durable, and what it loads after a restart.
//!
//! Changes are rows in their newest state, not a log of commands. A limit or a lease that changed
//! many times is one row, and a lease that began and ended in between is none.

use crate::lease::{Ending, Fence, Lease};
use crate::limit::{Limit, LimitId};
use crate::time::{Span, Timestamp};

/// Everything that changed in a ledger since the last changes were taken.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// The ledger's time. After a restart it says how long the downtime was, and which leases had
    /// expired before.
    pub at: Timestamp,
    /// The fencing token of the next lease.
    pub next_fence: Fence,
    /// How many limits and leases there are after these changes.
    pub totals: Totals,
    /// A downtime moves deadlines. To be applied first.
    pub resumed: Option<Resume>,
    /// Deleted limits. To be applied before `limits`: a name may be used again.
    pub deleted_limits: Vec<LimitId>,
    /// New and changed limits.
    pub limits: Vec<Limit>,
    /// Leases that ended, apart from those that were in no changes before.
    pub ended: Vec<Fence>,
    /// New and changed leases.
    pub leases: Vec<Lease>,
    /// Endings to remember.
    pub endings: Vec<Ending>,
    /// Leases whose endings are to be forgotten. To be applied after `endings`.
    pub forgotten: Vec<Fence>,
}

/// How many limits and leases a ledger has. It is durable with every change, so that a lost row is
/// noticed.
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
    /// For how long it was down.
    pub by: Span,
}

/// The durable state of a ledger.
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
