//! A limit: a name and a number of slots.

use std::sync::Arc;

use crate::decay::Rate;
use crate::time::{Span, Timestamp};
use crate::unleased::Unleased;

/// The tag-based limit of tag `x` is the limit named `tag:x`.
pub const TAG_PREFIX: &str = "tag:";

/// Identifies a limit for as long as it exists: a UUID as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LimitId(pub u128);

/// A limit as it is made durable. Which leases hold its slots stands in the leases alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// Never changes.
    pub id: LimitId,
    /// Unique among the limits of a ledger.
    pub name: Arc<str>,
    /// How many slots there are.
    pub slots: u64,
    /// An inactive limit refuses nobody, and nothing is taken from it.
    pub active: bool,
    /// How fast taken slots drain: more than none makes the limit a rate limit.
    pub decay: Rate,
    /// When the limit was made.
    pub created: Timestamp,
    /// When anything about it changed last, its slots included.
    pub updated: Timestamp,
    /// Slots that were refused, as the limit's maker gave it. Kept, and used by no rule.
    pub denied_slots: u64,
    /// For how long a slot is held on average, in seconds; it tells refused clients when to
    /// come back.
    pub occupancy_seconds_average: f64,
    /// Slots that no lease holds: one anonymous holding that nobody renews. As it was at
    /// `settled`.
    pub unleased: Unleased,
    /// Up to when the decay of `unleased`, and of the leases on this limit, has been applied.
    pub settled: Timestamp,
}

impl Limit {
    /// The average of a limit that nobody has given a slot back to yet.
    pub const OCCUPANCY_SECONDS_AT_FIRST: f64 = 2.0;
    const OCCUPANCY_SECONDS_MIN: f64 = 0.1;

    /// The tag that this limit is for, if it is a tag-based limit.
    pub fn tag(&self) -> Option<&str> {
        self.name.strip_prefix(TAG_PREFIX)
    }

    /// Moves the average by one sample: `slots` slots were held for `occupancy` in all.
    ///
    /// A weighted average over about the last 2 · limit samples, none of them below a tenth
    /// of a second (contract of `Retry-After`).
    pub(crate) fn sample_occupancy(&mut self, occupancy: Span, slots: u64) {
        // A limit of 0 has no samples to weigh by; it must not become a division by zero.
        if self.slots == 0 || slots == 0 {
            return;
        }
        let sample = (occupancy.as_seconds_f64() / slots as f64).max(Self::OCCUPANCY_SECONDS_MIN);
        self.occupancy_seconds_average +=
            (sample - self.occupancy_seconds_average) / (2.0 * self.slots as f64);
    }
}
