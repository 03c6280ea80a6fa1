//! What is told of what happened while nobody could write the log.

use leasehold_engine::{
    Acquire, Command, CreateLimit, Hold, Ledger, LimitPatch, LimitRef, Scope, Span, Timestamp,
};
use leasehold_journal::{Journal, MemoryJournal};
use leasehold_records::{Bounds, EventFilter};

use super::*;
use crate::event_log::events;

/// The kind, the limit, the lease, the time in seconds from now, and the reason.
type Line = (String, Option<String>, u128, f64, Option<String>);

/// A ledger, and the log of what happens in it, of which a part may be lost.
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
            world.told(Command::CreateLimit(limit));
        }
        world
    }

    /// A second later something happens, and is durable.
    fn untold(&mut self, command: Command) -> Vec<EventRow> {
        self.now = self.now + Span::from_seconds(1);
        let step = self.ledger.step(command, self.now);
        self.journal.commit(&self.ledger.take_changes()).unwrap();
        step.events.iter().flat_map(events).collect()
    }

    /// And is in the log.
    fn told(&mut self, command: Command) {
        let mut happened = self.untold(command);
        let records = self.records.begin().unwrap();
        records.add_events(&mut happened).unwrap();
        records.commit().unwrap();
    }

    /// What is told at the next start.
    fn caught_up(&mut self) -> Vec<Line> {
        let records = self.records.begin().unwrap();
        let after = records.last_event().unwrap();
        records.commit().unwrap();
        let count = tell_untold(&mut self.records, &self.journal.load().unwrap()).unwrap();
        let filter = EventFilter { after, limit_count: 100_000, ..EventFilter::default() };
        let told = self.records.begin().unwrap().events(&filter).unwrap().events;
        assert_eq!(told.len(), count);
        let now = self.now.as_micros();
        told.into_iter()
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

fn told(kind: &str, limit: &str, lease: u128, seconds: f64, reason: &str) -> Line {
    (kind.to_owned(), Some(limit.to_owned()), lease, seconds, Some(reason.to_owned()))
}

#[test]
fn a_log_that_lacks_nothing_is_told_nothing() {
    let mut world = World::new();
    world.told(take(1, &["db", "gpu"], 60));
    world.told(take(2, &["db"], 60));
    world.told(release(1));
    assert_eq!(world.caught_up(), []);
}

#[test]
fn what_a_log_lacks_is_told_once() {
    let mut world = World::new();
    world.told(take(1, &["db", "gpu"], 60));
    world.told(take(2, &["gpu", "db"], 60));
    world.told(take(3, &["db"], 4));
    world.told(take(4, &["db"], 60));
    world.untold(release(1));
    let gpu = LimitRef::Name("gpu".into());
    world.untold(Command::DeleteLimit { limit: gpu, scope: Scope::All });
    world.untold(take(5, &["db"], 60));
    world.untold(take(6, &["db"], 60));
    world.untold(release(6));
    assert_eq!(
        world.caught_up(),
        [
            told("lease.ended", "gpu", 2, -7.0, LACKED),
            told("lease.expired", "db", 3, -2.0, "it was not renewed"),
            told("lease.granted", "db", 5, -2.0, LACKED),
            told("lease.ended", "db", 1, 0.0, LACKED),
            told("lease.ended", "gpu", 1, 0.0, LACKED),
        ]
    );
    assert_eq!(world.caught_up(), []);
}

#[test]
fn who_holds_under_another_name_or_once_more_is_told() {
    let mut world = World::new();
    world.told(take(1, &["db"], 60));
    world.told(take(2, &["gpu"], 60));
    world.told(release(2));
    let patch = LimitPatch { name: Some("database".into()), ..LimitPatch::default() };
    let limit = LimitRef::Name("db".into());
    world.untold(Command::UpdateLimit { limit, patch });
    world.untold(take(2, &["gpu"], 60));
    assert_eq!(
        world.caught_up(),
        [
            told("lease.moved_out", "db", 1, -4.0, LACKED),
            told("lease.moved_in", "database", 1, -4.0, LACKED),
            told("lease.granted", "gpu", 2, 0.0, LACKED),
        ]
    );
    assert_eq!(world.caught_up(), []);
}

#[test]
fn a_log_that_is_new_is_told_of_the_newest_leases_and_keeps_room() {
    let mut world = World::new();
    let bounds = Bounds { events_max: 40, ..Bounds::default() };
    world.records = Records::in_memory(bounds).unwrap();
    for lease in 1..=12 {
        world.untold(take(lease, &["db"], 86_400));
    }
    let caught_up = world.caught_up();
    assert_eq!(caught_up.len(), 11);
    assert_eq!(caught_up[0], told("lease.granted", "db", 3, -9.0, LACKED));
    let dropped = caught_up.iter().find(|it| it.0 == "log.dropped").unwrap();
    assert_eq!(dropped.4, Some("2 events that the log lacked were too many to be told".to_owned()));
}

#[test]
fn grants_that_came_too_fast_are_counted() {
    let mut world = World::new();
    world.told(take(1, &["db"], 86_400));
    for lease in 2..=GRANTS_MAX as u128 + 4 {
        world.untold(take(lease, &["db"], 86_400));
    }
    let caught_up = world.caught_up();
    assert_eq!(caught_up.len(), GRANTS_MAX + 1);
    assert_eq!(caught_up[0].2, 5);
    let dropped = caught_up.iter().find(|it| it.0 == "log.dropped").unwrap();
    assert_eq!(dropped.4, Some("3 events that the log lacked were too many to be told".to_owned()));
}

#[test]
fn a_log_that_has_forgotten_what_it_told_is_not_told_again() {
    let mut world = World::new();
    let bounds = Bounds { events_max: 0, ..Bounds::default() };
    world.records = Records::in_memory(bounds).unwrap();
    world.told(take(1, &["db"], 60));
    let records = world.records.begin().unwrap();
    records.prune(0).unwrap();
    records.commit().unwrap();
    assert_eq!(world.caught_up(), []);
}

#[test]
fn what_a_journal_does_not_know_has_ended_and_not_before_it_began() {
    let mut world = World::new();
    world.told(take(1, &["db"], 60));
    world.journal = MemoryJournal::default();
    assert_eq!(world.caught_up(), [told("lease.ended", "db", 1, 0.0, LACKED)]);
}
