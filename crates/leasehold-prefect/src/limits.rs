//! Global limits: `/api/v2/concurrency_limits`.

use leasehold_api::Timestamp;
use leasehold_api::leases::Mode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::declaration::{Patch, body};
use crate::rule::{
    BOOLEAN, COUNT, ID, LeaseSeconds, NAME, NOT_NEGATIVE, Names, Nested, OneOf, POSITIVE, PageSize,
    SLOTS,
};

/// What holds a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum HolderKind {
    /// A flow run.
    FlowRun,
    /// A task run.
    TaskRun,
    /// A deployment.
    Deployment,
}

body! {
    /// The holder of a lease.
    #[derive(Serialize)]
    pub struct Holder: Model {
        /// The kind of holder.
        pub r#type: HolderKind = required(OneOf::RULE);
        /// The holder's id.
        pub id: Uuid = required(ID);
    }
}

body! {
    /// A new limit.
    pub struct CreateLimit: Model {
        /// Whether the limit is enforced.
        pub active: bool = defaulted(BOOLEAN, |_| true);
        /// The limit's name, which no other limit may have.
        pub name: String = required(NAME);
        /// How many slots there are.
        pub limit: u64 = required(COUNT);
        /// How many slots are taken without a lease to begin with.
        pub active_slots: u64 = defaulted(COUNT, |_| 0);
        /// How many slots were refused so far.
        pub denied_slots: u64 = defaulted(COUNT, |_| 0);
        /// How many slots drain in a second; 0 for a limit that is no rate limit.
        pub slot_decay_per_second: f64 = defaulted(NOT_NEGATIVE, |_| 0.0);
    }
}

body! {
    /// Changes to a limit. What is not sent stays.
    pub struct UpdateLimit: Model {
        /// Whether the limit is enforced.
        pub active: Patch<bool> = patched(BOOLEAN);
        /// The limit's new name.
        pub name: Patch<String> = patched(NAME);
        /// How many slots there are.
        pub limit: Patch<u64> = patched(COUNT);
        /// Alone in the body: an operator's reset to this many taken slots, which revokes leases.
        /// Together with other fields: an upper bound, which only frees slots that no lease holds.
        pub active_slots: Patch<u64> = patched(COUNT);
        /// How many slots were refused so far.
        pub denied_slots: Patch<u64> = patched(COUNT);
        /// How many slots drain in a second; 0 for a limit that is no rate limit.
        pub slot_decay_per_second: Patch<f64> = patched(NOT_NEGATIVE);
    }
}

impl UpdateLimit {
    /// Whether any field is `null`. The recorded server answers 409 then.
    #[must_use]
    pub fn has_null(&self) -> bool {
        self.active.is_null()
            || self.name.is_null()
            || self.limit.is_null()
            || self.active_slots.is_null()
            || self.denied_slots.is_null()
            || self.slot_decay_per_second.is_null()
    }

    /// Whether nothing was sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.active_slots.is_sent() && !self.has_others()
    }

    /// The operator's reset, when `active_slots` is alone in the body (contract, C16).
    #[must_use]
    pub fn reset(&self) -> Option<u64> {
        match self.active_slots {
            Patch::Set(slots) if !self.has_others() => Some(slots),
            Patch::Set(_) | Patch::Null | Patch::Absent => None,
        }
    }

    fn has_others(&self) -> bool {
        self.active.is_sent()
            || self.name.is_sent()
            || self.limit.is_sent()
            || self.denied_slots.is_sent()
            || self.slot_decay_per_second.is_sent()
    }
}

body! {
    /// A page of a list.
    pub struct Filter: Parameters {
        /// How many results at most.
        pub limit: u64 = defaulted(PageSize, |settings| settings.page_size);
        /// How many results to skip.
        pub offset: u64 = defaulted(COUNT, |_| 0);
    }
}

body! {
    /// Takes slots on every named limit or on none, without a lease.
    pub struct Increment: Parameters {
        /// How many slots to take on each limit.
        pub slots: u64 = required(SLOTS);
        /// The limits' names. Unknown ones are skipped, equal ones count once.
        pub names: Vec<String> = required(Names);
        /// What the slots are for.
        pub mode: Mode = defaulted(OneOf::RULE, |_| Mode::Concurrency);
        /// Ignored: limits are created before they are used.
        pub create_if_missing: Option<bool> = optional(BOOLEAN);
    }
}

body! {
    /// Takes slots on every named limit or on none, and holds them on a lease.
    pub struct IncrementWithLease: Parameters {
        /// How many slots to take on each limit.
        pub slots: u64 = required(SLOTS);
        /// The limits' names. Unknown ones are skipped, equal ones count once.
        pub names: Vec<String> = required(Names);
        /// What the slots are for.
        pub mode: Mode = defaulted(OneOf::RULE, |_| Mode::Concurrency);
        /// How long the lease lasts without a renewal, in seconds.
        pub lease_duration: f64 =
            defaulted(LeaseSeconds, |settings| settings.lease_seconds_default);
        /// The holder of the lease.
        pub holder: Option<Holder> = optional(Nested::RULE);
    }
}

body! {
    /// Gives back slots that were taken without a lease.
    pub struct Decrement: Parameters {
        /// How many slots to give back on each limit, up to those that are taken.
        pub slots: u64 = required(SLOTS);
        /// The limits' names. Unknown ones are skipped.
        pub names: Vec<String> = required(Names);
        /// How long the slots were held, in seconds.
        pub occupancy_seconds: Option<f64> = optional(POSITIVE);
        /// Ignored: limits are created before they are used.
        pub create_if_missing: Option<bool> = optional(BOOLEAN);
    }
}

body! {
    /// Gives back everything that a lease holds. A lease that has ended is no error.
    pub struct ReleaseLease: Parameters {
        /// The lease.
        pub lease_id: Uuid = required(ID);
    }
}

body! {
    /// Makes a lease last for the given time from now.
    pub struct RenewLease: Parameters {
        /// How long the lease lasts from now, in seconds.
        pub lease_duration: f64 =
            defaulted(LeaseSeconds, |settings| settings.lease_seconds_default);
    }
}

/// A limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Limit {
    /// The limit's id, which never changes.
    pub id: Uuid,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last changed by an operator.
    pub updated: Timestamp,
    /// Whether it is enforced.
    pub active: bool,
    /// Its name.
    pub name: String,
    /// How many slots there are.
    pub limit: u64,
    /// How many of them are taken now, after decay.
    pub active_slots: u64,
    /// How many slots drain in a second.
    pub slot_decay_per_second: f64,
}

/// A new limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CreatedLimit {
    /// The limit's id, which never changes.
    pub id: Uuid,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last changed by an operator.
    pub updated: Timestamp,
    /// Whether it is enforced.
    pub active: bool,
    /// Its name.
    pub name: String,
    /// How many slots there are.
    pub limit: u64,
    /// How many of them are taken now, after decay.
    pub active_slots: u64,
    /// How many slots were refused.
    pub denied_slots: u64,
    /// How many slots drain in a second.
    pub slot_decay_per_second: f64,
    /// For how long a slot is held on average; 2.0 to begin with.
    pub avg_slot_occupancy_seconds: f64,
}

/// A limit in the answer to an acquire or a release.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MinimalLimit {
    /// The limit's id.
    pub id: Uuid,
    /// Its name; the tag API gives the bare tag when a slot is taken.
    pub name: String,
    /// How many slots there are.
    pub limit: u64,
}

/// Slots that are held on a lease.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Acquired {
    /// The id of the lease, for renewals and the release.
    pub lease_id: Uuid,
    /// The limits that were found; empty when no name matched.
    pub limits: Vec<MinimalLimit>,
    /// Greater than that of every earlier lease. A resource that refuses tokens smaller than the
    /// greatest it has seen is safe from holders that outlived their lease. `null` when no name
    /// matched.
    pub fencing_token: Option<u64>,
    /// When the lease ends unless it is renewed. `null` when no name matched.
    pub deadline: Option<Timestamp>,
}
