//! The messages on the wire, in plain numbers: neither clients nor checkers see the engine.
//!
//! Times in replies are microseconds of the server's clock.

/// One copy of a request, and where its reply goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Connection {
    /// The exchange that it belongs to.
    pub(crate) exchange: usize,
    /// The number of the copy, from 1.
    pub(crate) copy: u64,
}

/// How a request waits if there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    /// For how long. A client that polls does not wait the first time, and waits this long when it
    /// comes back.
    pub(crate) wait: u64,
    /// A higher one goes first.
    pub(crate) priority: i32,
    /// The id of a client that polls: its place is kept when it is refused.
    pub(crate) caller: Option<u64>,
    /// Whether the lease's id stands for an idempotency key.
    pub(crate) has_key: bool,
    /// Whether it is rejected if one of its limits does not exist.
    pub(crate) insists: bool,
}

/// What a client asks of the server.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Request {
    /// Slots under a lease whose id the client chooses.
    Acquire {
        lease: u64,
        names: Vec<String>,
        slots: u64,
        ttl: u64,
        /// `None`: it is refused if there is no room.
        patience: Option<Patience>,
    },
    /// One slot of each tag for a run that cannot renew.
    Take {
        lease: u64,
        run: u64,
        tags: Vec<String>,
        patience: Option<Patience>,
    },
    /// Releases tags of a run.
    Drop {
        run: u64,
        tags: Vec<String>,
    },
    /// Slots without a lease.
    Increment {
        name: String,
        slots: u64,
        is_rate: bool,
        patience: Option<Patience>,
    },
    /// Releases slots that were taken without a lease.
    Decrement {
        name: String,
        slots: u64,
    },
    Renew {
        lease: u64,
        ttl: u64,
    },
    Release {
        lease: u64,
    },
    Revoke {
        lease: u64,
    },
    Create {
        id: u64,
        name: String,
        slots: u64,
        nanos_per_second: u64,
    },
    Patch {
        name: String,
        slots: Option<u64>,
        active: Option<bool>,
        /// The number of taken slots that the client read earlier.
        taken_max: Option<u64>,
    },
    /// Sets how many slots are taken, and revokes leases for it.
    Reset {
        name: String,
        slots: u64,
    },
    /// Makes these the tag's only holders, each a lease and its run.
    ResetTag {
        name: String,
        holders: Vec<(u64, u64)>,
    },
    Delete {
        name: String,
    },
    /// Takes a limit over from another server, which counts so many of its slots.
    Adopt {
        id: u64,
        name: String,
        slots: u64,
        foreign: u64,
    },
    /// Sets how many slots of a limit another server counts.
    SetForeign {
        id: u64,
        name: String,
        slots: u64,
    },
    /// Says whether a limit is on its way back to another server.
    SetReturning {
        id: u64,
        name: String,
        is_returning: bool,
    },
    /// Sets the leases on another server that end with a lease.
    Pair {
        lease: u64,
        partners: Vec<u64>,
    },
    /// Reads all limits and leases, at one moment.
    Look,
}

impl Request {
    /// How it waits, if it does.
    pub(crate) fn patience(&self) -> Option<Patience> {
        match self {
            Self::Acquire { patience, .. }
            | Self::Take { patience, .. }
            | Self::Increment { patience, .. } => *patience,
            _ => None,
        }
    }

    /// The run that it takes tags for, if it does.
    pub(crate) fn run(&self) -> Option<u64> {
        match self {
            Self::Take { run, .. } => Some(*run),
            _ => None,
        }
    }

    /// The limits that it wants slots of, if it does, and how many of each.
    pub(crate) fn wants(&self) -> Option<(&[String], u64)> {
        match self {
            Self::Acquire { names, slots, .. } => Some((names, *slots)),
            Self::Take { tags, .. } => Some((tags, 1)),
            Self::Increment { name, slots, .. } => Some((std::slice::from_ref(name), *slots)),
            _ => None,
        }
    }
}

/// What the server answers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reply {
    /// Slots were granted: the lease, if there is one, and the limits that have them.
    Granted { at: i64, lease: Option<Granted>, names: Vec<String> },
    /// Too few slots are free.
    Refused { at: i64 },
    /// One of the limits is on its way back to another server.
    Elsewhere { at: i64 },
    /// The request is invalid.
    Rejected { at: i64 },
    /// A lease lives until its new deadline.
    Renewed { at: i64, deadline: Option<i64> },
    /// A lease does not exist.
    Gone { at: i64, how: Option<Gone> },
    /// Done. Also the reply to a release or a revocation.
    Done { at: i64 },
    /// Not found, or the name is taken.
    No { at: i64 },
    /// All limits and their leases.
    Picture { at: i64, limits: Vec<Limit> },
    /// No outcome: the server could not make it durable, or is about to stop.
    Unavailable,
}

/// The lease of a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Granted {
    pub(crate) fence: u64,
    pub(crate) deadline: Option<i64>,
}

/// How a lease ended, if that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    Expired,
    Revoked,
}

/// A limit in a picture.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Limit {
    pub(crate) name: String,
    pub(crate) slots: u64,
    pub(crate) drains: bool,
    pub(crate) taken: u64,
    pub(crate) unleased: u64,
    pub(crate) foreign: u64,
    pub(crate) is_returning: bool,
    pub(crate) leases: Vec<Lease>,
}

/// What a lease holds of a limit in a picture.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lease {
    pub(crate) id: u64,
    pub(crate) fence: u64,
    pub(crate) run: Option<u64>,
    pub(crate) slots: u64,
    pub(crate) deadline: Option<i64>,
    pub(crate) partners: Vec<u64>,
}
