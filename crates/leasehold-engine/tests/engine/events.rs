//! Events of waiting requests, and of limits that leases lose.

use leasehold_engine::{
    Acquire, Command, Departure, Event, EventKind, Hold, LeaseId, LimitPatch, Loss, Mode, Patience,
    Scope, Span, Step, WaiterId,
};

use crate::fixture::{World, lease_hold, named, task_run};

const PATIENCE: Span = Span::from_seconds(30);

/// A task run waits for a slot of `db` that lease 1 holds. It asks for lease 2.
fn waiting(hold: Hold) -> (World, Step) {
    let mut world = World::with("db", 1);
    world.take(1, "db");
    let step = ask(&mut world, hold, PATIENCE);
    (world, step)
}

fn ask(world: &mut World, hold: Hold, patience: Span) -> Step {
    let patience = Some(Patience::new(WaiterId(7), world.now + patience));
    let acquire = Acquire { patience, ..Acquire::new([("db", 1)], hold) };
    world.ledger.step(Command::Acquire(acquire), world.now)
}

fn lease_two() -> Hold {
    lease_hold(2, Some(task_run("run-2")))
}

/// The events of the waiting request. All are on `db` and name its holder.
fn logged(step: &Step) -> Vec<EventKind> {
    let is_of_waiter = |event: &&Event| event.lease == Some(LeaseId(2));
    let happened = step.events.iter().filter(is_of_waiter);
    happened
        .map(|event| {
            assert_eq!(event.limits.as_slice(), ["db".into()]);
            assert_eq!(event.holder, Some(task_run("run-2")));
            event.kind.clone()
        })
        .collect()
}

fn check(command: Command, passed: Span, expected: &[EventKind]) {
    let (mut world, queued) = waiting(lease_two());
    assert_eq!(logged(&queued), [EventKind::Queued]);
    world.now = world.now + passed;
    assert_eq!(logged(&world.ledger.step(command, world.now)), expected);
}

#[test]
fn a_waiting_request_is_logged_and_so_is_why_it_left() {
    let left = |why| [EventKind::Left(why)];
    let lowered = LimitPatch { slots: Some(0), ..LimitPatch::default() };
    let lower = Command::UpdateLimit { limit: named("db"), patch: lowered };
    check(Command::Abandon(WaiterId(7)), Span::ZERO, &left(Departure::HungUp));
    check(Command::Tick, PATIENCE, &left(Departure::OutOfPatience));
    check(lower, Span::ZERO, &left(Departure::LimitsChanged));
    for why in [Departure::Stopping, Departure::JournalFailed] {
        check(Command::SendWaitersAway(why), Span::ZERO, &left(why));
    }
}

#[test]
fn a_request_that_is_granted_tells_no_more_than_its_lease_does() {
    check(Command::Release { lease: LeaseId(1) }, Span::ZERO, &[EventKind::Granted]);
}

#[test]
fn a_waiter_that_needs_no_lease_is_logged_as_served() {
    let disable = LimitPatch { active: Some(false), ..LimitPatch::default() };
    let left = [EventKind::Left(Departure::Served)];
    check(Command::UpdateLimit { limit: named("db"), patch: disable }, Span::ZERO, &left);
    check(deletion_of("db"), Span::ZERO, &left);
}

#[test]
fn a_request_that_is_granted_slots_without_a_lease_tells_that_it_left() {
    let (mut world, queued) = waiting(Hold::Unleased);
    assert_eq!(queued.events.last().unwrap().kind, EventKind::Queued);
    let released = world.ledger.step(Command::Release { lease: LeaseId(1) }, world.now);
    let logged: Vec<_> = released.events.into_iter().map(|it| it.kind).collect();
    let taken = EventKind::Taken { slots: 1, unleased: 1 };
    assert_eq!(logged, [EventKind::Released, EventKind::Left(Departure::Served), taken]);
}

#[test]
fn a_request_that_is_refused_or_granted_at_once_never_waited() {
    let mut world = World::with("db", 1);
    world.take(1, "db");
    let refused = ask(&mut world, lease_two(), Span::ZERO);
    assert_eq!(refused.events, []);
    world.release(1).unwrap();
    assert_eq!(logged(&ask(&mut world, lease_two(), PATIENCE)), [EventKind::Granted]);
}

#[test]
fn a_waiter_leaves_once() {
    let (mut world, _) = waiting(lease_two());
    for expected in [1, 0] {
        let step = world.ledger.step(Command::Abandon(WaiterId(7)), world.now);
        assert_eq!(step.events.len(), expected);
    }
}

#[test]
fn stopping_grants_no_slots_that_were_reserved_for_a_waiter() {
    let mut world = World::with("db", 2);
    world.take(1, "db");
    let wait = |world: &mut World, waiter: u64, slots| {
        let patience = Some(Patience::new(WaiterId(waiter), world.now + PATIENCE));
        let hold = lease_hold(100 + u128::from(waiter), None);
        let acquire = Acquire { patience, ..Acquire::new([("db", slots)], hold) };
        world.ledger.step(Command::Acquire(acquire), world.now)
    };
    // At the last of them the limit is reserved for the first waiter, and later ones wait.
    for waiter in 1..=100 {
        wait(&mut world, waiter, if waiter == 1 { 2 } else { 1 });
        let lease = LeaseId(100 + u128::from(waiter));
        world.ledger.step(Command::Release { lease }, world.now);
    }
    let away = Command::SendWaitersAway(Departure::Stopping);
    let step = world.ledger.step(away, world.now);
    assert!(step.events.len() > 1, "several waited: {:?}", step.events);
    assert!(step.events.iter().all(|it| it.kind == EventKind::Left(Departure::Stopping)));
    assert!(step.answered.is_empty());
    assert_eq!(world.ledger.lease_count(), 1);
}

/// The events of lease 1 after a command, with their limits.
fn told_of_lease(world: &mut World, command: Command) -> Vec<(Vec<String>, EventKind)> {
    let step = world.ledger.step(command, world.now);
    let of_it = step.events.into_iter().filter(|it| it.lease == Some(LeaseId(1)));
    of_it
        .map(|it| {
            assert_eq!(it.holder, Some(task_run("run-1")));
            (it.limits.iter().map(ToString::to_string).collect(), it.kind)
        })
        .collect()
}

/// A task run that holds two tags under lease 1.
fn with_two_tags() -> World {
    let mut world = World::with("tag:p", 1);
    world.limit("tag:q", 1);
    world.tag(1, "run-1", &["tag:p", "tag:q"]);
    world
}

fn reset_of(name: &str) -> Command {
    Command::ResetTag { name: name.into(), holders: Vec::new(), reason: None }
}

fn deletion_of(name: &str) -> Command {
    Command::DeleteLimit { limit: named(name), scope: Scope::All }
}

#[test]
fn a_lease_that_loses_a_limit_is_logged_under_that_limit_with_the_reason() {
    let mut world = with_two_tags();
    let reset = EventKind::Lost(Loss::Reset { reason: None });
    assert_eq!(told_of_lease(&mut world, reset_of("tag:p")), [(vec!["tag:p".into()], reset)]);
    let deleted = EventKind::Lost(Loss::Deleted);
    assert_eq!(told_of_lease(&mut world, deletion_of("tag:q")), [(vec!["tag:q".into()], deleted)]);
}

#[test]
fn a_lease_without_limits_has_no_events() {
    let mut world = World::with("db", 1);
    world.ask(Mode::Concurrency, &[("db", 1)], lease_hold(1, Some(task_run("run-1"))));
    assert_eq!(told_of_lease(&mut world, deletion_of("db")).len(), 1);
    assert_eq!(told_of_lease(&mut world, Command::Release { lease: LeaseId(1) }), []);
}

#[test]
fn a_lease_whose_limit_is_renamed_is_logged_under_both_names() {
    let mut world = with_two_tags();
    let patch = LimitPatch { name: Some("tag:r".into()), ..LimitPatch::default() };
    let rename = Command::UpdateLimit { limit: named("tag:p"), patch };
    let moved_out = (vec!["tag:p".into()], EventKind::MovedOut { to: "tag:r".into() });
    let moved_in = (vec!["tag:r".into()], EventKind::MovedIn { from: "tag:p".into() });
    assert_eq!(told_of_lease(&mut world, rename), [moved_out, moved_in]);
}

#[test]
fn a_change_is_logged_with_both_states_and_an_edit_without_changes_is_not() {
    let mut world = World::with("db", 1);
    let patch = LimitPatch {
        name: Some("db2".into()),
        slots: Some(1),
        active: Some(false),
        ..LimitPatch::default()
    };
    let mut step = |name| {
        let update = Command::UpdateLimit { limit: named(name), patch: patch.clone() };
        world.ledger.step(update, world.now).events
    };
    let logged = step("db");
    let [Event { kind: EventKind::LimitChanged { was, is }, limits, .. }] = &logged[..] else {
        panic!("{logged:?}");
    };
    assert_eq!(limits.as_slice(), ["db".into(), "db2".into()]);
    assert_eq!((&*was.name, was.slots, was.active), ("db", 1, true));
    assert_eq!((&*is.name, is.slots, is.active), ("db2", 1, false));
    assert_eq!(step("db2"), []);
}

#[test]
fn a_waiter_for_a_deleted_limit_is_logged_under_the_name_of_the_limit() {
    let (mut world, _) = waiting(Hold::Unleased);
    let step = world.ledger.step(deletion_of("db"), world.now);
    let left = step.events.last().unwrap();
    assert_eq!(
        (&left.kind, left.limits.as_slice()),
        (&EventKind::Left(Departure::Served), &["db".into()][..])
    );
}
