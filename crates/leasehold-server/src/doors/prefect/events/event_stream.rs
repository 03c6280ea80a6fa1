//! `/api/events/out`: sends the event log to subscribers, as Prefect's clients read it.

use axum::extract::ws::{Message, Utf8Bytes};
use leasehold_api::Timestamp;
use leasehold_records::{EventFilter, EventPage, EventRow, micros_from_text};
use serde_json::{Map, Value, json};

use super::wanted::Wanted;
use super::{Socket, Subscription};
use crate::app::App;
use crate::event_log::{Entry, FOLLOWED_BYTES_MAX, RenderedEvent};

/// How many events one read of the log returns.
const PAGE_SIZE: u64 = 200;
const EVENT: &str = r#"{"type":"event","event":"#;

/// How far back the backfill reaches: it covers what a subscriber missed between two connections.
/// For older events there is `/api/leasehold/events`.
const BACKFILL_MICROS: i64 = 15 * 60 * 1_000_000;

/// Sends a subscriber the recent events, unless it wants no backfill, and then each new one.
/// Clients rely on the backfill when they connect again.
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
        // The log dates a client's event no later than the client does, so this bound loses none.
        // The log excludes `until`; the contract includes it.
        until_micros: wanted.occurred.until.map(|until| until.saturating_add(1)),
        limit_count: PAGE_SIZE,
        bytes_max: Some(FOLLOWED_BYTES_MAX),
        ..EventFilter::default()
    };
    if backfill {
        let earliest = app.ledger().clock().now().as_micros() - BACKFILL_MICROS;
        let mut past = EventFilter { since_micros: Some(earliest), ..filter.clone() };
        loop {
            let Ok(EventPage { mut events, .. }) = log.find(past.clone()).await else { return };
            events.retain(|event| event.number <= last);
            let Some(newest) = events.last() else { break };
            past.after = newest.number;
            for event in events {
                if !tell(&mut socket, &Entry::new(event), &wanted).await {
                    return;
                }
            }
        }
    }
    filter.after = last;
    let mut following = log.follow(filter);
    loop {
        let entry = tokio::select! {
            entry = following.next() => entry,
            said = socket.next_text() => match said {
                Some(_) => continue,
                None => return,
            },
        };
        let Some(entry) = entry else { return socket.end().await };
        if !tell(&mut socket, &entry, &wanted).await {
            return;
        }
    }
}

/// Sends an event if the subscriber wants it. `false` if the subscriber is gone.
async fn tell(socket: &mut Socket, entry: &Entry, wanted: &Wanted) -> bool {
    let told = entry.rendered(told);
    if !wanted.occurred.includes(occurred_micros(entry.event(), told))
        || !wanted.passes(&told.event)
    {
        return true;
    }
    // Always UTF-8: `told` formats it from text.
    let Ok(text) = Utf8Bytes::try_from(told.message.clone()) else { return true };
    socket.send(Message::Text(text)).await.is_ok()
}

/// When the event happened: for a client's event by that client's clock.
fn occurred_micros(event: &EventRow, told: &RenderedEvent) -> i64 {
    let occurred = told.event.get("occurred").and_then(Value::as_str);
    let of_client = event.document.as_ref().and(occurred);
    of_client.and_then(micros_from_text).unwrap_or(event.at_micros)
}

fn told(event: &EventRow) -> RenderedEvent {
    let event = wire(event);
    let message = format!("{EVENT}{event}}}").into();
    RenderedEvent { event, message }
}

/// A client's event as the client sent it, or an event of this server in the same shape.
fn wire(event: &EventRow) -> Value {
    let received = Timestamp(event.at_micros).to_string();
    let sent = event.document.as_ref().and_then(|sent| serde_json::from_str(sent).ok());
    if let Some(Value::Object(mut sent)) = sent {
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
    let origin = event.origin.as_deref().and_then(|origin| serde_json::from_str(origin).ok());
    payload.extend(origin.map(|origin| ("origin".to_owned(), origin)));
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
