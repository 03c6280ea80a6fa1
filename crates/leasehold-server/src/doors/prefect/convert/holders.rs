//! The holders and waiters of a limit, from the engine to the wire.

use std::collections::BTreeMap;

use leasehold_api::leases::{HeldLimit, LimitLease, Waiter};
use leasehold_api::unleased::SlotsWithoutLease;
use leasehold_engine::{HeldView, LeaseView, LimitRef, Timestamp, WaiterView};
use uuid::Uuid;

use crate::doors::convert::{
    held as held_limits, labels, lease_holder, origin, stuck_on, timestamp, unleased,
};

/// A lease as the list of one limit shows it.
fn limit_lease(view: &LeaseView, limit: &LimitRef) -> LimitLease {
    let on_limit = view.lease.holdings.iter().zip(&view.names).find(|(held, name)| match limit {
        LimitRef::Id(id) => held.limit == *id,
        LimitRef::Name(wanted) => *name == wanted,
    });
    let lease = &view.lease;
    LimitLease {
        id: Some(Uuid::from_u128(lease.id.0)),
        slots: on_limit.map_or(0, |(held, _)| held.slots),
        holder: lease.holder.as_ref().map(lease_holder),
        labels: labels(lease.notes.as_deref()),
        origin: lease.origin.as_deref().map(origin),
        created: Some(timestamp(lease.created)),
        deadline: lease.deadline.map(timestamp),
        fencing_token: Some(lease.fence.0),
        limits: held_limits(view),
        without_lease: None,
    }
}

/// What holds the slots of a limit: first its leases, then the slots that no lease here holds.
pub(crate) fn held(view: &HeldView) -> Vec<LimitLease> {
    let limit = LimitRef::Id(view.limit.id);
    let leases = view.leases.iter().map(|lease| limit_lease(lease, &limit));
    let drains = !view.decay.is_none();
    let parts = view.unleased.iter();
    let unleased = parts.map(|part| unleased::slots(&view.limit.name, part, drains));
    let without = unleased.chain(unleased::foreign(&view.limit.name, view.foreign));
    leases.chain(without.map(|slots| without_lease(view, slots))).collect()
}

fn without_lease(view: &HeldView, slots: SlotsWithoutLease) -> LimitLease {
    let on_limit = HeldLimit {
        id: Uuid::from_u128(view.limit.id.0),
        name: slots.limit.clone(),
        slots: slots.slots,
    };
    LimitLease {
        id: None,
        slots: slots.slots,
        holder: None,
        labels: BTreeMap::new(),
        origin: None,
        created: slots.since,
        deadline: None,
        fencing_token: None,
        limits: vec![on_limit],
        without_lease: Some(slots),
    }
}

pub(crate) fn waiter(view: &WaiterView, position: u64, now: Timestamp) -> Waiter {
    Waiter {
        position,
        holder: view.holder.as_ref().map(lease_holder),
        labels: labels(view.notes.as_deref()),
        origin: view.origin.as_deref().map(origin),
        slots: view.slots,
        priority: view.priority.into(),
        since: timestamp(view.since),
        age_seconds: now.since(view.since).as_seconds_f64(),
        blocked_by: view.blockers.iter().map(|blocker| (*blocker.limit.name).to_owned()).collect(),
        slots_without_lease: unleased::of_blockers(&view.blockers),
        stuck: view.stuck.iter().map(stuck_on).collect(),
    }
}
