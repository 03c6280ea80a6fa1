//! `/api/events/out`: the log of events as clients read it.

use axum::extract::ws::{Message, WebSocket};
use leasehold_api::Timestamp;
use leasehold_records::{Event, EventFilter};
use serde_json::{Map, Value, json};

use super::wanted::Wanted;
use super::{Subscription, next_text, send};
use crate::app::App;

/// How many events are read from the log at once.
const PAGE_SIZE: u64 = 200;

/// How far back a subscriber is told of what has happened: what it missed between two
/// connections. Who wants to know more asks for the log's pages.
const BACKFILL_MICROS: i64 = 15 * 60 * 1_000_000;

/// Tells a subscriber what happens from now on, and, unless it wants no backfill, what has
/// happened shortly before: clients rely on that when they connect again.
pub(super) async fn serve(app: App, mut socket: WebSocket) {
    let Some(Subscription { filter: wanted, backfill }) =
        Subscription::<Wanted>::read(&mut socket).await
    else {
        return;
    };
    let Some(log) = app.event_log().cloned() else {
        while next_text(&mut socket).await.is_some() {}
        return;
    };
    let earliest = app.ledger().clock().now().as_micros() - BACKFILL_MICROS;
    let mut filter = EventFilter {
        since_micros: Some(wanted.occurred.since.map_or(earliest, |since| since.max(earliest))),
        // The log's end is left out, and the contract's is not.
        until_micros: wanted.occurred.until.map(|until| until.saturating_add(1)),
        limit_count: PAGE_SIZE,
        ..EventFilter::default()
    };
    if !backfill {
        let Ok(last) = log.last().await else { return };
        filter.after = last;
    }
    loop {
        let found = tokio::select! {
            found = log.next(&mut filter) => found,
            said = next_text(&mut socket) => match said {
                Some(_) => continue,
                None => return,
            },
        };
        let Some(found) = found else { return };
        for event in found.iter().map(wire).filter(|event| wanted.passes(event)) {
            let message = json!({"type": "event", "event": event}).to_string();
            if send(&mut socket, Message::Text(message.into())).await.is_err() {
                return;
            }
        }
    }
}

/// An event as its client sent it, and what happened here in the same shape.
fn wire(event: &Event) -> Value {
    let received = Timestamp(event.at_micros).to_string();
    if let Some(Value::Object(sent)) = &event.document {
        let mut sent = sent.clone();
        sent.insert("received".to_owned(), received.into());
        return sent.into();
    }
    let limit = event.limit.as_deref().unwrap_or_default();
    let resource_id = match event.lease {
        Some(lease) => format!("leasehold.lease.{lease}"),
        None => format!("leasehold.limit.{limit}"),
    };
    let mut related = Vec::new();
    if let Some((kind, id)) = &event.holder {
        let kind = kind.replace('_', "-");
        let id = format!("prefect.{kind}.{id}");
        related.push(json!({"prefect.resource.id": id, "prefect.resource.role": kind}));
    }
    let mut payload = Map::new();
    payload.extend(event.reason.clone().map(|reason| ("reason".to_owned(), reason.into())));
    json!({
        "occurred": received,
        "event": format!("leasehold.{}", event.kind),
        "resource": {"prefect.resource.id": resource_id, "prefect.resource.name": limit},
        "related": related,
        "payload": payload,
        "id": event.id,
        "follows": null,
        "received": received,
    })
}
