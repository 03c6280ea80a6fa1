//! Leases at the door that is ours alone, `/api/leases`, and in the lists of a limit. The recorded
//! API has nothing like it.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::Timestamp;
use crate::body::body;
use crate::limits::Mode;
use crate::origin::Origin;
use crate::rule::{
    COUNT, Distinct, ID, Labels, ListOfAtMost, NAMED, Nested, OneOf, PRIORITY, REASON, SLOTS, TEXT,
    TtlSeconds, WAIT_SECONDS, WORD,
};
use crate::schema::{answer, choice};
use crate::unleased::SlotsWithoutLease;

/// How many limits a request may name.
const LIMITS_MAX: usize = 100;
/// How many leases a request may renew.
const RENEWALS_MAX: usize = 1_000;
/// How long a lease lasts when nothing is said about it.
const TTL_SECONDS: f64 = 60.0;

choice! {
    /// What to do about names that no limit has.
    pub enum IfMissing {
        /// The request fails, and is told all of them.
        Error = "error",
        /// They are left out, as clients of Prefect expect.
        Skip = "skip",
    }
}

body! {
    /// A lease that is asked for: slots on every limit that is named, or on none.
    pub struct NewLease: Model {
        /// The limits, each once.
        pub limits: Vec<WantedSlots> = required("limits", Distinct {
            most: LIMITS_MAX,
            rule: Nested::RULE,
            name: |wanted: &WantedSlots| &wanted.name,
        });
        /// Who holds the lease.
        pub holder: Option<NewHolder> = optional("holder", Nested::RULE);
        /// How long the lease lasts without a renewal, in seconds.
        pub ttl_seconds: f64 = defaulted("ttl_seconds", TtlSeconds, |settings| {
            settings.lease_seconds_max.min(TTL_SECONDS)
        });
        /// How long to wait for slots that are not free, in seconds.
        pub wait_seconds: f64 = defaulted("wait_seconds", WAIT_SECONDS, |_| 0.0);
        /// Of those who wait, who has the higher one goes first.
        pub priority: i32 = defaulted("priority", PRIORITY, |_| 0);
        /// What the slots are for.
        pub mode: Mode = defaulted("mode", OneOf::RULE, |_| Mode::Concurrency);
        /// A name for this request, such as a random UUID: sent again with the same one, it is
        /// answered the same lease.
        pub idempotency_key: Option<String> = optional("idempotency_key", WORD);
        /// What to do about names that no limit has.
        pub if_missing: IfMissing = defaulted("if_missing", OneOf::RULE, |_| IfMissing::Error);
    }
}

body! {
    /// Slots wanted of one limit.
    pub struct WantedSlots: Model {
        /// The limit's name.
        pub name: String = required("name", NAMED);
        /// How many slots.
        pub slots: u64 = defaulted("slots", SLOTS, |_| 1);
    }
}

body! {
    /// Who is to hold a lease.
    pub struct NewHolder: Model {
        /// The kind of holder, such as `process` or `task_run`.
        pub kind: String = required("kind", WORD);
        /// The holder's id within its kind.
        pub id: String = required("id", WORD);
        /// Words for people who look at the lease. They do not tell one holder from another.
        pub labels: BTreeMap<String, String> = defaulted("labels", Labels, |_| BTreeMap::new());
    }
}

body! {
    /// For how long a lease is renewed.
    pub struct LeaseRenewal: Model {
        /// How long the lease lasts from now on, in seconds.
        pub ttl_seconds: f64 = required("ttl_seconds", TtlSeconds);
    }
}

body! {
    /// Many leases to be renewed.
    pub struct LeaseRenewals: Model {
        /// Their ids.
        pub leases: Vec<Uuid> = required("leases", ListOfAtMost(RENEWALS_MAX, ID));
        /// How long each lasts from now on, in seconds.
        pub ttl_seconds: f64 = required("ttl_seconds", TtlSeconds);
    }
}

body! {
    /// Why a lease is revoked, and by whom.
    pub struct RevokeLease: Model {
        /// A sentence that the holder is shown at its next renewal.
        pub reason: Option<String> = optional("reason", REASON);
        /// Who takes it away, as the holder is told.
        pub by: Option<String> = optional("by", WORD);
    }
}

body! {
    /// Which part of a list.
    pub struct ListPage: Model {
        /// How many to skip.
        pub offset: u64 = defaulted("offset", COUNT, |_| 0);
        /// The most to list; a page when it is not given.
        pub limit: Option<u64> = optional("limit", COUNT);
    }
}

body! {
    /// Which leases to list.
    pub struct FindLeases: Model {
        /// The name of a limit on which they are.
        pub limit_name: Option<String> = optional("limit_name", TEXT);
        /// The kind of their holders.
        pub holder_kind: Option<String> = optional("holder_kind", TEXT);
        /// The id of their holders.
        pub holder_id: Option<String> = optional("holder_id", TEXT);
        /// How many to skip.
        pub offset: u64 = defaulted("offset", COUNT, |_| 0);
        /// The most to list; a page when it is not given.
        pub limit: Option<u64> = optional("limit", COUNT);
    }
}

answer! {
    /// A lease that is held.
    pub struct Lease {
        /// The lease's id.
        pub id: Uuid,
        /// What it holds, limit by limit.
        pub limits: Vec<HeldLimit>,
        /// Who holds it, if it said so.
        pub holder: Option<NamedHolder>,
        /// Where the request for it came from, if anything is known of that.
        pub origin: Option<Origin>,
        /// When it was granted.
        pub created: Timestamp,
        /// When it ends unless it is renewed; `null` for a holder that cannot renew, and for a
        /// lease that holds nothing.
        pub deadline: Option<Timestamp>,
        /// Greater than that of every earlier lease; `null` for a lease that holds nothing.
        pub fencing_token: Option<u64>,
    }
}

answer! {
    /// Who holds a lease.
    pub struct NamedHolder {
        /// The kind of holder.
        pub kind: String,
        /// The holder's id within its kind.
        pub id: String,
        /// What else the holder said of this lease.
        pub labels: BTreeMap<String, String>,
    }
}

answer! {
    /// A lease that was renewed.
    pub struct RenewedLease {
        /// The lease's id.
        pub id: Uuid,
        /// What became of it.
        pub status: Status,
        /// When it ends unless it is renewed again; `null` for one that lasts without renewals.
        pub deadline: Option<Timestamp>,
    }
}

answer! {
    /// A lease that was given back, now or before.
    pub struct ReleasedLease {
        /// The lease's id.
        pub id: Uuid,
        /// What became of it.
        pub status: Status,
        /// When it was given back.
        pub at: Timestamp,
    }
}

answer! {
    /// A lease that is not there any more, or never was.
    pub struct EndedLease {
        /// A sentence for people.
        pub detail: String,
        /// The lease's id.
        pub id: Uuid,
        /// What became of it.
        pub status: Status,
        /// When it ended, if that is known.
        pub at: Option<Timestamp>,
        /// Why it was revoked, or from what it was known that its holder was gone.
        pub reason: Option<String>,
        /// Who revoked it.
        pub by: Option<String>,
    }
}

choice! {
    /// What became of a lease.
    pub enum Status {
        /// It lives until its new deadline.
        Renewed = "renewed",
        /// Its holder gave it back.
        Released = "released",
        /// Its deadline passed.
        Expired = "expired",
        /// An operator took it away.
        Revoked = "revoked",
        /// Its holder was known to be gone.
        Repossessed = "repossessed",
        /// It never was, or it ended so long ago that nobody knows.
        Unknown = "unknown",
    }
}

/// What became of one of many leases that were to be renewed.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(untagged)]
pub enum Renewal {
    /// It lives on.
    Renewed(RenewedLease),
    /// It does not.
    Ended(EndedLease),
}

impl crate::schema::Shown for Renewal {
    fn schema() -> serde_json::Value {
        let reference = crate::schema::reference;
        serde_json::json!({"anyOf": [reference("RenewedLease"), reference("EndedLease")]})
    }
}

answer! {
    /// What became of many leases.
    pub struct Renewals {
        /// One for each that was named, in the same order.
        pub leases: Vec<Renewal>,
    }
}

answer! {
    /// Limits that were named and do not exist.
    pub struct MissingLimits {
        /// A sentence for people.
        pub detail: String,
        /// Their names.
        pub missing: Vec<String>,
    }
}

answer! {
    /// Slots that are not free.
    pub struct NoRoom {
        /// A sentence for people.
        pub detail: String,
        /// How many go first, plus one: in the longest of the lines of the limits below.
        pub position: u64,
        /// When to ask again, in seconds; the header `Retry-After` is the same in whole seconds.
        pub retry_after_seconds: f64,
        /// The limits without room.
        pub waiting_for: Vec<FullLimit>,
        /// The leases for which it waits, or would wait, in vain: its holder's own, and those of
        /// holders that wait for slots of its own. Empty in the normal case.
        pub stuck: Vec<StuckOn>,
    }
}

answer! {
    /// A lease that does not come back as long as all go on to wait.
    pub struct StuckOn {
        /// The name of the limit that is waited for.
        pub limit: String,
        /// The lease that holds slots of it.
        pub lease: Uuid,
        /// Who holds it, if it said so.
        pub holder: Option<LeaseHolder>,
        /// Where it comes from, if anything is known of that.
        pub origin: Option<Origin>,
        /// Whether the holder is the one that waits.
        pub is_own: bool,
        /// The names of the limits that its holder waits for.
        pub waits_for: Vec<String>,
    }
}

answer! {
    /// A limit without room.
    pub struct FullLimit {
        /// The limit's id.
        pub id: Uuid,
        /// Its name.
        pub name: String,
        /// How many slots it has.
        pub limit: u64,
        /// How many of them were asked for.
        pub slots: u64,
        /// Why there is no room.
        pub why: Why,
        /// When enough will have drained if nobody else comes first, in seconds.
        pub drained_after_seconds: Option<f64>,
        /// The slots of the limit that no lease holds.
        pub slots_without_lease: Vec<SlotsWithoutLease>,
    }
}

choice! {
    /// Why a limit has no room.
    pub enum Why {
        /// Others hold its slots.
        Held = "held",
        /// Its rate does not allow it yet.
        Draining = "draining",
        /// It is kept for somebody who has been overtaken too often.
        Kept = "kept",
    }
}

answer! {
    /// A lease as it stands in the list of a limit; or, after all leases, slots of the limit that
    /// no lease holds.
    pub struct LimitLease {
        /// The lease's id; `null` for slots that no lease holds.
        pub id: Option<Uuid>,
        /// How many slots of this limit it holds.
        pub slots: u64,
        /// Who holds it, if it said so.
        pub holder: Option<LeaseHolder>,
        /// What else the holder said of it.
        pub labels: BTreeMap<String, String>,
        /// Where the request for it came from, if anything is known of that.
        pub origin: Option<Origin>,
        /// When it was granted; of slots that no lease holds, since when they are taken, or `null` if
        /// that was not recorded.
        pub created: Option<Timestamp>,
        /// When it ends unless it is renewed; `null` for a holder that cannot renew, and for slots
        /// that no lease holds.
        pub deadline: Option<Timestamp>,
        /// Greater than that of every earlier lease; `null` for slots that no lease holds.
        pub fencing_token: Option<u64>,
        /// Everything that it holds, this limit included.
        pub limits: Vec<HeldLimit>,
        /// By what the slots were taken that no lease holds, and how to free them; `null` for a lease.
        pub without_lease: Option<SlotsWithoutLease>,
    }
}

answer! {
    /// Slots of one limit that a lease holds.
    pub struct HeldLimit {
        /// The limit's id.
        pub id: Uuid,
        /// Its name.
        pub name: String,
        /// How many of its slots are held.
        pub slots: u64,
    }
}

answer! {
    /// Who holds a lease, in the lists of a limit.
    pub struct LeaseHolder {
        /// The kind of holder: `task_run`, `flow_run`, `deployment`, or what the holder said.
        pub r#type: String,
        /// The holder's id within its kind.
        pub id: String,
    }
}

answer! {
    /// A request that waits for a limit.
    pub struct Waiter {
        /// How many are to be granted before it, plus one.
        pub position: u64,
        /// Who waits, if it said so.
        pub holder: Option<LeaseHolder>,
        /// What else it said of the lease that it asks for.
        pub labels: BTreeMap<String, String>,
        /// Where it comes from, if anything is known of that.
        pub origin: Option<Origin>,
        /// How many slots of the limit it wants.
        pub slots: u64,
        /// Higher goes first.
        pub priority: i64,
        /// Since when it waits.
        pub since: Timestamp,
        /// For how long it has waited, in seconds.
        pub age_seconds: f64,
        /// The names of the limits that have no room for it.
        pub blocked_by: Vec<String>,
        /// The slots of these limits that no lease holds.
        pub slots_without_lease: Vec<SlotsWithoutLease>,
        /// The leases for which it waits in vain: its holder's own, and those of holders that wait
        /// for slots of its own. Empty in the normal case.
        pub stuck: Vec<StuckOn>,
    }
}
