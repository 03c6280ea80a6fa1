//! What happens to limits as a Prefect server (3.7.8 and later) tells it to its subscribers, for
//! automations and dashboards that were made for one. The log has our own event of each beside.

use leasehold_api::Timestamp;
use leasehold_engine::{Happening, Limit, What};
use leasehold_records::Event;
use serde_json::json;
use uuid::Uuid;

/// The event of a Prefect server, if it has one for what happened. It is told once, a rename
/// included, and names no limit of the log: there our own event does.
pub(super) fn event(happening: &Happening) -> Option<Event> {
    let (action, limit) = match &happening.what {
        What::LimitCreated(limit) => ("created", limit),
        What::LimitChanged { was: _, is } => ("updated", is),
        What::LimitReset { edited, .. } => ("updated", edited.as_ref()?),
        What::LimitDeleted(limit) => ("deleted", limit),
        _ => return None,
    };
    let event = Event::new(format!("prefect.concurrency-limit.{action}"), happening.at.as_micros());
    let document = Some(document(&event, limit));
    Some(Event { document, ..event })
}

fn document(event: &Event, limit: &Limit) -> String {
    let id = Uuid::from_u128(limit.id.0);
    json!({
        "occurred": Timestamp(event.at_micros).to_string(),
        "event": event.kind,
        "resource": {
            "prefect.resource.id": format!("prefect.concurrency-limit.{id}"),
            "prefect.resource.name": &*limit.name,
        },
        "related": [],
        "payload": {
            "name": &*limit.name,
            "limit": limit.slots,
            "active": limit.active,
            "slot_decay_per_second": limit.decay.as_slots_per_second(),
        },
        "id": event.id,
        "follows": null,
    })
    .to_string()
}
