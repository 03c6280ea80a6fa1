use leasehold_engine::{
    Acquired, Command, Created, Deleted, EndReason, Ending, Gone, LeaseId, LimitId, LimitRef,
    Outcome, Query, Renewed, Scope, Updated,
};

use crate::fixture::{World, granted, refused, task_run};

fn put(world: &mut World, id: u128, name: &str, slots: u64) -> Created {
    match world.step(Command::PutTagLimit { id: LimitId(id), name: name.into(), slots }) {
        Outcome::Created(created) => created,
        other => panic!("no answer: {other:?}"),
    }
}

fn holders(world: &mut World, name: &str) -> Vec<String> {
    let limit = LimitRef::Name(name.into());
    match world.step(Command::Read(Query::Limit(limit, Scope::Tags))) {
        Outcome::Limit(Some(view)) => {
            view.holders.iter().map(|holder| holder.id.to_string()).collect()
        }
        other => panic!("{name} is not there: {other:?}"),
    }
}

/// Two tags of two slots each.
fn two_tags() -> World {
    let mut world = World::with("tag:a", 2);
    world.limit("tag:b", 2);
    world
}

#[test]
fn a_tag_limit_is_made_once_and_changed_after_that() {
    let mut world = World::new();
    assert!(matches!(put(&mut world, 1, "tag:a", 2), Created::Made(_)));
    granted(world.tag(1, "run", &["tag:a"]));
    let Created::Changed(view) = put(&mut world, 2, "tag:a", 5) else {
        panic!("made twice");
    };
    assert_eq!((view.limit.id, view.limit.slots, view.taken), (LimitId(1), 5, 1));
    assert_eq!(view.holders, [task_run("run")]);
}

#[test]
fn d15_c5_a_holder_that_takes_a_tag_twice_holds_one_slot() {
    let mut world = two_tags();
    granted(world.tag(1, "run", &["tag:a"]));
    granted(world.tag(2, "run", &["tag:a"]));
    assert_eq!(world.taken("tag:a"), 1);
    assert_eq!(holders(&mut world, "tag:a"), ["run"]);
}

#[test]
fn c5_the_second_time_is_granted_even_when_the_tag_is_full() {
    let mut world = World::with("tag:a", 1);
    granted(world.tag(1, "run", &["tag:a"]));
    granted(world.tag(2, "run", &["tag:a"]));
    refused(world.tag(3, "other", &["tag:a"]));
}

#[test]
fn c5_the_second_time_is_granted_even_when_the_limit_was_lowered_to_zero() {
    let mut world = World::with("tag:a", 1);
    granted(world.tag(1, "run", &["tag:a"]));
    world.resize("tag:a", 0);
    granted(world.tag(2, "run", &["tag:a"]));
    assert!(matches!(world.tag(3, "other", &["tag:a"]), Acquired::TooManySlots(_)));
}

#[test]
fn a_holder_that_takes_one_more_tag_holds_both() {
    let mut world = two_tags();
    granted(world.tag(1, "run", &["tag:a"]));
    granted(world.tag(2, "run", &["tag:a", "tag:b"]));
    assert_eq!((world.taken("tag:a"), world.taken("tag:b")), (1, 1));
    assert_eq!(world.untag("run", &["tag:a", "tag:b"]), ["tag:a", "tag:b"]);
    assert_eq!(world.ledger.lease_count(), 0);
}

#[test]
fn d14_c6_only_the_tags_named_are_released() {
    let mut world = two_tags();
    granted(world.tag(1, "run", &["tag:a", "tag:b"]));
    assert_eq!(world.untag("run", &["tag:a"]), ["tag:a"]);
    assert_eq!((world.taken("tag:a"), world.taken("tag:b")), (0, 1));
    assert_eq!(holders(&mut world, "tag:b"), ["run"]);
    assert_eq!(world.untag("run", &["tag:b"]), ["tag:b"]);
    assert_eq!(world.ledger.lease_count(), 0);
}

#[test]
fn releasing_a_tag_again_frees_no_other_holders_slot() {
    let mut world = two_tags();
    granted(world.tag(1, "run", &["tag:a"]));
    granted(world.tag(2, "other", &["tag:a"]));
    for _ in 0..3 {
        assert_eq!(world.untag("run", &["tag:a", "tag:nowhere", "tag:a"]), ["tag:a"]);
    }
    assert_eq!(holders(&mut world, "tag:a"), ["other"]);
}

#[test]
fn a_released_tag_moves_the_average_occupancy() {
    let mut world = World::with("tag:a", 1);
    granted(world.tag(1, "run", &["tag:a"]));
    world.wait(4.0);
    world.untag("run", &["tag:a"]);
    assert_eq!(world.view("tag:a").limit.occupancy_seconds_average, 3.0);
}

#[test]
fn d02_c2_a_reset_frees_the_slots_and_the_holders() {
    let mut world = two_tags();
    granted(world.tag(1, "run", &["tag:a"]));
    granted(world.increment("tag:a", 1));
    assert_eq!(world.reset_tag("tag:a", &[]), Updated::Done);
    assert_eq!((world.taken("tag:a"), world.ledger.lease_count()), (0, 0));
    assert!(holders(&mut world, "tag:a").is_empty());
}

#[test]
fn c2_the_holders_of_an_override_are_the_only_holders_even_beyond_the_limit() {
    let mut world = World::with("tag:a", 1);
    granted(world.tag(1, "run", &["tag:a"]));
    world.reset_tag("tag:a", &[(2, "x"), (3, "y"), (4, "x")]);
    assert_eq!(holders(&mut world, "tag:a"), ["x", "y"]);
    assert_eq!(world.taken("tag:a"), 2);
    refused(world.tag(5, "run", &["tag:a"]));
    world.untag("x", &["tag:a"]);
    refused(world.tag(5, "run", &["tag:a"]));
    world.untag("y", &["tag:a"]);
    granted(world.tag(5, "run", &["tag:a"]));
}

#[test]
fn c7_a_lease_over_two_tags_loses_the_reset_one_alone() {
    let mut world = two_tags();
    granted(world.tag(1, "run", &["tag:a", "tag:b"]));
    world.reset_tag("tag:a", &[]);
    assert_eq!((world.taken("tag:a"), world.taken("tag:b")), (0, 1));
    assert_eq!(world.leases("tag:b"), [1]);
}

#[test]
fn d03_c7_a_lease_over_two_tags_loses_the_deleted_one_alone() {
    let mut world = two_tags();
    granted(world.acquire(1, &[("tag:a", 1), ("tag:b", 1)]));
    assert_eq!(world.delete("tag:a", Scope::Tags), Deleted::Done);
    assert_eq!(world.taken("tag:b"), 1);
    assert!(matches!(world.renew(1), Renewed::Renewed(Some(_))));
    world.release(1).unwrap();
    assert_eq!(world.taken("tag:b"), 0);
}

#[test]
fn a_lease_on_a_deleted_tag_alone_is_revoked() {
    let mut world = World::with("tag:a", 1);
    world.take(1, "tag:a");
    world.delete("tag:a", Scope::Tags);
    let Renewed::Gone(Gone(Some(Ending { how, .. }))) = world.renew(1) else {
        panic!("renewed");
    };
    // Without a reason: the contract has its own sentence for this.
    assert_eq!(how, EndReason::Revoked { reason: None, by: None });
}

#[test]
fn c8_a_limit_that_is_no_tags_is_not_deleted_as_one() {
    let mut world = World::with("db", 1);
    let id = world.view("db").limit.id;
    let delete = Command::DeleteLimit { limit: LimitRef::Id(id), scope: Scope::Tags };
    assert_eq!(world.step(delete), Outcome::Deleted(Deleted::NotFound));
    assert_eq!(world.reset_tag("db", &[]), Updated::NotFound);
    assert!(world.untag("run", &["db"]).is_empty());
    assert_eq!(world.taken("db"), 0);
}

#[test]
fn a_holder_named_in_an_override_with_a_lease_on_another_tag_keeps_it() {
    let mut world = two_tags();
    granted(world.tag(1, "run", &["tag:a", "tag:b"]));
    world.reset_tag("tag:a", &[(2, "run")]);
    assert_eq!((world.leases("tag:a"), world.leases("tag:b")), (vec![2], vec![1]));
    world.untag("run", &["tag:a", "tag:b"]);
    assert_eq!(world.ledger.lease_count(), 0);
}

#[test]
fn a_reset_skips_an_id_of_a_live_lease() {
    let mut world = two_tags();
    granted(world.tag(1, "run", &["tag:b"]));
    world.reset_tag("tag:a", &[(1, "other"), (2, "x")]);
    assert_eq!((world.leases("tag:a"), world.leases("tag:b")), (vec![2], vec![1]));
    assert_eq!(world.release(1).unwrap().id, LeaseId(1));
    assert_eq!((world.taken("tag:a"), world.taken("tag:b")), (1, 0));
}

#[test]
fn a_grant_that_did_not_arrive_is_taken_back_unless_its_holder_asked_again() {
    for asks_again in [true, false] {
        let mut world = World::with("tag:db", 2);
        assert!(matches!(world.tag(1, "run", &["tag:db"]), Acquired::Granted(_)));
        if asks_again {
            assert!(matches!(world.tag(2, "run", &["tag:db"]), Acquired::Granted(_)));
        }
        assert_eq!(world.taken("tag:db"), 1);
        for is_there in [!asks_again, false] {
            let outcome = world.step(Command::TakeBack { lease: LeaseId(1) });
            let Outcome::TakenBack(lease) = outcome else { panic!("{outcome:?}") };
            assert_eq!(lease.is_some(), is_there);
            assert_eq!(world.taken("tag:db"), u64::from(asks_again));
        }
    }
}
