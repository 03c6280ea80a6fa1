//! Refusals: what keeps a request from being granted, and when that may change.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::holder::Holder;
use crate::lease::LeaseId;
use crate::limit::MinimalLimit;
use crate::origin::Origin;
use crate::ticket::Ticket;
use crate::time::Span;
use crate::unleased::Unleased;

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
    /// Its slots that another server still counts as taken.
    pub foreign: u64,
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
