use leasehold_engine::{Acquired, Fence, Hold, LeaseId, Mode, Span, Wait};

use crate::fixture::{TTL_SECONDS, World, granted, lease_hold, refused, task_run};

#[test]
fn a_grant_names_the_lease_its_fence_and_its_deadline() {
    let mut world = World::with("db", 2);
    let lease = world.take(7, "db");
    assert_eq!(lease.id, LeaseId(7));
    assert_eq!(lease.fence, Fence(1), "no lease has token 0");
    assert_eq!(lease.deadline, Some(world.now + Span::from_seconds(TTL_SECONDS)));
}

#[test]
fn slots_are_granted_until_none_is_free() {
    let mut world = World::with("db", 2);
    world.take(1, "db");
    world.take(2, "db");
    let refusal = world.refused(3, "db");
    assert_eq!(refusal.blockers.len(), 1);
    assert_eq!(&*refusal.blockers[0].limit.name, "db");
    assert_eq!(refusal.blockers[0].wanted, 1);
    assert_eq!(refusal.blockers[0].wait, Wait::Release { occupancy_seconds_average: 2.0 });
    assert_eq!(world.taken("db"), 2);
}

#[test]
fn several_limits_are_taken_all_or_none() {
    let mut world = World::with("a", 1);
    world.limit("b", 1);
    world.take(1, "b");
    let refusal = refused(world.acquire(2, &[("a", 1), ("b", 1)]));
    assert_eq!(refusal.blockers.len(), 1);
    assert_eq!(&*refusal.blockers[0].limit.name, "b");
    assert_eq!(world.taken("a"), 0);
    assert_eq!(world.leases("a"), []);
}

#[test]
fn every_full_limit_is_named_in_a_refusal() {
    let mut world = World::with("a", 1);
    world.limit("b", 1);
    world.limit("c", 1);
    world.take(1, "a");
    world.take(2, "c");
    let refusal = refused(world.acquire(3, &[("a", 1), ("b", 1), ("c", 1)]));
    let names: Vec<_> = refusal.blockers.iter().map(|blocker| &*blocker.limit.name).collect();
    assert_eq!(names, ["a", "c"]);
}

#[test]
fn a_limit_that_is_named_twice_counts_once() {
    let mut world = World::with("db", 1);
    let grant = granted(world.acquire(1, &[("db", 1), ("db", 1)]));
    assert_eq!(grant.limits.len(), 1);
    assert_eq!(world.taken("db"), 1);
}

#[test]
fn unknown_names_are_skipped() {
    let mut world = World::with("db", 1);
    let grant = granted(world.acquire(1, &[("nowhere", 5), ("db", 1)]));
    assert_eq!(grant.limits.len(), 1);
    assert_eq!(world.taken("db"), 1);
}

#[test]
fn c10_without_a_match_nothing_is_stored() {
    let mut world = World::with("db", 1);
    for wants in [&[][..], &[("nowhere", 1)]] {
        let grant = granted(world.acquire(1, wants));
        assert_eq!(grant.lease, None);
        assert!(grant.limits.is_empty());
        assert_eq!(world.ledger.lease_count(), 0);
    }
}

#[test]
fn an_inactive_limit_is_answered_and_not_taken_from() {
    let mut world = World::with("db", 1);
    world.limit("off", 1);
    world.activate("off", false);
    let grant = granted(world.acquire(1, &[("off", 9), ("db", 1)]));
    assert_eq!(grant.limits.len(), 2);
    assert_eq!((world.taken("off"), world.taken("db")), (0, 1));
}

#[test]
fn a_lease_on_inactive_limits_alone_is_not_kept() {
    let mut world = World::with("off", 1);
    world.activate("off", false);
    let grant = granted(world.acquire(1, &[("off", 9)]));
    assert_eq!((grant.lease, grant.limits.len()), (None, 1));
    assert_eq!(world.ledger.lease_count(), 0);
}

#[test]
fn more_slots_than_an_active_limit_has_are_never_granted() {
    let mut world = World::with("db", 2);
    let Acquired::TooManySlots(limit) = world.acquire(1, &[("db", 3)]) else {
        panic!("three of two slots");
    };
    assert_eq!(&*limit.name, "db");
    assert_eq!(world.ledger.lease_count(), 0);
}

#[test]
fn a_limit_of_zero_grants_nothing() {
    let mut world = World::with("db", 0);
    assert!(matches!(world.acquire(1, &[("db", 1)]), Acquired::TooManySlots(_)));
}

#[test]
fn too_many_slots_on_one_limit_take_nothing_on_another() {
    let mut world = World::with("a", 5);
    world.limit("b", 1);
    assert!(matches!(world.acquire(1, &[("a", 2), ("b", 2)]), Acquired::TooManySlots(_)));
    assert_eq!(world.taken("a"), 0);
}

#[test]
fn a_lowered_limit_grants_nothing_until_it_has_drained_below() {
    let mut world = World::with("db", 3);
    for lease in 1..=3 {
        world.take(lease, "db");
    }
    world.resize("db", 1);
    assert_eq!(world.taken("db"), 3);
    for lease in 1..=2 {
        world.refused(9, "db");
        world.release(lease).unwrap();
    }
    world.refused(9, "db");
    world.release(3).unwrap();
    world.take(9, "db");
}

#[test]
fn asking_again_with_the_same_lease_is_answered_as_the_first_time() {
    let mut world = World::with("db", 2);
    let first = world.take(1, "db");
    world.wait(5.0);
    assert_eq!(world.take(1, "db"), first);
    assert_eq!(world.taken("db"), 1);
}

#[test]
fn asking_again_is_answered_even_when_the_limit_is_full() {
    let mut world = World::with("db", 1);
    let first = world.take(1, "db");
    assert_eq!(world.take(1, "db"), first);
}

#[test]
fn a_later_lease_with_the_id_of_a_dead_one_is_a_new_lease() {
    let mut world = World::with("db", 1);
    let first = world.take(1, "db");
    world.release(1).unwrap();
    assert!(world.take(1, "db").fence > first.fence);
}

#[test]
fn fences_rise_with_every_lease() {
    let mut world = World::with("db", 3);
    let fences: Vec<_> = (1..=3).map(|lease| world.take(lease, "db").fence).collect();
    assert!(fences.is_sorted_by(|a, b| a < b), "{fences:?}");
}

#[test]
fn a_rate_limit_must_have_decay() {
    let mut world = World::with("a", 1);
    world.limit("b", 1);
    world.create("r", 1, 1.0);
    let wants = [("a", 1), ("r", 1), ("b", 1)];
    let acquired = world.ask(Mode::RateLimit, &wants, Hold::Unleased);
    assert_eq!(acquired, Acquired::NotRateLimits(vec!["a".into(), "b".into()]));
    assert_eq!(world.taken("r"), 0);
}

#[test]
fn an_inactive_limit_may_be_without_decay_when_used_as_a_rate_limit() {
    let mut world = World::with("off", 1);
    world.activate("off", false);
    granted(world.ask(Mode::RateLimit, &[("off", 1)], Hold::Unleased));
}

#[test]
fn the_holder_of_a_lease_is_kept() {
    let mut world = World::with("db", 1);
    let hold = lease_hold(1, Some(task_run("r")));
    granted(world.ask(Mode::Concurrency, &[("db", 1)], hold));
    assert_eq!(world.release(1).unwrap().holder, Some(task_run("r")));
}
