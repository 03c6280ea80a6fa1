//! Limits and leases of another server are carried here.

use leasehold_engine::{
    Command, CreateLimit, Holder, Import, ImportLease, ImportLimit, Imported, LeaseId, Level,
    LimitId, Outcome, Rate, Renewed, Span, Timestamp,
};

use crate::fixture::World;

const THEN: Timestamp = Timestamp::from_micros(500_000_000);

fn limit(id: u128, name: &str, slots: u64) -> ImportLimit {
    let limit = CreateLimit::new(LimitId(id), name, slots);
    ImportLimit { limit, created: THEN, occupancy_seconds_average: 7.0, level: Level::ZERO }
}

fn lease(world: &World, id: u128, limits: &[u128], seconds: Option<u64>) -> ImportLease {
    ImportLease {
        id: LeaseId(id),
        holder: Some(Holder::new("task_run", "a")),
        limits: limits.iter().copied().map(LimitId).collect(),
        slots: 2,
        created: THEN,
        deadline: seconds.map(|seconds| world.now + Span::from_seconds(seconds)),
    }
}

fn import(world: &mut World, limits: Vec<ImportLimit>, leases: Vec<ImportLease>) -> Imported {
    match world.step(Command::Import(Box::new(Import { limits, leases }))) {
        Outcome::Imported(imported) => imported,
        other => panic!("no answer to an import: {other:?}"),
    }
}

fn taken(world: &World, id: u128) -> u64 {
    let limit = world.ledger.limits().find(|limit| limit.id == LimitId(id)).unwrap();
    let leased = world.ledger.leases().flat_map(|lease| &lease.holdings);
    let leased: Level = leased.filter(|held| held.limit == limit.id).map(|held| held.level).sum();
    (leased + limit.unleased.level()).slots_taken()
}

#[test]
fn limits_and_leases_keep_their_ids_times_and_holders() {
    let mut world = World::new();
    let leases = vec![lease(&world, 1, &[101], Some(60)), lease(&world, 2, &[101], None)];
    let imported = import(&mut world, vec![limit(101, "db", 5)], leases);
    assert_eq!((imported.limits, imported.leases), (1, vec![LeaseId(1), LeaseId(2)]));
    let limit = world.ledger.limits().next().unwrap();
    assert_eq!((limit.created, limit.occupancy_seconds_average), (THEN, 7.0));
    assert_eq!(taken(&world, 101), 4);
    let renew = Command::Renew { lease: LeaseId(1), ttl: Span::from_seconds(60) };
    assert!(matches!(world.step(renew), Outcome::Renewed(Renewed::Renewed(_))));
    assert!(matches!(world.step(Command::Release { lease: LeaseId(2) }), Outcome::Ended(Ok(_))));
    world.wait(61.0);
    world.step(Command::Tick);
    assert_eq!(taken(&world, 101), 0, "one was released, the other expired");
}

#[test]
fn the_same_again_changes_nothing() {
    let mut world = World::new();
    let limits = || vec![limit(101, "db", 5)];
    let leases = |world: &World| vec![lease(world, 1, &[101], Some(60))];
    let first = leases(&world);
    import(&mut world, limits(), first.clone());
    let before = world.ledger.snapshot();
    let imported = import(&mut world, limits(), first);
    assert_eq!(imported.leases, []);
    assert_eq!(world.ledger.snapshot(), before);
}

#[test]
fn a_limit_with_the_same_name_and_another_id_goes() {
    let mut world = World::with("db", 1);
    let imported = import(&mut world, vec![limit(101, "db", 5)], Vec::new());
    assert_eq!((imported.limits, imported.refused.len()), (1, 0));
    let ids: Vec<_> = world.ledger.limits().map(|limit| limit.id).collect();
    assert_eq!(ids, [LimitId(101)]);
}

#[test]
fn a_limit_that_is_here_gets_other_values_and_keeps_its_leases() {
    let mut world = World::new();
    let first = vec![lease(&world, 1, &[101], Some(60))];
    import(&mut world, vec![limit(101, "db", 5)], first);
    import(&mut world, vec![limit(101, "database", 9)], Vec::new());
    let limit = world.ledger.limits().next().unwrap();
    assert_eq!((&*limit.name, limit.slots), ("database", 9));
    assert_eq!(taken(&world, 101), 2);
}

#[test]
fn the_level_of_a_rate_limit_drains_on_and_its_lease_gives_nothing_back() {
    let mut world = World::new();
    let mut api = limit(101, "api", 10);
    api.limit.decay = Rate::from_slots_per_second(1.0);
    api.level = Level::from_slots(6);
    let leases = vec![lease(&world, 1, &[101], Some(60))];
    import(&mut world, vec![api], leases);
    assert_eq!(taken(&world, 101), 6);
    world.step(Command::Release { lease: LeaseId(1) });
    assert_eq!(taken(&world, 101), 6);
}

#[test]
fn a_lease_holds_active_limits_alone_and_none_if_it_has_expired() {
    let mut world = World::new();
    let mut off = limit(102, "off", 5);
    off.limit.active = false;
    let limits = vec![limit(101, "db", 5), off];
    let leases = vec![
        lease(&world, 1, &[102], Some(60)),
        lease(&world, 2, &[101, 102, 101, 999], Some(60)),
        lease(&world, 3, &[101], Some(0)),
    ];
    let imported = import(&mut world, limits, leases);
    assert_eq!(imported.leases, [LeaseId(2)]);
    assert_eq!(world.ledger.leases().next().unwrap().holdings.len(), 1);
}
