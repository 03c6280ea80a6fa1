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

/// A limit as it is stored. The leases say which of them hold its slots.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// Never changes.
    pub id: LimitId,
    /// Unique among the limits of a ledger.
    pub name: Arc<str>,
    /// How many slots there are.
    pub slots: u64,
    /// An inactive limit refuses nothing, and no slots are taken from it.
    pub active: bool,
    /// How fast taken slots drain. A limit with decay is a rate limit.
    pub decay: Rate,
    /// When the limit was created.
    pub created: Timestamp,
    /// When it last changed, its slots included.
    pub updated: Timestamp,
    /// How many slots were refused, as its operator set it. No rule reads or changes it.
    pub denied_slots: u64,
    /// For how long a slot is held on average, in seconds: refused clients come back after it.
    pub occupancy_seconds_average: f64,
    /// Slots that are taken without a lease, as of `settled`.
    pub unleased: Unleased,
    /// Until when the decay of `unleased`, and of the leases on this limit, is applied.
    pub settled: Timestamp,
    /// Slots that another server still counts as taken. They count here as well. They do not drain,
    /// and no reset or edit frees them: only `Command::SetForeign` changes the number.
    pub foreign: u64,
    /// The limit is on its way back to another server: it grants nothing new. Its leases are
    /// renewed and released as always.
    pub returning: bool,
}

impl Limit {
    /// The average before the first release.
    pub const OCCUPANCY_SECONDS_AT_FIRST: f64 = 2.0;
    const OCCUPANCY_SECONDS_MIN: f64 = 0.1;

    /// The tag that this limit is for, if it is a tag-based limit.
    pub fn tag(&self) -> Option<&str> {
        self.name.strip_prefix(TAG_PREFIX)
    }

    /// Whether free slots decide what it grants. An inactive limit refuses nothing, and a returning
    /// one grants nothing.
    pub(crate) fn grants_by_its_slots(&self) -> bool {
        self.active && !self.returning
    }

    /// Adds one sample to the average: `slots` slots were held for `occupancy` in all.
    ///
    /// The average is weighted over about the last 2 · limit samples, none below a tenth of a
    /// second (contract of `Retry-After`).
    pub(crate) fn sample_occupancy(&mut self, occupancy: Span, slots: u64) {
        // A limit of 0 slots must not divide by zero.
        if self.slots == 0 || slots == 0 {
            return;
        }
        let sample = (occupancy.as_seconds_f64() / slots as f64).max(Self::OCCUPANCY_SECONDS_MIN);
        self.occupancy_seconds_average +=
            (sample - self.occupancy_seconds_average) / (2.0 * self.slots as f64);
    }
}

/// A limit in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MinimalLimit {
    /// Its id.
    pub id: LimitId,
    /// Its full name.
    pub name: Arc<str>,
    /// How many slots it has.
    pub slots: u64,
}

impl From<&Limit> for MinimalLimit {
    fn from(limit: &Limit) -> Self {
        Self { id: limit.id, name: limit.name.clone(), slots: limit.slots }
    }
}
