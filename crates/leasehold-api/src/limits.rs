//! Global limits: `/api/v2/concurrency_limits`.

use serde::ser::{Serialize, SerializeStruct, Serializer};
use uuid::Uuid;

use crate::Timestamp;
use crate::body::{Patch, body};
use crate::rule::{
    BOOLEAN, COUNT, ID, LeaseSeconds, NAME, NOT_NEGATIVE, Names, Nested, OneOf, POSITIVE, PageSize,
    SLOTS,
};
use crate::schema::{Shown, answer, choice, reference};

choice! {
    /// What an acquire is for.
    pub enum Mode {
        /// Slots are given back when the work is done.
        Concurrency = "concurrency",
        /// Slots drain by themselves: every active limit must have a decay.
        RateLimit = "rate_limit",
    }
}

choice! {
    /// What holds a lease.
    pub enum HolderKind {
        /// A flow run.
        FlowRun = "flow_run",
        /// A task run.
        TaskRun = "task_run",
        /// A deployment.
        Deployment = "deployment",
    }
}

body! {
    /// Who holds a lease.
    pub struct Holder: Model {
        /// The kind of holder.
        pub kind: HolderKind = required("type", OneOf::RULE);
        /// The holder's id.
        pub id: Uuid = required("id", ID);
    }
}

impl Serialize for Holder {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut holder = serializer.serialize_struct("Holder", 2)?;
        holder.serialize_field("type", &self.kind)?;
        holder.serialize_field("id", &self.id)?;
        holder.end()
    }
}

impl Shown for Holder {
    fn schema() -> serde_json::Value {
        reference("Holder")
    }
}

body! {
    /// A new limit.
    pub struct CreateLimit: Model {
        /// Whether the limit is enforced.
        pub active: bool = defaulted("active", BOOLEAN, |_| true);
        /// The limit's name, which no other limit may have.
        pub name: String = required("name", NAME);
        /// How many slots there are.
        pub limit: u64 = required("limit", COUNT);
        /// How many slots are taken without a lease to begin with.
        pub active_slots: u64 = defaulted("active_slots", COUNT, |_| 0);
        /// How many slots were asked for in vain so far.
        pub denied_slots: u64 = defaulted("denied_slots", COUNT, |_| 0);
        /// How many slots drain in a second; 0 for a limit that is no rate limit.
        pub slot_decay_per_second: f64 = defaulted("slot_decay_per_second", NOT_NEGATIVE, |_| 0.0);
    }
}

body! {
    /// Changes to a limit. What is not sent stays.
    pub struct UpdateLimit: Model {
        /// Whether the limit is enforced.
        pub active: Patch<bool> = patched("active", BOOLEAN);
        /// The limit's new name.
        pub name: Patch<String> = patched("name", NAME);
        /// How many slots there are.
        pub limit: Patch<u64> = patched("limit", COUNT);
        /// Alone in the body: an operator's reset to so many taken slots, for which leases are
        /// revoked. Beside other fields: how many are taken at most, which only frees slots that no
        /// lease holds.
        pub active_slots: Patch<u64> = patched("active_slots", COUNT);
        /// How many slots were asked for in vain so far.
        pub denied_slots: Patch<u64> = patched("denied_slots", COUNT);
        /// How many slots drain in a second; 0 for a limit that is no rate limit.
        pub slot_decay_per_second: Patch<f64> = patched("slot_decay_per_second", NOT_NEGATIVE);
    }
}

impl UpdateLimit {
    /// Whether any field is `null`: the recorded server accepts it here and then answers 409.
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
        pub limit: u64 = defaulted("limit", PageSize, |settings| settings.page_size);
        /// How many results to skip.
        pub offset: u64 = defaulted("offset", COUNT, |_| 0);
    }
}

body! {
    /// Takes slots on every named limit or on none, without a lease.
    pub struct Increment: Parameters {
        /// How many slots to take on each limit.
        pub slots: u64 = required("slots", SLOTS);
        /// The limits' names. Unknown ones are skipped, equal ones count once.
        pub names: Vec<String> = required("names", Names);
        /// What the slots are for.
        pub mode: Mode = defaulted("mode", OneOf::RULE, |_| Mode::Concurrency);
        /// Read and ignored: limits are created before they are used.
        pub create_if_missing: Option<bool> = optional("create_if_missing", BOOLEAN);
    }
}

body! {
    /// Takes slots on every named limit or on none, and holds them on a lease.
    pub struct IncrementWithLease: Parameters {
        /// How many slots to take on each limit.
        pub slots: u64 = required("slots", SLOTS);
        /// The limits' names. Unknown ones are skipped, equal ones count once.
        pub names: Vec<String> = required("names", Names);
        /// What the slots are for.
        pub mode: Mode = defaulted("mode", OneOf::RULE, |_| Mode::Concurrency);
        /// How long the lease lasts without a renewal, in seconds.
        pub lease_duration: f64 =
            defaulted("lease_duration", LeaseSeconds, |settings| settings.lease_seconds_default);
        /// Who holds the lease.
        pub holder: Option<Holder> = optional("holder", Nested::RULE);
    }
}

body! {
    /// Gives back slots that were taken without a lease.
    pub struct Decrement: Parameters {
        /// How many slots to give back on each limit; what was not taken is not given back.
        pub slots: u64 = required("slots", SLOTS);
        /// The limits' names. Unknown ones are skipped.
        pub names: Vec<String> = required("names", Names);
        /// How long the slots were held, in seconds.
        pub occupancy_seconds: Option<f64> = optional("occupancy_seconds", POSITIVE);
        /// Read and ignored: limits are created before they are used.
        pub create_if_missing: Option<bool> = optional("create_if_missing", BOOLEAN);
    }
}

body! {
    /// Gives back everything that a lease holds. A lease that is gone is no error.
    pub struct ReleaseLease: Parameters {
        /// The lease.
        pub lease_id: Uuid = required("lease_id", ID);
    }
}

body! {
    /// Makes a lease last from now on for the given time.
    pub struct RenewLease: Parameters {
        /// How long the lease lasts from now, in seconds.
        pub lease_duration: f64 =
            defaulted("lease_duration", LeaseSeconds, |settings| settings.lease_seconds_default);
    }
}

answer! {
    /// A limit.
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
}

answer! {
    /// A limit that has just been created.
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
        /// How many slots were asked for in vain.
        pub denied_slots: u64,
        /// How many slots drain in a second.
        pub slot_decay_per_second: f64,
        /// For how long a slot is held on average; 2.0 to begin with.
        pub avg_slot_occupancy_seconds: f64,
    }
}

answer! {
    /// What an acquire and a release say of each limit.
    pub struct MinimalLimit {
        /// The limit's id.
        pub id: Uuid,
        /// Its name; the tag API gives the bare tag when a slot is taken.
        pub name: String,
        /// How many slots there are.
        pub limit: u64,
    }
}

answer! {
    /// Slots that are held on a lease.
    pub struct Acquired {
        /// The lease, to be renewed and released.
        pub lease_id: Uuid,
        /// The limits that were found; empty when no name matched.
        pub limits: Vec<MinimalLimit>,
        /// Greater than that of every earlier lease: a resource that refuses smaller ones than it
        /// has seen is safe from holders that outlived their lease. `null` when no name matched.
        pub fencing_token: Option<u64>,
        /// When the lease ends unless it is renewed. `null` when no name matched.
        pub deadline: Option<Timestamp>,
    }
}
