use leasehold_engine::{
    Command, CreateLimit, Created, Deleted, EndReason, Ending, Gone, LimitId, LimitPatch, LimitRef,
    Outcome, Rate, Renewed, Scope, Updated,
};

use crate::fixture::{World, granted, named};

#[test]
fn a_limit_is_made_as_it_was_asked_for() {
    let mut world = World::new();
    let made = world.step(Command::CreateLimit(CreateLimit {
        id: LimitId(9),
        name: "db".into(),
        slots: 5,
        active: false,
        decay: Rate::from_slots_per_second(0.5),
        unleased: 7,
        denied_slots: 3,
    }));
    let Outcome::Created(Created::Made(view)) = made else {
        panic!("not made: {made:?}");
    };
    assert_eq!((view.limit.id, &*view.limit.name, view.limit.slots), (LimitId(9), "db", 5));
    assert_eq!((view.limit.active, view.limit.denied_slots, view.taken), (false, 3, 7));
    assert_eq!((view.limit.created, view.limit.updated), (world.now, world.now));
    assert_eq!(view.limit.occupancy_seconds_average, 2.0);
}

#[test]
fn a_name_is_given_once() {
    let mut world = World::with("db", 1);
    assert_eq!(world.create("db", 5, 0.0), Outcome::Created(Created::NameTaken));
    assert_eq!(world.view("db").limit.slots, 1);
}

#[test]
fn an_id_is_given_once() {
    let mut world = World::with("db", 1);
    let id = world.view("db").limit.id;
    let again = world.step(Command::CreateLimit(CreateLimit::new(id, "other", 5)));
    assert_eq!(again, Outcome::Created(Created::NameTaken));
    assert_eq!(world.ledger.limit_count(), 1);
}

#[test]
fn a_patch_changes_only_the_fields_that_it_names() {
    let mut world = World::with("db", 5);
    granted(world.acquire(1, &[("db", 2)]));
    let before = world.view("db").limit;
    let patch = LimitPatch { slots: Some(9), denied_slots: Some(4), ..LimitPatch::default() };
    assert_eq!(world.patch("db", patch), Updated::Done);
    let after = world.view("db");
    assert_eq!(after.taken, 2);
    assert_eq!(after.limit, leasehold_engine::Limit { slots: 9, denied_slots: 4, ..before });
}

#[test]
fn a_limit_that_is_not_there_cannot_be_changed_reset_or_deleted() {
    let mut world = World::with("db", 5);
    assert_eq!(world.patch("nowhere", LimitPatch::default()), Updated::NotFound);
    assert_eq!(world.reset("nowhere", 0), Updated::NotFound);
    assert_eq!(world.reset_tag("tag:nowhere", &[]), Updated::NotFound);
    assert_eq!(world.delete("nowhere", Scope::All), Deleted::NotFound);
}

#[test]
fn a_renamed_limit_keeps_its_leases() {
    let mut world = World::with("old", 1);
    world.take(1, "old");
    let patch = LimitPatch { name: Some("new".into()), ..LimitPatch::default() };
    assert_eq!(world.patch("old", patch), Updated::Done);
    world.refused(2, "new");
    assert_eq!(granted(world.acquire(2, &[("old", 1)])).lease, None);
    world.release(1).unwrap();
    assert_eq!(world.taken("new"), 0);
    world.limit("old", 1);
}

#[test]
fn a_limit_renamed_to_a_name_that_is_taken_is_left_as_it_was() {
    let mut world = World::with("a", 1);
    world.limit("b", 2);
    let patch = LimitPatch { name: Some("b".into()), slots: Some(7), ..LimitPatch::default() };
    assert_eq!(world.patch("a", patch), Updated::NameTaken);
    assert_eq!((world.view("a").limit.slots, world.view("b").limit.slots), (1, 2));
}

#[test]
fn d04_c9_a_limit_disabled_while_held_gets_its_slots_back() {
    let mut world = World::with("db", 1);
    world.take(1, "db");
    world.activate("db", false);
    world.release(1).unwrap();
    world.activate("db", true);
    assert_eq!(world.taken("db"), 0);
    world.take(2, "db");
}

#[test]
fn a_lease_expires_on_a_limit_that_was_disabled_meanwhile() {
    let mut world = World::with("db", 1);
    world.take(1, "db");
    world.activate("db", false);
    world.wait(60.0);
    world.activate("db", true);
    assert_eq!(world.taken("db"), 0);
}

#[test]
fn d13_a_lease_made_while_a_limit_was_inactive_frees_nothing_on_it() {
    let mut world = World::with("db", 1);
    world.limit("other", 1);
    world.activate("db", false);
    granted(world.acquire(1, &[("db", 1), ("other", 1)]));
    world.activate("db", true);
    world.take(2, "db");
    world.release(1).unwrap();
    assert_eq!((world.taken("db"), world.taken("other")), (1, 0));
    world.refused(3, "db");
}

#[test]
fn c16_a_reset_revokes_the_oldest_first_until_few_enough_are_held() {
    let mut world = World::with("db", 9);
    for lease in 1..=4 {
        granted(world.acquire(lease, &[("db", 2)]));
    }
    assert_eq!(world.reset("db", 4), Updated::Done);
    assert_eq!(world.leases("db"), [3, 4]);
    assert_eq!((world.taken("db"), world.unleased("db")), (4, 0));
    let Renewed::Gone(Gone(Some(Ending { how, .. }))) = world.renew(1) else {
        panic!("renewed");
    };
    assert_eq!(how, EndReason::Revoked { reason: Some("reset".into()), by: None });
}

#[test]
fn a_reset_fills_up_with_slots_without_a_lease() {
    let mut world = World::with("db", 9);
    granted(world.acquire(1, &[("db", 4)]));
    granted(world.acquire(2, &[("db", 3)]));
    assert_eq!(world.reset("db", 5), Updated::Done);
    assert_eq!((world.leases("db"), world.unleased("db")), (vec![2], 2));
    assert_eq!(world.reset("db", 20), Updated::Done);
    assert_eq!((world.leases("db"), world.unleased("db")), (vec![2], 17));
    assert_eq!(world.reset("db", 0), Updated::Done);
    assert_eq!((world.leases("db"), world.taken("db")), (vec![], 0));
}

#[test]
fn a_lease_revoked_by_a_reset_frees_its_other_limits_too() {
    let mut world = World::with("a", 1);
    world.limit("b", 1);
    granted(world.acquire(1, &[("a", 1), ("b", 1)]));
    world.reset("a", 0);
    assert_eq!(world.taken("b"), 0);
    world.take(2, "b");
}

#[test]
fn a_reset_revokes_no_lease_that_has_drained_to_nothing() {
    let mut world = World::draining("api", 10, 1.0);
    granted(world.acquire(1, &[("api", 3)]));
    granted(world.acquire(2, &[("api", 3)]));
    world.wait(4.0); // lease 1 has drained; 2 slots of lease 2 are left
    assert_eq!(world.reset("api", 0), Updated::Done);
    assert_eq!(world.leases("api"), [1]);
    assert_eq!(world.taken("api"), 0);
}

#[test]
fn a_lease_loses_a_deleted_limit_and_keeps_its_others() {
    let mut world = World::with("a", 1);
    world.limit("b", 1);
    granted(world.acquire(1, &[("a", 1), ("b", 1)]));
    assert_eq!(world.delete("a", Scope::All), Deleted::Done);
    world.limit("a", 1);
    world.take(2, "a");
    assert_eq!(world.leases("b"), [1]);
    world.release(1).unwrap();
    assert_eq!((world.taken("a"), world.taken("b")), (1, 0));
}

#[test]
fn a_lease_whose_only_limit_was_deleted_is_renewed_until_its_release() {
    let mut world = World::with("a", 1);
    world.take(1, "a");
    world.delete("a", Scope::All);
    world.wait(45.0);
    assert!(matches!(world.renew(1), Renewed::Renewed(Some(_))));
    assert!(world.release(1).unwrap().holdings.is_empty());
    assert_eq!(world.ledger.lease_count(), 0);
}

#[test]
fn a_lease_without_a_deadline_is_not_left_behind_empty() {
    let mut world = World::with("tag:a", 1);
    granted(world.tag(1, "run", &["tag:a"]));
    world.delete("tag:a", Scope::All);
    assert_eq!(world.ledger.lease_count(), 0);
}

#[test]
fn a_deleted_and_remade_limit_starts_empty() {
    let mut world = World::with("a", 1);
    granted(world.increment("a", 1));
    world.delete("a", Scope::All);
    world.limit("a", 1);
    assert_eq!(world.taken("a"), 0);
}

#[test]
fn a_limit_is_found_by_its_id_too() {
    let mut world = World::with("a", 1);
    let limit = LimitRef::Id(world.view("a").limit.id);
    let patch = LimitPatch { slots: Some(2), ..LimitPatch::default() };
    let done = world.step(Command::UpdateLimit { limit: limit.clone(), patch });
    assert_eq!(done, Outcome::Updated(Updated::Done));
    let deleted = world.step(Command::DeleteLimit { limit, scope: Scope::All });
    assert_eq!(deleted, Outcome::Deleted(Deleted::Done));
    let delete = Command::DeleteLimit { limit: named("a"), scope: Scope::All };
    assert_eq!(world.step(delete), Outcome::Deleted(Deleted::NotFound));
}
