//! Contract C16: an edit sends the number of slots that its dialog showed, perhaps long ago.

use leasehold_engine::{LimitPatch, Updated};

use crate::fixture::{World, granted};

/// What a dialog sends: all fields, with the number that it showed.
fn edit(world: &mut World, name: &str, slots: u64, taken_max: u64) {
    let patch = LimitPatch {
        name: Some(name.into()),
        slots: Some(slots),
        active: Some(true),
        taken_max: Some(taken_max),
        denied_slots: Some(0),
        ..LimitPatch::default()
    };
    assert_eq!(world.patch(name, patch), Updated::Done);
}

#[test]
fn c16_an_edit_of_a_held_limit_leaves_nothing_behind_when_its_lease_is_released() {
    let mut world = World::with("mutex", 1);
    world.take(1, "mutex");
    edit(&mut world, "mutex", 1, 1);
    assert_eq!((world.taken("mutex"), world.unleased("mutex")), (1, 0));
    world.release(1).unwrap();
    world.take(2, "mutex");
}

#[test]
fn c16_an_edit_with_a_number_from_before_a_release_takes_no_slot() {
    let mut world = World::with("db", 4);
    granted(world.acquire(1, &[("db", 3)]));
    let shown = world.taken("db");
    world.release(1).unwrap();
    edit(&mut world, "db", 4, shown);
    assert_eq!(world.taken("db"), 0);
}

#[test]
fn c16_the_same_edit_sent_again_and_again_changes_nothing() {
    let mut world = World::with("db", 9);
    granted(world.acquire(1, &[("db", 2)]));
    granted(world.increment("db", 1));
    for _ in 0..3 {
        let shown = world.taken("db");
        edit(&mut world, "db", 9, shown);
    }
    assert_eq!((world.taken("db"), world.unleased("db")), (3, 1));
}

#[test]
fn c16_an_edit_lowers_slots_without_a_lease_and_leases_stay() {
    let mut world = World::with("db", 9);
    granted(world.acquire(1, &[("db", 2)]));
    granted(world.increment("db", 4));
    edit(&mut world, "db", 9, 3);
    assert_eq!((world.taken("db"), world.unleased("db")), (3, 1));
    edit(&mut world, "db", 4, 0);
    assert_eq!((world.taken("db"), world.unleased("db")), (2, 0));
    assert_eq!(world.leases("db"), [1]);
}

#[test]
fn c16_a_renaming_edit_takes_no_slot() {
    let mut world = World::with("old", 4);
    granted(world.acquire(1, &[("old", 3)]));
    let patch = LimitPatch {
        name: Some("new".into()),
        slots: Some(4),
        taken_max: Some(3),
        ..LimitPatch::default()
    };
    assert_eq!(world.patch("old", patch), Updated::Done);
    assert_eq!(world.taken("new"), 3);
}

#[test]
fn c16_an_edit_brings_no_drained_slot_back() {
    let mut world = World::draining("api", 10, 1.0);
    granted(world.increment("api", 10));
    let shown = world.taken("api");
    world.wait(3.5);
    edit(&mut world, "api", 10, shown);
    assert_eq!(world.taken("api"), 7);
    world.wait(0.5);
    assert_eq!(world.taken("api"), 6, "the fraction was kept");
}

#[test]
fn c16_an_edit_with_the_number_just_read_changes_no_level() {
    let mut world = World::draining("api", 10, 1.0);
    granted(world.increment("api", 10));
    world.wait(3.5);
    for _ in 0..5 {
        let shown = world.taken("api");
        edit(&mut world, "api", 10, shown);
    }
    world.wait(0.5);
    assert_eq!(world.taken("api"), 6);
}

#[test]
fn c16_an_edit_lowers_the_level_of_a_rate_limit() {
    let mut world = World::draining("api", 10, 1.0);
    granted(world.increment("api", 10));
    edit(&mut world, "api", 10, 4);
    assert_eq!(world.taken("api"), 4);
    edit(&mut world, "api", 10, 0);
    assert_eq!(world.taken("api"), 0);
}

#[test]
fn c16_slots_that_an_edit_freed_can_be_taken() {
    let mut world = World::with("db", 1);
    granted(world.increment("db", 1));
    world.refused(1, "db");
    edit(&mut world, "db", 1, 0);
    world.take(1, "db");
}
