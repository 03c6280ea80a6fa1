//! The events that the log lacks when a server starts. The log is written a moment behind the
//! journal, and without the events that exceed its budget. Unless the missing events are added, a
//! lease that ended in the moment before a crash stays held in the log for ever.

use std::cmp::Reverse;
use std::collections::HashMap;

use leasehold_engine::{EndReason, Ending, EventKind, Lease, LeaseId, LimitId, Snapshot};
use leasehold_node::chain;
use leasehold_records::{EventRow, LoggedUntil, Records, RecordsError, Transaction};
use uuid::Uuid;

use super::words::{HOLDS, kind_and_reason};
use super::{dropped, holder, origin};
use crate::ids;

/// How many grants are added at most. Fewer happen in the moment by which the log is behind.
const GRANTS_MAX: usize = 2_000;
/// The share of the log that is written at once at most: the rest is for older events.
const SHARE: u64 = 4;

const LACKED: &str = "the log lacked it when the server started";

/// Compares the log with the durable ledger before the server starts, and adds the events that the
/// log lacks: grants of leases that live, and ends of leases that do not. Limits and leases do not
/// depend on it: if the records cannot be written, the server starts without.
pub(crate) fn catch_up(records: &mut Records, durable: &Snapshot) {
    match add_missing(records, durable) {
        Ok(0) => {}
        Ok(count) => {
            tracing::info!(count, "the events that the log lacked were added");
        }
        Err(error) => {
            let error = chain(&error);
            tracing::warn!(error, "the log may lack the latest events");
        }
    }
}

/// Returns how many events it added.
fn add_missing(records: &mut Records, durable: &Snapshot) -> Result<usize, RecordsError> {
    let records = records.begin()?;
    let (mut events, mut granted) = missing(&records, durable)?;
    let mut too_many = keep_newest(&mut granted, GRANTS_MAX);
    events.extend(granted);
    let room = usize::try_from(records.events_max() / SHARE).unwrap_or(usize::MAX);
    too_many += keep_newest(&mut events, room);
    if too_many > 0 {
        let reason = format!("{too_many} events that the log lacked were too many to be added");
        events.push(dropped(reason, durable.at.as_micros()));
    }
    // Slots are freed before they are granted at the same moment.
    events.sort_by_key(|event| (event.at_micros, holds(event), event.number));
    records.add_events(&mut events)?;
    records.commit()?;
    Ok(events.len())
}

/// Returns how many it left out.
fn keep_newest(events: &mut Vec<EventRow>, max: usize) -> usize {
    let too_many = events.len().saturating_sub(max);
    if too_many > 0 {
        events.sort_by_key(|event| Reverse(event.at_micros));
        events.truncate(max);
    }
    too_many
}

/// The missing events of leases that are in the log, and grants of leases that are not.
fn missing(
    records: &Transaction<'_>,
    durable: &Snapshot,
) -> Result<(Vec<EventRow>, Vec<EventRow>), RecordsError> {
    let mut logged: HashMap<LeaseId, Vec<EventRow>> = HashMap::new();
    for event in records.last_events_of_leases()? {
        if let Some(lease) = event.lease {
            logged.entry(LeaseId(lease.as_u128())).or_default().push(event);
        }
    }
    let logged_since = match records.logged_until()? {
        LoggedUntil::Never => i64::MIN,
        // Events are logged in the order in which they happened.
        LoggedUntil::At(at_micros) => at_micros,
        // The pruned events may have been those of any lease.
        LoggedUntil::Pruned => i64::MAX,
    };
    let names: HashMap<LimitId, &str> =
        durable.limits.iter().map(|limit| (limit.id, &*limit.name)).collect();
    let (mut events, mut granted) = (Vec::new(), Vec::new());
    for lease in &durable.leases {
        let held = lease.holdings.iter().filter_map(|holding| names.get(&holding.limit).copied());
        match logged.remove(&lease.id) {
            Some(last) => missing_of_live_lease(lease, held.collect(), last, &mut events),
            None if lease.created.as_micros() >= logged_since => {
                let at_micros = lease.created.as_micros();
                granted.extend(held.map(|name| of(lease, name, "lease.granted", at_micros)));
            }
            // It was granted before the log begins, or beyond the budget.
            None => {}
        }
    }
    let remembered: HashMap<LeaseId, &Ending> =
        durable.endings.iter().map(|ending| (ending.lease, ending)).collect();
    for (lease, last) in logged {
        let ending = remembered.get(&lease).copied();
        let ends = last.into_iter().filter(holds);
        events.extend(ends.map(|last| ended(last, ending, durable.at.as_micros())));
    }
    Ok((events, granted))
}

/// Compares the latest events of a lease that lives with what it holds.
fn missing_of_live_lease(
    lease: &Lease,
    mut unlogged: Vec<&str>,
    mut last: Vec<EventRow>,
    events: &mut Vec<EventRow>,
) {
    let logged_at = last.iter().map(|event| event.at_micros).max().unwrap_or(i64::MIN);
    last.retain(holds);
    unlogged.retain(|name| {
        let logged = last.iter().position(|event| event.limit.as_deref() == Some(name));
        logged.map(|logged| last.swap_remove(logged)).is_none()
    });
    let has_moved = !unlogged.is_empty() && !last.is_empty();
    let (out, into) = match has_moved {
        true => ("lease.moved_out", "lease.moved_in"),
        false => ("lease.ended", "lease.granted"),
    };
    let at_micros = logged_at.max(lease.created.as_micros());
    events.extend(last.into_iter().map(|last| EventRow {
        id: ids::at_stored(at_micros),
        at_micros,
        kind: out.to_owned(),
        reason: Some(LACKED.to_owned()),
        ..last
    }));
    events.extend(unlogged.into_iter().map(|name| of(lease, name, into, at_micros)));
}

/// The end of a lease on a limit that it holds by its latest event.
fn ended(last: EventRow, ending: Option<&Ending>, durable_at: i64) -> EventRow {
    let (kind, reason) = match ending {
        Some(ending) => kind_and_reason(&EventKind::Ended(EndReason::clone(&ending.how))),
        None => ("lease.ended", Some(LACKED.to_owned())),
    };
    // The journal may be older than the log.
    let at_micros = ending.map_or(durable_at, |ending| ending.at.as_micros()).max(last.at_micros);
    EventRow { id: ids::at_stored(at_micros), at_micros, kind: kind.to_owned(), reason, ..last }
}

/// Whether the lease holds the limit, if this is its latest event there.
fn holds(last: &EventRow) -> bool {
    HOLDS.contains(&&*last.kind)
}

fn of(lease: &Lease, limit: &str, kind: &str, at_micros: i64) -> EventRow {
    EventRow {
        limit: Some(limit.to_owned()),
        holder: lease.holder.as_ref().map(holder),
        lease: Some(Uuid::from_u128(lease.id.0)),
        origin: lease.origin.as_deref().and_then(origin),
        reason: Some(LACKED.to_owned()),
        ..EventRow::new(ids::at_stored(at_micros), kind, at_micros)
    }
}

#[cfg(test)]
mod tests;
