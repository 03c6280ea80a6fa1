//! A refusal has its position in the queue.

use leasehold_engine::{
    Acquire, Acquired, Command, Hold, LeaseId, Outcome, Patience, Query, Refusal, Span, Step,
    WaiterId,
};
use proptest::prelude::*;

use crate::fixture::{EVERYTHING, World, named, refused};

fn ask(world: &mut World, waiter: u64, names: &[&str], priority: i32, patience: u64) -> Step {
    let until = world.now + Span::from_seconds(patience);
    let patience = Some(Patience { priority, ..Patience::new(WaiterId(waiter), until) });
    let hold = Hold::for_ttl(LeaseId(1_000 + u128::from(waiter)), Span::from_seconds(60));
    let acquire = Acquire { patience, ..Acquire::new(names.iter().map(|name| (*name, 1)), hold) };
    world.ledger.step(Command::Acquire(acquire), world.now)
}

fn refusal(step: Step) -> Refusal {
    match step.outcome {
        Outcome::Acquired(acquired) => refused(acquired),
        other => panic!("no answer to an acquire: {other:?}"),
    }
}

#[test]
fn a_refusal_without_waiting_has_its_position() {
    let mut world = World::with("db", 1);
    world.take(1, "db");
    assert_eq!(refusal(ask(&mut world, 0, &["db"], 0, 0)).position, 1);
    for waiter in 1..=600 {
        ask(&mut world, waiter, &["db"], 0, 30);
    }
    ask(&mut world, 601, &["db"], 5, 30);
    assert_eq!(refusal(ask(&mut world, 602, &["db"], 0, 0)).position, 602);
    assert_eq!(refusal(ask(&mut world, 603, &["db"], 5, 0)).position, 2);
    assert_eq!(refusal(ask(&mut world, 604, &["db"], 9, 0)).position, 1);
    assert_eq!(refusal(ask(&mut world, 605, &["db"], -1, 0)).position, 602);
    assert_eq!(world.refused(2, "db").position, 602, "without a word about waiting");
}

#[test]
fn of_several_limits_the_longest_line_counts_and_only_where_there_is_no_room() {
    let mut world = World::with("a", 1);
    world.limit("b", 1);
    world.limit("free", 1);
    world.take(1, "a");
    world.take(2, "b");
    for (waiter, name) in [(1, "a"), (2, "b"), (3, "b")] {
        ask(&mut world, waiter, &[name], 0, 30);
    }
    let refusal = refusal(ask(&mut world, 4, &["a", "free", "b"], 0, 0));
    assert_eq!((refusal.position, refusal.blockers.len()), (3, 2));
}

#[test]
fn a_waiter_whose_time_is_over_gets_its_position() {
    let mut world = World::with("db", 1);
    world.take(1, "db");
    for (waiter, patience) in [(1, 50), (2, 50), (3, 10)] {
        ask(&mut world, waiter, &["db"], 0, patience);
    }
    world.wait(10.0);
    let step = world.ledger.step(Command::Tick, world.now);
    let Acquired::Refused(refusal) = &step.answered[0].outcome else { panic!("{step:?}") };
    assert_eq!((step.answered[0].waiter, refusal.position), (WaiterId(3), 3));
}

proptest! {
    #[test]
    fn a_position_is_the_length_of_the_line_before(
        moves in prop::collection::vec((0..3_i32, any::<bool>(), 0..40_u64), 0..700),
    ) {
        let mut world = World::with("db", 1);
        world.take(1, "db");
        let mut waiter = 0;
        for (priority, leaves, which) in moves {
            waiter += 1;
            ask(&mut world, waiter, &["db"], priority, 1_000);
            if leaves {
                let gone = WaiterId(waiter.saturating_sub(which));
                world.ledger.step(Command::Abandon(gone), world.now);
            }
        }
        let line = Command::Read(Query::Waiters(named("db"), EVERYTHING));
        let Outcome::Waiters(Some(line)) = world.ledger.step(line, world.now).outcome else {
            panic!("no line");
        };
        for priority in -1..4 {
            let before = line.iter().filter(|waiter| waiter.priority >= priority).count();
            let refusal = refusal(ask(&mut world, waiter + 1, &["db"], priority, 0));
            prop_assert_eq!(refusal.position, before as u64 + 1);
        }
    }
}
