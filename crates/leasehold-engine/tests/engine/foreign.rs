//! Limits that move between this server and another one.

use leasehold_engine::{
    Acquire, Acquired, Adopt, Answered, Command, CreateLimit, Created, Departure, EventKind, Hold,
    Holder, LeaseId, Level, LimitId, LimitPatch, Missing, Mode, Outcome, Page, Patience, Query,
    Rate, Scope, Span, Step, Updated, Wait, WaiterId,
};

use crate::fixture::{EVERYTHING, World, granted, lease_hold, named, refused};

const DB: LimitId = LimitId(101);
const SPAN: Span = Span::from_seconds(1_000);

fn adoption(id: u128, name: &str, slots: u64, foreign: u64) -> Adopt {
    let limit = CreateLimit::new(LimitId(id), name, slots);
    Adopt { limit, foreign, occupancy_seconds_average: 7.0, level: Level::ZERO }
}

fn adopt(world: &mut World, adopt: Adopt) -> Created {
    match world.step(Command::Adopt(adopt)) {
        Outcome::Created(created) => created,
        other => panic!("no answer to an adoption: {other:?}"),
    }
}

/// A world with one limit that came over from another server.
fn adopted(slots: u64, foreign: u64) -> World {
    let mut world = World::new();
    let created = adopt(&mut world, adoption(101, "db", slots, foreign));
    assert!(matches!(created, Created::Made(_)), "{created:?}");
    world
}

fn set_foreign(world: &mut World, slots: u64) -> Step {
    step(world, Command::SetForeign { limit: DB, slots })
}

fn set_returning(world: &mut World, returning: bool) -> Step {
    step(world, Command::SetReturning { limit: DB, returning })
}

fn step(world: &mut World, command: Command) -> Step {
    let step = world.ledger.step(command, world.now);
    world.step(Command::Tick);
    step
}

fn wait(world: &mut World, lease: u128, wants: &[(&str, u64)]) {
    let patience = Patience::new(WaiterId(lease as u64), world.now + SPAN);
    let hold = lease_hold(lease, None);
    let acquire = Acquire::new(wants.iter().copied(), hold);
    let acquire = Acquire { patience: Some(patience), ..acquire };
    let outcome = world.step(Command::Acquire(acquire));
    assert!(matches!(outcome, Outcome::Acquired(Acquired::Queued(_))), "{outcome:?}");
}

fn waiters(answered: &[Answered]) -> Vec<u64> {
    answered.iter().map(|answered| answered.waiter.0).collect()
}

fn pair(world: &mut World, lease: u128, partners: &[u128]) -> bool {
    let partners = partners.iter().copied().map(LeaseId).collect();
    match world.step(Command::Pair { lease: LeaseId(lease), partners }) {
        Outcome::Paired(lives) => lives,
        other => panic!("no answer to a pairing: {other:?}"),
    }
}

fn elsewhere(acquired: Acquired) -> Vec<String> {
    match acquired {
        Acquired::Elsewhere(names) => names.iter().map(ToString::to_string).collect(),
        other => panic!("not elsewhere: {other:?}"),
    }
}

#[test]
fn foreign_slots_count_together_with_leases_and_slots_without_a_lease() {
    let mut world = adopted(4, 2);
    world.take(1, "db");
    granted(world.increment("db", 1));
    let refusal = world.refused(2, "db");
    assert_eq!(refusal.blockers[0].foreign, 2);
    assert_eq!(refusal.blockers[0].unleased.slots_taken(), 1);
    let view = world.view("db");
    assert_eq!((view.taken, view.limit.foreign, view.unleased.slots_taken()), (4, 2, 1));
}

#[test]
fn an_adopted_limit_has_the_id_and_the_values_of_the_other_server() {
    let mut world = World::new();
    let limit = CreateLimit::new(LimitId(77), "tag:x", 5);
    let limit = CreateLimit { active: false, denied_slots: 3, ..limit };
    let adoption = Adopt { limit, ..adoption(0, "", 0, 2) };
    let Created::Made(view) = adopt(&mut world, adoption) else { panic!("not made") };
    assert_eq!((view.limit.id, view.limit.slots, view.limit.active), (LimitId(77), 5, false));
    assert_eq!((view.limit.denied_slots, view.limit.occupancy_seconds_average), (3, 7.0));
    assert_eq!(view.taken, 2);
}

#[test]
fn adopting_again_updates_the_values_and_keeps_what_is_held_here() {
    let mut world = adopted(4, 2);
    world.take(1, "db");
    granted(world.increment("db", 1));
    let again = Adopt { occupancy_seconds_average: 3.0, ..adoption(101, "renamed", 9, 1) };
    let Created::Changed(view) = adopt(&mut world, again.clone()) else { panic!("not changed") };
    assert_eq!((&*view.limit.name, view.limit.slots, view.limit.foreign), ("renamed", 9, 1));
    assert_eq!((view.taken, view.limit.occupancy_seconds_average), (3, 3.0));
    world.ledger.take_changes();
    let step = world.ledger.step(Command::Adopt(again), world.now);
    assert!(step.events.is_empty(), "the same values again: {:?}", step.events);
}

#[test]
fn a_limit_whose_name_another_limit_has_is_not_adopted() {
    let mut world = World::with("db", 3);
    assert_eq!(adopt(&mut world, adoption(9, "db", 1, 1)), Created::NameTaken);
    adopt(&mut world, adoption(9, "api", 1, 1));
    assert_eq!(adopt(&mut world, adoption(9, "db", 1, 0)), Created::NameTaken);
    assert_eq!((world.taken("db"), world.taken("api")), (0, 1));
}

#[test]
fn a_rate_limit_brings_its_level_and_never_loses_any_by_being_adopted_again() {
    let mut world = World::new();
    let limit = CreateLimit::new(LimitId(1), "api", 9);
    let limit = CreateLimit { decay: Rate::from_slots_per_second(1.0), ..limit };
    let level = Level::from_slots(5) + Level::from_units(1);
    let adoption = Adopt { limit, level, ..adoption(0, "", 0, 0) };
    adopt(&mut world, adoption.clone());
    assert_eq!(world.taken("api"), 6);
    granted(world.ask(Mode::RateLimit, &[("api", 3)], Hold::Unleased));
    adopt(&mut world, adoption.clone());
    assert_eq!(world.taken("api"), 9, "what was granted here stays");
    world.wait(4.5);
    assert_eq!(world.taken("api"), 4);
    adopt(&mut world, adoption);
    assert_eq!(world.taken("api"), 6, "the other server granted more meanwhile");
    world.wait(6.0);
    assert_eq!(world.taken("api"), 0);
}

#[test]
fn foreign_slots_do_not_drain() {
    let mut world = adopted(4, 3);
    world.decay("db", 1.0);
    granted(world.ask(Mode::RateLimit, &[("db", 1)], Hold::Unleased));
    let two = refused(world.ask(Mode::RateLimit, &[("db", 2)], Hold::Unleased));
    assert!(matches!(two.blockers[0].wait, Wait::Release { .. }), "{two:?}");
    let one = refused(world.ask(Mode::RateLimit, &[("db", 1)], Hold::Unleased));
    assert_eq!(one.blockers[0].wait, Wait::Drain(Span::from_seconds(1)));
    world.wait(1_000.0);
    assert_eq!(world.taken("db"), 3);
}

#[test]
fn a_foreign_slot_that_comes_free_is_granted_to_a_waiter_in_the_same_step() {
    let mut world = adopted(2, 2);
    wait(&mut world, 1, &[("db", 1)]);
    wait(&mut world, 2, &[("db", 1)]);
    let step = set_foreign(&mut world, 1);
    assert_eq!(step.outcome, Outcome::Updated(Updated::Done));
    assert_eq!(waiters(&step.answered), [1]);
    assert_eq!(world.taken("db"), 2);
}

#[test]
fn foreign_slots_that_rise_revoke_nothing_and_nothing_is_granted_until_enough_are_free() {
    let mut world = adopted(2, 0);
    world.take(1, "db");
    world.take(2, "db");
    set_foreign(&mut world, 1);
    assert_eq!((world.taken("db"), world.leases("db")), (3, vec![1, 2]));
    world.release(1).unwrap();
    world.refused(3, "db");
    world.release(2).unwrap();
    world.take(3, "db");
}

#[test]
fn the_same_number_of_foreign_slots_again_writes_nothing() {
    let mut world = adopted(4, 2);
    let step = world.ledger.step(Command::SetForeign { limit: DB, slots: 2 }, world.now);
    assert!(step.events.is_empty());
    assert!(world.ledger.take_changes().is_empty());
    let nowhere = Command::SetForeign { limit: LimitId(9), slots: 2 };
    assert_eq!(world.step(nowhere), Outcome::Updated(Updated::NotFound));
}

#[test]
fn no_reset_and_no_edit_frees_foreign_slots() {
    let mut world = adopted(5, 2);
    world.take(1, "db");
    world.take(2, "db");
    world.reset("db", 3);
    assert_eq!((world.taken("db"), world.leases("db")), (3, vec![2]));
    world.reset("db", 5);
    assert_eq!((world.taken("db"), world.unleased("db")), (5, 2));
    let patch = LimitPatch { taken_max: Some(4), ..LimitPatch::default() };
    world.patch("db", patch);
    assert_eq!((world.taken("db"), world.unleased("db")), (4, 1));
    let step = step(&mut world, Command::ResetLimit { limit: named("db"), slots: 0, reason: None });
    let reset = step.events.last().map(|event| event.kind.clone());
    assert!(
        matches!(reset, Some(EventKind::LimitReset { taken: 2, unleased: 0, .. })),
        "{reset:?}"
    );
    assert_eq!((world.taken("db"), world.leases("db")), (2, vec![]));
    world.decrement(&["db"], 2);
    assert_eq!(world.taken("db"), 2);
}

#[test]
fn a_reset_of_a_tag_leaves_foreign_slots() {
    let mut world = World::new();
    adopt(&mut world, adoption(101, "tag:x", 3, 2));
    granted(world.tag(1, "run", &["tag:x"]));
    world.reset_tag("tag:x", &[(2, "other")]);
    assert_eq!(world.taken("tag:x"), 3);
}

#[test]
fn the_list_of_what_holds_a_limit_ends_with_the_foreign_slots() {
    let mut world = adopted(9, 3);
    world.take(1, "db");
    granted(world.increment("db", 1));
    let mut listed = |offset, limit| {
        let query = Query::Held(named("db"), Page { offset, limit });
        let Outcome::Held(Some(held)) = world.step(Command::Read(query)) else {
            panic!("no such limit");
        };
        (held.leases.len(), held.unleased.len(), held.foreign)
    };
    assert_eq!(listed(0, 10), (1, 1, 3));
    assert_eq!(listed(0, 2), (1, 1, 0));
    assert_eq!(listed(1, 2), (0, 1, 3));
    assert_eq!(listed(2, 1), (0, 0, 3));
    assert_eq!(listed(3, 1), (0, 0, 0));
    assert_eq!(listed(2, 0), (0, 0, 0));
}

#[test]
fn a_returning_limit_grants_nothing_and_its_leases_live_on() {
    let mut world = adopted(3, 0);
    world.limit("other", 3);
    world.take(1, "db");
    set_returning(&mut world, true);
    let named = elsewhere(world.acquire(2, &[("other", 1), ("db", 1), ("nowhere", 1)]));
    assert_eq!(named, ["db"]);
    assert_eq!(elsewhere(world.increment("db", 1)), ["db"]);
    assert_eq!((world.taken("other"), world.taken("db")), (0, 1));
    assert!(matches!(world.renew(1), leasehold_engine::Renewed::Renewed(Some(_))));
    world.release(1).unwrap();
    assert_eq!(world.taken("db"), 0);
    set_returning(&mut world, false);
    world.take(3, "db");
}

#[test]
fn a_returning_limit_is_elsewhere_even_if_it_is_inactive_or_another_limit_is_missing() {
    let mut world = adopted(3, 0);
    set_returning(&mut world, true);
    world.activate("db", false);
    let acquire = Acquire::new([("db", 1), ("nowhere", 1)], lease_hold(1, None));
    let acquire = Acquire { missing: Missing::Refuse, ..acquire };
    let Outcome::Acquired(acquired) = world.step(Command::Acquire(acquire)) else { panic!() };
    assert_eq!(elsewhere(acquired), ["db"]);
}

#[test]
fn who_holds_a_returning_tag_already_is_answered_its_lease() {
    let mut world = World::new();
    adopt(&mut world, adoption(101, "tag:x", 3, 0));
    granted(world.tag(1, "run", &["tag:x"]));
    set_returning(&mut world, true);
    granted(world.tag(2, "run", &["tag:x"]));
    assert_eq!(elsewhere(world.tag(3, "other", &["tag:x"])), ["tag:x"]);
    assert_eq!(world.taken("tag:x"), 1);
}

#[test]
fn the_waiters_of_a_returning_limit_are_refused_at_once() {
    let mut world = adopted(2, 2);
    world.limit("other", 1);
    world.take(9, "other");
    wait(&mut world, 1, &[("db", 1)]);
    wait(&mut world, 2, &[("db", 1), ("other", 1)]);
    wait(&mut world, 3, &[("other", 1)]);
    let step = set_returning(&mut world, true);
    let mut refused = waiters(&step.answered);
    refused.sort_unstable();
    assert_eq!(refused, [1, 2]);
    for answered in step.answered {
        assert_eq!(elsewhere(answered.outcome), ["db"]);
    }
    let left = step
        .events
        .iter()
        .filter(|event| matches!(event.kind, EventKind::Left(Departure::LimitsChanged)));
    assert_eq!(left.count(), 2);
    let released = world.ledger.step(Command::Release { lease: LeaseId(9) }, world.now);
    assert_eq!(waiters(&released.answered), [3]);
}

#[test]
fn a_lease_has_partners_until_it_ends() {
    let mut world = adopted(3, 0);
    world.take(1, "db");
    assert!(pair(&mut world, 1, &[70, 71]));
    assert!(!pair(&mut world, 2, &[72]), "there is no such lease");
    let query = Command::Read(Query::Lease(LeaseId(1)));
    let Outcome::Lease(Ok(view)) = world.step(query) else { panic!("no lease") };
    let partners = [LeaseId(70), LeaseId(71)];
    assert_eq!(view.lease.partners, partners);
    world.restart(5.0);
    assert_eq!(world.release(1).unwrap().partners, partners);
    assert!(!pair(&mut world, 1, &[70]));
}

/// The partners in the events of one command.
fn partners_named(world: &mut World, command: Command) -> Vec<Vec<u128>> {
    let events = step(world, command).events.into_iter();
    let ends = events.filter(|event| !event.partners.is_empty());
    ends.map(|event| event.partners.iter().map(|partner| partner.0).collect()).collect()
}

#[test]
fn each_end_of_a_lease_names_its_partners_in_its_event() {
    let revoke = Command::Revoke { lease: LeaseId(1), reason: None, by: None };
    let repossess = Command::Repossess {
        holder: Holder::new("process", "p"),
        with_deadline: true,
        evidence: "gone".into(),
    };
    let release = Command::Release { lease: LeaseId(1) };
    let reset = Command::ResetLimit { limit: named("db"), slots: 0, reason: None };
    for end in [release, revoke, repossess, reset, Command::Tick] {
        let mut world = adopted(3, 0);
        let holder = Some(Holder::new("process", "p"));
        granted(world.ask(Mode::Concurrency, &[("db", 1)], lease_hold(1, holder)));
        pair(&mut world, 1, &[70]);
        if matches!(end, Command::Tick) {
            world.wait(61.0);
        }
        assert_eq!(partners_named(&mut world, end), [[70]]);
    }
}

#[test]
fn a_lease_that_loses_one_of_its_limits_keeps_its_partners() {
    let mut world = World::new();
    adopt(&mut world, adoption(101, "tag:x", 3, 0));
    adopt(&mut world, adoption(2, "tag:y", 3, 0));
    granted(world.tag(1, "run", &["tag:x", "tag:y"]));
    pair(&mut world, 1, &[70]);
    let one = |name: &str| Command::ReleaseTags {
        names: vec![name.into()],
        holder: crate::fixture::task_run("run"),
    };
    assert_eq!(partners_named(&mut world, one("tag:x")), [[0; 0]; 0]);
    assert_eq!(partners_named(&mut world, one("tag:y")), [[70]]);
}

#[test]
fn the_end_of_a_lease_whose_limits_were_deleted_names_its_partners_too() {
    let mut world = adopted(3, 0);
    world.take(1, "db");
    pair(&mut world, 1, &[70]);
    world.delete("db", Scope::All);
    assert_eq!(partners_named(&mut world, Command::Release { lease: LeaseId(1) }), [[70]]);
}

#[test]
fn foreign_slots_and_returning_limits_are_still_there_after_a_restart() {
    let mut world = adopted(3, 2);
    set_returning(&mut world, true);
    world.restart(10.0);
    let view = world.view("db");
    assert_eq!((view.taken, view.limit.returning), (2, true));
    let everything = Command::Read(Query::Held(named("db"), EVERYTHING));
    let Outcome::Held(Some(held)) = world.step(everything) else { panic!("no such limit") };
    assert_eq!(held.foreign, 2);
}
