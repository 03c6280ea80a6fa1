//! Tag-based limits: limits named `tag:<tag>`, whose holders are task runs.
//!
//! Their clients cannot renew, so their leases have no deadline. Their clients name the holder
//! instead of the lease, so a holder holds a tag once, however often it asks (contract C5).

use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use crate::command::{CreateLimit, LimitPatch};
use crate::decay::Level;
use crate::event::{EventKind, Loss};
use crate::holder::Holder;
use crate::lease::{Holding, LeaseId};
use crate::ledger::Ledger;
use crate::limit::{LimitId, MinimalLimit};
use crate::outcome::{Created, Updated};
use crate::query::{LimitRef, Scope};
use crate::unleased::Unleased;

impl Ledger {
    pub(crate) fn put_tag_limit(&mut self, id: LimitId, name: &Arc<str>, slots: u64) -> Created {
        let Some(known) = self.find(&LimitRef::Name(name.clone()), Scope::Tags) else {
            return self.create_limit(CreateLimit::new(id, name.clone(), slots));
        };
        let patch = LimitPatch { slots: Some(slots), ..LimitPatch::default() };
        self.update_limit(&LimitRef::Id(known), patch);
        self.view(known, Scope::Tags).map_or(Created::NameTaken, Created::Changed)
    }

    pub(crate) fn reset_tag(
        &mut self,
        name: &Arc<str>,
        holders: Vec<(LeaseId, Holder)>,
        reason: Option<&Arc<str>>,
    ) -> Updated {
        let Some(id) = self.find(&LimitRef::Name(name.clone()), Scope::Tags) else {
            return Updated::NotFound;
        };
        for lease in self.leases_on(id) {
            if self.lose(lease, id, Loss::Reset { reason: reason.cloned() }) {
                // Revoking a lease that exists cannot fail.
                let _ = self.revoke(lease, reason.cloned(), None);
            }
        }
        let mut taken = 0;
        if let Some(entry) = self.settle(id) {
            entry.limit.unleased = Unleased::default();
            taken = entry.limit.foreign;
        }
        self.emit_for_limit(EventKind::LimitReset { taken, unleased: 0, edited: None }, id);
        for (lease, holder) in holders {
            if self.holds(&holder, id) || self.lease(lease).is_some() {
                continue;
            }
            let holding = Holding { limit: id, slots: 1, level: Level::from_slots(1) };
            self.lease_out(lease, Some(holder), smallvec![holding], None, None, None);
        }
        Updated::Done
    }

    pub(crate) fn release_tags(
        &mut self,
        names: &[Arc<str>],
        holder: &Holder,
    ) -> SmallVec<[MinimalLimit; 1]> {
        let mut limits = SmallVec::<[MinimalLimit; 1]>::new();
        for name in names {
            let Some(id) = self.find(&LimitRef::Name(name.clone()), Scope::Tags) else {
                continue;
            };
            if limits.iter().any(|known| known.id == id) {
                continue;
            }
            let leases: SmallVec<[LeaseId; 1]> = self.leases_of(holder).into();
            for lease in leases {
                if !self.holds_by(lease, id) {
                    continue;
                }
                let alone = self.lease(lease).is_some_and(|lease| lease.holdings.len() == 1);
                if alone {
                    // Releasing the whole lease samples its occupancy.
                    let _ = self.release(lease);
                } else {
                    self.emit_for_lease_on(EventKind::Released, id, lease);
                    self.remove_holding(lease, id);
                }
            }
            limits.extend(self.limits.get(&id).map(|entry| MinimalLimit::from(&entry.limit)));
        }
        limits
    }

    /// Whether any lease of this holder is on this limit.
    pub(crate) fn holds(&self, holder: &Holder, limit: LimitId) -> bool {
        self.leases_of(holder).iter().any(|lease| self.holds_by(*lease, limit))
    }

    fn holds_by(&self, lease: LeaseId, limit: LimitId) -> bool {
        self.lease(lease)
            .is_some_and(|lease| lease.holdings.iter().any(|holding| holding.limit == limit))
    }
}
