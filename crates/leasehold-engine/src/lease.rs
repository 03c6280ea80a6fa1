//! A lease: slots on one or more limits, held until a deadline.

use std::collections::BTreeMap;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::decay::Level;
use crate::holder::Holder;
use crate::limit::LimitId;
use crate::origin::Origin;
use crate::time::Timestamp;

/// Identifies a lease: a UUID as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub u128);

/// A fencing token: greater than that of every earlier lease, across restarts. Whoever
/// guards a resource refuses a token lower than the greatest it has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(pub u64);

/// What a lease holds on one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The limit.
    pub limit: LimitId,
    /// How many slots were taken.
    pub slots: u64,
    /// What of them has not drained yet, as it was when the limit was last settled. Without
    /// decay that is all of them.
    pub level: Level,
}

/// What a lease holds; most leases are on one limit.
pub type Holdings = SmallVec<[Holding; 1]>;

/// Slots held for a holder until a deadline.
#[derive(Clone, Debug, PartialEq)]
pub struct Lease {
    /// Chosen by whoever asked for the lease.
    pub id: LeaseId,
    /// Its fencing token; also the age of leases: the lower, the older.
    pub fence: Fence,
    /// Who holds it, if it was said.
    pub holder: Option<Holder>,
    /// Only the limits that were active when the lease was made.
    pub holdings: Holdings,
    /// When it was granted.
    pub created: Timestamp,
    /// When it dies unless it is renewed. `None` for holders that cannot renew.
    pub deadline: Option<Timestamp>,
    /// What else was said of it. Most leases are made without a word.
    pub notes: Option<Arc<Notes>>,
    /// Where the request for it came from, if that is known.
    pub origin: Option<Arc<Origin>>,
}

/// What was said of a lease when it was asked for, beyond who holds it. Where a lease has notes,
/// its holder may ask later what became of it: even that it was given back is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// Words for people who look at the lease. They are no part of who holds it.
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    /// What was asked for, if the request had an idempotency key. The lease's id stands for
    /// the key.
    pub request: Option<RequestDigest>,
}

/// What a request with an idempotency key asked for, as a digest: the same key with another
/// digest is another request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestDigest(pub u128);

impl Lease {
    /// What was asked for, if the request had an idempotency key.
    pub fn request(&self) -> Option<RequestDigest> {
        self.notes.as_ref().and_then(|notes| notes.request)
    }
}

/// How a lease ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// Its deadline passed.
    Expired,
    /// An operator took it away.
    Revoked {
        /// Why, if it was said.
        reason: Option<Arc<str>>,
        /// Who did it, if it was said.
        by: Option<Arc<str>>,
    },
    /// Its holder was known to be gone.
    Repossessed {
        /// From what it was known.
        evidence: Arc<str>,
    },
    /// Its holder gave it back.
    Released,
}

/// The end of a lease, kept so that its holder can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The lease that ended.
    pub lease: LeaseId,
    /// Its fencing token. Endings are in the order of their times, then of their fences.
    pub fence: Fence,
    /// When it ended.
    pub at: Timestamp,
    /// How it ended.
    pub how: How,
}
