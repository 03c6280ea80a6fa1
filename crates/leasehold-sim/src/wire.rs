//! What goes over the wire, in plain numbers: neither clients nor checkers see the engine.
//!
//! Times in replies are microseconds of the server's clock.

/// One copy of a request, and the way back for its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Connection {
    /// Which exchange it belongs to.
    pub(crate) exchange: usize,
    /// Which of its copies, from 1 on.
    pub(crate) copy: u64,
}

/// How a request waits if there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    /// For how long. A client that polls waits so long when it comes back, and is refused at
    /// once the first time.
    pub(crate) wait: u64,
    /// Higher goes first.
    pub(crate) priority: i32,
    /// Who polls, if it does: its place is kept when it is refused.
    pub(crate) caller: Option<u64>,
    /// Whether the lease's id stands for an idempotency key.
    pub(crate) has_key: bool,
    /// Whether it wants no slots at all if one of its limits does not exist.
    pub(crate) insists: bool,
}

/// What a client asks of the server.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Request {
    /// Slots under a lease whose id the client chose.
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
    /// The run gives tags back.
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
    /// Slots given back that were taken without a lease.
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
        /// A number that was read some time ago.
        taken_max: Option<u64>,
    },
    /// So many slots are taken afterwards; leases are revoked for it.
    Reset {
        name: String,
        slots: u64,
    },
    /// These runs are the tag's only holders afterwards, each under the lease beside it.
    ResetTag {
        name: String,
        holders: Vec<(u64, u64)>,
    },
    Delete {
        name: String,
    },
    /// Everything there is, at one moment.
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

    /// For whom it takes tags, if it does.
    pub(crate) fn run(&self) -> Option<u64> {
        match self {
            Self::Take { run, .. } => Some(*run),
            _ => None,
        }
    }

    /// What it wants slots of, if it does, and how many of each.
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
    /// Slots are held; on which of the limits named, and under which lease if there is one.
    Granted { at: i64, lease: Option<Granted>, names: Vec<String> },
    /// No room.
    Refused { at: i64 },
    /// Never possible as asked.
    Rejected { at: i64 },
    /// A lease lives until its new deadline.
    Renewed { at: i64, deadline: Option<i64> },
    /// A lease is not there.
    Gone { at: i64, how: Option<Gone> },
    /// Done; a release or a revocation too.
    Done { at: i64 },
    /// Not found, or the name is taken.
    No { at: i64 },
    /// Everything there is.
    Picture { at: i64, limits: Vec<Limit> },
    /// Nothing was done; the server could not make it durable.
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
    pub(crate) leases: Vec<Lease>,
}

/// A lease in a picture, as far as it is on the limit.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lease {
    pub(crate) id: u64,
    pub(crate) fence: u64,
    pub(crate) run: Option<u64>,
    pub(crate) slots: u64,
    pub(crate) deadline: Option<i64>,
}
