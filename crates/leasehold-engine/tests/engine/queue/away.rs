//! Clients that poll: they are absent for a moment, and come back to their places.

use super::*;

/// Lets others overtake a waiter for two slots of `db`, until one of them has to wait.
fn overtake_until_reserved(world: &mut World, ids: std::ops::Range<u64>) -> u64 {
    for id in ids.clone() {
        if is_queued(&wait(world, id, &[("db", 1)])) {
            return id - ids.start;
        }
        release(world, lease(id));
    }
    panic!("no slots are ever reserved");
}

#[test]
fn a_waiter_that_comes_back_before_a_reservation_runs_at_once() {
    let mut world = World::with("db", 2);
    world.take(1, "db");
    world.take(2, "db");
    let place = refused(&mut world, 1, &[("db", 1)]);
    wait(&mut world, 2, &[("db", 2)]);
    release(&mut world, LeaseId(2));
    overtake_until_reserved(&mut world, 100..200);
    let back = come_back(&mut world, 1, &[("db", 1)], place);
    assert!(matches!(back.outcome, Outcome::Acquired(Acquired::Granted(_))), "{back:?}");
    assert_eq!(back.answered, [], "and it is answered once");
}

#[test]
fn how_often_a_polling_client_was_overtaken_is_not_forgotten_while_it_is_away() {
    let mut world = World::with("db", 2);
    world.take(1, "db");
    let both = [("db", 2)];
    let place = poll(&mut world, 1, &both);
    for id in 100..130 {
        wait(&mut world, id, &[("db", 1)]);
        release(&mut world, lease(id));
    }
    // It is refused, and comes back in a moment.
    world.now = world.now + Span::from_seconds(30);
    let away = step(&mut world, Command::Tick);
    assert!(matches!(away.answered[0].outcome, Acquired::Refused(_)), "{away:?}");
    world.now = world.now + Span::from_micros(20_000);
    assert!(is_queued(&come_back(&mut world, 2, &both, place)));
    assert_eq!(overtake_until_reserved(&mut world, 200..300), OVERTAKES_MAX - 30);
}

#[test]
fn slots_reserved_for_a_polling_client_stay_reserved_while_it_is_away_for_a_moment() {
    for is_back in [true, false] {
        let mut world = World::with("db", 2);
        world.take(1, "db");
        let place = poll(&mut world, 1, &[("db", 2)]);
        let last = 100 + overtake_until_reserved(&mut world, 100..200);
        step(&mut world, Command::Abandon(WaiterId(last)));
        world.now = world.now + Span::from_seconds(30);
        step(&mut world, Command::Tick);
        // It is absent, and one slot is free.
        assert!(is_queued(&wait(&mut world, 300, &[("db", 1)])));
        if is_back {
            world.now = world.now + Span::from_micros(20_000);
            assert!(is_queued(&come_back(&mut world, 2, &[("db", 2)], place)));
            assert_eq!(granted(&release(&mut world, LeaseId(1))), [2]);
        } else {
            let later = world.ledger.next_wake_up().unwrap();
            assert!(later <= world.now + Span::from_seconds(2));
            world.now = later;
            assert_eq!(granted(&step(&mut world, Command::Tick)), [300]);
        }
    }
}

#[test]
fn nothing_is_reserved_for_a_client_that_came_back_and_was_granted() {
    let mut world = World::with("db", 3);
    world.take(1, "db");
    world.take(2, "db");
    let place = poll(&mut world, 1, &[("db", 2)]);
    let last = 100 + overtake_until_reserved(&mut world, 100..200);
    step(&mut world, Command::Abandon(WaiterId(last)));
    world.now = world.now + Span::from_seconds(30);
    step(&mut world, Command::Tick);
    release(&mut world, LeaseId(1));
    let back = come_back(&mut world, 2, &[("db", 2)], place);
    assert!(matches!(back.outcome, Outcome::Acquired(Acquired::Granted(_))), "{back:?}");
    release(&mut world, LeaseId(2));
    let next = wait(&mut world, 300, &[("db", 1)]);
    assert!(matches!(next.outcome, Outcome::Acquired(Acquired::Granted(_))), "{next:?}");
}
