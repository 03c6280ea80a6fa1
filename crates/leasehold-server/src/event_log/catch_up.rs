//! What the log lacks when a server starts: it is written a moment behind the journal, and what comes
//! too fast is not in it. Without this, a lease that ended in the moment before a crash would be
//! held in the log for good.

use std::cmp::Reverse;
use std::collections::HashMap;

use leasehold_engine::{EndReason, Ending, EventKind, Lease, LeaseId, LimitId, Snapshot};
use leasehold_node::chain;
use leasehold_records::{EventRow, LoggedUntil, Records, RecordsError, Transaction};
use uuid::Uuid;

use super::words::{HOLDS, kind_and_reason};
use super::{dropped, holder, origin};
use crate::ids;

/// More grants than this do not happen in the moment by which the log is behind: for longer than
/// that nothing could be written.
const GRANTS_MAX: usize = 2_000;
/// No more than this share of the log is written at once: it is there for what happened before.
const SHARE: u64 = 4;

const LACKED: &str = "the log lacked it when the server started";

/// Compares the log with what is durable, before anything else happens, and tells what it lacks:
/// who holds what it was granted, and who holds no longer what the log says. Limits and leases do
/// not depend on it: records that cannot be written stay as they are.
pub fn catch_up(records: &mut Records, durable: &Snapshot) {
    match tell_untold(records, durable) {
        Ok(0) => {}
        Ok(count) => {
            tracing::info!(count, "the log of events was told what it lacked");
        }
        Err(error) => {
            let error = chain(&error);
            tracing::warn!(error, "the log of events may lack what happened last");
        }
    }
}

/// Answers how many events that are.
fn tell_untold(records: &mut Records, durable: &Snapshot) -> Result<usize, RecordsError> {
    let records = records.begin()?;
    let (mut events, mut granted) = untold(&records, durable)?;
    let mut too_many = keep_newest(&mut granted, GRANTS_MAX);
    events.extend(granted);
    let room = usize::try_from(records.events_max() / SHARE).unwrap_or(usize::MAX);
    too_many += keep_newest(&mut events, room);
    if too_many > 0 {
        let reason = format!("{too_many} events that the log lacked were too many to be told");
        events.push(dropped(reason, durable.at.as_micros()));
    }
    // What was freed at a moment is told before what was granted then.
    events.sort_by_key(|event| (event.at_micros, holds(event), event.number));
    records.add_events(&mut events)?;
    records.commit()?;
    Ok(events.len())
}

/// Answers how many are left out.
fn keep_newest(events: &mut Vec<EventRow>, max: usize) -> usize {
    let too_many = events.len().saturating_sub(max);
    if too_many > 0 {
        events.sort_by_key(|event| Reverse(event.at_micros));
        events.truncate(max);
    }
    too_many
}

/// What is told of leases of which the log tells something, and grants of those of which it tells
/// nothing.
fn untold(
    records: &Transaction<'_>,
    durable: &Snapshot,
) -> Result<(Vec<EventRow>, Vec<EventRow>), RecordsError> {
    let mut told: HashMap<LeaseId, Vec<EventRow>> = HashMap::new();
    for event in records.last_events_of_leases()? {
        if let Some(lease) = event.lease {
            told.entry(LeaseId(lease.as_u128())).or_default().push(event);
        }
    }
    let told_since = match records.logged_until()? {
        LoggedUntil::Never => i64::MIN,
        // Nothing is told before what happened earlier.
        LoggedUntil::At(at_micros) => at_micros,
        // It may have told of all of them.
        LoggedUntil::Pruned => i64::MAX,
    };
    let names: HashMap<LimitId, &str> =
        durable.limits.iter().map(|limit| (limit.id, &*limit.name)).collect();
    let (mut events, mut granted) = (Vec::new(), Vec::new());
    for lease in &durable.leases {
        let held = lease.holdings.iter().filter_map(|holding| names.get(&holding.limit).copied());
        match told.remove(&lease.id) {
            Some(last) => of_one_that_lives(lease, held.collect(), last, &mut events),
            None if lease.created.as_micros() >= told_since => {
                let at_micros = lease.created.as_micros();
                granted.extend(held.map(|name| of(lease, name, "lease.granted", at_micros)));
            }
            // It was granted before the log begins, or too fast for it.
            None => {}
        }
    }
    let remembered: HashMap<LeaseId, &Ending> =
        durable.endings.iter().map(|ending| (ending.lease, ending)).collect();
    for (lease, last) in told {
        let ending = remembered.get(&lease).copied();
        let ends = last.into_iter().filter(holds);
        events.extend(ends.map(|last| ended(last, ending, durable.at.as_micros())));
    }
    Ok((events, granted))
}

/// What was told last of a lease that lives, compared with what it holds.
fn of_one_that_lives(
    lease: &Lease,
    mut untold: Vec<&str>,
    mut last: Vec<EventRow>,
    events: &mut Vec<EventRow>,
) {
    let told_at = last.iter().map(|event| event.at_micros).max().unwrap_or(i64::MIN);
    last.retain(holds);
    untold.retain(|name| {
        let told = last.iter().position(|event| event.limit.as_deref() == Some(name));
        told.map(|told| last.swap_remove(told)).is_none()
    });
    let has_moved = !untold.is_empty() && !last.is_empty();
    let (out, into) = match has_moved {
        true => ("lease.moved_out", "lease.moved_in"),
        false => ("lease.ended", "lease.granted"),
    };
    let at_micros = told_at.max(lease.created.as_micros());
    events.extend(last.into_iter().map(|last| EventRow {
        id: ids::at(at_micros),
        at_micros,
        kind: out.to_owned(),
        reason: Some(LACKED.to_owned()),
        ..last
    }));
    events.extend(untold.into_iter().map(|name| of(lease, name, into, at_micros)));
}

/// The end of a lease on a limit of which was told last that it holds it.
fn ended(last: EventRow, ending: Option<&Ending>, durable_at: i64) -> EventRow {
    let (kind, reason) = match ending {
        Some(ending) => kind_and_reason(&EventKind::Ended(EndReason::clone(&ending.how))),
        None => ("lease.ended", Some(LACKED.to_owned())),
    };
    // The journal may be an older one.
    let at_micros = ending.map_or(durable_at, |ending| ending.at.as_micros()).max(last.at_micros);
    EventRow { id: ids::at(at_micros), at_micros, kind: kind.to_owned(), reason, ..last }
}

/// Whether it is held by whom this was told of last.
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
        ..EventRow::new(ids::at(at_micros), kind, at_micros)
    }
}

#[cfg(test)]
mod tests;
