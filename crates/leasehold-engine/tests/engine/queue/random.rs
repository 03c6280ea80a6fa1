//! After every step no waiter can run, and no waiter starves.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// What happens next to a world with three limits and waiters.
#[derive(Clone, Debug)]
enum Move {
    Wait { wants: Vec<(usize, u64)>, priority: i32, seconds: u64 },
    Release(usize),
    Abandon(usize),
    Resize(usize, u64),
    Pass(u64),
}

fn event() -> impl Strategy<Value = Move> {
    let wants = prop::collection::btree_map(0..3_usize, 1..3_u64, 1..3);
    prop_oneof![
        5 => (wants, 0..2_i32, 1..50_u64).prop_map(|(wants, priority, seconds)| Move::Wait {
            wants: wants.into_iter().collect(), priority, seconds
        }),
        4 => (0..100_usize).prop_map(Move::Release),
        1 => (0..100_usize).prop_map(Move::Abandon),
        1 => (0..3_usize, 0..4_u64).prop_map(|(limit, slots)| Move::Resize(limit, slots)),
        2 => (0..20_000_000_u64).prop_map(Move::Pass),
    ]
}

const NAMES: [&str; 3] = ["a", "b", "r"];

proptest! {
    /// After every step no waiter can run, apart from reservations. No waiter is answered twice, or
    /// after it left. In the end all are granted.
    #[test]
    fn no_wake_up_is_lost_and_no_waiter_starves(events in prop::collection::vec(event(), 1..120)) {
        let mut world = World::with("a", 2);
        world.create("b", 2, 0.0);
        world.create("r", 2, 0.5);
        let mut waiting = BTreeSet::<u64>::new();
        let mut held = Vec::<u64>::new();
        let mut wishes = BTreeMap::new();
        let mut next = 0;
        for event in events {
            let step = match event {
                Move::Wait { wants, priority, seconds } => {
                    next += 1;
                    let wants = wants.iter().map(|(limit, slots)| (NAMES[*limit], *slots));
                    let wants: Vec<_> = wants.collect();
                    let until = world.now + Span::from_seconds(seconds);
                    wishes.insert(next, (wants.clone(), priority));
                    let patience = |p| Patience { until, priority, ..p };
                    let step = wait_with(&mut world, next, &wants, patience);
                    match &step.outcome {
                        Outcome::Acquired(Acquired::Queued(_)) => { waiting.insert(next); }
                        Outcome::Acquired(Acquired::Granted(_)) => held.push(next),
                        _ => {}
                    }
                    step
                }
                Move::Release(index) if !held.is_empty() => {
                    let id = held.swap_remove(index % held.len());
                    release(&mut world, lease(id))
                }
                Move::Abandon(index) if !waiting.is_empty() => {
                    let id = *waiting.iter().nth(index % waiting.len()).unwrap();
                    waiting.remove(&id);
                    step(&mut world, Command::Abandon(WaiterId(id)))
                }
                Move::Resize(limit, slots) => {
                    let patch = LimitPatch { slots: Some(slots), ..LimitPatch::default() };
                    let limit = LimitRef::Name(NAMES[limit].into());
                    step(&mut world, Command::UpdateLimit { limit, patch })
                }
                Move::Pass(micros) => {
                    world.now = world.now + Span::from_micros(micros);
                    step(&mut world, Command::Tick)
                }
                Move::Release(_) | Move::Abandon(_) => continue,
            };
            note(&step, &mut waiting, &mut held)?;
            let at_once = matches!(step.outcome, Outcome::Acquired(Acquired::Granted(_)));
            for id in granted(&step).into_iter().chain(at_once.then_some(next)) {
                let before = waiting.range(..id).find(|before| wishes[*before] == wishes[&id]);
                prop_assert_eq!(before, None, "came before {}, and wants the same", id);
            }
            nobody_waits_who_could_run(&mut world)?;
        }
        // All leases are released, no limit is too small, and time passes: no waiter is left.
        for name in NAMES {
            let patch = LimitPatch { slots: Some(4), ..LimitPatch::default() };
            let limit = LimitRef::Name(name.into());
            let step = step(&mut world, Command::UpdateLimit { limit, patch });
            note(&step, &mut waiting, &mut held)?;
        }
        while let Some(id) = held.pop() {
            let step = release(&mut world, lease(id));
            note(&step, &mut waiting, &mut held)?;
            if let Some(at) = world.ledger.next_wake_up().filter(|_| held.is_empty()) {
                world.now = world.now.max(at);
                let step = self::step(&mut world, Command::Tick);
                note(&step, &mut waiting, &mut held)?;
            }
        }
        prop_assert!(waiting.is_empty(), "left behind: {waiting:?}");
    }
}

fn note(
    step: &Step,
    waiting: &mut BTreeSet<u64>,
    held: &mut Vec<u64>,
) -> Result<(), TestCaseError> {
    for called in &step.answered {
        prop_assert!(waiting.remove(&called.waiter.0), "{called:?} does not wait");
        if matches!(called.outcome, Acquired::Granted(_)) {
            held.push(called.waiter.0);
        }
    }
    Ok(())
}

fn nobody_waits_who_could_run(world: &mut World) -> Result<(), TestCaseError> {
    for name in NAMES {
        let query = Query::Waiters(LimitRef::Name(name.into()), EVERYTHING);
        let Outcome::Waiters(Some(waiters)) = step(world, Command::Read(query)).outcome else {
            return Err(TestCaseError::fail("no such limit"));
        };
        for waiter in waiters {
            prop_assert!(!waiter.blockers.is_empty(), "{waiter:?} could run");
        }
    }
    Ok(())
}
