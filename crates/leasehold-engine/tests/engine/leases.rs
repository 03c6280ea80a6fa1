use leasehold_engine::{
    Acquire, Command, CreateLimit, EndReason, Ending, Gone, Hold, LeaseId, Ledger, LimitId,
    Outcome, Query, Renewed, Snapshot, Span, Timestamp,
};

use crate::fixture::{World, granted, lease_hold, task_run};

#[test]
fn a_lease_lives_until_its_deadline_and_not_a_microsecond_longer() {
    let mut world = World::with("db", 1);
    let deadline = world.take(1, "db").deadline.unwrap();
    world.now = deadline - Span::from_micros(1);
    world.refused(2, "db");
    world.now = deadline;
    world.take(2, "db");
}

#[test]
fn an_overdue_lease_is_dead_at_the_next_step() {
    let mut world = World::with("db", 1);
    world.take(1, "db");
    world.wait(60.0);
    assert_eq!(world.taken("db"), 0);
    assert_eq!(world.leases("db"), []);
}

#[test]
fn a_step_tells_which_leases_it_found_overdue_in_the_order_of_their_deadlines() {
    let mut world = World::with("db", 3);
    world.take(1, "db");
    world.wait(5.0);
    world.take(2, "db");
    world.wait(5.0);
    world.renew(1);
    world.wait(100.0);
    assert_eq!(world.ledger.step(Command::Tick, world.now).expired, [LeaseId(2), LeaseId(1)]);
}

/// A ledger with so many leases of a minute, one every ten microseconds, and the time of the next.
fn crowd(leases: u128) -> (Ledger, Timestamp) {
    let mut now = Timestamp::from_micros(1_000_000);
    let mut ledger = Ledger::restore(Snapshot::default(), now);
    let limit = CreateLimit::new(LimitId(1), "db", 100_000);
    ledger.step(Command::CreateLimit(limit), now);
    for lease in 1..=leases {
        take(&mut ledger, lease, now);
        now = now + Span::from_micros(10);
    }
    ledger.take_changes();
    (ledger, now)
}

fn take(ledger: &mut Ledger, lease: u128, now: Timestamp) -> Option<Timestamp> {
    let acquire = Acquire::new([("db", 1)], lease_hold(lease, None));
    match ledger.step(Command::Acquire(acquire), now).outcome {
        Outcome::Acquired(acquired) => granted(acquired).lease.unwrap().deadline,
        other => panic!("{other:?}"),
    }
}

#[test]
fn thousands_that_end_at_once_end_in_slices_and_in_order() {
    let (mut ledger, now) = crowd(15_000);
    let now = now + Span::from_seconds(60);
    let mut ended = Vec::new();
    let mut remembered = 0;
    while ledger.next_deadline().is_some() {
        let slice = ledger.step(Command::Tick, now).expired;
        assert!((1..=2_048).contains(&slice.len()), "{} at once", slice.len());
        assert_eq!(ledger.step(Command::Tick, now).expired, [], "not before they are taken");
        let changes = ledger.take_changes();
        assert_eq!(changes.ended.len(), slice.len());
        remembered += changes.endings.len();
        ended.extend(slice);
    }
    assert_eq!(remembered, Ledger::ENDINGS_MAX, "each of them once");
    assert!(ended.into_iter().eq((1..=15_000).map(LeaseId)));
    assert_eq!(ledger.now(), now, "it has caught up");
}

#[test]
fn a_lease_that_is_granted_or_renewed_while_others_expire_has_its_full_time() {
    let (mut ledger, now) = crowd(5_000);
    let kept = take(&mut ledger, 5_001, now).unwrap();
    ledger.take_changes();
    let now = kept - Span::from_micros(1);
    let full = now + Span::from_seconds(60);
    let renew = Command::Renew { lease: LeaseId(5_001), ttl: Span::from_seconds(60) };
    assert_eq!(ledger.step(renew, now).outcome, Outcome::Renewed(Renewed::Renewed(Some(full))));
    assert_eq!(take(&mut ledger, 5_002, now), Some(full));
    assert!(ledger.next_deadline().is_some_and(|next| next < now), "others are overdue");
}

#[test]
fn the_next_deadline_is_the_earliest() {
    let mut world = World::with("db", 3);
    assert_eq!(world.ledger.next_deadline(), None);
    let first = world.take(1, "db").deadline;
    world.wait(5.0);
    let second = world.take(2, "db").deadline;
    assert_eq!(world.ledger.next_deadline(), first);
    world.release(1).unwrap();
    assert_eq!(world.ledger.next_deadline(), second);
    world.release(2).unwrap();
    assert_eq!(world.ledger.next_deadline(), None);
}

#[test]
fn a_renewal_moves_the_deadline_to_a_ttl_from_now() {
    let mut world = World::with("db", 1);
    world.take(1, "db");
    world.wait(45.0);
    let deadline = world.now + Span::from_seconds(60);
    assert_eq!(world.renew(1), Renewed::Renewed(Some(deadline)));
    world.wait(59.0);
    world.refused(2, "db");
    world.wait(1.0);
    world.take(2, "db");
}

#[test]
fn an_expired_lease_cannot_be_renewed() {
    let mut world = World::with("db", 1);
    let lease = world.take(1, "db");
    world.wait(60.0);
    let Renewed::Gone(Gone(Some(ending))) = world.renew(1) else {
        panic!("renewed");
    };
    assert_eq!(
        ending,
        Ending { lease: LeaseId(1), fence: lease.fence, at: world.now, how: EndReason::Expired }
    );
    world.take(2, "db");
}

#[test]
fn a_lease_that_never_was_cannot_be_renewed() {
    assert_eq!(World::new().renew(1), Renewed::Gone(Gone(None)));
}

#[test]
fn a_lease_without_a_deadline_needs_no_renewal() {
    let mut world = World::with("tag:db", 1);
    granted(world.tag(1, "run", &["tag:db"]));
    assert_eq!(world.renew(1), Renewed::Renewed(None));
    world.wait(1e9);
    assert_eq!(world.taken("tag:db"), 1);
}

#[test]
fn a_release_gives_back_everything_the_lease_holds() {
    let mut world = World::with("a", 5);
    world.limit("b", 5);
    granted(world.acquire(1, &[("a", 3), ("b", 2)]));
    let lease = world.release(1).unwrap();
    assert_eq!(lease.holdings.len(), 2);
    assert_eq!((world.taken("a"), world.taken("b")), (0, 0));
}

#[test]
fn d07_c11_four_releases_of_one_lease_free_one_slot() {
    let mut world = World::with("db", 4);
    for lease in 1..=4 {
        world.take(lease, "db");
    }
    world.release(1).unwrap();
    for _ in 0..3 {
        assert_eq!(world.release(1), Err(Gone(None)));
    }
    assert_eq!(world.taken("db"), 3);
}

#[test]
fn d12_a_release_after_the_expiry_frees_no_other_leases_slot() {
    let mut world = World::with("db", 1);
    world.take(1, "db");
    world.wait(60.0);
    world.take(2, "db");
    assert!(matches!(world.release(1), Err(Gone(Some(Ending { how: EndReason::Expired, .. })))));
    assert_eq!(world.leases("db"), [2]);
}

#[test]
fn d17_a_renewal_at_the_last_moment_wins() {
    let mut world = World::with("db", 1);
    let deadline = world.take(1, "db").deadline.unwrap();
    world.now = deadline - Span::from_micros(1);
    world.renew(1);
    world.now = deadline;
    assert!(world.ledger.step(Command::Tick, world.now).expired.is_empty());
    assert_eq!(world.leases("db"), [1]);
}

#[test]
fn a_release_moves_the_average_occupancy() {
    let mut world = World::with("db", 2);
    granted(world.acquire(1, &[("db", 2)]));
    world.wait(20.0);
    world.release(1).unwrap();
    // From 2.0, a quarter (2 · limit samples) of the way to 20 s / 2 slots.
    assert_eq!(world.view("db").limit.occupancy_seconds_average, 4.0);
}

#[test]
fn d28_the_holder_of_a_revoked_lease_gets_the_time_and_the_reason() {
    let mut world = World::with("db", 1);
    world.take(1, "db");
    world.revoke(1, "maintenance").unwrap();
    let revoked_at = world.now;
    world.wait(10.0);
    let Renewed::Gone(Gone(Some(ending))) = world.renew(1) else {
        panic!("renewed");
    };
    assert_eq!(ending.at, revoked_at);
    assert_eq!(ending.how, EndReason::Revoked { reason: Some("maintenance".into()), by: None });
    assert_eq!(world.taken("db"), 0);
}

#[test]
fn a_lease_that_was_revoked_is_not_revoked_again() {
    let mut world = World::with("db", 1);
    world.take(1, "db");
    world.revoke(1, "first").unwrap();
    let Err(Gone(Some(ending))) = world.revoke(1, "second") else {
        panic!("revoked twice");
    };
    assert_eq!(ending.how, EndReason::Revoked { reason: Some("first".into()), by: None });
}

#[test]
fn a_lease_that_its_holder_gave_back_leaves_no_ending() {
    let mut world = World::with("db", 1);
    world.take(1, "db");
    world.release(1).unwrap();
    assert_eq!(world.renew(1), Renewed::Gone(Gone(None)));
}

#[test]
fn a_new_lease_with_the_id_of_an_ended_one_ends_once() {
    let mut world = World::with("db", 1);
    world.take(1, "db");
    world.wait(60.0);
    world.take(1, "db");
    world.wait(60.0);
    world.step(Command::Tick);
    // The fixture compares the endings with the journal's at every step.
    assert_eq!(world.ledger.snapshot().endings.len(), 1);
}

#[test]
fn leases_that_expire_together_are_remembered_in_one_order_before_and_after_a_restart() {
    let mut world = World::with("db", 2);
    world.take(2, "db");
    world.take(1, "db");
    world.wait(60.0);
    world.step(Command::Tick);
    assert_eq!(world.ledger.snapshot().endings.len(), 2);
}

#[test]
fn the_last_endings_are_remembered_and_no_more() {
    let mut world = World::with("db", u64::MAX);
    let max = u128::try_from(Ledger::ENDINGS_MAX).unwrap();
    let mut changes = 0;
    for lease in 0..max + 5 {
        let ttl = Span::from_micros(1);
        let acquire = Acquire::new([("db", 1)], Hold::for_ttl(LeaseId(lease), ttl));
        world.ledger.step(Command::Acquire(acquire), world.now);
        world.now = world.now + ttl;
        changes += world.ledger.take_changes().forgotten.len();
    }
    world.ledger.step(Command::Tick, world.now);
    changes += world.ledger.take_changes().forgotten.len();
    assert_eq!(world.ledger.snapshot().endings.len(), Ledger::ENDINGS_MAX);
    assert_eq!(changes, 5);
    let lease = |id| Command::Read(Query::Lease(LeaseId(id)));
    let oldest = world.ledger.step(lease(4), world.now).outcome;
    assert_eq!(oldest, Outcome::Lease(Err(Gone(None))));
    let next = world.ledger.step(lease(5), world.now).outcome;
    assert!(matches!(next, Outcome::Lease(Err(Gone(Some(_))))));
}

#[test]
fn the_holder_of_two_leases_keeps_one_when_the_other_ends() {
    let mut world = World::with("tag:a", 1);
    world.limit("tag:b", 1);
    granted(world.tag(1, "run", &["tag:a"]));
    granted(world.tag(2, "run", &["tag:b"]));
    world.release(1).unwrap();
    assert_eq!(world.leases("tag:b"), [2]);
    assert_eq!(world.release(2).unwrap().holder, Some(task_run("run")));
}
