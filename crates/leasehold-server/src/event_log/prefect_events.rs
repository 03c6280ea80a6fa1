//! The events with which a Prefect server (3.7.8 and later) reports changes of limits, for
//! automations and dashboards that were made for one. The log has our own event of each change as
//! well.

use leasehold_engine::{Event, EventKind, Limit};
use leasehold_records::EventRow;
use serde_json::json;
use uuid::Uuid;

use crate::event_log::convert::timestamp;
use crate::ids;

/// The event of a Prefect server for one of our own, if it has one. It is logged once, even for a
/// rename, and names no limit in the log: our own event does.
pub(super) fn event(event: &Event) -> Option<EventRow> {
    let (action, limit) = match &event.kind {
        EventKind::LimitCreated(limit) => ("created", limit),
        EventKind::LimitChanged { was, is } if is_only_moved(was, is) => return None,
        EventKind::LimitChanged { was: _, is } => ("updated", is),
        EventKind::LimitReset { edited, .. } => ("updated", edited.as_ref()?),
        EventKind::LimitDeleted(limit) => ("deleted", limit),
        _ => return None,
    };
    let at = event.at.as_micros();
    let row = EventRow::new(ids::at(at), format!("prefect.concurrency-limit.{action}"), at);
    let document = Some(document(event, &row, limit));
    Some(EventRow { document, ..row })
}

/// Whether nothing has changed but what another server has to do with the limit. No Prefect server
/// knows of it.
fn is_only_moved(was: &Limit, is: &Limit) -> bool {
    Limit { foreign: is.foreign, returning: is.returning, ..was.clone() } == *is
}

fn document(event: &Event, row: &EventRow, limit: &Limit) -> String {
    let id = Uuid::from_u128(limit.id.0);
    json!({
        "occurred": timestamp(event.at).to_string(),
        "event": row.kind,
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
        "id": row.id,
        "follows": null,
    })
    .to_string()
}
