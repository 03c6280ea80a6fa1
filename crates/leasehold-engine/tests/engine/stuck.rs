//! Holders that wait for themselves or for each other are reported, and served like all others.

use std::sync::Arc;

use leasehold_engine::{
    Acquire, Acquired, Certainty, Command, EventKind, Hold, Holder, Identified, LeaseId, LimitRef,
    Named, Origin, Outcome, Patience, Query, Span, Step, StuckOn, WaiterId, WaiterView,
};

use crate::fixture::{EVERYTHING, World, lease_hold};

const MINUTE: Span = Span::from_seconds(60);

fn pod(id: &str) -> Option<Holder> {
    Some(Holder::new("pod", id))
}

/// A request of a pod; the lease and the waiter have the same number. Waits for `patience`.
fn ask(
    world: &mut World,
    number: u32,
    holder: Option<Holder>,
    limit: &str,
    patience: Option<Span>,
) -> Step {
    let ttl = Span::from_seconds(3_600);
    let hold = Hold::Lease { id: LeaseId(number.into()), holder, ttl, notes: None };
    let acquire = Acquire { hold, ..acquire(world, number, limit, patience) };
    world.ledger.step(Command::Acquire(acquire), world.now)
}

fn acquire(world: &World, number: u32, limit: &str, patience: Option<Span>) -> Acquire {
    let now = world.now;
    let patience = patience.map(|span| Patience::new(WaiterId(number.into()), now + span));
    Acquire { patience, ..Acquire::new([(limit, 1)], lease_hold(number.into(), None)) }
}

/// The events of stuck requests: the lease that each asks for, and the leases that it is stuck on.
fn logged(step: &Step) -> Vec<(LeaseId, Vec<StuckOn>)> {
    let logged = step.events.iter().filter_map(|event| match &event.kind {
        EventKind::Stuck(stuck) => Some((event.lease.unwrap(), stuck.clone())),
        _ => None,
    });
    logged.collect()
}

fn waiters(world: &mut World, limit: &str) -> Vec<WaiterView> {
    let query = Query::Waiters(LimitRef::Name(limit.into()), EVERYTHING);
    match world.ledger.step(Command::Read(query), world.now).outcome {
        Outcome::Waiters(Some(waiters)) => waiters,
        other => panic!("{other:?}"),
    }
}

fn leases(stuck: &[StuckOn]) -> Vec<u128> {
    stuck.iter().map(|on| on.lease.0).collect()
}

#[test]
fn a_holder_that_waits_for_itself_is_logged_once_and_shown_as_long_as_it_waits() {
    let mut world = World::with("x", 1);
    ask(&mut world, 1, pod("a"), "x", None);
    let asked = ask(&mut world, 2, pod("a"), "x", Some(MINUTE));
    let own = StuckOn {
        limit: "x".into(),
        lease: LeaseId(1),
        holder: pod("a"),
        origin: None,
        is_own: true,
        waits_for: ["x".into()].into_iter().collect(),
    };
    assert_eq!(logged(&asked), [(LeaseId(2), vec![own.clone()])]);
    assert_eq!(waiters(&mut world, "x")[0].stuck, std::slice::from_ref(&own));
    world.now = world.now + MINUTE;
    let sent_away = world.ledger.step(Command::Tick, world.now);
    let Acquired::Refused(refusal) = &sent_away.answered[0].outcome else {
        panic!("{sent_away:?}")
    };
    assert_eq!(refusal.stuck, [own]);
    assert_eq!(logged(&sent_away), []);
}

#[test]
fn the_refusal_of_a_holder_that_would_wait_for_itself_names_its_lease() {
    let mut world = World::with("x", 1);
    ask(&mut world, 1, pod("a"), "x", None);
    for patience in [None, Some(Span::ZERO)] {
        let asked = ask(&mut world, 2, pod("a"), "x", patience);
        let Outcome::Acquired(Acquired::Refused(refusal)) = &asked.outcome else { panic!() };
        assert_eq!(leases(&refusal.stuck), [1]);
        assert_eq!(logged(&asked), []);
    }
    let asked = ask(&mut world, 3, pod("b"), "x", None);
    let Outcome::Acquired(Acquired::Refused(refusal)) = &asked.outcome else { panic!() };
    assert_eq!(refusal.stuck, []);
}

#[test]
fn a_ring_of_three_is_logged_when_it_closes_and_each_waiter_shows_the_next() {
    let mut world = World::with("x", 1);
    world.limit("y", 1);
    world.limit("z", 1);
    for (number, (holder, limit)) in (1..).zip([("a", "x"), ("b", "y"), ("c", "z")]) {
        ask(&mut world, number, pod(holder), limit, None);
    }
    assert_eq!(logged(&ask(&mut world, 11, pod("a"), "y", Some(MINUTE))), []);
    assert_eq!(logged(&ask(&mut world, 12, pod("b"), "z", Some(MINUTE))), []);
    let closed = ask(&mut world, 13, pod("c"), "x", Some(MINUTE));
    let [(LeaseId(13), stuck)] = &logged(&closed)[..] else { panic!("{closed:?}") };
    assert_eq!((leases(stuck), stuck[0].is_own), (vec![1], false));
    assert_eq!(stuck[0].waits_for.as_slice(), [Arc::from("y")]);
    for (limit, lease) in [("x", 1), ("y", 2), ("z", 3)] {
        assert_eq!(leases(&waiters(&mut world, limit)[0].stuck), [lease]);
    }
    // One of them hangs up: the others can go on.
    world.ledger.step(Command::Abandon(WaiterId(12)), world.now);
    for limit in ["x", "y"] {
        assert_eq!(waiters(&mut world, limit)[0].stuck, []);
    }
}

#[test]
fn slots_of_unknown_holders_and_slots_that_drain_may_come_back() {
    let mut world = World::with("x", 2);
    ask(&mut world, 1, pod("a"), "x", None);
    ask(&mut world, 2, None, "x", None);
    assert_eq!(logged(&ask(&mut world, 3, pod("a"), "x", Some(MINUTE))), []);
    let mut world = World::draining("x", 1, 0.01);
    ask(&mut world, 1, pod("a"), "x", None);
    assert_eq!(logged(&ask(&mut world, 2, pod("a"), "x", Some(MINUTE))), []);
}

#[test]
fn a_lease_without_a_deadline_is_waited_for_in_vain_like_any_other() {
    let mut world = World::with("tag:x", 1);
    world.limit("y", 1);
    world.tag(1, "a", &["tag:x"]);
    let run = || Some(crate::fixture::task_run("a"));
    ask(&mut world, 2, pod("b"), "y", None);
    ask(&mut world, 3, pod("b"), "tag:x", Some(MINUTE));
    assert_eq!(logged(&ask(&mut world, 4, run(), "y", Some(MINUTE))).len(), 1);
}

fn of_run(flow_run: &str, task_run: Option<&str>) -> Arc<Identified> {
    let named = |id: &str| Named { id: Some(id.into()), name: None };
    Arc::new(Identified {
        flow_run: named(flow_run),
        task_run: task_run.map(named).unwrap_or_default(),
        certainty: Certainty::Certain,
    })
}

/// A lease and its runs, and then a waiter and its runs. Returns the leases that it is stuck on.
fn stuck_on(of_lease: Arc<Identified>, of_waiter: Arc<Identified>) -> Vec<u128> {
    let mut world = World::with("x", 1);
    world.take(1, "x");
    world.step(Command::Identify { lease: LeaseId(1), identified: of_lease });
    let origin = Origin { identified: Some(of_waiter), ..Origin::default() };
    let acquire = acquire(&world, 2, "x", Some(MINUTE));
    let acquire = Acquire { origin: Some(Arc::new(origin)), ..acquire };
    let logged = logged(&world.ledger.step(Command::Acquire(acquire), world.now));
    logged.iter().flat_map(|(_, stuck)| leases(stuck)).collect()
}

#[test]
fn a_flow_run_that_waits_for_itself_is_logged_and_so_is_a_task_in_it() {
    let flow = || of_run("f", None);
    assert_eq!(stuck_on(flow(), flow()), [1]);
    assert_eq!(stuck_on(flow(), of_run("f", Some("t"))), [1]);
    assert_eq!(stuck_on(flow(), of_run("g", None)), []);
}

#[test]
fn a_task_run_that_waits_for_itself_is_logged_and_one_that_waits_for_another_task_is_not() {
    let task = |id| of_run("f", Some(id));
    assert_eq!(stuck_on(task("t"), task("t")), [1]);
    assert_eq!(stuck_on(task("t"), task("u")), []);
    assert_eq!(stuck_on(task("t"), of_run("f", None)), []);
}

#[test]
fn a_polling_client_is_logged_as_stuck_once() {
    let mut world = World::with("x", 1);
    ask(&mut world, 1, pod("a"), "x", None);
    let refused = ask(&mut world, 2, pod("a"), "x", Some(Span::ZERO));
    let Outcome::Acquired(Acquired::Refused(refusal)) = refused.outcome else { panic!() };
    let mut logged_times = 0;
    for _ in 0..3 {
        let until = world.now + Span::from_seconds(20);
        let mut acquire = acquire(&world, 2, "x", Some(MINUTE));
        let patience = acquire.patience.as_mut().unwrap();
        (patience.until, patience.place) = (until, refusal.place);
        acquire.hold = lease_hold(2, pod("a"));
        logged_times += logged(&world.ledger.step(Command::Acquire(acquire), world.now)).len();
        world.now = until;
        world.ledger.step(Command::Tick, world.now);
    }
    assert_eq!(logged_times, 1);
}
