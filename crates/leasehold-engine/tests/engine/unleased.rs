use leasehold_engine::{
    Acquired, Command, CreateLimit, GiveBack, Hold, Level, LimitId, Mode, Outcome, Page, Query,
    Scope, Span, TakenBy,
};

use crate::fixture::{World, granted, named, refused, seconds};

#[test]
fn slots_without_a_lease_count_together_with_leases() {
    let mut world = World::with("db", 3);
    let grant = granted(world.increment("db", 2));
    assert_eq!(grant.lease, None);
    world.take(1, "db");
    refused(world.increment("db", 1));
    world.refused(2, "db");
    assert_eq!((world.taken("db"), world.unleased("db")), (3, 2));
}

#[test]
fn slots_without_a_lease_are_held_until_they_are_returned() {
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
fn the_occupancy_of_a_return_moves_the_average() {
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

/// The slots of a limit without a lease, with what took them and since when.
fn parts(world: &mut World, name: &str) -> Vec<(TakenBy, f64, u64)> {
    let unleased = world.view(name).unleased;
    let start = seconds(1_000.0);
    let parts = unleased.parts().iter();
    parts
        .map(|part| {
            let since = part.since.unwrap().since(start).as_seconds_f64();
            (part.taken_by, since, part.level.slots_taken())
        })
        .collect()
}

fn made_with(world: &mut World, unleased: u64) {
    let limit = CreateLimit::new(LimitId(7), "db", 9);
    world.step(Command::CreateLimit(CreateLimit { unleased, ..limit }));
}

#[test]
fn slots_without_a_lease_say_what_took_them_and_since_when() {
    let mut world = World::new();
    made_with(&mut world, 2);
    world.wait(1.0);
    granted(world.increment("db", 1));
    world.wait(1.0);
    granted(world.increment("db", 1));
    world.reset("db", 7);
    let expected =
        [(TakenBy::Created, 0.0, 2), (TakenBy::Incremented, 1.0, 2), (TakenBy::Reset, 2.0, 3)];
    assert_eq!(parts(&mut world, "db"), expected);
    world.restart(5.0);
    assert_eq!(parts(&mut world, "db"), expected, "a restart forgets nothing");
}

#[test]
fn slots_that_clients_took_are_returned_first() {
    let mut world = World::new();
    made_with(&mut world, 2);
    granted(world.increment("db", 2));
    world.decrement(&["db"], 1);
    assert_eq!(
        parts(&mut world, "db"),
        [(TakenBy::Created, 0.0, 2), (TakenBy::Incremented, 0.0, 1)]
    );
    world.decrement(&["db"], 2);
    assert_eq!(parts(&mut world, "db"), [(TakenBy::Created, 0.0, 1)]);
    world.wait(3.0);
    granted(world.increment("db", 1));
    assert_eq!(
        parts(&mut world, "db"),
        [(TakenBy::Created, 0.0, 1), (TakenBy::Incremented, 3.0, 1)],
        "there were none of this origin in between"
    );
}

#[test]
fn a_reset_and_an_edit_free_the_oldest_slots_first() {
    let mut world = World::new();
    made_with(&mut world, 2);
    granted(world.increment("db", 2));
    world.reset("db", 3);
    assert_eq!(
        parts(&mut world, "db"),
        [(TakenBy::Created, 0.0, 1), (TakenBy::Incremented, 0.0, 2)]
    );
    world.reset("db", 0);
    assert_eq!(parts(&mut world, "db"), []);
}

#[test]
fn spent_slots_drain_and_are_free_when_the_rate_ends() {
    let mut world = World::draining("api", 9, 1.0);
    granted(world.ask(Mode::RateLimit, &[("api", 4)], Hold::Unleased));
    granted(world.increment("api", 2));
    world.wait(1.5);
    assert_eq!(
        parts(&mut world, "api"),
        [(TakenBy::Spent, 0.0, 3), (TakenBy::Incremented, 0.0, 2)]
    );
    world.decay("api", 0.0);
    assert_eq!(parts(&mut world, "api"), [(TakenBy::Incremented, 0.0, 2)]);
    world.decrement(&["api"], 2);
    assert_eq!(world.taken("api"), 0);
}

#[test]
fn a_rate_limit_that_has_drained_has_no_slots_without_a_lease() {
    let mut world = World::draining("api", 9, 1.0);
    granted(world.ask(Mode::RateLimit, &[("api", 4)], Hold::Unleased));
    world.wait(4.0);
    assert_eq!(parts(&mut world, "api"), []);
}

#[test]
fn the_leases_on_a_limit_are_listed_before_its_slots_without_a_lease() {
    let mut world = World::new();
    made_with(&mut world, 2);
    world.take(1, "db");
    world.take(2, "db");
    granted(world.increment("db", 1));
    let mut listed = |offset, limit| {
        let query = Query::Held(named("db"), Page { offset, limit });
        let Outcome::Held(Some(held)) = world.step(Command::Read(query)) else {
            panic!("no such limit");
        };
        let leases: Vec<_> = held.leases.iter().map(|view| view.lease.id.0).collect();
        let slots: Vec<_> = held.unleased.iter().map(|part| part.level.slots_taken()).collect();
        (leases, slots)
    };
    assert_eq!(listed(0, 10), (vec![1, 2], vec![2, 1]));
    assert_eq!(listed(1, 2), (vec![2], vec![2]));
    assert_eq!(listed(3, 2), (vec![], vec![1]));
    assert_eq!(listed(0, 2), (vec![1, 2], vec![]));
    assert_eq!(listed(4, 2), (vec![], vec![]));
    let nowhere = Query::Held(named("nowhere"), Page { offset: 0, limit: 1 });
    assert_eq!(world.step(Command::Read(nowhere)), Outcome::Held(None));
}

#[test]
fn a_refusal_names_the_slots_that_no_lease_holds() {
    let mut world = World::with("db", 1);
    granted(world.increment("db", 1));
    let refusal = world.refused(1, "db");
    let part = refusal.blockers[0].unleased.parts()[0];
    assert_eq!((part.taken_by, part.level), (TakenBy::Incremented, Level::from_slots(1)));
    assert_eq!(part.since, Some(world.now));
}

#[test]
fn a_tag_that_was_reset_has_no_slots_without_a_lease() {
    let mut world = World::with("tag:x", 2);
    granted(world.increment("tag:x", 2));
    world.reset_tag("tag:x", &[(1, "run")]);
    assert_eq!(parts(&mut world, "tag:x"), []);
    let tags = Query::Limit(named("tag:x"), Scope::Tags);
    let Outcome::Limit(Some(view)) = world.step(Command::Read(tags)) else {
        panic!("no such tag");
    };
    assert_eq!((view.taken, view.holders.len()), (1, 1));
}
