//! Slots that no lease holds. Every list of holders shows them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Slots of one limit that no lease of this server holds. They stay taken until a client gives them
/// back. On a rate limit they drain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SlotsWithoutLease {
    /// The limit's name.
    pub limit: String,
    /// How many of its slots.
    pub slots: u64,
    /// What took them.
    pub taken_by: TakenBy,
    /// Since when it has taken some; `null` if that was not recorded.
    pub since: Option<Timestamp>,
    /// A sentence for people: what took them, and what to do.
    pub detail: String,
    /// The request that frees them and no slot of a lease. If another server counts them, the
    /// command that shows who holds them.
    pub free_with: String,
}

/// What took slots that no lease holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum TakenBy {
    /// The limit was created with `active_slots`; `prefect transfer` does that.
    Create,
    /// `POST …/increment`, for a client that gives them back with `/decrement`.
    Increment,
    /// `POST …/increment` in the mode `rate_limit`.
    RateLimit,
    /// An operator's reset: `PATCH` with `active_slots` alone.
    Reset,
    /// Another server: it still counts slots of this limit that it granted before the limit came
    /// over to this one.
    AnotherServer,
    /// They were taken before this was recorded.
    Unknown,
}
