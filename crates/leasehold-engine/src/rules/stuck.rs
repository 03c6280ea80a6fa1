//! Deadlocks: a party waits for slots that it holds itself, or several parties wait for each other.
//!
//! They are reported to people and never refused: another thread of a party may release the slots.
//! Slots of unknown parties count as slots that come free. So do those of leases beyond the bounds
//! below, and those that drain.

use smallvec::SmallVec;

use crate::acquire::Acquire;
use crate::holder::Holder;
use crate::lease::Lease;
use crate::ledger::Ledger;
use crate::limit::LimitId;
use crate::queue::Wanted;
use crate::refusal::StuckOn;

mod picture;

use self::picture::{Held, Picture, Wait};

/// How many waiting requests one report looks at.
const WAITS_MAX: usize = 256;
/// How many leases one report looks at.
const LEASES_MAX: usize = 256;
/// How many leases one report names.
const NAMED_MAX: usize = 8;

/// The party that can release a lease. Each task of a flow run has its own leases.
fn party_of(lease: &Lease) -> Option<Holder> {
    lease.holder.clone().or_else(|| lease.origin.as_deref().and_then(|origin| origin.runs().next()))
}

impl Ledger {
    /// The leases that a request is stuck on: those of its own parties, or of parties that wait for
    /// these, directly or through others. Empty if its wait can end.
    pub(crate) fn stuck(&self, acquire: &Acquire, wanted: &[Wanted]) -> Vec<StuckOn> {
        let parties = acquire.parties();
        // Most requests have no known party, or a party that holds nothing yet.
        let may_hold =
            |party: &Holder| &*party.kind == Holder::FLOW_RUN || !self.leases_of(party).is_empty();
        if !parties.iter().any(may_hold) {
            return Vec::new();
        }
        let mut survey = Survey { ledger: self, picture: Picture::default(), leases: 0 };
        survey.look_at(acquire, wanted, &parties);
        let found = survey.picture.blocks_the_first().into_iter().take(NAMED_MAX);
        found.filter_map(|held| self.stuck_on(&held, &survey.picture)).collect()
    }

    fn stuck_on(&self, held: &Held, picture: &Picture) -> Option<StuckOn> {
        let name = |limit: &LimitId| Some(self.limits.get(limit)?.limit.name.clone());
        let lease = self.lease(held.lease)?;
        Some(StuckOn {
            limit: name(&held.limit)?,
            lease: lease.id,
            holder: lease.holder.clone(),
            origin: lease.origin.clone(),
            is_own: picture.is_of_first(held.party),
            waits_for: picture.awaited_by(held.party).iter().filter_map(name).collect(),
        })
    }
}

/// Searches from one request to the leases on its limits, to the requests of their parties, and on.
struct Survey<'ledger> {
    ledger: &'ledger Ledger,
    picture: Picture,
    leases: usize,
}

impl Survey<'_> {
    fn look_at(&mut self, acquire: &Acquire, wanted: &[Wanted], parties: &[Holder]) {
        self.add_wait(acquire, wanted, parties);
        let (mut party, mut wait) = (0, 0);
        while party < self.picture.parties() || wait < self.picture.waits.len() {
            if let Some(next) = self.picture.waits.get(wait) {
                let limits: SmallVec<[LimitId; 1]> =
                    next.needs.iter().map(|(limit, _)| *limit).collect();
                limits.into_iter().for_each(|limit| self.open(limit));
                wait += 1;
            } else {
                self.add_waits_of(party);
                party += 1;
            }
        }
    }

    fn add_waits_of(&mut self, party: usize) {
        let Some(holder) = self.picture.party(party).cloned() else { return };
        for waiter in self.ledger.queue.of_party(&holder).take(WAITS_MAX) {
            self.add_wait(&waiter.acquire, &waiter.wanted, &waiter.acquire.parties());
        }
    }

    fn add_wait(&mut self, acquire: &Acquire, wanted: &[Wanted], parties: &[Holder]) {
        if self.picture.waits.len() >= WAITS_MAX {
            return;
        }
        let needs = wanted
            .iter()
            .filter(|want| !self.ledger.is_held_already(want.limit, &acquire.hold))
            .filter(|want| {
                let entry = self.ledger.limits.get(&want.limit);
                entry.is_some_and(|entry| entry.limit.active && entry.limit.decay.is_none())
            })
            .map(|want| (want.limit, want.slots))
            .collect();
        let parties = parties.iter().map(|party| self.picture.known_as(party)).collect();
        self.picture.waits.push(Wait { parties, needs });
    }

    /// Adds what waiting parties hold of a limit.
    fn open(&mut self, limit: LimitId) {
        let Some(entry) = self.ledger.limits.get(&limit) else { return };
        if !self.picture.add_limit(limit, entry.limit.slots) {
            return;
        }
        let left = LEASES_MAX - self.leases;
        for id in entry.leases.values().take(left) {
            self.leases += 1;
            let Some(lease) = self.ledger.lease(*id) else { continue };
            let Some(party) = party_of(lease) else { continue };
            let waits = self.picture.is_known(&party)
                || self.ledger.queue.of_party(&party).next().is_some();
            let held = lease.holdings.iter().find(|held| held.limit == limit);
            if let Some(held) = held.filter(|_| waits) {
                let party = self.picture.known_as(&party);
                self.picture.hold(Held { party, limit, slots: held.slots, lease: *id });
            }
        }
    }
}
