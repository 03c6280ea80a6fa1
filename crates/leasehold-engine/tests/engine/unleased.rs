use leasehold_engine::{Acquired, Command, GiveBack, Span};

use crate::fixture::{World, granted, refused};

#[test]
fn slots_without_a_lease_count_beside_leases() {
    let mut world = World::with("db", 3);
    let grant = granted(world.increment("db", 2));
    assert_eq!(grant.lease, None);
    world.take(1, "db");
    refused(world.increment("db", 1));
    world.refused(2, "db");
    assert_eq!((world.taken("db"), world.unleased("db")), (3, 2));
}

#[test]
fn slots_without_a_lease_are_held_until_somebody_gives_them_back() {
    let mut world = World::with("db", 1);
    granted(world.increment("db", 1));
    world.wait(1e9);
    world.refused(1, "db");
    assert_eq!(world.decrement(&["db"], 1), ["db"]);
    world.take(1, "db");
}

#[test]
fn giving_back_never_takes_a_slot_from_a_lease() {
    let mut world = World::with("db", 3);
    world.take(1, "db");
    granted(world.increment("db", 1));
    world.decrement(&["db"], 2);
    assert_eq!((world.taken("db"), world.unleased("db")), (1, 0));
}

#[test]
fn giving_back_names_each_limit_once_and_skips_unknown_names() {
    let mut world = World::with("a", 3);
    world.limit("b", 3);
    granted(world.increment("a", 3));
    assert_eq!(world.decrement(&["b", "a", "nowhere", "a"], 1), ["b", "a"]);
    assert_eq!(world.taken("a"), 2);
}

#[test]
fn c15_giving_back_on_a_limit_of_zero_is_fine() {
    let mut world = World::with("db", 0);
    let back =
        GiveBack { names: ["db".into()].into(), slots: 1, occupancy: Some(Span::from_seconds(1)) };
    world.step(Command::GiveBack(back));
    assert_eq!(world.view("db").limit.occupancy_seconds_average, 2.0);
}

#[test]
fn an_occupancy_that_was_said_moves_the_average() {
    let mut world = World::with("db", 1);
    let back = |occupancy| GiveBack {
        names: ["db".into()].into(),
        slots: 1,
        occupancy: Some(Span::from_seconds_f64(occupancy)),
    };
    world.step(Command::GiveBack(back(4.0)));
    assert_eq!(world.view("db").limit.occupancy_seconds_average, 3.0);
    // No sample counts as less than a tenth of a second.
    world.step(Command::GiveBack(back(0.000_001)));
    assert_eq!(world.view("db").limit.occupancy_seconds_average, 1.55);
}

#[test]
fn slots_of_an_inactive_limit_are_given_back() {
    let mut world = World::with("db", 1);
    granted(world.increment("db", 1));
    world.activate("db", false);
    world.decrement(&["db"], 1);
    assert_eq!(world.taken("db"), 0);
}

#[test]
fn more_slots_than_there_are_cannot_be_taken_without_a_lease_either() {
    let mut world = World::with("db", 1);
    assert!(matches!(world.increment("db", 2), Acquired::TooManySlots(_)));
}
