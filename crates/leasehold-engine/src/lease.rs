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

/// A fencing token: greater than that of every earlier lease, across restarts. A guarded resource
/// refuses a token lower than the greatest that it has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(pub u64);

/// What a lease holds on one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The limit.
    pub limit: LimitId,
    /// How many slots were taken.
    pub slots: u64,
    /// How much of them had not drained when the limit was last settled. Without decay: all.
    pub level: Level,
}

/// What a lease holds. Most leases are on one limit.
pub type Holdings = SmallVec<[Holding; 1]>;

/// Slots held for a holder until a deadline.
#[derive(Clone, Debug, PartialEq)]
pub struct Lease {
    /// The caller chose it.
    pub id: LeaseId,
    /// Its fencing token, and its age: the lower, the older.
    pub fence: Fence,
    /// Its holder, if the request named one.
    pub holder: Option<Holder>,
    /// Only limits that were active when the lease was granted.
    pub holdings: Holdings,
    /// When it was granted.
    pub created: Timestamp,
    /// When it expires unless it is renewed. `None` for holders that cannot renew.
    pub deadline: Option<Timestamp>,
    /// What else the request said of it.
    pub notes: Option<Arc<Notes>>,
    /// Where the request for it came from, if it is known.
    pub origin: Option<Arc<Origin>>,
    /// Leases on another server that live and end with this one. Most leases have none.
    pub partners: Vec<LeaseId>,
}

/// What a request says of its lease, apart from the holder. If a lease has notes, its release is
/// remembered: its holder may ask later how it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// Labels for people. They are not part of the holder.
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    /// The request's digest, if it had an idempotency key. The lease's id stands for the key.
    pub request: Option<RequestDigest>,
}

/// A digest of a request with an idempotency key: the same key with another digest is another
/// request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestDigest(pub u128);

impl Lease {
    /// The request's digest, if it had an idempotency key.
    pub fn request(&self) -> Option<RequestDigest> {
        self.notes.as_ref().and_then(|notes| notes.request)
    }
}

/// Why a lease ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// Its deadline passed.
    Expired,
    /// An operator revoked it.
    Revoked {
        /// Why, if a reason was given.
        reason: Option<Arc<str>>,
        /// The operator's name, if it was given.
        by: Option<Arc<str>>,
    },
    /// Its holder was known to be gone.
    Repossessed {
        /// How it was known.
        evidence: Arc<str>,
    },
    /// Its holder released it.
    Released,
}

/// The end of a lease, remembered for its holder's next request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The lease that ended.
    pub lease: LeaseId,
    /// Its fencing token. Endings are in the order of their times, then of their tokens.
    pub fence: Fence,
    /// When it ended.
    pub at: Timestamp,
    /// Why it ended.
    pub how: EndReason,
}
