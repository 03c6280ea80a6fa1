use leasehold_engine::{
    Acquire, Command, EndReason, Fence, Gone, LeaseId, Ledger, Mode, Outcome, Renewed, Snapshot,
    Span, Timestamp,
};
use leasehold_journal::{Journal, MemoryJournal};

use crate::fixture::{World, granted, lease_hold, refused, task_run};

#[test]
fn d01_leases_survive_a_restart() {
    let mut world = World::with("db", 1);
    world.take(1, "db");
    world.restart(1.0);
    world.refused(2, "db");
    assert!(matches!(world.renew(1), Renewed::Renewed(Some(_))));
    world.release(1).unwrap();
    world.take(2, "db");
}

#[test]
fn a_lease_has_the_time_left_that_it_had_when_the_server_stopped() {
    let mut world = World::with("db", 1);
    world.take(1, "db");
    world.wait(50.0);
    world.step(Command::Tick);
    world.restart(3600.0);
    world.wait(9.999_999);
    world.refused(2, "db");
    world.wait(0.000_001);
    world.take(2, "db");
}

#[test]
fn a_second_downtime_adds_to_the_first() {
    let mut world = World::with("db", 1);
    let deadline = world.take(1, "db").deadline.unwrap();
    world.restart(100.0);
    world.step(Command::Tick);
    world.restart(50.0);
    assert_eq!(world.ledger.next_deadline(), Some(deadline + Span::from_seconds(150)));
}

#[test]
fn a_restart_that_nothing_was_committed_after_is_not_counted_twice() {
    let mut world = World::with("db", 1);
    let deadline = world.take(1, "db").deadline.unwrap();
    world.restart(100.0);
    world.restart(50.0);
    assert_eq!(world.ledger.next_deadline(), Some(deadline + Span::from_seconds(150)));
}

#[test]
fn a_lease_that_had_run_out_before_the_stop_is_dead_after_it() {
    let mut world = World::with("db", 1);
    world.take(1, "db");
    world.wait(60.0);
    // The server is up at the deadline, and commits a heartbeat and nothing else.
    let mut snapshot = world.ledger.snapshot();
    snapshot.at = world.now;
    world.ledger = leasehold_engine::Ledger::restore(snapshot, world.now);
    assert!(
        matches!(world.release(1), Err(Gone(Some(ending))) if ending.how == EndReason::Expired)
    );
}

#[test]
fn a_lease_without_a_deadline_survives_any_downtime() {
    let mut world = World::with("tag:db", 1);
    granted(world.tag(1, "run", &["tag:db"]));
    world.restart(1e9);
    refused(world.tag(2, "other", &["tag:db"]));
    granted(world.tag(3, "run", &["tag:db"]));
    assert_eq!(world.untag("run", &["tag:db"]), ["tag:db"]);
    assert_eq!(world.taken("tag:db"), 0);
}

#[test]
fn a_restored_backup_grants_no_token_a_second_time() {
    let mut world = World::with("db", 9);
    world.take(1, "db");
    let backup = world.journal.clone();
    let mut last = Fence(0);
    for lease in 2..5 {
        last = world.take(lease, "db").fence;
    }
    world.start_with(backup, 0.000_003);
    let next = world.take(9, "db").fence;
    assert!(next > last, "{next:?} after {last:?}");
}

#[test]
fn a_backup_that_is_restored_twice_grants_no_token_a_second_time() {
    let mut world = World::with("db", 9);
    let backup = world.journal.clone();
    let mut last = world.take(1, "db").fence;
    for _ in 0..3 {
        world.start_with(backup.clone(), 0.001);
        let next = world.take(1, "db").fence;
        assert!(next > last, "{next:?} after {last:?}");
        last = next;
    }
}

#[test]
fn an_empty_journal_goes_on_from_the_clock_too() {
    let mut world = World::with("db", 9);
    let last = world.take(1, "db").fence;
    world.start_with(MemoryJournal::default(), 1.0);
    world.limit("db", 9);
    assert!(world.take(2, "db").fence > last);
}

#[test]
fn a_clock_that_is_behind_the_journal_lowers_no_token() {
    let mut world = World::with("db", 9);
    world.restart(1.0);
    let last = world.take(1, "db").fence;
    world.restart(-1e6);
    assert_eq!(world.take(2, "db").fence, Fence(last.0 + 1));
}

#[test]
fn after_a_failed_commit_no_token_is_lower_than_the_clock_at_the_start() {
    let mut world = World::with("db", 9);
    world.restart(1.0);
    let start = u64::try_from(world.now.as_micros()).unwrap();
    // Nothing has become durable since the start.
    world.ledger.reload(world.journal.load().unwrap(), world.now);
    assert!(world.take(1, "db").fence >= Fence(start));
}

#[test]
fn a_token_is_exact_as_a_json_number_whatever_the_clock_shows() {
    for year_3000 in [32_503_680_000_000_000, i64::MAX] {
        let mut ledger = Ledger::restore(Snapshot::default(), Timestamp::from_micros(0));
        ledger.raise_fences(Timestamp::from_micros(year_3000));
        let next = ledger.take_changes().next_fence;
        assert_eq!(next, Fence(1 << 52));
    }
    let mut ledger = Ledger::restore(Snapshot::default(), Timestamp::from_micros(0));
    ledger.raise_fences(Timestamp::from_micros(-1));
    assert_eq!(ledger.take_changes().next_fence, Fence(1));
}

#[test]
fn fences_rise_across_restarts_even_when_no_lease_is_left() {
    let mut world = World::with("db", 1);
    let mut last = world.take(1, "db").fence;
    for lease in 2..5 {
        world.release(lease - 1).unwrap();
        world.restart(1.0);
        let fence = world.take(lease, "db").fence;
        assert!(fence > last);
        last = fence;
    }
}

#[test]
fn an_ending_is_remembered_after_a_restart() {
    let mut world = World::with("db", 1);
    world.take(1, "db");
    world.revoke(1, "maintenance").unwrap();
    world.restart(1.0);
    let Renewed::Gone(Gone(Some(ending))) = world.renew(1) else {
        panic!("renewed");
    };
    assert_eq!(ending.how, EndReason::Revoked { reason: Some("maintenance".into()), by: None });
}

#[test]
fn a_rate_limit_drains_during_a_downtime_and_keeps_its_fraction() {
    let mut world = World::draining("api", 10, 1.0);
    granted(world.increment("api", 10));
    world.wait(0.5);
    world.step(Command::Tick);
    world.restart(3.25);
    assert_eq!(world.taken("api"), 7);
    world.wait(0.25);
    assert_eq!(world.taken("api"), 6);
}

#[test]
fn a_clock_that_was_set_back_during_a_downtime_expires_nothing_early() {
    let mut world = World::with("db", 1);
    let granted = world.take(1, "db");
    let left = granted.deadline.unwrap().since(world.now);
    world.now = Timestamp::from_micros(0);
    world.restart(0.0);
    world.refused(2, "db");
    assert_eq!(world.ledger.now(), world.now, "the wall clock is right again");
    assert_eq!(world.ledger.next_deadline(), Some(world.now + left));
    world.now = world.now + left;
    assert!(world.take(2, "db").fence > granted.fence);
}

#[test]
fn everything_that_a_clock_wrote_that_was_ahead_is_durable_where_it_moved_to() {
    let mut world = World::draining("api", 10, 1.0);
    granted(world.increment("api", 10));
    world.now = Timestamp::from_micros(0);
    world.restart(0.0);
    assert_eq!(
        world.taken("api"),
        10,
        "what was taken does not drain by a clock that is put right"
    );
    world.restart(4.0);
    assert_eq!(world.taken("api"), 6);
}

#[test]
fn a_server_that_stood_still_takes_no_time_from_a_lease() {
    let mut world = World::with("db", 2);
    world.take(1, "db");
    world.wait(50.0);
    world.step(Command::Tick);
    let asleep = world.now;
    world.wait(3600.0);
    assert_eq!(world.ledger.resume(asleep, world.now), Span::from_seconds(3600));
    assert!(world.ledger.step(Command::Tick, world.now).expired.is_empty());
    world.wait(9.999_999);
    assert!(world.ledger.step(Command::Tick, world.now).expired.is_empty());
    world.wait(0.000_001);
    assert_eq!(world.ledger.step(Command::Tick, world.now).expired, [LeaseId(1)]);
}

#[test]
fn a_lease_that_ran_out_before_the_server_stood_still_is_dead() {
    let mut world = World::with("db", 1);
    let deadline = world.take(1, "db").deadline.unwrap();
    world.now = deadline + Span::from_seconds(8);
    assert_eq!(world.ledger.resume(deadline, world.now), Span::ZERO);
    assert_eq!(world.ledger.step(Command::Tick, world.now).expired, [LeaseId(1)]);
}

#[test]
fn standing_still_twice_before_a_commit_is_durable_as_both() {
    let mut world = World::with("db", 2);
    let deadline = world.take(1, "db").deadline.unwrap();
    for _ in 0..2 {
        let asleep = world.now;
        world.wait(30.0);
        world.ledger.resume(asleep, world.now);
    }
    world.step(Command::Tick);
    world.restart(0.0);
    assert_eq!(world.ledger.next_deadline(), Some(deadline + Span::from_seconds(60)));
}

#[test]
fn an_answer_says_the_deadline_that_the_lease_has_after_standing_still() {
    let mut world = World::with("db", 1);
    world.take(1, "db");
    let mut outcome = world.step(Command::Renew { lease: LeaseId(1), ttl: Span::from_seconds(5) });
    let asleep = world.now;
    world.wait(8.0);
    let by = world.ledger.resume(asleep, world.now);
    outcome.resume(asleep, by);
    let deadline = world.now + Span::from_seconds(5);
    assert_eq!(world.ledger.next_deadline(), Some(deadline));
    assert_eq!(outcome, Outcome::Renewed(Renewed::Renewed(Some(deadline))));
}

#[test]
fn time_that_runs_backwards_moves_no_deadline_back() {
    let mut world = World::with("db", 1);
    let latest = world.now;
    let deadline = world.take(1, "db").deadline.unwrap();
    world.now = Timestamp::from_micros(5);
    assert_eq!(world.renew(1), Renewed::Renewed(Some(deadline)));
    assert_eq!(world.ledger.now(), latest);
}

#[test]
fn d09_nothing_is_stored_for_names_that_no_limit_has() {
    let mut world = World::with("db", 1);
    for lease in 0..1_500 {
        granted(world.ask(Mode::Concurrency, &[("nowhere", 1)], lease_hold(lease, None)));
    }
    world.take(9_999, "db");
    world.wait(60.0);
    let step = world.ledger.step(Command::Tick, world.now);
    assert_eq!(step.expired, [LeaseId(9_999)]);
}

#[test]
fn a_lease_that_began_and_ended_between_two_commits_is_not_made_durable() {
    let mut world = World::with("db", 1);
    let acquire = Acquire::new([("db", 1)], lease_hold(1, Some(task_run("r"))));
    world.ledger.step(Command::Acquire(acquire), world.now);
    world.ledger.step(Command::Release { lease: LeaseId(1) }, world.now);
    let changes = world.ledger.take_changes();
    assert_eq!((changes.leases.len(), changes.ended.len()), (0, 0));
    assert_eq!(changes.next_fence, leasehold_engine::Fence(2), "its fence is spent");
}
