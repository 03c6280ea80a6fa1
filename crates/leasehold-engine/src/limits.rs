//! What operators do to limits: make, change, reset and delete them.

use std::sync::Arc;

use crate::command::{CreateLimit, LimitPatch, LimitRef, Scope};
use crate::decay::{Level, Rate};
use crate::event::{EventKind, Loss};
use crate::lease::LeaseId;
use crate::ledger::Ledger;
use crate::limit::{Limit, LimitId};
use crate::outcome::{Created, Deleted, Updated};
use crate::unleased::{TakenBy, Unleased};

impl Ledger {
    pub(crate) fn create_limit(&mut self, create: CreateLimit) -> Created {
        if self.names.contains_key(&create.name) || self.rooms.contains_key(&create.id) {
            return Created::NameTaken;
        }
        let id = create.id;
        let mut unleased = Unleased::default();
        unleased.take(TakenBy::Created, Level::from_slots(create.unleased), self.now);
        self.insert_limit(Limit {
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
        });
        self.emit_unleased_change(id, Level::ZERO);
        self.view(id, Scope::All).map_or(Created::NameTaken, Created::Made)
    }

    pub(crate) fn update_limit(&mut self, limit: &LimitRef, patch: LimitPatch) -> Updated {
        let Some(id) = self.find(limit, Scope::All) else {
            return Updated::NotFound;
        };
        let Some(old) = self.rooms.get(&id).map(|room| &room.limit) else {
            return Updated::NotFound;
        };
        let name = patch.name.filter(|name| *name != old.name);
        if name.as_ref().is_some_and(|name| self.names.contains_key(name)) {
            return Updated::NameTaken;
        }
        let Some(was) = self.settled_room(id).map(|room| room.limit.clone()) else {
            return Updated::NotFound;
        };
        if let Some(name) = name {
            self.rename_limit(id, name);
        }
        if let Some(decay) = patch.decay {
            self.change_decay(id, decay);
        }
        if let Some(room) = self.settled_room(id) {
            let limit = &mut room.limit;
            limit.slots = patch.slots.unwrap_or(limit.slots);
            limit.active = patch.active.unwrap_or(limit.active);
            if let Some(taken_max) = patch.taken_max.map(Level::from_slots) {
                limit.unleased.lower_to(taken_max.saturating_sub(room.leased));
            }
            limit.denied_slots = patch.denied_slots.unwrap_or(limit.denied_slots);
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
        let target = Level::from_slots(slots);
        self.settled_room(id);
        for lease in self.leases_on(id) {
            if self.rooms.get(&id).is_none_or(|room| room.leased <= target) {
                break;
            }
            // One that has drained to nothing has nothing to give.
            if self.level_on(lease, id) > Level::ZERO {
                // Revoking a lease that is there cannot fail.
                let _ = self.revoke(lease, reason.cloned(), None);
            }
        }
        let now = self.now;
        if let Some(room) = self.settled_room(id) {
            room.limit.unleased.set(target.saturating_sub(room.leased), now);
            let unleased = room.limit.unleased.slots_taken();
            let edited = Some(Box::new(room.limit.clone()));
            self.emit_for_limit(EventKind::LimitReset { taken: slots, unleased, edited }, id);
        }
        Updated::Done
    }

    pub(crate) fn delete_limit(&mut self, limit: &LimitRef, scope: Scope) -> Deleted {
        let Some(id) = self.find(limit, scope) else {
            return Deleted::NotFound;
        };
        for lease in self.leases_on(id) {
            let is_empty = self.lose(lease, id, Loss::Deleted);
            // A client that renews a lease is not to be disturbed; one that cannot would leave
            // the empty lease behind for good.
            let renews = self.lease(lease).is_some_and(|lease| lease.deadline.is_some());
            if is_empty && (scope == Scope::Tags || !renews) {
                // Revoking a lease that is there cannot fail.
                let _ = self.revoke(lease, None, None);
            }
        }
        self.remove_limit(id);
        Deleted::Done
    }

    fn rename_limit(&mut self, id: LimitId, name: Arc<str>) {
        if let Some(room) = self.settled_room(id) {
            let old = std::mem::replace(&mut room.limit.name, name.clone());
            self.names.remove(&old);
            self.names.insert(name, id);
        }
    }

    /// The leases on a limit, oldest first.
    pub(crate) fn leases_on(&self, limit: LimitId) -> Vec<LeaseId> {
        self.rooms.get(&limit).map_or_else(Vec::new, |room| room.leases.values().copied().collect())
    }

    /// What of a lease's slots on a limit had not drained when the limit was last settled.
    fn level_on(&self, lease: LeaseId, limit: LimitId) -> Level {
        let holdings = self.lease(lease).map(|lease| &lease.holdings);
        let holding = holdings.and_then(|held| held.iter().find(|held| held.limit == limit));
        holding.map_or(Level::ZERO, |holding| holding.level)
    }

    /// Changes how fast a limit drains. Where decay begins or ends, live leases hold all
    /// their slots again: a holder that is still there counts in full.
    fn change_decay(&mut self, id: LimitId, decay: Rate) {
        let Some(room) = self.settled_room(id) else {
            return;
        };
        let old = std::mem::replace(&mut room.limit.decay, decay);
        if old.is_none() == decay.is_none() {
            return;
        }
        room.refill();
        if decay.is_none() {
            room.limit.unleased.stop_draining();
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
        if let Some(room) = self.settled_room(id) {
            room.leased = leased;
        }
    }
}
