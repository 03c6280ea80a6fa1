//! `/api/events/out`: the log of events as clients read it.

use axum::extract::ws::{Message, WebSocket};
use leasehold_api::Timestamp;
use leasehold_records::{Event, EventFilter};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Subscription, next_text};
use crate::app::App;

/// The filters that a subscriber may ask for.
const FILTERS: &[&str] =
    &["occurred", "event", "resource", "related", "any_resource", "id", "text", "order"];
/// How many events are read from the log at once.
const PAGE_SIZE: u64 = 200;

/// What is asked of an event. The other filters that the contract knows let everything through.
#[derive(Debug, Default, Deserialize)]
struct Wanted {
    #[serde(default)]
    event: Option<WantedKinds>,
    #[serde(default)]
    resource: Option<WantedResource>,
}

#[derive(Debug, Default, Deserialize)]
struct WantedKinds {
    prefix: Option<Vec<String>>,
    exclude_prefix: Option<Vec<String>>,
    name: Option<Vec<String>>,
    exclude_name: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
struct WantedResource {
    id: Option<Vec<String>>,
    id_prefix: Option<Vec<String>>,
}

/// Tells a subscriber what happens from now on, or, with backfill, what has happened as well.
pub(super) async fn serve(app: App, mut socket: WebSocket) {
    let Some(subscription) = Subscription::read(&mut socket, FILTERS).await else { return };
    let Ok(wanted) = serde_json::from_value::<Wanted>(subscription.filter.into()) else { return };
    let Some(log) = app.event_log().cloned() else {
        while next_text(&mut socket).await.is_some() {}
        return;
    };
    let mut filter = EventFilter { limit_count: PAGE_SIZE, ..EventFilter::default() };
    if !subscription.backfill {
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
            if socket.send(Message::Text(message.into())).await.is_err() {
                return;
            }
        }
    }
}

impl Wanted {
    fn passes(&self, event: &Value) -> bool {
        let kind = event.get("event").and_then(Value::as_str).unwrap_or_default();
        let resource = event.pointer("/resource/prefect.resource.id").and_then(Value::as_str);
        self.event.as_ref().is_none_or(|kinds| kinds.pass(kind))
            && self.resource.as_ref().is_none_or(|wanted| wanted.passes(resource.unwrap_or("")))
    }
}

impl WantedKinds {
    fn pass(&self, kind: &str) -> bool {
        let begins = |prefixes: &Vec<String>| prefixes.iter().any(|it| kind.starts_with(it));
        let is_named = |names: &Vec<String>| names.iter().any(|name| name == kind);
        self.prefix.as_ref().is_none_or(begins)
            && self.name.as_ref().is_none_or(is_named)
            && !self.exclude_prefix.as_ref().is_some_and(begins)
            && !self.exclude_name.as_ref().is_some_and(is_named)
    }
}

impl WantedResource {
    fn passes(&self, id: &str) -> bool {
        self.id.as_ref().is_none_or(|ids| ids.iter().any(|wanted| wanted == id))
            && (self.id_prefix.as_ref())
                .is_none_or(|prefixes| prefixes.iter().any(|it| id.starts_with(it)))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn check(filter: &Value, kind: &str, passes: bool) {
        let wanted: Wanted = serde_json::from_value(filter.clone()).unwrap();
        let resource = json!({"prefect.resource.id": "prefect.flow-run.1"});
        let event = json!({"event": kind, "resource": resource});
        assert_eq!(wanted.passes(&event), passes, "{filter} {kind}");
    }

    #[test]
    fn events_are_filtered_by_kind_and_by_resource() {
        check(&json!({}), "lease.granted", true);
        let prefix = json!({"event": {"prefix": ["prefect.flow-run."]}});
        check(&prefix, "prefect.flow-run.heartbeat", true);
        check(&prefix, "prefect.task-run.Running", false);
        let name = json!({"event": {"name": ["a"], "exclude_prefix": ["a"]}});
        check(&name, "a", false);
        check(&json!({"resource": {"id": ["prefect.flow-run.2"]}}), "a", false);
        check(&json!({"resource": {"id_prefix": ["prefect.flow-run."]}}), "a", true);
    }
}
