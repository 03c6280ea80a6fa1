//! Which events a start adds to a log that lacks them.

use leasehold_engine::{
    Acquire, Command, CreateLimit, Hold, Ledger, LimitPatch, LimitRef, Scope, Span, Timestamp,
};
use leasehold_journal::{Journal, MemoryJournal};
use leasehold_records::{Bounds, EventFilter};

use super::*;
use crate::event_log::events;

/// The kind, the limit, the lease, the time in seconds from now, and the reason.
type Line = (String, Option<String>, u128, f64, Option<String>);

/// A ledger, and its log, which may lack events.
struct World {
    ledger: Ledger,
    journal: MemoryJournal,
    records: Records,
    now: Timestamp,
}

impl World {
    fn new() -> Self {
        let start = Timestamp::from_micros(1_000_000_000);
        let records = Records::in_memory(Bounds::default()).unwrap();
        let mut world = Self {
            ledger: Ledger::restore(Snapshot::default(), start),
            journal: MemoryJournal::default(),
            records,
            now: start,
        };
        for (number, name) in ["db", "gpu"].into_iter().enumerate() {
            let limit = CreateLimit::new(LimitId(number as u128), name, 20_000);
            world.logged(Command::CreateLimit(limit));
        }
        world
    }

    /// Makes a command durable, a second later. Does not log its events.
    fn unlogged(&mut self, command: Command) -> Vec<EventRow> {
        self.now = self.now + Span::from_seconds(1);
        let step = self.ledger.step(command, self.now);
        self.journal.commit(&self.ledger.take_changes()).unwrap();
        step.events.iter().flat_map(events).collect()
    }

    /// Makes a command durable, a second later, and logs its events.
    fn logged(&mut self, command: Command) {
        let mut happened = self.unlogged(command);
        let records = self.records.begin().unwrap();
        records.add_events(&mut happened).unwrap();
        records.commit().unwrap();
    }

    /// The events that the next start adds.
    fn caught_up(&mut self) -> Vec<Line> {
        let records = self.records.begin().unwrap();
        let after = records.last_event().unwrap();
        records.commit().unwrap();
        let count = add_missing(&mut self.records, &self.journal.load().unwrap()).unwrap();
        let filter = EventFilter { after, limit_count: 100_000, ..EventFilter::default() };
        let logged = self.records.begin().unwrap().events(&filter).unwrap().events;
        assert_eq!(logged.len(), count);
        let now = self.now.as_micros();
        logged
            .into_iter()
            .map(|it| {
                let seconds = (it.at_micros - now) as f64 / 1e6;
                let lease = it.lease.map_or(0, |lease| lease.as_u128());
                (it.kind, it.limit, lease, seconds, it.reason)
            })
            .collect()
    }
}

fn take(lease: u128, names: &[&str], seconds: u64) -> Command {
    let hold = Hold::for_ttl(LeaseId(lease), Span::from_seconds(seconds));
    Command::Acquire(Acquire::new(names.iter().map(|name| (*name, 1)), hold))
}

fn release(lease: u128) -> Command {
    Command::Release { lease: LeaseId(lease) }
}

fn logged(kind: &str, limit: &str, lease: u128, seconds: f64, reason: &str) -> Line {
    (kind.to_owned(), Some(limit.to_owned()), lease, seconds, Some(reason.to_owned()))
}

#[test]
fn a_complete_log_gets_no_events() {
    let mut world = World::new();
    world.logged(take(1, &["db", "gpu"], 60));
    world.logged(take(2, &["db"], 60));
    world.logged(release(1));
    assert_eq!(world.caught_up(), []);
}

#[test]
fn missing_events_are_added_once() {
    let mut world = World::new();
    world.logged(take(1, &["db", "gpu"], 60));
    world.logged(take(2, &["gpu", "db"], 60));
    world.logged(take(3, &["db"], 4));
    world.logged(take(4, &["db"], 60));
    world.unlogged(release(1));
    let gpu = LimitRef::Name("gpu".into());
    world.unlogged(Command::DeleteLimit { limit: gpu, scope: Scope::All });
    world.unlogged(take(5, &["db"], 60));
    world.unlogged(take(6, &["db"], 60));
    world.unlogged(release(6));
    assert_eq!(
        world.caught_up(),
        [
            logged("lease.ended", "gpu", 2, -7.0, LACKED),
            logged("lease.expired", "db", 3, -2.0, "it was not renewed"),
            logged("lease.granted", "db", 5, -2.0, LACKED),
            logged("lease.ended", "db", 1, 0.0, LACKED),
            logged("lease.ended", "gpu", 1, 0.0, LACKED),
        ]
    );
    assert_eq!(world.caught_up(), []);
}

#[test]
fn a_renamed_limit_and_a_repeated_lease_are_added() {
    let mut world = World::new();
    world.logged(take(1, &["db"], 60));
    world.logged(take(2, &["gpu"], 60));
    world.logged(release(2));
    let patch = LimitPatch { name: Some("database".into()), ..LimitPatch::default() };
    let limit = LimitRef::Name("db".into());
    world.unlogged(Command::UpdateLimit { limit, patch });
    world.unlogged(take(2, &["gpu"], 60));
    assert_eq!(
        world.caught_up(),
        [
            logged("lease.moved_out", "db", 1, -4.0, LACKED),
            logged("lease.moved_in", "database", 1, -4.0, LACKED),
            logged("lease.granted", "gpu", 2, 0.0, LACKED),
        ]
    );
    assert_eq!(world.caught_up(), []);
}

#[test]
fn a_new_log_gets_the_newest_leases_and_keeps_space() {
    let mut world = World::new();
    let bounds = Bounds { events_max: 40, ..Bounds::default() };
    world.records = Records::in_memory(bounds).unwrap();
    for lease in 1..=12 {
        world.unlogged(take(lease, &["db"], 86_400));
    }
    let caught_up = world.caught_up();
    assert_eq!(caught_up.len(), 11);
    assert_eq!(caught_up[0], logged("lease.granted", "db", 3, -9.0, LACKED));
    let dropped = caught_up.iter().find(|it| it.0 == "log.dropped").unwrap();
    assert_eq!(
        dropped.4,
        Some("2 events that the log lacked were too many to be added".to_owned())
    );
}

#[test]
fn grants_beyond_the_budget_are_counted() {
    let mut world = World::new();
    world.logged(take(1, &["db"], 86_400));
    for lease in 2..=GRANTS_MAX as u128 + 4 {
        world.unlogged(take(lease, &["db"], 86_400));
    }
    let caught_up = world.caught_up();
    assert_eq!(caught_up.len(), GRANTS_MAX + 1);
    assert_eq!(caught_up[0].2, 5);
    let dropped = caught_up.iter().find(|it| it.0 == "log.dropped").unwrap();
    assert_eq!(
        dropped.4,
        Some("3 events that the log lacked were too many to be added".to_owned())
    );
}

#[test]
fn a_pruned_log_gets_no_events_again() {
    let mut world = World::new();
    let bounds = Bounds { events_max: 0, ..Bounds::default() };
    world.records = Records::in_memory(bounds).unwrap();
    world.logged(take(1, &["db"], 60));
    let records = world.records.begin().unwrap();
    records.prune(0).unwrap();
    records.commit().unwrap();
    assert_eq!(world.caught_up(), []);
}

#[test]
fn a_lease_that_the_journal_lacks_has_ended_and_not_before_it_began() {
    let mut world = World::new();
    world.logged(take(1, &["db"], 60));
    world.journal = MemoryJournal::default();
    assert_eq!(world.caught_up(), [logged("lease.ended", "db", 1, 0.0, LACKED)]);
}
