//! The log of events: `/api/leasehold/events`. The recorded API has nothing like it.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Timestamp;
use crate::body::body;
use crate::origin::LoggedOrigin;
use crate::rule::{BOOLEAN, COUNT, ID, TEXT};
use crate::schema::{Shown, answer};

body! {
    /// Which events to list.
    pub struct FindEvents: Model {
        /// The name of the limit that they happened on.
        pub limit: Option<String> = optional("limit", TEXT);
        /// The id of their holder.
        pub holder: Option<String> = optional("holder", TEXT);
        /// What happened; `lease` is all that begins with it.
        pub kind: Option<String> = optional("kind", TEXT);
        /// The lease that they happened to.
        pub lease: Option<Uuid> = optional("lease", ID);
        /// Not before this time.
        pub since: Option<String> = optional("since", TEXT);
        /// Before this time.
        pub until: Option<String> = optional("until", TEXT);
        /// Behind the event with this number, in the order of the page.
        pub after: Option<u64> = optional("after", COUNT);
        /// Whether the newest come first; otherwise the oldest do.
        pub newest_first: Option<bool> = optional("newest_first", BOOLEAN);
        /// How many at most, up to a page; a page when it is not given.
        pub page_size: Option<u64> = optional("page_size", COUNT);
    }
}

answer! {
    /// Something that happened.
    pub struct Event {
        /// Its place in the log: numbers rise.
        pub number: u64,
        /// Its id.
        pub id: Uuid,
        /// When it happened.
        pub occurred: Timestamp,
        /// What happened: `lease.granted`, `limit.changed`, `waiter.queued`, or what a client
        /// called it.
        pub kind: String,
        /// The limit that it happened on.
        pub limit: Option<String>,
        /// Who held it or waited for it, or whom it happened to.
        pub holder: Option<EventHolder>,
        /// The lease that it happened to; of a request that waits, the lease that it asks for.
        pub lease: Option<Uuid>,
        /// Where the request for that lease came from, if anything is known of that.
        pub origin: Option<LoggedOrigin>,
        /// Why.
        pub reason: Option<String>,
        /// The event as a client sent it; `null` for what happened here.
        pub sent: Sent,
    }
}

answer! {
    /// Whom something happened to.
    pub struct EventHolder {
        /// The kind of holder.
        pub kind: String,
        /// The holder's id within its kind.
        pub id: String,
    }
}

answer! {
    /// A part of the log, oldest first unless the newest were asked for first.
    pub struct EventPage {
        /// The events.
        pub events: Vec<Event>,
        /// What `after` has to be for the next page; `null` when this is the last.
        pub next: Option<u64>,
    }
}

/// An event as a client sent it, byte by byte, if one did.
#[derive(Clone, Debug, Default)]
pub struct Sent(Option<Box<RawValue>>);

impl Sent {
    /// What was sent as a JSON text; nothing if it is none.
    pub fn new(text: Option<String>) -> Self {
        Self(text.and_then(|text| RawValue::from_string(text).ok()))
    }
}

impl PartialEq for Sent {
    fn eq(&self, other: &Self) -> bool {
        let text = |sent: &Self| sent.0.as_ref().map(|raw| raw.get().to_owned());
        text(self) == text(other)
    }
}

impl Serialize for Sent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl Shown for Sent {
    fn schema() -> Value {
        json!({})
    }
}
