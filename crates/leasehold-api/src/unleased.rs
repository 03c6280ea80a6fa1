//! Slots that no lease holds, as they are shown wherever holders are.

use crate::Timestamp;
use crate::schema::{answer, choice};
use crate::tags::TagLimit;

answer! {
    /// Slots of one limit that no lease holds. They stay taken until somebody gives them back,
    /// or, on a rate limit, until they have drained.
    pub struct SlotsWithoutLease {
        /// The limit's name.
        pub limit: String,
        /// How many of its slots.
        pub slots: u64,
        /// By what they were taken.
        pub taken_by: TakenBy,
        /// Since when some are taken by it; `null` if it was not recorded.
        pub since: Option<Timestamp>,
        /// A sentence for people: what took them, and what to do.
        pub detail: String,
        /// The request that frees them, and no slot that a lease holds.
        pub free_with: String,
    }
}

choice! {
    /// By what slots were taken that no lease holds.
    pub enum TakenBy {
        /// The limit was created with `active_slots`; `prefect transfer` does that.
        Create = "create",
        /// `POST …/increment`, for a client that gives them back with `/decrement`.
        Increment = "increment",
        /// `POST …/increment` in the mode `rate_limit`.
        RateLimit = "rate_limit",
        /// An operator's reset: `PATCH` with `active_slots` alone.
        Reset = "reset",
        /// They were taken before this was recorded.
        Unknown = "unknown",
    }
}

answer! {
    /// A tag limit of which some slots are held by no task run and no lease.
    pub struct TagLimitWithSlots: TagLimit {
        /// The slots that no lease holds.
        pub slots_without_lease: Vec<SlotsWithoutLease>,
    }
}

/// A tag limit. What its clients do not know is there only if there is something to say.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(untagged)]
pub enum ShownTagLimit {
    /// Leases hold all that is taken.
    Plain(TagLimit),
    /// Some slots are held by no lease.
    WithSlots(TagLimitWithSlots),
}
