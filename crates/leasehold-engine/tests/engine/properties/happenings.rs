//! What is told of leases is the whole story: whoever keeps it knows who holds what.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_engine::{Happening, What};
use proptest::prelude::*;

use super::picture;
use super::story::{by_all_with_notes, opening, story};

/// The leases on each limit by name, as the last thing told of each lease under that name has it.
/// Of a limit itself nothing is asked: a log may be read with leases alone.
#[derive(Default)]
struct Log(BTreeMap<String, BTreeSet<u128>>);

impl Log {
    fn note(&mut self, happening: &Happening) {
        let Some(lease) = happening.lease else { return };
        for name in &happening.limits {
            let held = self.0.entry(name.to_string()).or_default();
            match happening.what {
                What::Granted | What::RenewedLate { .. } | What::MovedIn { .. } => {
                    held.insert(lease.0);
                }
                What::Released | What::Ended(_) | What::Lost(_) | What::MovedOut { .. } => {
                    held.remove(&lease.0);
                }
                ref other => panic!("not told of a lease: {other:?}"),
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
    fn whoever_reads_what_was_told_of_leases_knows_who_holds_what(
        events in story(by_all_with_notes()),
    ) {
        let (mut ledger, mut log) = (opening(), Log::default());
        for event in events {
            let now = event.pace.time(&ledger);
            let step = ledger.step(event.command.clone(), now);
            step.happened.iter().for_each(|happening| log.note(happening));
            let held = picture(&mut ledger).into_iter().filter(|(_, _, ids)| !ids.is_empty());
            let held: BTreeMap<_, _> =
                held.map(|(name, _, ids)| (name, ids.into_iter().collect())).collect();
            prop_assert_eq!(log.holders(), held, "after {:?}", event.command);
        }
    }
}
