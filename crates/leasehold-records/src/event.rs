//! Events: what happened to limits and leases, and what clients report of their runs.

use uuid::Uuid;

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct EventRow {
    /// Its place in the log; 0 before it is in the log.
    pub number: u64,
    /// Its id.
    pub id: Uuid,
    /// When it happened.
    pub at_micros: i64,
    /// What happened: `lease.granted`, `prefect.task-run.Running`.
    pub kind: String,
    /// The name of the limit that it happened on.
    pub limit: Option<String>,
    /// The kind and the id of the holder.
    pub holder: Option<(String, String)>,
    /// The lease that it happened to.
    pub lease: Option<Uuid>,
    /// Where the request for that lease came from, as JSON.
    pub origin: Option<String>,
    /// Why it happened.
    pub reason: Option<String>,
    /// The event as a client sent it, as JSON.
    pub document: Option<String>,
}

/// What a row of the log takes beside its texts: ids, numbers, and entries in the indexes.
const ROW_BYTES: u64 = 128;

impl EventRow {
    /// An event with a kind and a time, in microseconds since the Unix epoch; its other fields are
    /// empty.
    pub fn new(id: Uuid, kind: impl Into<String>, at_micros: i64) -> Self {
        Self {
            number: 0,
            id,
            at_micros,
            kind: kind.into(),
            limit: None,
            holder: None,
            lease: None,
            origin: None,
            reason: None,
            document: None,
        }
    }

    /// How many bytes it takes in the log, about.
    pub fn bytes(&self) -> u64 {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let (kind, id) = self.holder.as_ref().map_or((0, 0), |(kind, id)| (kind.len(), id.len()));
        let others =
            text(&self.limit) + text(&self.origin) + text(&self.reason) + text(&self.document);
        let texts = self.kind.len() + kind + id + others;
        u64::try_from(texts).unwrap_or(u64::MAX).saturating_add(ROW_BYTES)
    }
}

/// Which events a search finds; `None` is all of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventFilter {
    /// On the limit with this name.
    pub limit: Option<String>,
    /// Of the holder with this id.
    pub holder: Option<String>,
    /// Of this kind, or of those that begin with it and a dot.
    pub kind: Option<String>,
    /// To this lease.
    pub lease: Option<Uuid>,
    /// No earlier than this.
    pub since_micros: Option<i64>,
    /// Earlier than this.
    pub until_micros: Option<i64>,
    /// Behind the event with this number, in the order in which they come; 0 is all of them.
    pub after: u64,
    /// Whether the newest come first; otherwise the oldest do.
    pub is_newest_first: bool,
    /// How many at the most.
    pub limit_count: u64,
    /// How many bytes they have together at the most, though the first one is always found; `None`
    /// is any number.
    pub bytes_max: Option<u64>,
}

impl EventFilter {
    /// Whether an event passes, in the log or in memory. The bounds of the search do not count.
    pub fn passes(&self, event: &EventRow) -> bool {
        let is_kind = |kind: &String| {
            let rest = event.kind.strip_prefix(kind.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let is_holder = |id: &String| event.holder.as_ref().is_some_and(|(_, known)| known == id);
        event.number > self.after
            && (self.limit.is_none() || self.limit == event.limit)
            && self.holder.as_ref().is_none_or(is_holder)
            && self.kind.as_ref().is_none_or(is_kind)
            && (self.lease.is_none() || self.lease == event.lease)
            && self.since_micros.is_none_or(|since| since <= event.at_micros)
            && self.until_micros.is_none_or(|until| event.at_micros < until)
    }
}

/// The events that a search found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventPage {
    /// In the filter's order.
    pub events: Vec<EventRow>,
    /// Whether the filter's bounds ended the search: more events may pass.
    pub is_cut: bool,
}

/// Up to which time the log has events of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoggedUntil {
    /// The log never had an event.
    Never,
    /// The log had events and pruned them.
    Pruned,
    /// In microseconds since the Unix epoch.
    At(i64),
}
