//! Reads the events in which Prefect clients report the slots that they acquired.

use std::net::IpAddr;

use leasehold_engine::{Certainty, LimitId, Named, TAG_PREFIX, Timestamp};
use leasehold_node::Handle;
use leasehold_records::{EventRow, micros_from_text};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{Acquired, Join, Joins};
use crate::access::origin::clean;
use crate::event_log::client_event::{ClientEvent, Sent};
use crate::event_log::{self, EventLog};
use crate::ids;

type Fields = Map<String, Value>;

/// How the ids of limits begin in events, and those of tag limits, which have an API of their own.
const LIMIT: &str = "prefect.concurrency-limit.";
const TAG_LIMIT: &str = "prefect.concurrency-limit.v1.";
const ACQUIRED: &str = "acquired";

/// Joins an event about acquired slots to its lease. The lease is identified in a task of its own:
/// the client's next event does not wait for it.
pub(crate) fn hear(
    joins: &Joins,
    ledger: &Handle,
    log: Option<&EventLog>,
    (event, sent): (&ClientEvent, &Sent<'_>),
    address: Option<IpAddr>,
) {
    let id = sent.document.get("id").and_then(|id| id.as_str()?.parse().ok());
    let now = ledger.clock().now();
    let Some((acquired, limit)) = id.and_then(|id| read(event, id, address, now)) else { return };
    let Some(join) = joins.join(&acquired, now) else { return };
    let (ledger, log) = (ledger.clone(), log.cloned());
    tokio::spawn(async move { keep(&ledger, log, join, limit).await });
}

/// Stores with the lease which runs requested it, and logs them. If the lease has ended, only the
/// log has them.
async fn keep(ledger: &Handle, log: Option<EventLog>, join: Join, limit: String) {
    if ledger.identify(join.lease, join.identified.clone()).await.is_err() {
        tracing::debug!(lease = %Uuid::from_u128(join.lease.0), "could not be identified");
        return;
    }
    let Some(log) = log else { return };
    let reason = match join.identified.certainty {
        Certainty::Certain => "certain: its client's event can be about no other lease",
        Certainty::Likely => "likely: its client's event fits this lease best",
    };
    let now = ledger.clock().now().as_micros();
    log.note_ours(EventRow {
        limit: Some(limit),
        holder: join.holder.as_ref().map(event_log::holder),
        lease: Some(Uuid::from_u128(join.lease.0)),
        origin: event_log::origin(&join.origin),
        reason: Some(reason.to_owned()),
        ..EventRow::new(ids::at(now), "holder.identified", now)
    });
}

/// Reads an event about acquired slots. Returns it with its limit's name.
fn read(
    event: &ClientEvent,
    id: Uuid,
    address: Option<IpAddr>,
    now: Timestamp,
) -> Option<(Acquired, String)> {
    if event.event.strip_prefix(LIMIT)?.rsplit('.').next()? != ACQUIRED {
        return None;
    }
    let text = |name: &str| event.resource.get(name).and_then(Value::as_str);
    let (resource, name) = (text("prefect.resource.id")?, text("prefect.resource.name")?);
    let (limit, name) = match resource.strip_prefix(TAG_LIMIT) {
        Some(limit) => (limit, format!("{TAG_PREFIX}{name}")),
        None => (resource.strip_prefix(LIMIT)?, name.to_owned()),
    };
    let related = |kind: &str| {
        let found = event.related.iter().find_map(|related| named(related, kind));
        found.unwrap_or_default()
    };
    let occurred = micros_from_text(&event.occurred)?;
    let acquired = Acquired {
        id,
        occurred: Timestamp::from_micros(occurred).min(now),
        address,
        limit: LimitId(limit.parse::<Uuid>().ok()?.as_u128()),
        // Events about tags give no number: a task run takes one slot of each.
        slots: text("slots-acquired").map_or(Some(1), |slots| slots.parse().ok())?,
        flow: related("prefect.flow.").id.map(|id| id.to_string()),
        flow_run: related("prefect.flow-run."),
        task_run: related("prefect.task-run."),
    };
    Some((acquired, name))
}

/// The id and the name of a resource, if it is of this kind.
fn named(resource: &Fields, kind: &str) -> Option<Named> {
    let text = |name: &str| resource.get(name).and_then(Value::as_str);
    let id = text("prefect.resource.id")?.strip_prefix(kind)?;
    let name = text("prefect.resource.name").map(clean).filter(|name| !name.is_empty());
    Some(Named { id: Some(clean(id).into()), name: name.map(Into::into) })
}
