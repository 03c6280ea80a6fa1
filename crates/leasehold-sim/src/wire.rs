//! What goes over the wire, in plain numbers: neither clients nor checkers see the engine.
//!
//! Times in replies are microseconds of the server's clock.

/// What a client asks of the server.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Request {
    /// Slots under a lease whose id the client chose.
    Acquire {
        lease: u64,
        names: Vec<String>,
        slots: u64,
        ttl: u64,
    },
    /// One slot of each tag for a run that cannot renew.
    Take {
        lease: u64,
        run: u64,
        tags: Vec<String>,
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
        unleased: Option<u64>,
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
