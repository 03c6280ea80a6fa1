//! What a server that was killed could not tell any more. The log is written a moment behind the
//! journal: without this, a lease that ended in that moment would be held in the log for good.

use std::collections::HashMap;

use leasehold_engine::{Ending, How, LeaseId, LimitId, Snapshot, What};
use leasehold_records::{Book, Event, Records, RecordsError};
use uuid::Uuid;

use super::words::{HOLDS, kind_and_reason};
use crate::coordinator::chain;

/// What happened at about the same time may be told in another order.
const MARGIN_MICROS: i64 = 1_000_000;
/// More grants than this are not told one by one: for so long nothing could be written.
const GRANTS_MAX: usize = 10_000;

const UNTOLD: &str = "the server ended before it could tell";

/// Compares the log with what is durable, before anything else happens, and tells what it lacks:
/// who holds what it was granted at last, and who holds no longer what the log says. Limits and
/// leases do not depend on it: records that cannot be written stay as they are.
pub fn catch_up(records: &mut Records, durable: &Snapshot) {
    match tell_untold(records, durable) {
        Ok(0) => {}
        Ok(count) => {
            tracing::info!(count, "the log of events tells what the last server could not tell");
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
    let names: HashMap<LimitId, &str> =
        durable.limits.iter().map(|limit| (limit.id, &*limit.name)).collect();
    let mut events = endings(&book, durable, &names)?;
    events.extend(grants(&book, durable, &names)?);
    for event in &events {
        book.add_event(event)?;
    }
    book.close()?;
    Ok(events.len())
}

/// Of those who hold as far as the log tells, and do not.
fn endings(
    book: &Book<'_>,
    durable: &Snapshot,
    names: &HashMap<LimitId, &str>,
) -> Result<Vec<Event>, RecordsError> {
    let mut told: HashMap<_, _> = book
        .last_events_of_leases(HOLDS)?
        .into_iter()
        .filter_map(|event| Some(((event.lease?.as_u128(), event.limit.clone()?), event)))
        .collect();
    if told.is_empty() {
        return Ok(Vec::new());
    }
    for lease in &durable.leases {
        for holding in &lease.holdings {
            if let Some(name) = names.get(&holding.limit) {
                told.remove(&(lease.id.0, (*name).to_owned()));
            }
        }
    }
    let remembered: HashMap<LeaseId, &Ending> =
        durable.endings.iter().map(|ending| (ending.lease, ending)).collect();
    let mut untold: Vec<_> = told.into_iter().collect();
    untold.sort_unstable_by_key(|(_, event)| event.number);
    let ended = |((lease, _), event): ((u128, String), Event)| {
        let ending = remembered.get(&LeaseId(lease));
        let (kind, reason) = match ending {
            Some(ending) => kind_and_reason(&What::Ended(How::clone(&ending.how))),
            None => ("lease.ended", Some(UNTOLD.to_owned())),
        };
        let at = ending.map_or(durable.at, |ending| ending.at);
        Event {
            number: 0,
            id: Uuid::now_v7(),
            at_micros: at.as_micros(),
            kind: kind.to_owned(),
            reason,
            document: None,
            ..event
        }
    };
    Ok(untold.into_iter().map(ended).collect())
}

/// Of those who were granted slots at last, of whom the log knows nothing.
fn grants(
    book: &Book<'_>,
    durable: &Snapshot,
    names: &HashMap<LimitId, &str>,
) -> Result<Vec<Event>, RecordsError> {
    // A log that tells nothing yet lacks everything.
    let since = book.told_until()?.map_or(i64::MIN, |told| told.saturating_sub(MARGIN_MICROS));
    let told = book.leases_told_since(since)?;
    let mut untold: Vec<_> = durable
        .leases
        .iter()
        .filter(|lease| lease.created.as_micros() >= since)
        .filter(|lease| !told.contains(&Uuid::from_u128(lease.id.0)))
        .collect();
    untold.sort_unstable_by_key(|lease| lease.fence);
    let too_many = untold.len().saturating_sub(GRANTS_MAX);
    let mut events = Vec::new();
    if too_many > 0 {
        let reason = format!("{too_many} leases were granted, and {UNTOLD}");
        events.push(Event {
            number: 0,
            id: Uuid::now_v7(),
            at_micros: durable.at.as_micros(),
            kind: "log.dropped".to_owned(),
            limit: None,
            holder: None,
            lease: None,
            reason: Some(reason),
            document: None,
        });
    }
    for lease in &untold[too_many..] {
        let holder = lease.holder.as_ref().map(|it| (it.kind.to_string(), it.id.to_string()));
        let limits = lease.holdings.iter().filter_map(|holding| names.get(&holding.limit));
        events.extend(limits.map(|name| Event {
            number: 0,
            id: Uuid::now_v7(),
            at_micros: lease.created.as_micros(),
            kind: kind_and_reason(&What::Granted).0.to_owned(),
            limit: Some((*name).to_owned()),
            holder: holder.clone(),
            lease: Some(Uuid::from_u128(lease.id.0)),
            reason: Some(UNTOLD.to_owned()),
            document: None,
        }));
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use leasehold_engine::{
        Acquire, Command, CreateLimit, Hold, Ledger, LimitRef, Missing, Mode, Rate, Span,
        Timestamp, Want,
    };
    use leasehold_journal::{Journal, MemoryJournal};
    use leasehold_records::{Bounds, EventFilter};

    use super::*;
    use crate::event_log::events;

    /// The kind, the limit, the lease, the time in seconds from now, and the reason.
    type Told = (String, Option<String>, u128, f64, Option<String>);

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
        fn caught_up(&mut self) -> Vec<Told> {
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

    fn event(kind: &str, limit: &str, lease: u128, seconds: f64, reason: &str) -> Told {
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
        world.told(take(2, &["gpu"], 60));
        world.told(take(3, &["db"], 4));
        world.told(take(4, &["db"], 60));
        world.untold(release(1));
        let gpu = LimitRef::Name("gpu".into());
        world.untold(Command::DeleteLimit { limit: gpu, scope: leasehold_engine::Scope::All });
        world.untold(take(5, &["db"], 60));
        world.untold(take(6, &["db"], 60));
        world.untold(release(6));
        let told = world.caught_up();
        assert_eq!(
            told,
            [
                event("lease.ended", "db", 1, 0.0, UNTOLD),
                event("lease.ended", "gpu", 1, 0.0, UNTOLD),
                event("lease.ended", "gpu", 2, 0.0, UNTOLD),
                event("lease.expired", "db", 3, -2.0, "it was not renewed"),
                event("lease.granted", "db", 5, -2.0, UNTOLD),
            ]
        );
        assert_eq!(world.caught_up(), []);
    }

    #[test]
    fn a_log_that_is_new_is_told_of_the_newest_leases() {
        let mut world = World::new();
        world.records = Records::in_memory(Bounds::default()).unwrap();
        for lease in 1..=GRANTS_MAX as u128 + 2 {
            world.untold(take(lease, &["db"], 86_400));
        }
        let told = world.caught_up();
        assert_eq!(told.len(), GRANTS_MAX + 1);
        assert_eq!(told[0].0, "log.dropped");
        assert_eq!(told[0].4, Some(format!("2 leases were granted, and {UNTOLD}")));
        assert_eq!((&*told[1].0, told[1].2), ("lease.granted", 3));
    }
}
