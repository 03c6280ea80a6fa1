//! Places in the queue, and how a request leaves it.

/// A place in the queue: the lower, the earlier it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

impl Ticket {
    /// Later than every ticket: the place of a request that does not wait.
    pub(crate) const NONE: Self = Self(u64::MAX);
}

/// Identifies a waiting request. The caller chooses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaiterId(pub u64);

/// Why a request left the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// It was granted without a lease. A grant with a lease is [`EventKind::Granted`].
    ///
    /// [`EventKind::Granted`]: crate::EventKind::Granted
    Served,
    /// Its client hung up.
    HungUp,
    /// Its time to wait is over.
    OutOfPatience,
    /// It was refused with a place to come back to, and did not come back.
    NotBack,
    /// Its limits changed so that it can never be granted.
    LimitsChanged,
    /// The ledger stops serving.
    Stopping,
    /// The journal failed, and the queue was lost.
    JournalFailed,
}
