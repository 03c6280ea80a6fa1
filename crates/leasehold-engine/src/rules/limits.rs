//! Operators create, change, reset and delete limits.

use std::sync::Arc;

use crate::command::{CreateLimit, LimitPatch};
use crate::decay::{Level, Rate};
use crate::event::{EventKind, Loss};
use crate::lease::LeaseId;
use crate::ledger::{Ledger, LimitEntry};
use crate::limit::{Limit, LimitId};
use crate::outcome::{Created, Deleted, Updated};
use crate::query::{LimitRef, Scope};
use crate::unleased::{TakenBy, Unleased};

impl Ledger {
    pub(crate) fn create_limit(&mut self, create: CreateLimit) -> Created {
        self.create_with(create, |_| {})
    }

    /// Creates a limit, with what `also` changes of it before.
    pub(super) fn create_with(
        &mut self,
        create: CreateLimit,
        also: impl FnOnce(&mut Limit),
    ) -> Created {
        if self.names.contains_key(&create.name) || self.limits.contains_key(&create.id) {
            return Created::NameTaken;
        }
        let id = create.id;
        let mut unleased = Unleased::default();
        unleased.take(TakenBy::Created, Level::from_slots(create.unleased), self.now);
        let mut limit = Limit {
            id,
            name: create.name,
            slots: create.slots,
            active: create.active,
            decay: create.decay,
            created: self.now,
            updated: self.now,
            denied_slots: create.denied_slots,
            occupancy_seconds_average: Limit::OCCUPANCY_SECONDS_AT_FIRST,
            unleased,
            settled: self.now,
            foreign: 0,
            returning: false,
        };
        also(&mut limit);
        self.insert_limit(limit);
        self.emit_unleased_change(id, Level::ZERO);
        self.view(id, Scope::All).map_or(Created::NameTaken, Created::Made)
    }

    pub(crate) fn update_limit(&mut self, limit: &LimitRef, patch: LimitPatch) -> Updated {
        match self.find(limit, Scope::All) {
            Some(id) => self.edit(id, patch, |_| {}),
            None => Updated::NotFound,
        }
    }

    /// Changes what a patch names and what `also` changes, with one event.
    pub(super) fn edit(
        &mut self,
        id: LimitId,
        patch: LimitPatch,
        also: impl FnOnce(&mut LimitEntry),
    ) -> Updated {
        let Some(old) = self.limits.get(&id).map(|entry| &entry.limit) else {
            return Updated::NotFound;
        };
        let name = patch.name.filter(|name| *name != old.name);
        if name.as_ref().is_some_and(|name| self.names.contains_key(name)) {
            return Updated::NameTaken;
        }
        let Some(was) = self.settle(id).map(|entry| entry.limit.clone()) else {
            return Updated::NotFound;
        };
        if let Some(name) = name {
            self.rename_limit(id, name);
        }
        if let Some(decay) = patch.decay {
            self.change_decay(id, decay);
        }
        if let Some(entry) = self.settle(id) {
            let limit = &mut entry.limit;
            limit.slots = patch.slots.unwrap_or(limit.slots);
            limit.active = patch.active.unwrap_or(limit.active);
            if let Some(taken_max) = patch.taken_max.map(Level::from_slots) {
                let kept = entry.leased + Level::from_slots(limit.foreign);
                limit.unleased.lower_to(taken_max.saturating_sub(kept));
            }
            limit.denied_slots = patch.denied_slots.unwrap_or(limit.denied_slots);
            also(entry);
        }
        self.emit_limit_change(was);
        Updated::Done
    }

    pub(crate) fn reset_limit(
        &mut self,
        limit: &LimitRef,
        slots: u64,
        reason: Option<&Arc<str>>,
    ) -> Updated {
        let Some(id) = self.find(limit, Scope::All) else {
            return Updated::NotFound;
        };
        // What another server counts stays taken.
        let foreign = self.settle(id).map_or(0, |entry| entry.limit.foreign);
        let target = Level::from_slots(slots.saturating_sub(foreign));
        for lease in self.leases_on(id) {
            if self.limits.get(&id).is_none_or(|entry| entry.leased <= target) {
                break;
            }
            // A lease that has drained to nothing frees nothing.
            if self.level_on(lease, id) > Level::ZERO {
                // Revoking a lease that exists cannot fail.
                let _ = self.revoke(lease, reason.cloned(), None);
            }
        }
        let now = self.now;
        if let Some(entry) = self.settle(id) {
            entry.limit.unleased.set(target.saturating_sub(entry.leased), now);
            let unleased = entry.limit.unleased.slots_taken();
            let edited = Some(Box::new(entry.limit.clone()));
            let taken = slots.max(foreign);
            self.emit_for_limit(EventKind::LimitReset { taken, unleased, edited }, id);
        }
        Updated::Done
    }

    pub(crate) fn delete_limit(&mut self, limit: &LimitRef, scope: Scope) -> Deleted {
        let Some(id) = self.find(limit, scope) else {
            return Deleted::NotFound;
        };
        for lease in self.leases_on(id) {
            let is_empty = self.lose(lease, id, Loss::Deleted);
            // The renewals of a client go on. A lease without a deadline would stay empty for ever.
            let renews = self.lease(lease).is_some_and(|lease| lease.deadline.is_some());
            if is_empty && (scope == Scope::Tags || !renews) {
                // Revoking a lease that exists cannot fail.
                let _ = self.revoke(lease, None, None);
            }
        }
        self.remove_limit(id);
        Deleted::Done
    }

    fn rename_limit(&mut self, id: LimitId, name: Arc<str>) {
        if let Some(entry) = self.settle(id) {
            let old = std::mem::replace(&mut entry.limit.name, name.clone());
            self.names.remove(&old);
            self.names.insert(name, id);
        }
    }

    /// How much of a lease's slots had not drained when the limit was last settled.
    fn level_on(&self, lease: LeaseId, limit: LimitId) -> Level {
        let holdings = self.lease(lease).map(|lease| &lease.holdings);
        let holding = holdings.and_then(|held| held.iter().find(|held| held.limit == limit));
        holding.map_or(Level::ZERO, |holding| holding.level)
    }

    /// Changes how fast a limit drains. When decay begins or ends, live leases hold all their slots
    /// again.
    fn change_decay(&mut self, id: LimitId, decay: Rate) {
        let Some(entry) = self.settle(id) else {
            return;
        };
        let old = std::mem::replace(&mut entry.limit.decay, decay);
        if old.is_none() == decay.is_none() {
            return;
        }
        entry.refill();
        if decay.is_none() {
            entry.limit.unleased.stop_draining();
        }
        let mut leased = Level::ZERO;
        for lease in self.leases_on(id) {
            if let Some(lease) = self.lease_mut(lease) {
                for holding in lease.holdings.iter_mut().filter(|held| held.limit == id) {
                    holding.level = Level::from_slots(holding.slots);
                    leased += holding.level;
                }
            }
        }
        if let Some(entry) = self.settle(id) {
            entry.leased = leased;
        }
    }
}
