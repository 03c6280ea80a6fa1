//! Requests with an idempotency key: sent twice, granted once.

use std::collections::BTreeMap;

use leasehold_engine::{
    Acquire, Acquired, Answered, Command, EndReason, Ending, Gone, Hold, LeaseId, LeaseView,
    Missing, Mode, Notes, Outcome, Patience, Query, Repeated, RequestDigest, Scope, Span, Step,
    WaiterId,
};
use proptest::prelude::*;

use crate::fixture::{World, granted, named, seconds};

type End = fn(&mut World);

/// The digest of the request that a key stands for.
const REQUEST: u128 = 7;

/// Asks for a slot of `db` with the key `key`, and waits for half a minute as `waiter`.
fn ask(world: &mut World, key: u128, waiter: u64) -> Step {
    ask_with(world, key, waiter, REQUEST, Missing::Skip)
}

fn ask_with(world: &mut World, key: u128, waiter: u64, request: u128, missing: Missing) -> Step {
    let notes = Notes { request: Some(RequestDigest(request)), ..Notes::default() };
    let (id, ttl, notes) = (LeaseId(key), Span::from_seconds(60), Some(notes.into()));
    let hold = Hold::Lease { id, holder: None, ttl, notes };
    let patience = Some(Patience::new(WaiterId(waiter), world.now + Span::from_seconds(30)));
    let acquire = Acquire { missing, patience, ..Acquire::new([("db", 1)], hold) };
    world.ledger.step(Command::Acquire(acquire), world.now)
}

fn acquired(step: &Step) -> &Acquired {
    match &step.outcome {
        Outcome::Acquired(acquired) => acquired,
        other => panic!("no answer to an acquire: {other:?}"),
    }
}

#[track_caller]
fn same(acquired: &Acquired) -> &LeaseView {
    match acquired {
        Acquired::Repeated(Repeated::Same(view)) => view,
        other => panic!("another answer: {other:?}"),
    }
}

#[track_caller]
fn ending(acquired: &Acquired) -> &Ending {
    match acquired {
        Acquired::Repeated(Repeated::Ended(Gone(Some(ending)))) => ending,
        other => panic!("it has not ended: {other:?}"),
    }
}

fn is_another(acquired: &Acquired) -> bool {
    matches!(acquired, Acquired::Repeated(Repeated::Different))
}

#[test]
fn the_same_key_answers_the_same_lease_and_takes_no_slot() {
    let mut world = World::with("db", 2);
    let first = granted(acquired(&ask(&mut world, 1, 1)).clone()).lease.unwrap();
    assert!(first.has_key);
    world.wait(5.0);
    world.renew(1);
    let step = ask(&mut world, 1, 2);
    let again = same(acquired(&step));
    assert_eq!((again.lease.id, again.lease.fence), (first.id, first.fence));
    assert_eq!(again.lease.deadline, Some(seconds(1_065.0)), "as it was renewed");
    assert_eq!(world.taken("db"), 1);
}

#[test]
fn a_key_answers_the_same_lease_after_a_restart() {
    let mut world = World::with("db", 2);
    let first = granted(acquired(&ask(&mut world, 1, 1)).clone()).lease.unwrap();
    world.step(Command::Tick);
    world.restart(300.0);
    assert_eq!(same(acquired(&ask(&mut world, 1, 2))).lease.fence, first.fence);
    assert!(is_another(acquired(&ask_with(&mut world, 1, 3, REQUEST + 1, Missing::Skip))));
}

#[test]
fn a_key_of_another_request_is_refused_while_that_holds_or_waits() {
    let mut world = World::with("db", 1);
    ask(&mut world, 1, 1);
    assert!(is_another(acquired(&ask_with(&mut world, 1, 2, REQUEST + 1, Missing::Skip))));
    assert!(matches!(acquired(&ask(&mut world, 2, 3)), Acquired::Queued(_)));
    assert!(is_another(acquired(&ask_with(&mut world, 2, 4, REQUEST + 1, Missing::Skip))));
    // The key is free again.
    world.step(Command::Abandon(WaiterId(3)));
    let other = ask_with(&mut world, 2, 5, REQUEST + 1, Missing::Skip);
    assert!(matches!(acquired(&other), Acquired::Queued(_)));
}

#[test]
fn a_key_whose_lease_has_ended_returns_the_reason_and_takes_no_slot() {
    let by = || EndReason::Revoked { reason: Some("moved".into()), by: None };
    let ends: [(End, EndReason); 3] = [
        (|world| drop(world.release(1)), EndReason::Released),
        (|world| drop(world.revoke(1, "moved")), by()),
        (|world| world.wait(60.0), EndReason::Expired),
    ];
    for (end, how) in ends {
        let mut world = World::with("db", 1);
        ask(&mut world, 1, 1);
        end(&mut world);
        let step = ask(&mut world, 1, 2);
        assert_eq!(ending(acquired(&step)).how, how);
        assert_eq!(world.taken("db"), 0);
    }
}

#[test]
fn waiters_with_the_same_key_get_the_same_lease_in_the_same_step() {
    let mut world = World::with("db", 1);
    world.take(100, "db");
    for waiter in 1..=3 {
        assert!(matches!(acquired(&ask(&mut world, 1, waiter)), Acquired::Queued(_)));
    }
    ask(&mut world, 2, 4);
    let step = world.ledger.step(Command::Release { lease: LeaseId(100) }, world.now);
    let [first, others @ ..] = &step.answered[..] else {
        panic!("no waiter was answered: {step:?}")
    };
    let fence = granted(first.outcome.clone()).lease.unwrap().fence;
    assert_eq!((first.waiter, others.len()), (WaiterId(1), 2));
    for Answered { outcome, .. } in others {
        assert_eq!(same(outcome).lease.fence, fence);
    }
    assert_eq!(world.leases("db"), [1]);
    let step = world.ledger.step(Command::Release { lease: LeaseId(1) }, world.now);
    assert_eq!(step.answered.len(), 1);
    assert_eq!(step.answered[0].waiter, WaiterId(4));
}

#[test]
fn a_waiter_for_a_deleted_limit_gets_its_name() {
    let mut world = World::with("db", 1);
    world.take(100, "db");
    ask_with(&mut world, 1, 1, REQUEST, Missing::Refuse);
    ask_with(&mut world, 2, 2, REQUEST, Missing::Skip);
    let delete = Command::DeleteLimit { limit: named("db"), scope: Scope::All };
    let step = world.ledger.step(delete, world.now);
    let outcome_of = |waiter| {
        let called = step.answered.iter().find(|called| called.waiter == WaiterId(waiter));
        &called.unwrap().outcome
    };
    assert_eq!(*outcome_of(1), Acquired::Missing(vec!["db".into()]));
    assert_eq!(granted(outcome_of(2).clone()).lease, None);
}

#[test]
fn a_waiter_for_a_renamed_limit_waits_on() {
    let mut world = World::with("db", 1);
    world.take(100, "db");
    ask_with(&mut world, 1, 1, REQUEST, Missing::Refuse);
    let patch = leasehold_engine::LimitPatch {
        name: Some("database".into()),
        ..leasehold_engine::LimitPatch::default()
    };
    world.patch("db", patch);
    let step = world.ledger.step(Command::Release { lease: LeaseId(100) }, world.now);
    assert_eq!(granted(step.answered[0].outcome.clone()).limits[0].name.as_ref(), "database");
}

#[test]
fn all_missing_names_are_refused_before_slots_are_counted() {
    let mut world = World::with("db", 1);
    world.take(100, "db");
    let names = ["nope", "db", "neither"];
    let acquire = Acquire::new(names.map(|name| (name, 5)), Hold::Unleased);
    let acquire = Acquire { mode: Mode::RateLimit, missing: Missing::Refuse, ..acquire };
    let outcome = world.step(Command::Acquire(acquire));
    let missing = vec!["nope".into(), "neither".into()];
    assert_eq!(outcome, Outcome::Acquired(Acquired::Missing(missing)));
}

proptest! {
    /// In every sequence of requests, releases and hang-ups, a key is granted one lease, and no
    /// request waits with a key whose lease lives.
    #[test]
    fn a_key_is_one_lease_and_no_request_waits_for_a_lease_that_lives(
        moves in prop::collection::vec((0..5_u8, 0..4_u128, 1..40_u64), 0..120),
    ) {
        let mut world = World::with("db", 2);
        let mut waiting = BTreeMap::new();
        let mut granted = BTreeMap::new();
        for (waiter, (what, key, number)) in (1..).zip(moves) {
            let step = match what {
                0..=2 => ask(&mut world, key, waiter),
                3 => {
                    let lease = LeaseId(key);
                    world.ledger.step(Command::Release { lease }, world.now)
                }
                _ => world.ledger.step(Command::Abandon(WaiterId(number)), world.now),
            };
            world.wait(f64::from(u32::try_from(number).unwrap()) / 4.0);
            if let Outcome::Acquired(acquired) = step.outcome {
                match acquired {
                    Acquired::Queued(_) => drop(waiting.insert(WaiterId(waiter), key)),
                    other => count(&mut granted, key, &other),
                }
            }
            for Answered { waiter, outcome } in step.answered {
                let key = waiting.remove(&waiter).unwrap();
                count(&mut granted, key, &outcome);
            }
            if what == 4 {
                waiting.remove(&WaiterId(number));
            }
            for key in waiting.values() {
                let lease = Command::Read(Query::Lease(LeaseId(*key)));
                let outcome = world.ledger.step(lease, world.ledger.now()).outcome;
                prop_assert!(matches!(outcome, Outcome::Lease(Err(_))), "{key} waits: {outcome:?}");
            }
        }
        // All endings are remembered here, so no key is granted a second lease.
        prop_assert!(granted.values().all(|count| *count == 1), "{granted:?}");
    }
}

fn count(granted: &mut BTreeMap<u128, usize>, key: u128, acquired: &Acquired) {
    if matches!(acquired, Acquired::Granted(_)) {
        *granted.entry(key).or_default() += 1;
    }
}
