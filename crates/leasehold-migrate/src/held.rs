//! What a stopped Leasehold server holds, in the words in which a Prefect server's inventory is
//! told.

use std::collections::BTreeMap;

use leasehold_engine::{Ledger, Level, LimitId};
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
    let covered = covered(lease, ledger);
    let is_counted_there = |id| covered.contains(&id);
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

/// The limits on which the other server counts a lease. Among its partners, the gateway stores each
/// as two ids: the limit's, and that of the lease there. All others are leases on other limits.
fn covered(lease: &leasehold_engine::Lease, ledger: &Ledger) -> Vec<LimitId> {
    let mut covered = Vec::new();
    let mut partners = lease.partners.iter();
    while let Some(partner) = partners.next() {
        let limit = LimitId(partner.0);
        if ledger.limits().any(|it| it.id == limit) {
            covered.push(limit);
            partners.next();
        }
    }
    covered
}

#[cfg(test)]
mod tests {
    use leasehold_engine::{
        Acquire, Command, CreateLimit, Hold, LeaseId, Mode, Rate, Snapshot, Span, Timestamp,
    };

    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_000_000_000);

    fn ledger() -> Ledger {
        let mut ledger = Ledger::restore(Snapshot::default(), NOW);
        let limits = [(1, "a", 0.0), (2, "b", 0.0), (3, "rate", 1.0)];
        for (id, name, decay) in limits {
            let decay = Rate::from_slots_per_second(decay);
            let create = CreateLimit { decay, ..CreateLimit::new(LimitId(id), name, 10) };
            ledger.step(Command::CreateLimit(create), NOW);
        }
        ledger
    }

    fn lease(ledger: &mut Ledger, id: u128, wants: &[(&str, u64)]) {
        let ttl = Span::from_seconds(60);
        let hold = Hold::Lease { id: LeaseId(id), holder: None, ttl, notes: None };
        ledger.step(Command::Acquire(Acquire::new(wants.iter().copied(), hold)), NOW);
    }

    fn taken(inventory: &Inventory) -> Vec<u64> {
        inventory.limits.iter().map(|limit| limit.taken).collect()
    }

    #[test]
    fn a_lease_of_different_numbers_is_told_in_parts_with_ids_that_stay() {
        let mut ledger = ledger();
        lease(&mut ledger, 9, &[("a", 1), ("b", 2)]);
        let first = inventory(&ledger);
        let told: Vec<_> = first.leases.iter().map(|it| (it.slots, it.limits.len())).collect();
        assert_eq!(told.len(), 2);
        assert!(told.contains(&(1, 1)) && told.contains(&(2, 1)));
        assert!(first.leases.iter().any(|it| it.id == Uuid::from_u128(9) && it.slots == 1));
        assert_eq!(first.leases, inventory(&ledger).leases);
        assert_eq!(taken(&first), [1, 2, 0]);
    }

    #[test]
    fn a_lease_that_the_other_server_counts_already_is_left_out_there() {
        let mut ledger = ledger();
        lease(&mut ledger, 9, &[("a", 1), ("b", 1)]);
        // A lease on a limit that is the other server's all along says nothing of these two.
        ledger.step(Command::Pair { lease: LeaseId(9), partners: vec![LeaseId(5)] }, NOW);
        ledger.step(Command::SetReturning { limit: LimitId(1), returning: true }, NOW);
        assert_eq!(taken(&inventory(&ledger)), [1, 1, 0]);
        let partners = vec![LeaseId(5), LeaseId(1), LeaseId(2)];
        ledger.step(Command::Pair { lease: LeaseId(9), partners }, NOW);
        let inventory = inventory(&ledger);
        assert_eq!(inventory.leases[0].limits, [Uuid::from_u128(2)]);
        assert_eq!(taken(&inventory), [0, 1, 0]);
    }

    #[test]
    fn foreign_slots_are_not_told_and_a_rate_has_drained() {
        let mut ledger = ledger();
        ledger.step(Command::SetForeign { limit: LimitId(1), slots: 4 }, NOW);
        let spend =
            Acquire { mode: Mode::RateLimit, ..Acquire::new([("rate", 6)], Hold::Unleased) };
        ledger.step(Command::Acquire(spend), NOW);
        ledger.step(Command::Tick, NOW + Span::from_seconds_f64(2.5));
        assert_eq!(taken(&inventory(&ledger)), [0, 0, 4]);
    }
}
