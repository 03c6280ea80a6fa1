//! Limits that move between this server and another one.
//!
//! While a limit comes over, the other server still counts slots of leases that it granted before:
//! they count here as well. On its way back, a limit grants nothing new, and its leases live on.

use crate::command::{Adopt, LimitPatch};
use crate::decay::Level;
use crate::lease::LeaseId;
use crate::ledger::Ledger;
use crate::limit::{Limit, LimitId};
use crate::outcome::{Created, Updated};
use crate::query::Scope;
use crate::unleased::TakenBy;

impl Ledger {
    /// Takes a limit over from another server. Whatever was granted here since it came over the
    /// first time stays.
    pub(crate) fn adopt(&mut self, adopt: Adopt) -> Created {
        let Adopt { limit, foreign, occupancy_seconds_average, level } = adopt;
        let (id, now) = (limit.id, self.now);
        let count = |limit: &mut Limit, leased: Level| {
            limit.foreign = foreign;
            if !limit.decay.is_none() {
                let more = level.saturating_sub(leased + limit.unleased.level());
                limit.unleased.take(TakenBy::Spent, more, now);
            }
        };
        if !self.limits.contains_key(&id) {
            return self.create_with(limit, |limit| {
                count(limit, Level::ZERO);
                limit.occupancy_seconds_average = occupancy_seconds_average;
            });
        }
        let patch = LimitPatch {
            name: Some(limit.name),
            slots: Some(limit.slots),
            active: Some(limit.active),
            decay: Some(limit.decay),
            ..LimitPatch::default()
        };
        if self.edit(id, patch, |entry| count(&mut entry.limit, entry.leased)) != Updated::Done {
            return Created::NameTaken;
        }
        // The average changes without an event, as it does with each release.
        if let Some(entry) = self.settle(id) {
            entry.limit.occupancy_seconds_average = occupancy_seconds_average;
        }
        self.view(id, Scope::All).map_or(Created::NameTaken, Created::Changed)
    }

    /// Sets how many slots another server counts. The same number again changes nothing.
    pub(crate) fn set_foreign(&mut self, id: LimitId, slots: u64) -> Updated {
        self.change(id, |limit| limit.foreign != slots, |limit| limit.foreign = slots)
    }

    /// Says whether a limit is on its way back. Its waiters are refused when its line is served.
    pub(crate) fn set_returning(&mut self, id: LimitId, returning: bool) -> Updated {
        self.change(id, |limit| limit.returning != returning, |limit| limit.returning = returning)
    }

    /// Sets the partners of a lease. Returns whether the lease lives.
    pub(crate) fn pair(&mut self, id: LeaseId, partners: Vec<LeaseId>) -> bool {
        match self.lease(id) {
            None => false,
            Some(lease) if lease.partners == partners => true,
            Some(_) => {
                if let Some(lease) = self.lease_mut(id) {
                    lease.partners = partners;
                }
                true
            }
        }
    }

    fn change(
        &mut self,
        id: LimitId,
        differs: impl FnOnce(&Limit) -> bool,
        change: impl FnOnce(&mut Limit),
    ) -> Updated {
        let Some(entry) = self.limits.get(&id) else { return Updated::NotFound };
        if !differs(&entry.limit) {
            return Updated::Done;
        }
        self.edit(id, LimitPatch::default(), |entry| change(&mut entry.limit))
    }
}
