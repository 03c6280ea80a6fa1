//! What a stopped Leasehold server holds, in the words in which a Prefect server's inventory is
//! told.

use std::collections::BTreeMap;

use leasehold_engine::{Ledger, Level};
use uuid::Uuid;

use crate::holder_lease::part_id;
use crate::prefect::{Holder, Inventory, Lease, Limit};

/// The limits and the leases of a ledger. A lease that holds different numbers of slots on its
/// limits becomes one for each number.
pub(crate) fn inventory(ledger: &Ledger) -> Inventory {
    let now = ledger.now();
    let alive = |lease: &&leasehold_engine::Lease| lease.deadline.is_none_or(|it| it > now);
    let mut leases: Vec<_> =
        ledger.leases().filter(alive).flat_map(|lease| parts(lease, ledger)).collect();
    leases.sort_by_key(|lease| (lease.created, lease.id));
    let mut limits: Vec<_> =
        ledger.limits().map(|limit| limit_of(limit, &leases, ledger)).collect();
    limits.sort_by(|a, b| a.name.cmp(&b.name));
    Inventory { limits, leases, ..Inventory::default() }
}

fn limit_of(limit: &leasehold_engine::Limit, leases: &[Lease], ledger: &Ledger) -> Limit {
    let now = ledger.now();
    let id = Uuid::from_u128(limit.id.0);
    let taken = if limit.decay.is_none() {
        let leased = leases.iter().filter(|lease| lease.limits.contains(&id));
        limit.unleased.slots_taken() + leased.map(|lease| lease.slots).sum::<u64>()
    } else {
        let on = ledger.leases().flat_map(|lease| &lease.holdings);
        let leased: Level = on.filter(|held| held.limit == limit.id).map(|held| held.level).sum();
        let drained = limit.decay.drained(limit.settled, now);
        (limit.unleased.level() + leased).saturating_sub(drained).slots_taken()
    };
    Limit {
        id,
        name: limit.name.to_string(),
        slots: limit.slots,
        active: limit.active,
        taken,
        counted_at: now,
        denied: limit.denied_slots,
        decay: limit.decay,
        occupancy_seconds_average: limit.occupancy_seconds_average,
        created: limit.created,
        updated: limit.updated,
    }
}

/// A lease, in parts of one number of slots each. The first has its id.
fn parts(lease: &leasehold_engine::Lease, ledger: &Ledger) -> Vec<Lease> {
    // The gateway had the other server count it when its limit began to go back.
    let is_counted_there =
        |id| !lease.partners.is_empty() && ledger.limits().any(|it| it.id == id && it.returning);
    let mut by_slots: BTreeMap<u64, Vec<Uuid>> = BTreeMap::new();
    for holding in lease.holdings.iter().filter(|holding| !is_counted_there(holding.limit)) {
        by_slots.entry(holding.slots).or_default().push(Uuid::from_u128(holding.limit.0));
    }
    let id = Uuid::from_u128(lease.id.0);
    let holder = lease.holder.as_ref().and_then(|holder| {
        let id = Uuid::parse_str(&holder.id).ok()?;
        Some(Holder { kind: holder.kind.to_string(), id })
    });
    let part = |(number, (slots, limits)): (usize, (u64, Vec<Uuid>))| Lease {
        id: if number == 0 { id } else { part_id(id, number) },
        limits,
        slots,
        holder: holder.clone(),
        created: lease.created,
        deadline: lease.deadline,
    };
    by_slots.into_iter().enumerate().map(part).collect()
}
