//! The origin of a lease is stored with it and shown, and no rule reads it.

use std::sync::Arc;

use leasehold_engine::{
    Acquire, Certainty, Command, Event, Gone, Identified, LeaseId, LimitRef, Named, Origin,
    Outcome, Page, Patience, Query, Span, WaiterId,
};

use crate::fixture::{World, lease_hold};

fn origin() -> Arc<Origin> {
    let client = Some("prefect/3.8.8".into());
    Arc::new(Origin { address: "10.0.0.7".parse().ok(), client, ..Origin::default() })
}

fn ask(world: &mut World, lease: u128, patience: Option<Patience>) -> Vec<Event> {
    let acquire = Acquire::new([("db", 1)], lease_hold(lease, None));
    let acquire = Acquire { patience, origin: Some(origin()), ..acquire };
    world.ledger.step(Command::Acquire(acquire), world.now).events
}

fn origin_of(world: &mut World, lease: u128) -> Option<Arc<Origin>> {
    match world.step(Command::Read(Query::Lease(LeaseId(lease)))) {
        Outcome::Lease(Ok(view)) => view.lease.origin,
        other => panic!("{other:?}"),
    }
}

fn identify(world: &mut World, lease: u128) -> (Arc<Identified>, Outcome) {
    let flow_run = Named { id: Some("f".into()), name: Some("brave-fox".into()) };
    let identified =
        Identified { flow_run, task_run: Named::default(), certainty: Certainty::Certain };
    let identified = Arc::new(identified);
    let lease = LeaseId(lease);
    (identified.clone(), world.step(Command::Identify { lease, identified }))
}

#[test]
fn a_lease_keeps_the_origin_of_its_request() {
    let mut world = World::with("db", 1);
    let happened = ask(&mut world, 1, None);
    assert_eq!(origin_of(&mut world, 1), Some(origin()));
    assert_eq!(happened[0].origin, Some(origin()));
}

#[test]
fn a_waiter_shows_the_origin_of_its_request_and_its_lease_keeps_it() {
    let mut world = World::with("db", 1);
    world.take(1, "db");
    let patience = Patience::new(WaiterId(7), world.now + Span::from_seconds(30));
    let queued = ask(&mut world, 2, Some(patience));
    assert_eq!(queued[0].origin, Some(origin()));
    let page = Page { offset: 0, limit: 9 };
    let read = Query::Waiters(LimitRef::Name("db".into()), page);
    match world.step(Command::Read(read)) {
        Outcome::Waiters(Some(waiters)) => assert_eq!(waiters[0].origin, Some(origin())),
        other => panic!("{other:?}"),
    }
    world.step(Command::Release { lease: LeaseId(1) });
    assert_eq!(origin_of(&mut world, 2), Some(origin()));
}

#[test]
fn an_origin_does_not_make_a_release_remembered() {
    let mut world = World::with("db", 1);
    ask(&mut world, 1, None);
    world.step(Command::Release { lease: LeaseId(1) });
    match world.step(Command::Read(Query::Lease(LeaseId(1)))) {
        Outcome::Lease(Err(gone)) => assert_eq!(gone, Gone(None)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_identified_lease_keeps_its_origin_and_everything_else() {
    let mut world = World::with("db", 1);
    ask(&mut world, 1, None);
    let before = world.ledger.snapshot().leases[0].clone();
    let (identified, outcome) = identify(&mut world, 1);
    assert_eq!(outcome, Outcome::Identified(true));
    let identified = Some(identified);
    let origin = Some(Arc::new(Origin { identified, ..Origin::clone(&origin()) }));
    let expected = leasehold_engine::Lease { origin, ..before };
    assert_eq!(world.ledger.snapshot().leases[0], expected);
    world.restart(1.0);
    assert_eq!(world.ledger.snapshot().leases[0].origin, expected.origin);
}

#[test]
fn a_lease_that_is_gone_cannot_be_identified() {
    let mut world = World::with("db", 1);
    assert_eq!(identify(&mut world, 1).1, Outcome::Identified(false));
}
