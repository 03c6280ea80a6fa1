//! What the log lacks when a server starts: it is written a moment behind the journal, and what comes
//! too fast is not in it. Without this, a lease that ended in the moment before a crash would be
//! held in the log for good.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use leasehold_engine::{Ending, How, Lease, LeaseId, LimitId, Snapshot, What};
use leasehold_records::{Book, Event, Records, RecordsError, Told};
use uuid::Uuid;

use super::words::{HOLDS, kind_and_reason};
use crate::coordinator::chain;

/// What happened at about the same time may be told in another order.
const MARGIN_MICROS: i64 = 1_000_000;
/// No more than this share of the log is written at once: it is there for what happened before.
const SHARE: u64 = 4;

const LACKED: &str = "the log lacked it when the server started";

/// Compares the log with what is durable, before anything else happens, and tells what it lacks:
/// who holds what it was granted, and who holds no longer what the log says. Limits and leases do
/// not depend on it: records that cannot be written stay as they are.
pub fn catch_up(records: &mut Records, durable: &Snapshot) {
    match tell_untold(records, durable) {
        Ok(0) => {}
        Ok(count) => {
            tracing::info!(count, "the log of events was told what it lacked");
        }
        Err(error) => {
            let error = chain(&error);
            tracing::warn!(error, "the log of events may lack what happened last");
        }
    }
}

/// Answers how many events that are.
fn tell_untold(records: &mut Records, durable: &Snapshot) -> Result<usize, RecordsError> {
    let book = records.book()?;
    let mut events = untold(&book, durable)?;
    let room = usize::try_from(book.events_max() / SHARE).unwrap_or(usize::MAX);
    if let Some(too_many) = events.len().checked_sub(room).filter(|too_many| *too_many > 0) {
        // The newest are told.
        events.sort_by_key(|event| Reverse(event.at_micros));
        events.truncate(room);
        events.push(Event {
            id: Uuid::now_v7(),
            at_micros: durable.at.as_micros(),
            reason: Some(format!("{too_many} events, {LACKED}")),
            ..event("log.dropped")
        });
    }
    // What was freed at a moment is told before what was granted then.
    events.sort_by_key(|event| (event.at_micros, holds(event)));
    for event in &events {
        book.add_event(event)?;
    }
    book.close()?;
    Ok(events.len())
}

fn untold(book: &Book<'_>, durable: &Snapshot) -> Result<Vec<Event>, RecordsError> {
    let mut told: BTreeMap<LeaseId, Vec<Event>> = BTreeMap::new();
    for event in book.last_events_of_leases()? {
        if let Some(lease) = event.lease {
            told.entry(LeaseId(lease.as_u128())).or_default().push(event);
        }
    }
    let told_since = match book.told_until()? {
        Told::Nothing => i64::MIN,
        Told::Until(at_micros) => at_micros.saturating_sub(MARGIN_MICROS),
        // It may have told of all of them.
        Told::Forgotten => i64::MAX,
    };
    let names: HashMap<LimitId, &str> =
        durable.limits.iter().map(|limit| (limit.id, &*limit.name)).collect();
    let mut events = Vec::new();
    for lease in &durable.leases {
        let held = lease.holdings.iter().filter_map(|holding| names.get(&holding.limit).copied());
        match told.remove(&lease.id) {
            Some(last) => of_one_that_lives(lease, held.collect(), last, &mut events),
            None if lease.created.as_micros() >= told_since => {
                let at_micros = lease.created.as_micros();
                events.extend(held.map(|name| of(lease, name, "lease.granted", at_micros)));
            }
            // It was granted before the log begins, or too fast for it.
            None => {}
        }
    }
    let remembered: HashMap<LeaseId, &Ending> =
        durable.endings.iter().map(|ending| (ending.lease, ending)).collect();
    for (lease, last) in told {
        let ending = remembered.get(&lease).copied();
        let ends = last.into_iter().filter(holds);
        events.extend(ends.map(|last| ended(last, ending, durable.at.as_micros())));
    }
    Ok(events)
}

/// What was told last of a lease that lives, compared with what it holds.
fn of_one_that_lives(
    lease: &Lease,
    mut untold: Vec<&str>,
    mut last: Vec<Event>,
    events: &mut Vec<Event>,
) {
    let told_at = last.iter().map(|event| event.at_micros).max().unwrap_or(i64::MIN);
    last.retain(holds);
    untold.retain(|name| {
        let told = last.iter().position(|event| event.limit.as_deref() == Some(name));
        told.map(|told| last.swap_remove(told)).is_none()
    });
    let has_moved = !untold.is_empty() && !last.is_empty();
    let (out, into) = match has_moved {
        true => ("lease.moved_out", "lease.moved_in"),
        false => ("lease.ended", "lease.granted"),
    };
    let at_micros = told_at.max(lease.created.as_micros());
    events.extend(last.into_iter().map(|last| Event {
        number: 0,
        id: Uuid::now_v7(),
        at_micros,
        kind: out.to_owned(),
        reason: Some(LACKED.to_owned()),
        ..last
    }));
    events.extend(untold.into_iter().map(|name| of(lease, name, into, at_micros)));
}

/// The end of a lease on a limit of which was told last that it holds it.
fn ended(last: Event, ending: Option<&Ending>, durable_at: i64) -> Event {
    let (kind, reason) = match ending {
        Some(ending) => kind_and_reason(&What::Ended(How::clone(&ending.how))),
        None => ("lease.ended", Some(LACKED.to_owned())),
    };
    let at_micros = ending.map_or(durable_at, |ending| ending.at.as_micros());
    Event {
        number: 0,
        id: Uuid::now_v7(),
        // The journal may be an older one.
        at_micros: at_micros.max(last.at_micros),
        kind: kind.to_owned(),
        reason,
        ..last
    }
}

/// Whether it is held by whom this was told of last.
fn holds(last: &Event) -> bool {
    HOLDS.contains(&&*last.kind)
}

fn of(lease: &Lease, limit: &str, kind: &str, at_micros: i64) -> Event {
    Event {
        at_micros,
        limit: Some(limit.to_owned()),
        holder: lease.holder.as_ref().map(|it| (it.kind.to_string(), it.id.to_string())),
        lease: Some(Uuid::from_u128(lease.id.0)),
        reason: Some(LACKED.to_owned()),
        ..event(kind)
    }
}

fn event(kind: &str) -> Event {
    Event {
        number: 0,
        id: Uuid::now_v7(),
        at_micros: 0,
        kind: kind.to_owned(),
        limit: None,
        holder: None,
        lease: None,
        reason: None,
        document: None,
    }
}

#[cfg(test)]
mod tests {
    use leasehold_engine::{
        Acquire, Command, CreateLimit, Hold, Ledger, LimitPatch, LimitRef, Missing, Mode, Rate,
        Scope, Span, Timestamp, Want,
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
                world.told(Command::CreateLimit(CreateLimit {
                    id: LimitId(number as u128),
                    name: name.into(),
                    slots: 20_000,
                    active: true,
                    decay: Rate::NONE,
                    unleased: 0,
                    denied_slots: 0,
                }));
            }
            world
        }

        /// A second later something happens, and is durable.
        fn untold(&mut self, command: Command) -> Vec<Event> {
            self.now = self.now + Span::from_seconds(1);
            let step = self.ledger.step(command, self.now);
            self.journal.commit(&self.ledger.take_changes()).unwrap();
            step.happened.iter().flat_map(events).collect()
        }

        /// And is in the log.
        fn told(&mut self, command: Command) {
            let happened = self.untold(command);
            let book = self.records.book().unwrap();
            for event in happened {
                book.add_event(&event).unwrap();
            }
            book.close().unwrap();
        }

        /// What is told at the next start.
        fn caught_up(&mut self) -> Vec<Line> {
            let book = self.records.book().unwrap();
            let after = book.last_event().unwrap();
            book.close().unwrap();
            let count = tell_untold(&mut self.records, &self.journal.load().unwrap()).unwrap();
            let filter = EventFilter { after, limit_count: 100_000, ..EventFilter::default() };
            let told = self.records.book().unwrap().events(&filter).unwrap();
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
        Command::Acquire(Acquire {
            wants: names.iter().map(|name| Want { name: (*name).into(), slots: 1 }).collect(),
            mode: Mode::Concurrency,
            hold: Hold::Lease {
                id: LeaseId(lease),
                holder: None,
                ttl: Span::from_seconds(seconds),
                notes: None,
            },
            missing: Missing::Skip,
            patience: None,
        })
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
        assert_eq!(dropped.4, Some(format!("2 events, {LACKED}")));
    }

    #[test]
    fn a_log_that_has_forgotten_what_it_told_is_not_told_again() {
        let mut world = World::new();
        let bounds = Bounds { events_max: 0, ..Bounds::default() };
        world.records = Records::in_memory(bounds).unwrap();
        world.told(take(1, &["db"], 60));
        let book = world.records.book().unwrap();
        book.prune(0).unwrap();
        book.close().unwrap();
        assert_eq!(world.caught_up(), []);
    }

    #[test]
    fn what_a_journal_does_not_know_has_ended_and_not_before_it_began() {
        let mut world = World::new();
        world.told(take(1, &["db"], 60));
        world.journal = MemoryJournal::default();
        assert_eq!(world.caught_up(), [told("lease.ended", "db", 1, 0.0, LACKED)]);
    }
}
