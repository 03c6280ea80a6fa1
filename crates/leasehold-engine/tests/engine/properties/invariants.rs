//! The invariants of the design: each must hold after every step.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_engine::{
    Acquired, Command, Fence, Hold, Ledger, Level, LimitId, Outcome, Snapshot, Span,
};
use leasehold_journal::{Journal, MemoryJournal};
use proptest::prelude::*;

use super::story::{by_all, by_holders, opening, story};
use super::{is_gone, picture};

/// What the leases of a snapshot hold of a limit, as it was when the limit was last settled.
fn leased(snapshot: &Snapshot, limit: LimitId) -> Level {
    let holdings = snapshot.leases.iter().flat_map(|lease| &lease.holdings);
    holdings.filter(|held| held.limit == limit).map(|held| held.level).sum()
}

/// What is granted by an outcome, if anything is.
fn is_granted(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Acquired(Acquired::Granted(_)))
}

proptest! {
    #[test]
    fn i1_without_operators_no_limit_is_ever_exceeded(events in story(by_holders())) {
        let mut ledger = opening();
        let slots: BTreeMap<_, _> =
            ledger.snapshot().limits.iter().map(|l| (l.name.to_string(), l.slots)).collect();
        for event in events {
            let now = event.pace.time(&ledger);
            ledger.step(event.command, now);
            for (name, taken, _) in picture(&mut ledger) {
                prop_assert!(taken <= i128::from(slots[&name]), "{taken} of {name}");
            }
        }
    }

    #[test]
    fn i1_whatever_operators_did_a_grant_never_exceeds_a_limit(events in story(by_all())) {
        let mut ledger = opening();
        for event in events {
            let now = event.pace.time(&ledger);
            ledger.step(Command::Tick, now);
            let before: BTreeMap<_, _> = taken(&mut ledger);
            let is_acquire = matches!(event.command, Command::Acquire(_));
            let outcome = ledger.step(event.command, now).outcome;
            if is_acquire && is_granted(&outcome) {
                for limit in ledger.snapshot().limits {
                    let taken = taken(&mut ledger)[&limit.name.to_string()];
                    let has_grown = taken > before[&limit.name.to_string()];
                    prop_assert!(!has_grown || limit.active, "{} is inactive", limit.name);
                    prop_assert!(!has_grown || !limit.returning, "{} is returning", limit.name);
                    prop_assert!(!has_grown || taken <= i128::from(limit.slots));
                }
            }
        }
    }

    #[test]
    fn i2_an_acquire_takes_all_or_nothing(events in story(by_all())) {
        let mut ledger = opening();
        for event in events {
            let now = event.pace.time(&ledger);
            ledger.step(Command::Tick, now);
            let before = ledger.snapshot();
            let outcome = ledger.step(event.command.clone(), now).outcome;
            let after = ledger.snapshot();
            let Command::Acquire(acquire) = event.command else {
                continue;
            };
            if !is_granted(&outcome) {
                prop_assert_eq!(before, after);
                continue;
            }
            let Hold::Lease { id, .. } = acquire.hold else {
                continue;
            };
            if before.leases.iter().any(|lease| lease.id == id) {
                continue;
            }
            let wanted: BTreeSet<_> = before
                .limits
                .iter()
                .filter(|limit| limit.active)
                .filter(|limit| acquire.wants.iter().any(|want| want.name == limit.name))
                .map(|limit| limit.id)
                .collect();
            let lease = after.leases.iter().find(|lease| lease.id == id);
            let held: BTreeSet<_> =
                lease.iter().flat_map(|l| &l.holdings).map(|held| held.limit).collect();
            prop_assert_eq!(held, wanted);
        }
    }

    #[test]
    fn i3_a_lease_is_given_back_once(events in story(by_all())) {
        let mut ledger = opening();
        for event in events {
            let now = event.pace.time(&ledger);
            let ends = match event.command {
                Command::Release { lease } | Command::Revoke { lease, .. } => Some(lease),
                _ => None,
            };
            ledger.step(event.command, now);
            if let Some(lease) = ends {
                let before = ledger.snapshot();
                for _ in 0..2 {
                    let release = ledger.step(Command::Release { lease }, now).outcome;
                    prop_assert!(is_gone(&release), "{release:?}");
                    let renew = Command::Renew { lease, ttl: Span::from_seconds(1) };
                    let renewed = ledger.step(renew, now).outcome;
                    prop_assert!(is_gone(&renewed), "{renewed:?}");
                }
                prop_assert_eq!(ledger.snapshot(), before);
            }
        }
    }

    #[test]
    fn i4_no_operators_command_leaks_a_slot_or_frees_another_leases_slot(
        events in story(by_all()),
    ) {
        let mut ledger = opening();
        for event in events {
            let now = event.pace.time(&ledger);
            let before = ledger.snapshot();
            let released = match event.command {
                Command::Release { lease } => before.leases.into_iter().find(|l| l.id == lease),
                _ => None,
            };
            let others = released.map(|released| {
                let on = |name: &str| before.limits.iter().any(|limit| {
                    *limit.name == *name && released.holdings.iter().any(|h| h.limit == limit.id)
                });
                ledger.step(Command::Tick, now);
                let mut others = picture(&mut ledger);
                others.retain(|(name, ..)| !on(name));
                others
            });
            ledger.step(event.command, now);
            if let Some(others) = others {
                let after = picture(&mut ledger);
                prop_assert!(others.iter().all(|other| after.contains(other)));
            }
        }
        // When the last lease has ended, nothing is leased.
        let now = ledger.now();
        for lease in ledger.snapshot().leases {
            ledger.step(Command::Release { lease: lease.id }, now);
        }
        for limit in ledger.snapshot().limits {
            let left = limit.unleased.after(limit.decay.drained(limit.settled, now));
            let left = left.slots_taken() + limit.foreign;
            prop_assert_eq!(taken(&mut ledger)[&limit.name.to_string()], i128::from(left));
        }
    }

    #[test]
    fn i5_no_read_shows_a_lease_past_its_deadline(events in story(by_all())) {
        let mut ledger = opening();
        for event in events {
            let now = event.pace.time(&ledger);
            let due: BTreeSet<_> = ledger
                .snapshot()
                .leases
                .iter()
                .filter(|lease| lease.deadline.is_some_and(|deadline| deadline <= now))
                .map(|lease| lease.id)
                .collect();
            let step = ledger.step(event.command, now);
            let expired: BTreeSet<_> = step.expired.into_iter().collect();
            prop_assert_eq!(expired, due, "exactly those that are due expire");
            prop_assert!(ledger.next_deadline().is_none_or(|next| next > ledger.now()));
        }
    }

    #[test]
    fn i6_after_a_downtime_every_lease_has_the_time_left_that_it_had(
        events in story(by_all()),
        downtimes in prop::collection::vec(-3_000_000..9_000_000_i64, 1..4),
        commits in any::<bool>(),
    ) {
        let mut ledger = opening();
        let mut journal = MemoryJournal::default();
        for event in events {
            let now = event.pace.time(&ledger);
            ledger.step(event.command, now);
        }
        let mut changes = Some(ledger.take_changes());
        let left = |ledger: &Ledger| -> Vec<_> {
            let leases = ledger.snapshot().leases.into_iter();
            leases.map(|lease| lease.deadline.map(|at| at.since(ledger.now()))).collect()
        };
        let before = left(&ledger);
        for downtime in downtimes {
            if let Some(changes) = changes.take() {
                journal.commit(&changes).unwrap();
            }
            let now = ledger.now().as_micros() + downtime;
            let now = leasehold_engine::Timestamp::from_micros(now);
            ledger = Ledger::restore(journal.load().unwrap(), now);
            prop_assert_eq!(&left(&ledger), &before);
            prop_assert!(ledger.step(Command::Tick, now).expired.is_empty());
            if commits {
                changes = Some(ledger.take_changes());
            }
        }
    }

    #[test]
    fn i7_fences_rise_across_restarts(events in story(by_all()), restarts in any::<u64>()) {
        let mut ledger = opening();
        let mut journal = MemoryJournal::default();
        let mut greatest = Fence(0);
        let mut known = BTreeSet::new();
        for (nth, event) in events.into_iter().enumerate() {
            let now = event.pace.time(&ledger);
            ledger.step(event.command, now);
            for lease in ledger.snapshot().leases {
                if known.insert(lease.fence) {
                    prop_assert!(lease.fence > greatest, "{:?} after {greatest:?}", lease.fence);
                    greatest = lease.fence;
                }
            }
            journal.commit(&ledger.take_changes()).unwrap();
            if restarts & (1 << (nth % 64)) != 0 {
                ledger = Ledger::restore(journal.load().unwrap(), now);
            }
        }
    }

    #[test]
    fn i7_fences_rise_though_old_backups_are_restored(
        events in story(by_holders()),
        restores in any::<u64>(),
        downtimes in prop::collection::vec(1..3_000_000_u64, 1..8),
    ) {
        let mut ledger = opening();
        let mut journal = MemoryJournal::default();
        journal.commit(&ledger.take_changes()).unwrap();
        let backup = journal.load().unwrap();
        // Fewer than 10⁶ leases a second were granted after the backup.
        let mut now = ledger.now();
        ledger.raise_fences(now);
        let (mut greatest, mut grants) = (Fence(0), 0);
        for (nth, event) in events.into_iter().enumerate() {
            now = now.max(event.pace.time(&ledger));
            if let Outcome::Acquired(Acquired::Granted(grant)) =
                ledger.step(event.command, now).outcome
                && let Some(lease) = grant.lease
                && lease.fence > greatest
            {
                (greatest, grants) = (lease.fence, grants + 1);
            }
            if restores & (1 << (nth % 64)) != 0 {
                now = now + Span::from_micros(grants + downtimes[nth % downtimes.len()]);
                ledger = Ledger::restore(backup.clone(), now);
                ledger.raise_fences(now);
                let next = ledger.snapshot().next_fence;
                prop_assert!(next > greatest, "{next:?} after {greatest:?}");
            }
        }
    }

    #[test]
    fn i10_a_lease_releases_exactly_what_has_not_drained(
        slots in prop::collection::vec(1..5_u64, 1..6),
        gaps in prop::collection::vec(0..900_000_i64, 6),
        units in 1..3_000_000_000_u64,
        given_back in any::<prop::sample::Index>(),
    ) {
        // Leases on one draining limit, granted one after the other; then one is released.
        let rate = leasehold_engine::Rate::from_units(units);
        let mut world = crate::fixture::World::draining("r", 100, rate.as_slots_per_second());
        for (lease, (slots, gap)) in (1..).zip(slots.iter().zip(&gaps)) {
            prop_assert!(matches!(
                world.acquire(lease, &[("r", *slots)]),
                Acquired::Granted(_)
            ));
            world.wait(*gap as f64 / 1e6);
        }
        let chosen = given_back.index(slots.len());
        let id = LimitId(1);
        world.step(Command::UpdateLimit {
            limit: leasehold_engine::LimitRef::Id(id),
            patch: leasehold_engine::LimitPatch::default(),
        });
        let before = leased(&world.ledger.snapshot(), id);
        let lease = world.release(u128::try_from(chosen).unwrap() + 1).unwrap();
        let held = lease.holdings[0].level;
        prop_assert!(held <= Level::from_slots(slots[chosen]));
        prop_assert_eq!(leased(&world.ledger.snapshot(), id), before - held);
        // Oldest first: while an older lease had anything left, no younger one drained.
        let older: Level = world
            .ledger
            .snapshot()
            .leases
            .iter()
            .filter(|other| other.fence < lease.fence)
            .map(|other| other.holdings[0].level)
            .sum();
        prop_assert!(older == Level::ZERO || held == Level::from_slots(slots[chosen]));
    }
}

fn taken(ledger: &mut Ledger) -> BTreeMap<String, i128> {
    picture(ledger).into_iter().map(|(name, taken, _)| (name, taken)).collect()
}
