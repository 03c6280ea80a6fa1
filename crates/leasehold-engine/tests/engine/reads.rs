use leasehold_engine::{
    Command, Gone, Holder, LeaseFilter, LeaseId, Mode, Outcome, Page, Query, Scope,
};

use crate::fixture::{EVERYTHING, World, granted, lease_hold, named, seconds};

fn names(world: &mut World, scope: Scope, page: Page) -> Vec<String> {
    match world.step(Command::Read(Query::Limits(scope, page))) {
        Outcome::Limits(views) => views.iter().map(|view| view.limit.name.to_string()).collect(),
        other => panic!("no page: {other:?}"),
    }
}

#[test]
fn limits_come_in_the_order_of_their_names() {
    let mut world = World::with("b", 1);
    world.limit("tag:x", 1);
    world.limit("a", 1);
    assert_eq!(names(&mut world, Scope::All, EVERYTHING), ["a", "b", "tag:x"]);
    assert_eq!(names(&mut world, Scope::All, Page { offset: 1, limit: 1 }), ["b"]);
}

#[test]
fn d27_c3_tags_are_picked_before_the_page_is_cut() {
    let mut world = World::new();
    for name in ["a", "b", "c", "tag:x", "tag:y", "tagged", "z"] {
        world.limit(name, 1);
    }
    assert_eq!(names(&mut world, Scope::Tags, Page { offset: 0, limit: 2 }), ["tag:x", "tag:y"]);
    assert_eq!(names(&mut world, Scope::Tags, Page { offset: 1, limit: 9 }), ["tag:y"]);
}

#[test]
fn d26_leases_are_listed_with_holder_start_and_deadline() {
    let mut world = World::with("a", 5);
    world.limit("b", 5);
    granted(world.acquire(1, &[("b", 2), ("a", 3)]));
    let Outcome::Lease(Ok(view)) = world.step(Command::Read(Query::Lease(LeaseId(1)))) else {
        panic!("not there");
    };
    assert_eq!(view.names, ["b".into(), "a".into()]);
    assert_eq!(view.lease.holdings[0].slots, 2);
    assert_eq!(view.lease.created, world.now);
    assert_eq!(view.lease.deadline, Some(seconds(1_060.0)));
}

#[test]
fn leases_come_oldest_first_and_in_pages() {
    let mut world = World::with("db", 9);
    for lease in [5, 3, 4] {
        world.take(lease, "db");
    }
    assert_eq!(world.leases("db"), [5, 3, 4]);
    let page = Page { offset: 1, limit: 1 };
    let Outcome::Leases(Some(views)) = world.step(Command::Read(Query::Leases(named("db"), page)))
    else {
        panic!("not there");
    };
    assert_eq!(views[0].lease.id, LeaseId(3));
}

#[test]
fn unknown_limits_and_leases_are_not_found() {
    let mut world = World::new();
    let limit = world.step(Command::Read(Query::Limit(named("x"), Scope::All)));
    assert_eq!(limit, Outcome::Limit(None));
    let leases = world.step(Command::Read(Query::Leases(named("x"), EVERYTHING)));
    assert_eq!(leases, Outcome::Leases(None));
    let lease = world.step(Command::Read(Query::Lease(LeaseId(1))));
    assert_eq!(lease, Outcome::Lease(Err(Gone(None))));
}

#[test]
fn looking_changes_nothing_but_the_time() {
    let mut world = World::draining("api", 5, 0.3);
    granted(world.acquire(1, &[("api", 3)]));
    world.ledger.take_changes();
    world.wait(1.0);
    for query in [
        Query::Limit(named("api"), Scope::All),
        Query::Limits(Scope::All, EVERYTHING),
        Query::Leases(named("api"), EVERYTHING),
        Query::Lease(LeaseId(1)),
    ] {
        world.ledger.step(Command::Read(query), world.now);
        assert!(world.ledger.take_changes().is_empty());
    }
}

#[test]
fn all_leases_are_listed_oldest_first() {
    let mut world = World::with("db", 9);
    let kinds = [None, Some("process"), Some("task_run"), Some("process"), None, Some("pod")];
    for (id, kind) in (1..).zip(kinds) {
        let hold = lease_hold(id, kind.map(|kind| Holder::new(kind, "same")));
        granted(world.ask(Mode::Concurrency, &[("db", 1)], hold));
    }
    let mut find = |filter: LeaseFilter, page| match world
        .step(Command::Read(Query::FindLeases(filter, page)))
    {
        Outcome::Leases(Some(views)) => {
            views.iter().map(|view| view.lease.id.0).collect::<Vec<_>>()
        }
        other => panic!("not found: {other:?}"),
    };
    let all = LeaseFilter::default();
    assert_eq!(find(all.clone(), EVERYTHING), [1, 2, 3, 4, 5, 6]);
    assert_eq!(find(all.clone(), Page { offset: 2, limit: 3 }), [3, 4, 5]);
    let of_kind = LeaseFilter { holder_kind: Some("process".into()), ..all.clone() };
    assert_eq!(find(of_kind, EVERYTHING), [2, 4]);
    let of_id = LeaseFilter { holder_id: Some("same".into()), ..all };
    assert_eq!(find(of_id, EVERYTHING), [2, 3, 4, 6]);
}

#[test]
fn a_name_that_no_limit_has_is_near_to_one_with_another_prefix_or_capitals() {
    let mut world = World::with("ocr", 1);
    for name in ["tag:Database", "same", "tag:same"] {
        world.limit(name, 1);
    }
    let mut near = |asked: &str| match world.step(Command::Read(Query::Near(vec![asked.into()]))) {
        Outcome::Near(pairs) => pairs.first().map(|(_, near)| near.to_string()),
        other => panic!("{other:?}"),
    };
    assert_eq!(near("tag:ocr").as_deref(), Some("ocr"));
    assert_eq!(near("OCR").as_deref(), Some("ocr"));
    assert_eq!(near("Database").as_deref(), Some("tag:Database"));
    assert_eq!(near("database").as_deref(), Some("tag:Database"));
    for exact in ["ocr", "same", "tag:same", "nothing", "tag:", ""] {
        assert_eq!(near(exact), None, "{exact}");
    }
}
