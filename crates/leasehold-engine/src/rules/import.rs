//! Limits and leases of another server are carried here, while neither server grants anything.

use crate::command::{Import, ImportLease, ImportLimit, LimitPatch};
use crate::decay::Level;
use crate::lease::{Holding, Holdings, Lease};
use crate::ledger::Ledger;
use crate::limit::LimitId;
use crate::outcome::{Created, Imported, Updated};
use crate::query::{LimitRef, Scope};
use crate::unleased::TakenBy;

impl Ledger {
    /// Creates or changes the limits, then enters the leases. Slots are not counted against the
    /// limits: holders of the other server go on.
    pub(crate) fn import(&mut self, import: Import) -> Imported {
        let mut imported = Imported::default();
        for limit in import.limits {
            let name = limit.limit.name.clone();
            if self.import_limit(limit) {
                imported.limits += 1;
            } else {
                imported.refused.push(name);
            }
        }
        for lease in import.leases {
            let id = lease.id;
            if self.import_lease(lease) {
                imported.leases.push(id);
            }
        }
        imported
    }

    fn import_limit(&mut self, import: ImportLimit) -> bool {
        let ImportLimit { limit, created, occupancy_seconds_average, level } = import;
        let (id, now) = (limit.id, self.now);
        if self.names.get(&limit.name).is_some_and(|other| *other != id) {
            self.delete_limit(&LimitRef::Name(limit.name.clone()), Scope::All);
        }
        if !self.limits.contains_key(&id) {
            let made = self.create_with(limit, |limit| {
                limit.created = created.min(now);
                limit.occupancy_seconds_average = occupancy_seconds_average;
                if !limit.decay.is_none() {
                    limit.unleased.take(TakenBy::Spent, level, now);
                }
            });
            return matches!(made, Created::Made(_));
        }
        let patch = LimitPatch {
            name: Some(limit.name),
            slots: Some(limit.slots),
            active: Some(limit.active),
            decay: Some(limit.decay),
            ..LimitPatch::default()
        };
        let updated = self.edit(id, patch, |entry| {
            if !entry.limit.decay.is_none() {
                let more = level.saturating_sub(entry.leased + entry.limit.unleased.level());
                entry.limit.unleased.take(TakenBy::Spent, more, now);
            }
        });
        updated == Updated::Done
    }

    fn import_lease(&mut self, import: ImportLease) -> bool {
        let is_over = import.deadline.is_some_and(|deadline| deadline <= self.now);
        if is_over || self.lease(import.id).is_some() {
            return false;
        }
        let mut holdings = Holdings::new();
        for limit in import.limits {
            if holdings.iter().all(|holding| holding.limit != limit) {
                holdings.extend(self.held_there(limit, import.slots));
            }
        }
        if holdings.is_empty() {
            return false;
        }
        let fence = self.next_fence();
        self.insert_lease(Lease {
            id: import.id,
            fence,
            holder: import.holder,
            holdings,
            created: import.created.min(self.now),
            deadline: import.deadline,
            notes: None,
            origin: None,
            partners: Vec::new(),
        });
        true
    }

    /// What a lease of the other server holds on a limit here. What it spent of a rate limit is in
    /// that limit's level.
    fn held_there(&mut self, limit: LimitId, slots: u64) -> Option<Holding> {
        let entry = self.settle(limit).filter(|entry| entry.limit.active)?;
        let is_rate = !entry.limit.decay.is_none();
        let level = if is_rate { Level::ZERO } else { Level::from_slots(slots) };
        Some(Holding { limit, slots, level })
    }
}
