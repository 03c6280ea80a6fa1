//! Leases in the native API: `/api/leases`, and the lists of a limit's leases and waiters.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Timestamp;
use crate::origin::Origin;
use crate::unleased::SlotsWithoutLease;

/// What an acquire is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Mode {
    /// Slots are given back when the work is done.
    Concurrency,
    /// Slots drain by themselves: every active limit must have a decay.
    RateLimit,
}

/// What to do about names that no limit has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum IfMissing {
    /// The request fails, and the answer names all of them.
    Error,
    /// They are skipped, as clients of Prefect expect.
    Skip,
}

/// A request for a lease: slots on every limit that it names, or on none.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct NewLease {
    /// The limits, each once.
    pub limits: Vec<WantedSlots>,
    /// The holder of the lease.
    pub holder: Option<NewHolder>,
    /// How long the lease lasts without a renewal, in seconds.
    pub ttl_seconds: f64,
    /// How long to wait for slots that are not free, in seconds.
    pub wait_seconds: f64,
    /// Requests with a higher priority are granted first.
    pub priority: i32,
    /// What the slots are for.
    pub mode: Mode,
    /// A name for this request, such as a random UUID. A second request with the same name gets the
    /// same lease.
    pub idempotency_key: Option<String>,
    /// What to do about names that no limit has.
    pub if_missing: IfMissing,
}

/// Slots of one limit that a request asks for.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct WantedSlots {
    /// The limit's name.
    pub name: String,
    /// How many slots.
    pub slots: u64,
}

/// The holder of a lease that is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct NewHolder {
    /// The kind of holder, such as `process` or `task_run`.
    pub kind: String,
    /// The holder's id within its kind.
    pub id: String,
    /// Words for people who look at the lease. Two holders are the same if kind and id are.
    pub labels: BTreeMap<String, String>,
}

/// A renewal of one lease.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct LeaseRenewal {
    /// How long the lease lasts from now on, in seconds.
    pub ttl_seconds: f64,
}

/// A renewal of many leases.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct LeaseRenewals {
    /// Their ids.
    pub leases: Vec<Uuid>,
    /// How long each lasts from now on, in seconds.
    pub ttl_seconds: f64,
}

/// A revocation of a lease by an operator.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct RevokeLease {
    /// Why; the answer to the holder's next renewal says it.
    pub reason: Option<String>,
    /// Who revokes it; the answer to the holder's next renewal says it.
    pub by: Option<String>,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ListPage {
    /// How many to skip.
    pub offset: u64,
    /// The most to list; a page if it is absent.
    pub limit: Option<u64>,
}

/// Which leases to list.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct FindLeases {
    /// The name of a limit on which they are.
    pub limit_name: Option<String>,
    /// The kind of their holders.
    pub holder_kind: Option<String>,
    /// The id of their holders.
    pub holder_id: Option<String>,
    /// How many to skip.
    pub offset: u64,
    /// The most to list; a page if it is absent.
    pub limit: Option<u64>,
}

/// A lease that is held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Lease {
    /// The lease's id.
    pub id: Uuid,
    /// What it holds, limit by limit.
    pub limits: Vec<HeldLimit>,
    /// Its holder, if the request named one.
    pub holder: Option<NamedHolder>,
    /// Where the request for it came from, as far as that is known.
    pub origin: Option<Origin>,
    /// When it was granted.
    pub created: Timestamp,
    /// When it ends unless it is renewed; `null` for a holder that cannot renew, and for a
    /// lease that holds nothing.
    pub deadline: Option<Timestamp>,
    /// Greater than that of every earlier lease; `null` for a lease that holds nothing.
    pub fencing_token: Option<u64>,
}

/// The holder of a lease.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NamedHolder {
    /// The kind of holder.
    pub kind: String,
    /// The holder's id within its kind.
    pub id: String,
    /// Further words of the holder about this lease.
    pub labels: BTreeMap<String, String>,
}

/// A lease that was renewed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RenewedLease {
    /// The lease's id.
    pub id: Uuid,
    /// What became of it.
    pub status: Status,
    /// When it ends unless it is renewed again; `null` for one that lasts without renewals.
    pub deadline: Option<Timestamp>,
}

/// A lease that was released, now or before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReleasedLease {
    /// The lease's id.
    pub id: Uuid,
    /// What became of it.
    pub status: Status,
    /// When it was released.
    pub at: Timestamp,
}

/// A lease that has ended, or never was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EndedLease {
    /// A sentence for people.
    pub detail: String,
    /// The lease's id.
    pub id: Uuid,
    /// What became of it.
    pub status: Status,
    /// When it ended, if that is known.
    pub at: Option<Timestamp>,
    /// Why it was revoked, or the evidence that its holder is gone.
    pub reason: Option<String>,
    /// Who revoked it.
    pub by: Option<String>,
}

/// What became of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Status {
    /// It lives until its new deadline.
    Renewed,
    /// Its holder released it.
    Released,
    /// Its deadline passed.
    Expired,
    /// An operator revoked it.
    Revoked,
    /// There was evidence that its holder is gone.
    Repossessed,
    /// It never existed, or its end is no longer recorded.
    Unknown,
}

/// What became of one of many leases that were to be renewed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum Renewal {
    // The first one that fits is read, and only this one must have a `detail`.
    /// The lease has ended.
    Ended(EndedLease),
    /// The lease lives on.
    Renewed(RenewedLease),
}

/// What became of many leases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Renewals {
    /// One for each lease of the request, in the same order.
    pub leases: Vec<Renewal>,
}

/// Limits that a request named and that do not exist.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MissingLimits {
    /// A sentence for people.
    pub detail: String,
    /// Their names.
    pub missing: Vec<String>,
}

/// A refusal because slots are not free.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NoRoom {
    /// A sentence for people.
    pub detail: String,
    /// The place in the longest queue of the limits below; the next request has place 1.
    pub position: u64,
    /// When to ask again, in seconds. The header `Retry-After` has the same in whole seconds.
    pub retry_after_seconds: f64,
    /// The limits without room.
    pub waiting_for: Vec<FullLimit>,
    /// The leases for which the request waits, or would wait, in vain: those of its own holder, and
    /// those of holders that wait for slots of that holder. Mostly empty.
    pub stuck: Vec<StuckOn>,
}

/// A lease that cannot end while the requests around it wait for each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StuckOn {
    /// The name of the limit that the request waits for.
    pub limit: String,
    /// The lease that holds slots of it.
    pub lease: Uuid,
    /// Its holder, if the request named one.
    pub holder: Option<LeaseHolder>,
    /// Where it comes from, as far as that is known.
    pub origin: Option<Origin>,
    /// Whether its holder is the one that waits.
    pub is_own: bool,
    /// The names of the limits that its holder waits for.
    pub waits_for: Vec<String>,
}

/// A limit without room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FullLimit {
    /// The limit's id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// How many slots it has.
    pub limit: u64,
    /// How many of them the request asks for.
    pub slots: u64,
    /// Why there is no room.
    pub why: Why,
    /// When enough slots will have drained if no other request comes first, in seconds.
    pub drained_after_seconds: Option<f64>,
    /// The slots of the limit that no lease holds.
    pub slots_without_lease: Vec<SlotsWithoutLease>,
}

/// Why a limit has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Why {
    /// Other leases hold its slots.
    Held,
    /// Its rate does not allow it yet.
    Draining,
    /// It is reserved for a request that has been overtaken too often.
    Kept,
}

/// An entry in the list of a limit's leases. After all leases, the list has the slots of the limit
/// that no lease holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LimitLease {
    /// The lease's id; `null` for slots that no lease holds.
    pub id: Option<Uuid>,
    /// How many slots of this limit it holds.
    pub slots: u64,
    /// Its holder, if the request named one.
    pub holder: Option<LeaseHolder>,
    /// Further words of the holder about it.
    pub labels: BTreeMap<String, String>,
    /// Where the request for it came from, as far as that is known.
    pub origin: Option<Origin>,
    /// When it was granted. For slots that no lease holds: since when they are taken, or `null` if
    /// that was not recorded.
    pub created: Option<Timestamp>,
    /// When it ends unless it is renewed; `null` for a holder that cannot renew, and for slots
    /// that no lease holds.
    pub deadline: Option<Timestamp>,
    /// Greater than that of every earlier lease; `null` for slots that no lease holds.
    pub fencing_token: Option<u64>,
    /// Everything that it holds, this limit included.
    pub limits: Vec<HeldLimit>,
    /// What took the slots that no lease holds, and how to free them; `null` for a lease.
    pub without_lease: Option<SlotsWithoutLease>,
}

/// Slots of one limit that a lease holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HeldLimit {
    /// The limit's id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// How many of its slots are held.
    pub slots: u64,
}

/// The holder of a lease in the lists of a limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LeaseHolder {
    /// The kind of holder: `task_run`, `flow_run`, `deployment`, or another word of the holder.
    pub r#type: String,
    /// The holder's id within its kind.
    pub id: String,
}

/// A request that waits for a limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Waiter {
    /// Its place in the queue; the next request to be granted has place 1.
    pub position: u64,
    /// Its holder, if the request named one.
    pub holder: Option<LeaseHolder>,
    /// Further words about the lease that it asks for.
    pub labels: BTreeMap<String, String>,
    /// Where it comes from, as far as that is known.
    pub origin: Option<Origin>,
    /// How many slots of the limit it wants.
    pub slots: u64,
    /// Requests with a higher priority are granted first.
    pub priority: i64,
    /// Since when it waits.
    pub since: Timestamp,
    /// For how long it has waited, in seconds.
    pub age_seconds: f64,
    /// The names of the limits that have no room for it.
    pub blocked_by: Vec<String>,
    /// The slots of these limits that no lease holds.
    pub slots_without_lease: Vec<SlotsWithoutLease>,
    /// The leases for which it waits in vain: those of its own holder, and those of holders that
    /// wait for slots of that holder. Mostly empty.
    pub stuck: Vec<StuckOn>,
}
