//! The queue: which requests wait, and which one is next.

mod away;
mod random;

use leasehold_engine::{
    Acquire, Acquired, Answered, Command, Departure, EventKind, Hold, LeaseId, LimitPatch,
    LimitRef, OVERTAKES_MAX, Outcome, Patience, Query, Rate, Refusal, Span, Step, Ticket, WaiterId,
};

use crate::fixture::{EVERYTHING, World, task_run};

/// Asks for slots under the lease `id`, and waits for half a minute as the waiter `id`.
fn wait(world: &mut World, id: u64, wants: &[(&str, u64)]) -> Step {
    wait_with(world, id, wants, |patience| patience)
}

fn wait_with(
    world: &mut World,
    id: u64,
    wants: &[(&str, u64)],
    change: impl FnOnce(Patience) -> Patience,
) -> Step {
    let patience = Some(change(half_a_minute(world, id)));
    let hold = Hold::for_ttl(lease(id), Span::from_seconds(3_600));
    let acquire = Acquire { patience, ..Acquire::new(wants.iter().copied(), hold) };
    world.ledger.step(Command::Acquire(acquire), world.now)
}

fn half_a_minute(world: &World, id: u64) -> Patience {
    Patience::new(WaiterId(id), world.now + Span::from_seconds(30))
}

/// The first request of a polling client is refused. Returns its place.
fn refused(world: &mut World, id: u64, wants: &[(&str, u64)]) -> Option<Ticket> {
    let until = world.now;
    let asked = wait_with(world, id, wants, |patience| Patience { until, ..patience });
    let Outcome::Acquired(Acquired::Refused(Refusal { place, .. })) = asked.outcome else {
        panic!("{asked:?}")
    };
    place
}

/// Comes back to a place, for half a minute.
fn come_back(world: &mut World, id: u64, wants: &[(&str, u64)], place: Option<Ticket>) -> Step {
    wait_with(world, id, wants, |patience| Patience { place, ..patience })
}

/// A polling client is refused, and comes back to its place for half a minute.
fn poll(world: &mut World, id: u64, wants: &[(&str, u64)]) -> Option<Ticket> {
    let place = refused(world, id, wants);
    let held_open = come_back(world, id, wants, place);
    assert!(is_queued(&held_open), "{held_open:?}");
    place
}

/// The lease of a waiter. The fixture takes leases with lower ids.
fn lease(waiter: u64) -> LeaseId {
    LeaseId(1_000_000 + u128::from(waiter))
}

fn step(world: &mut World, command: Command) -> Step {
    world.ledger.step(command, world.now)
}

fn release(world: &mut World, lease: LeaseId) -> Step {
    step(world, Command::Release { lease })
}

fn granted(step: &Step) -> Vec<u64> {
    let is_grant = |called: &&Answered| matches!(called.outcome, Acquired::Granted(_));
    step.answered.iter().filter(is_grant).map(|called| called.waiter.0).collect()
}

fn is_queued(step: &Step) -> bool {
    matches!(step.outcome, Outcome::Acquired(Acquired::Queued(_)))
}

#[test]
fn a_freed_slot_goes_to_the_next_in_line_in_the_same_step() {
    let mut world = World::with("db", 1);
    world.take(1, "db");
    for id in 1..=3 {
        assert!(is_queued(&wait(&mut world, id, &[("db", 1)])));
    }
    assert_eq!(granted(&release(&mut world, LeaseId(1))), [1]);
    assert_eq!(granted(&release(&mut world, lease(1))), [2]);
    assert_eq!(granted(&release(&mut world, lease(2))), [3]);
}

#[test]
fn a_waiter_is_granted_by_an_expiry_a_raise_a_disable_and_a_reset() {
    let enough = |change: &dyn Fn(&mut World) -> Step| {
        let mut world = World::with("db", 1);
        world.take(1, "db");
        wait(&mut world, 1, &[("db", 1)]);
        assert_eq!(granted(&change(&mut world)), [1]);
    };
    let patch = |patch: LimitPatch| {
        move |world: &mut World| {
            let limit = LimitRef::Name("db".into());
            step(world, Command::UpdateLimit { limit, patch: patch.clone() })
        }
    };
    enough(&|world| {
        world.now = world.ledger.next_deadline().unwrap();
        step(world, Command::Tick)
    });
    enough(&patch(LimitPatch { slots: Some(2), ..LimitPatch::default() }));
    enough(&patch(LimitPatch { active: Some(false), ..LimitPatch::default() }));
    enough(&|world| {
        let limit = LimitRef::Name("db".into());
        step(world, Command::ResetLimit { limit, slots: 0, reason: None })
    });
    enough(&|world| {
        let limit = LimitRef::Name("db".into());
        step(world, Command::DeleteLimit { limit, scope: leasehold_engine::Scope::All })
    });
}

#[test]
fn a_rate_limit_wakes_its_waiters_at_the_moment_when_it_has_drained_enough() {
    let mut world = World::with("api", 1);
    let patch =
        LimitPatch { decay: Some(Rate::from_slots_per_second(4.0)), ..LimitPatch::default() };
    step(&mut world, Command::UpdateLimit { limit: LimitRef::Name("api".into()), patch });
    world.take(1, "api");
    let start = world.now;
    for id in 1..=3 {
        wait(&mut world, id, &[("api", 1)]);
    }
    for id in 1..=3_u64 {
        let at = world.ledger.next_wake_up().unwrap();
        assert_eq!(at.since(start), Span::from_micros(250_000 * id));
        world.now = at - Span::from_micros(1);
        assert_eq!(granted(&step(&mut world, Command::Tick)), Vec::<u64>::new());
        world.now = at;
        assert_eq!(granted(&step(&mut world, Command::Tick)), [id]);
    }
}

#[test]
fn timers_that_are_late_cost_a_rate_limit_nothing() {
    let mut world = World::draining("api", 1, 20.0);
    world.take(1, "api");
    let start = world.now;
    for id in 1..=100 {
        let until = world.now + Span::from_seconds(60);
        wait_with(&mut world, id, &[("api", 1)], |patience| Patience { until, ..patience });
    }
    let mut count = 0;
    while let Some(at) = world.ledger.next_wake_up().filter(|_| count < 100) {
        world.now = at + Span::from_micros(1_700);
        let step = step(&mut world, Command::Tick);
        for called in &step.answered {
            let Acquired::Granted(grant) = &called.outcome else { panic!("{called:?}") };
            // The time of a lease begins when its holder is answered.
            let deadline = grant.lease.unwrap().deadline.unwrap();
            assert_eq!(deadline, world.now + Span::from_seconds(3_600));
            count += 1;
        }
    }
    assert_eq!(world.now.since(start), Span::from_micros(100 * 50_000 + 1_700));
}

#[test]
fn a_waiter_whose_time_is_over_gets_its_blockers_and_keeps_its_place() {
    let mut world = World::with("db", 1);
    world.take(1, "db");
    wait(&mut world, 1, &[("db", 1)]);
    let until = world.now + Span::from_seconds(50);
    wait_with(&mut world, 2, &[("db", 1)], |p| Patience { until, ..p });
    world.now = world.ledger.next_wake_up().unwrap();
    let step = step(&mut world, Command::Tick);
    let [Answered { waiter: WaiterId(1), outcome: Acquired::Refused(refusal) }] =
        &step.answered[..]
    else {
        panic!("{step:?}");
    };
    assert_eq!(&*refusal.blockers[0].limit.name, "db");
    // It comes back, and is before the waiter that stayed.
    let place = refusal.place;
    come_back(&mut world, 3, &[("db", 1)], place);
    assert_eq!(granted(&release(&mut world, LeaseId(1))), [3]);
}

#[test]
fn a_first_refusal_gives_a_place_that_is_kept_on_the_way_back() {
    let mut world = World::with("db", 1);
    world.take(1, "db");
    let place = refused(&mut world, 2, &[("db", 1)]);
    wait(&mut world, 1, &[("db", 1)]);
    come_back(&mut world, 2, &[("db", 1)], place);
    assert_eq!(granted(&release(&mut world, LeaseId(1))), [2]);
}

#[test]
fn a_waiter_that_left_is_not_granted() {
    let mut world = World::with("db", 1);
    world.take(1, "db");
    wait(&mut world, 1, &[("db", 1)]);
    wait(&mut world, 2, &[("db", 1)]);
    step(&mut world, Command::Abandon(WaiterId(1)));
    assert_eq!(granted(&release(&mut world, LeaseId(1))), [2]);
}

#[test]
fn a_waiter_that_leaves_gets_no_slot_that_came_free_before() {
    for command in [Command::Abandon(WaiterId(1)), Command::SendWaitersAway(Departure::Stopping)] {
        let mut world = World::with("db", 1);
        world.take(1, "db");
        wait(&mut world, 1, &[("db", 1)]);
        // The deadline has passed, and no step has run since.
        world.now = world.ledger.next_deadline().unwrap() + Span::from_micros(1);
        let step = step(&mut world, command);
        assert_eq!(step.answered, []);
        assert_eq!(step.expired, [LeaseId(1)]);
        assert_eq!(world.taken("db"), 0);
        let left = step.events.last().unwrap();
        assert!(matches!(left.kind, EventKind::Left(_)), "{left:?}");
        assert_eq!(left.at, world.now);
    }
}

#[test]
fn a_higher_priority_goes_first_and_then_the_older_request() {
    let mut world = World::with("db", 1);
    world.take(1, "db");
    for (id, priority) in [(1, 0), (2, 5), (3, 0), (4, 5)] {
        wait_with(&mut world, id, &[("db", 1)], |patience| Patience { priority, ..patience });
    }
    let mut order = granted(&release(&mut world, LeaseId(1)));
    for _ in 0..3 {
        let last = lease(*order.last().unwrap());
        order.extend(granted(&release(&mut world, last)));
    }
    assert_eq!(order, [2, 4, 1, 3]);
}

#[test]
fn d24_a_waiter_that_can_run_overtakes_one_that_cannot_but_not_forever() {
    let mut world = World::with("db", 2);
    world.take(1, "db");
    // It wants both slots, and one is held all the time.
    wait(&mut world, 1, &[("db", 2)]);
    let mut overtakes = 0;
    for id in 2..200 {
        let step = wait(&mut world, id, &[("db", 1)]);
        if is_queued(&step) {
            break;
        }
        overtakes += 1;
        release(&mut world, lease(id));
    }
    assert_eq!(overtakes, OVERTAKES_MAX);
    // From now on both slots are reserved for it.
    assert_eq!(granted(&release(&mut world, LeaseId(1))), [1]);
}

#[test]
fn a_waiter_that_comes_back_to_an_old_place_does_not_make_others_wait_longer() {
    let mut world = World::with("db", 2);
    world.take(1, "db");
    let both = [("db", 2)];
    let place = refused(&mut world, 1, &both);
    assert!(is_queued(&wait(&mut world, 2, &both)));
    let overtake = |world: &mut World, nth| {
        let granted = matches!(world.acquire(nth, &[("db", 1)]), Acquired::Granted(_));
        granted && world.release(nth).is_ok()
    };
    let before = (100..140).filter(|nth| overtake(&mut world, *nth)).count();
    assert!(is_queued(&come_back(&mut world, 3, &both, place)));
    let after = (200..400).filter(|nth| overtake(&mut world, *nth)).count();
    assert_eq!(u64::try_from(before + after), Ok(OVERTAKES_MAX));
}

#[test]
fn slots_that_are_not_reserved_are_granted_to_others() {
    let mut world = World::with("db", 5);
    world.create("nightly", 1, 0.0);
    world.take(1, "nightly");
    wait(&mut world, 1, &[("db", 2), ("nightly", 1)]);
    for id in 100..300 {
        let granted = wait(&mut world, id, &[("db", 3)]);
        assert!(matches!(granted.outcome, Outcome::Acquired(Acquired::Granted(_))), "{granted:?}");
        release(&mut world, lease(id));
    }
    // Two of five slots are reserved now.
    assert!(is_queued(&wait(&mut world, 300, &[("db", 4)])));
    let granted_at_once = wait(&mut world, 301, &[("db", 3)]);
    assert!(!is_queued(&granted_at_once), "{granted_at_once:?}");
    assert!(is_queued(&wait(&mut world, 302, &[("db", 1)])));
    assert_eq!(granted(&release(&mut world, LeaseId(1))), [1]);
    assert_eq!(granted(&release(&mut world, lease(301))), [302]);
}

#[test]
fn a_rate_limit_is_kept_for_one_and_drains_for_others() {
    let mut world = World::with("db", 1);
    world.create("rate", 4, 100.0);
    world.take(1, "db");
    wait(&mut world, 1, &[("db", 1), ("rate", 1)]);
    for id in 100..100 + OVERTAKES_MAX {
        wait(&mut world, id, &[("rate", 1)]);
        release(&mut world, lease(id));
        world.now = world.now + Span::from_micros(10_000);
    }
    // One of four is reserved, so three fit, and the next one when one of them has drained.
    for id in 200..203 {
        assert!(!is_queued(&wait(&mut world, id, &[("rate", 1)])));
    }
    assert!(is_queued(&wait(&mut world, 300, &[("rate", 1)])));
    let before = world.now;
    world.now = world.ledger.next_wake_up().unwrap();
    assert_eq!(world.now.since(before), Span::from_micros(10_000));
    assert_eq!(granted(&step(&mut world, Command::Tick)), [300]);
}

#[test]
fn a_holder_that_waits_twice_is_granted_twice() {
    let mut world = World::with("tag:db", 1);
    world.take(1, "tag:db");
    for id in [1, 2] {
        assert!(is_queued(&wait_for_tags(&mut world, id, "one", &["tag:db"])));
    }
    assert_eq!(granted(&release(&mut world, LeaseId(1))), [1]);
    world.now = world.ledger.next_wake_up().unwrap();
    assert_eq!(granted(&step(&mut world, Command::Tick)), [2]);
    assert_eq!(world.taken("tag:db"), 1);
}

#[test]
fn places_go_on_when_everything_is_loaded_again() {
    let mut world = World::with("db", 1);
    world.take(1, "db");
    let place = poll(&mut world, 1, &[("db", 1)]);
    let kept = world.ledger.snapshot();
    world.ledger.reload(kept, world.now);
    assert!(is_queued(&wait(&mut world, 2, &[("db", 1)])));
    assert!(is_queued(&come_back(&mut world, 3, &[("db", 1)], place)));
    assert_eq!(granted(&release(&mut world, LeaseId(1))), [3], "it came first");
}

#[test]
fn slots_reserved_for_a_waiter_that_leaves_go_to_the_others() {
    let mut world = World::with("db", 2);
    world.take(1, "db");
    wait(&mut world, 1, &[("db", 2)]);
    for id in 2..100 {
        if is_queued(&wait(&mut world, id, &[("db", 1)])) {
            break;
        }
        release(&mut world, lease(id));
    }
    let last = 2 + OVERTAKES_MAX;
    assert_eq!(granted(&step(&mut world, Command::Abandon(WaiterId(1)))), [last]);
}

#[test]
fn a_request_over_several_limits_is_granted_when_the_last_of_them_has_room() {
    let mut world = World::with("db", 1);
    world.create("api", 1, 0.0);
    world.take(1, "db");
    world.take(2, "api");
    wait(&mut world, 1, &[("db", 1), ("api", 1)]);
    assert_eq!(granted(&release(&mut world, LeaseId(1))), Vec::<u64>::new());
    assert_eq!(granted(&release(&mut world, LeaseId(2))), [1]);
}

#[test]
fn a_waiter_that_wants_more_than_a_lowered_limit_has_is_refused() {
    let mut world = World::with("db", 3);
    world.take(1, "db");
    wait(&mut world, 1, &[("db", 3)]);
    let patch = LimitPatch { slots: Some(2), ..LimitPatch::default() };
    let limit = LimitRef::Name("db".into());
    let step = step(&mut world, Command::UpdateLimit { limit, patch });
    assert!(matches!(step.answered[0].outcome, Acquired::TooManySlots(_)), "{step:?}");
}

#[test]
fn waiters_are_listed_with_their_blockers() {
    let mut world = World::with("db", 1);
    world.take(1, "db");
    wait(&mut world, 1, &[("db", 1)]);
    let query = Query::Waiters(LimitRef::Name("db".into()), EVERYTHING);
    let Outcome::Waiters(Some(waiters)) = step(&mut world, Command::Read(query)).outcome else {
        panic!("no waiters");
    };
    assert_eq!(waiters.len(), 1);
    assert_eq!((waiters[0].slots, waiters[0].since), (1, world.now));
    assert_eq!(&*waiters[0].blockers[0].limit.name, "db");
}

#[test]
fn a_step_looks_at_one_of_the_waiters_that_want_the_same() {
    let mut world = World::with("db", 1);
    world.create("api", 3, 0.0);
    world.take(1, "db");
    world.take(2, "api");
    for id in 1..=1_000 {
        let queued = wait(&mut world, id, &[("api", 1), ("db", 1)]);
        assert_eq!((is_queued(&queued), queued.looks), (true, 1));
    }
    // No waiter can run on `db`, and one look finds that out.
    assert_eq!(release(&mut world, LeaseId(2)).looks, 1);
    // Another order of limits is the same wish. Another number of slots or priority is not.
    wait(&mut world, 1_001, &[("db", 1), ("api", 1)]);
    wait(&mut world, 1_002, &[("db", 1), ("api", 2)]);
    wait_with(&mut world, 1_003, &[("db", 1), ("api", 1)], |p| Patience { priority: 1, ..p });
    world.take(3, "api");
    assert_eq!(release(&mut world, LeaseId(3)).looks, 3);
    let next = release(&mut world, LeaseId(1));
    assert_eq!(granted(&next), [1_003]);
    assert_eq!(next.looks, 1 + 2, "the next one, and then those with other wishes");
}

#[test]
fn the_others_move_up_when_the_first_waiter_leaves() {
    let mut world = World::with("db", 1);
    world.create("api", 1, 0.0);
    world.take(1, "db");
    for id in 1..=4 {
        wait(&mut world, id, &[("db", 1), ("api", 1)]);
    }
    step(&mut world, Command::Abandon(WaiterId(1)));
    step(&mut world, Command::Abandon(WaiterId(3)));
    assert_eq!(granted(&release(&mut world, LeaseId(1))), [2]);
    assert_eq!(granted(&release(&mut world, lease(2))), [4]);
}

/// Asks for tags for a task run, as the waiter `id`.
fn wait_for_tags(world: &mut World, id: u64, run: &str, names: &[&str]) -> Step {
    let hold = Hold::Holder { id: lease(id), holder: task_run(run) };
    let wants = names.iter().map(|name| (*name, 1));
    let patience = Some(half_a_minute(world, id));
    let acquire = Acquire { patience, ..Acquire::new(wants, hold) };
    step(world, Command::Acquire(acquire))
}

#[test]
fn a_holder_of_a_tag_does_not_wait_behind_others_that_want_it() {
    for holds_it_before in [true, false] {
        let mut world = World::with("tag:db", 1);
        world.limit("tag:api", 1);
        world.tag(1, if holds_it_before { "one" } else { "other" }, &["tag:db"]);
        world.tag(2, "other", &["tag:api"]);
        for (id, run) in [(1, "two"), (2, "one"), (3, "three")] {
            assert!(is_queued(&wait_for_tags(&mut world, id, run, &["tag:db", "tag:api"])));
        }
        if !holds_it_before {
            world.reset_tag("tag:db", &[(3, "one")]);
        }
        assert_eq!(granted(&release(&mut world, LeaseId(2))), [2]);
    }
}
