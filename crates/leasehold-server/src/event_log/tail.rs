//! The newest events in memory. All subscribers share them, and each form of an event is rendered
//! once, however many subscribers there are.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use axum::body::Bytes;
use leasehold_records::{EventFilter, EventRow};
use serde_json::Value;

/// How many events are in memory, and how many bytes they have. A subscriber further behind reads
/// the log.
const EVENTS_MAX: usize = 2_048;
const BYTES_MAX: u64 = 2 << 20;

/// An event of the log, and how it is sent to subscribers.
#[derive(Debug)]
pub(crate) struct Entry {
    event: EventRow,
    /// As a part of a stream at `/api/leasehold/events`.
    frame: OnceLock<Bytes>,
    /// As clients read it at `/api/events/out`.
    rendered: OnceLock<RenderedEvent>,
}

/// An event as clients read it.
#[derive(Debug)]
pub(crate) struct RenderedEvent {
    /// What filters look at.
    pub(crate) event: Value,
    /// What is sent.
    pub(crate) message: Bytes,
}

#[derive(Debug, Default)]
pub(super) struct Tail(Mutex<Newest>);

#[derive(Debug, Default)]
struct Newest {
    events: VecDeque<Arc<Entry>>,
    bytes: u64,
    /// All events behind this number are here; `None` before the first one.
    begins_after: Option<u64>,
}

/// What a search in memory finds.
#[derive(Debug)]
pub(super) enum AtHand {
    Next(Arc<Entry>),
    /// Nothing up to this number.
    NothingUpTo(u64),
    /// The next events may be only in the log.
    Unknown,
}

impl Entry {
    pub(crate) fn new(event: EventRow) -> Self {
        Self { event, frame: OnceLock::new(), rendered: OnceLock::new() }
    }

    pub(crate) fn event(&self) -> &EventRow {
        &self.event
    }

    /// The part of a stream, which `make` renders the first time.
    pub(crate) fn frame(&self, make: impl FnOnce(&EventRow) -> Bytes) -> Bytes {
        self.frame.get_or_init(|| make(&self.event)).clone()
    }

    /// The event for clients, which `make` renders the first time.
    pub(crate) fn rendered(&self, make: impl FnOnce(&EventRow) -> RenderedEvent) -> &RenderedEvent {
        self.rendered.get_or_init(|| make(&self.event))
    }
}

impl Tail {
    /// Adds events that are in the log, in their order.
    pub(super) fn add(&self, events: Vec<EventRow>) {
        let mut newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            newest.begins_after.get_or_insert(event.number.saturating_sub(1));
            newest.bytes += event.bytes();
            newest.events.push_back(Arc::new(Entry::new(event)));
        }
        while (newest.events.len() > EVENTS_MAX || newest.bytes > BYTES_MAX)
            && let Some(oldest) = newest.events.pop_front()
        {
            newest.bytes -= oldest.event.bytes();
            newest.begins_after = Some(oldest.event.number);
        }
    }

    /// The next event that passes a filter.
    pub(super) fn next(&self, filter: &EventFilter) -> AtHand {
        let newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.begins_after.is_none_or(|begin| filter.after < begin) {
            return AtHand::Unknown;
        }
        let seen = newest.events.partition_point(|entry| entry.event.number <= filter.after);
        match newest.events.range(seen..).find(|entry| filter.passes(&entry.event)) {
            Some(entry) => AtHand::Next(entry.clone()),
            None => {
                let last = newest.events.back().map(|entry| entry.event.number);
                AtHand::NothingUpTo(last.unwrap_or(filter.after).max(filter.after))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(number: u64, bytes: usize) -> EventRow {
        EventRow {
            number,
            document: Some("x".repeat(bytes)),
            ..EventRow::new(crate::ids::at(0), "x.happened", 0)
        }
    }

    fn behind(after: u64) -> EventFilter {
        EventFilter { after, ..EventFilter::default() }
    }

    #[test]
    fn events_in_memory_are_bounded_in_bytes_and_in_number() {
        let tail = Tail::default();
        assert!(matches!(tail.next(&behind(0)), AtHand::Unknown));
        let bytes = 64 << 10;
        tail.add((1..=100).map(|number| event(number, bytes)).collect());
        let kept = tail.0.lock().unwrap().events.len();
        assert!((20..=32).contains(&kept), "{kept}");
        assert!(matches!(tail.next(&behind(0)), AtHand::Unknown));
        assert!(matches!(tail.next(&behind(99)), AtHand::Next(_)));
        assert!(matches!(tail.next(&behind(100)), AtHand::NothingUpTo(100)));
        tail.add((101..=10_000).map(|number| event(number, 1)).collect());
        assert_eq!(tail.0.lock().unwrap().events.len(), EVENTS_MAX);
    }

    #[test]
    fn subscribers_share_a_rendered_event() {
        let tail = Tail::default();
        tail.add(vec![event(7, 1)]);
        let frame = || match tail.next(&behind(6)) {
            AtHand::Next(entry) => entry.frame(|event| event.number.to_string().into()),
            other => panic!("{other:?}"),
        };
        assert_eq!(frame().as_ptr(), frame().as_ptr());
    }
}
