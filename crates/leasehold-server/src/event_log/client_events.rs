//! Events of clients on their way to the log: each is bounded in size, and all together in number
//! and size. No client waits for the log: events beyond the bounds are dropped and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use leasehold_records::{EventRow, RunKind};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::event_log::client_event::{ClientEvent, Sent};
use crate::ids;

/// How many bytes an event of a client may have. A larger event loses its payload. It is dropped if
/// it is still too large.
pub(crate) const EVENT_BYTES_MAX: usize = 64 << 10;
/// How many events of clients may wait for the log, and how many bytes they may have.
const WAITING_MAX: usize = 4_096;
const WAITING_BYTES_MAX: usize = 16 << 20;

/// An event of a client as it is logged; `None` if it is too large.
#[derive(Debug)]
pub(crate) struct ClientRow(Option<EventRow>);

/// Puts events of clients into the queue.
#[derive(Clone, Debug)]
pub(super) struct ClientEvents {
    waiting: mpsc::Sender<EventRow>,
    counts: Arc<Counts>,
}

/// Takes events of clients out of the queue.
#[derive(Debug)]
pub(super) struct FromClients {
    waiting: mpsc::Receiver<EventRow>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// How many bytes wait.
    bytes: AtomicUsize,
    dropped: AtomicU64,
    too_large: AtomicU64,
}

pub(super) fn channel() -> (ClientEvents, FromClients) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let counts = Arc::<Counts>::default();
    let from_clients = FromClients { waiting: receiver, counts: counts.clone() };
    (ClientEvents { waiting: sender, counts }, from_clients)
}

impl ClientEvents {
    pub(super) fn note(&self, event: ClientRow) {
        let Some(event) = event.0 else {
            self.counts.too_large.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let bytes = size(&event);
        let has_room = self.counts.bytes.fetch_add(bytes, Ordering::Relaxed) < WAITING_BYTES_MAX;
        if !has_room || self.waiting.try_send(event).is_err() {
            self.counts.bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl FromClients {
    pub(super) async fn recv(&mut self) -> Option<EventRow> {
        let event = self.waiting.recv().await?;
        Some(self.taken(event))
    }

    pub(super) fn try_recv(&mut self) -> Option<EventRow> {
        let event = self.waiting.try_recv().ok()?;
        Some(self.taken(event))
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// How many were dropped since the start.
    pub(super) fn dropped(&self) -> u64 {
        self.counts.dropped.load(Ordering::Relaxed)
    }

    /// How many were too large since the start.
    pub(super) fn too_large(&self) -> u64 {
        self.counts.too_large.load(Ordering::Relaxed)
    }

    fn taken(&self, event: EventRow) -> EventRow {
        self.counts.bytes.fetch_sub(size(&event), Ordering::Relaxed);
        event
    }
}

impl ClientRow {
    /// An event of the server itself, which passes through the same queue.
    pub(super) fn ours(event: EventRow) -> Self {
        Self(Some(event))
    }

    /// An event of a client, with the fields by which searches find it.
    pub(crate) fn new(
        event: &ClientEvent,
        subject: Option<(RunKind, Uuid)>,
        sent: Sent<'_>,
        at_micros: i64,
    ) -> Self {
        let new = EventRow::new(ids::at(at_micros), &*event.event, at_micros);
        let said_id = sent.document.get("id").and_then(|id| id.as_str()?.parse().ok());
        Self(kept(sent).map(|document| EventRow {
            id: said_id.unwrap_or(new.id),
            limit: event.limit_name(),
            holder: subject.map(|(kind, id)| (kind.as_str().to_owned(), id.to_string())),
            document: Some(document),
            ..new
        }))
    }
}

/// The text of an event as it is logged, in one line.
fn kept(sent: Sent<'_>) -> Option<String> {
    let Sent { text, mut document } = sent;
    if text.len() <= EVENT_BYTES_MAX {
        let is_line = !text.contains(['\n', '\r']);
        return Some(if is_line { text.to_owned() } else { document.to_string() });
    }
    if let Some(payload) = document.get_mut("payload") {
        let bytes = payload.to_string().len();
        let said = format!(
            "the payload of {bytes} bytes was left out: an event has {EVENT_BYTES_MAX} at the most"
        );
        *payload = json!({"leasehold.trimmed": said});
    }
    let text = Value::to_string(&document);
    (text.len() <= EVENT_BYTES_MAX).then_some(text)
}

fn size(event: &EventRow) -> usize {
    usize::try_from(event.bytes()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(text: &str) -> Option<String> {
        kept(Sent { text, document: serde_json::from_str(text).unwrap() })
    }

    #[test]
    fn a_large_payload_is_left_out_and_the_event_says_so() {
        let payload = "x".repeat(EVENT_BYTES_MAX);
        let text = json!({"event": "e", "payload": {"text": payload}, "id": "7"}).to_string();
        let kept: Value = serde_json::from_str(&sent(&text).unwrap()).unwrap();
        assert_eq!((&kept["event"], &kept["id"]), (&json!("e"), &json!("7")));
        let said = kept["payload"]["leasehold.trimmed"].as_str().unwrap();
        assert!(said.contains("65547 bytes was left out"), "{said}");
    }

    #[test]
    fn an_event_that_is_too_large_without_its_payload_is_counted_and_not_kept() {
        let text = json!({"event": "x".repeat(EVENT_BYTES_MAX), "payload": {}}).to_string();
        assert_eq!(sent(&text), None);
        let (events, from_clients) = channel();
        events.note(ClientRow(None));
        assert_eq!((from_clients.too_large(), from_clients.dropped()), (1, 0));
    }

    #[test]
    fn an_event_of_several_lines_is_kept_in_one() {
        assert_eq!(sent("{\n\"a\":\r\n1}").as_deref(), Some(r#"{"a":1}"#));
    }

    #[tokio::test]
    async fn events_that_wait_for_the_log_are_bounded_in_bytes() {
        let (events, mut from_clients) = channel();
        let event = || {
            let document = Some("x".repeat(EVENT_BYTES_MAX));
            ClientRow(Some(EventRow { document, ..EventRow::new(ids::at(0), "x", 0) }))
        };
        for _ in 0..1_000 {
            events.note(event());
        }
        let mut taken = 0;
        while from_clients.try_recv().is_some() {
            taken += 1;
        }
        let most = WAITING_BYTES_MAX / EVENT_BYTES_MAX;
        assert!((most - 2..=most).contains(&taken), "{taken}");
        assert_eq!(from_clients.dropped(), 1_000 - taken as u64);
        events.note(event());
        assert!(from_clients.recv().await.is_some());
    }
}
