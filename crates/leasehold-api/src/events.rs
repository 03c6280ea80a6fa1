//! The log of events: `/api/leasehold/events`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::Timestamp;
use crate::origin::Origin;

/// Which events to list.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct FindEvents {
    /// The name of their limit.
    pub limit: Option<String>,
    /// The id of their holder.
    pub holder: Option<String>,
    /// What happened: `lease.expired`, or `lease` for all kinds that begin with it. There are
    /// `limit.created`, `limit.changed`, `limit.deleted`, `lease.granted`, `lease.renewed_late`,
    /// `lease.released`, `lease.expired`, `lease.revoked`, `lease.repossessed`, `lease.moved_out`,
    /// `lease.moved_in`, `slots.taken`, `slots.given_back`, `waiter.queued`, `waiter.left`,
    /// `log.dropped`, and the kinds that clients send.
    pub kind: Option<String>,
    /// Their lease.
    pub lease: Option<Uuid>,
    /// Not before this time.
    pub since: Option<String>,
    /// Before this time.
    pub until: Option<String>,
    /// After the event with this number, in the order of the page.
    pub after: Option<u64>,
    /// Whether the newest come first; otherwise the oldest do.
    pub newest_first: Option<bool>,
    /// How many at most; a page if it is absent.
    pub page_size: Option<u64>,
}

/// An event of the log.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Its place in the log: numbers rise.
    pub number: u64,
    /// Its id.
    pub id: Uuid,
    /// When it happened.
    pub occurred: Timestamp,
    /// What happened: `lease.granted`, `limit.changed`, `waiter.queued`, or the name that a client
    /// gave it.
    pub kind: String,
    /// The name of its limit.
    pub limit: Option<String>,
    /// The holder of its lease or of its waiting request.
    pub holder: Option<EventHolder>,
    /// Its lease. For a waiting request: the lease that it asks for.
    pub lease: Option<Uuid>,
    /// Where the request for that lease came from, as far as that is known.
    pub origin: Option<Origin>,
    /// Why.
    pub reason: Option<String>,
    /// The event as a client sent it, byte by byte; `null` for an event of the server.
    #[schemars(with = "Option<Value>")]
    pub sent: Option<Box<RawValue>>,
}

/// The holder of a lease or of a waiting request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EventHolder {
    /// The kind of holder.
    pub kind: String,
    /// The holder's id within its kind.
    pub id: String,
}

/// A part of the log, oldest first unless the request asks for the newest first.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EventPage {
    /// The events.
    pub events: Vec<Event>,
    /// The `after` of the next page; `null` on the last page.
    pub next: Option<u64>,
}
