//! The events are complete: a log of them says which leases hold each limit.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_engine::{Event, EventKind};
use proptest::prelude::*;

use super::picture;
use super::story::{by_all, by_all_with_notes, opening, story};

/// The slots of each limit that are taken without a lease, as its last event says. Limits with
/// decay have such events only when they are edited.
#[derive(Default)]
struct Unleased(BTreeMap<String, u64>);

impl Unleased {
    fn note(&mut self, event: &Event) {
        let Some(name) = event.limits.first() else { return };
        let (name, unleased) = match &event.kind {
            EventKind::LimitDeleted(_) => {
                self.0.remove(&**name);
                return;
            }
            EventKind::LimitCreated(_) => (name, 0),
            EventKind::Taken { unleased, .. }
            | EventKind::GivenBack { unleased, .. }
            | EventKind::LimitReset { unleased, .. } => (name, *unleased),
            EventKind::LimitChanged { was, is } => {
                self.0.remove(&*was.name);
                (&is.name, is.unleased.slots_taken())
            }
            _ => return,
        };
        self.0.insert(name.to_string(), unleased);
    }
}

/// The leases on each limit by name, as the last event of each lease under that name says. Events
/// of the limits themselves are not needed.
#[derive(Default)]
struct Log(BTreeMap<String, BTreeSet<u128>>);

impl Log {
    fn note(&mut self, event: &Event) {
        let Some(lease) = event.lease else { return };
        for name in &event.limits {
            let held = self.0.entry(name.to_string()).or_default();
            match event.kind {
                EventKind::Granted | EventKind::RenewedLate { .. } | EventKind::MovedIn { .. } => {
                    held.insert(lease.0);
                }
                EventKind::Released
                | EventKind::Ended(_)
                | EventKind::Lost(_)
                | EventKind::MovedOut { .. } => {
                    held.remove(&lease.0);
                }
                ref other => panic!("no event of a lease: {other:?}"),
            }
        }
    }

    fn holders(&self) -> BTreeMap<String, BTreeSet<u128>> {
        let held = self.0.iter().filter(|(_, leases)| !leases.is_empty());
        held.map(|(name, leases)| (name.clone(), leases.clone())).collect()
    }
}

proptest! {
    #[test]
    fn the_events_of_limits_say_how_many_slots_are_taken_without_a_lease(
        events in story(by_all()),
    ) {
        let (mut ledger, mut log) = (opening(), Unleased::default());
        for event in events {
            let now = event.pace.time(&ledger);
            let step = ledger.step(event.command.clone(), now);
            step.events.iter().for_each(|event| log.note(event));
            let limits = ledger.snapshot().limits.into_iter();
            for limit in limits.filter(|limit| limit.decay.is_none()) {
                let logged = log.0.get(&*limit.name).copied().unwrap_or(0);
                let taken = limit.unleased.slots_taken();
                prop_assert_eq!(logged, taken, "{} after {:?}", limit.name, event.command);
            }
        }
    }

    #[test]
    fn the_events_of_leases_say_which_leases_hold_each_limit(
        events in story(by_all_with_notes()),
    ) {
        let (mut ledger, mut log) = (opening(), Log::default());
        for event in events {
            let now = event.pace.time(&ledger);
            let step = ledger.step(event.command.clone(), now);
            step.events.iter().for_each(|event| log.note(event));
            let held = picture(&mut ledger).into_iter().filter(|(_, _, ids)| !ids.is_empty());
            let held: BTreeMap<_, _> =
                held.map(|(name, _, ids)| (name, ids.into_iter().collect())).collect();
            prop_assert_eq!(log.holders(), held, "after {:?}", event.command);
        }
    }
}
