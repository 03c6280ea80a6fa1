//! `/api/events/out`: the log of events as clients read it.

use axum::extract::ws::Message;
use leasehold_api::Timestamp;
use leasehold_records::{Event, EventFilter, micros_from_text};
use serde_json::{Map, Value, json};

use super::wanted::Wanted;
use super::{Socket, Subscription};
use crate::app::App;

/// How many events are read from the log at once.
const PAGE_SIZE: u64 = 200;

/// How far back a subscriber is told of what has happened: what it missed between two
/// connections. Who wants to know more asks for the log's pages.
const BACKFILL_MICROS: i64 = 15 * 60 * 1_000_000;

/// Tells a subscriber what happens from now on, and, unless it wants no backfill, what has
/// happened shortly before: clients rely on that when they connect again.
pub(super) async fn serve(app: App, mut socket: Socket) {
    let Some(Subscription { filter: wanted, backfill }) =
        Subscription::<Wanted>::read(&mut socket).await
    else {
        return;
    };
    let Some(log) = app.event_log().cloned() else {
        while socket.next_text().await.is_some() {}
        return;
    };
    let Ok(last) = log.last().await else { return };
    let mut filter = EventFilter {
        // No event of a client is dated later than it says itself. The log's end is left out, and
        // the contract's is not.
        until_micros: wanted.occurred.until.map(|until| until.saturating_add(1)),
        limit_count: PAGE_SIZE,
        ..EventFilter::default()
    };
    if backfill {
        let earliest = app.ledger().clock().now().as_micros() - BACKFILL_MICROS;
        let mut past = EventFilter { since_micros: Some(earliest), ..filter.clone() };
        loop {
            let Ok(mut found) = log.find(past.clone()).await else { return };
            found.retain(|event| event.number <= last);
            let Some(newest) = found.last() else { break };
            past.after = newest.number;
            if !tell(&mut socket, &found, &wanted).await {
                return;
            }
        }
    }
    filter.after = last;
    loop {
        let found = tokio::select! {
            found = log.next(&mut filter) => found,
            said = socket.next_text() => match said {
                Some(_) => continue,
                None => return,
            },
        };
        let Some(found) = found else { return socket.end().await };
        if !tell(&mut socket, &found, &wanted).await {
            return;
        }
    }
}

/// Tells those events that are wanted. Answers whether the subscriber is still there.
async fn tell(socket: &mut Socket, found: &[Event], wanted: &Wanted) -> bool {
    let in_time = found.iter().filter(|event| wanted.occurred.includes(occurred_micros(event)));
    for event in in_time.map(wire).filter(|event| wanted.passes(event)) {
        let message = json!({"type": "event", "event": event}).to_string();
        if socket.send(Message::Text(message.into())).await.is_err() {
            return false;
        }
    }
    true
}

/// When it happened; of what a client sent, by that client's clock.
fn occurred_micros(event: &Event) -> i64 {
    let occurred = event.document.as_ref().and_then(|sent| sent.get("occurred")?.as_str());
    occurred.and_then(micros_from_text).unwrap_or(event.at_micros)
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
