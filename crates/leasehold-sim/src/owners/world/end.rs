//! After all clients have stopped, neither side counts a slot.

use leasehold_gateway::Phase;

use super::World;
use crate::owners::wire::{LIMITS, LimitNo};

impl World {
    /// After all clients have stopped, nothing is held but what nobody can give back.
    pub(super) fn check_rest(&mut self) {
        for (limit, (name, _)) in LIMITS.into_iter().enumerate() {
            let (count, phantoms) = (self.upstream.count(limit), self.upstream.unheld(limit));
            if count != phantoms {
                self.wrong(limit, &format!("the upstream counts {count}, {phantoms} are phantoms"));
            }
            let Some(gateway) = &self.gateway else { continue };
            let Some(ours) = gateway.books.ledger().limits().find(|it| &*it.name == name) else {
                continue;
            };
            let foreign = ours.foreign + gateway.durable.dropped.get(&limit).copied().unwrap_or(0);
            if gateway.phase(limit) != Phase::Returning && foreign != phantoms {
                self.wrong(limit, &format!("{foreign} foreign slots, {phantoms} are phantoms"));
            }
        }
    }

    /// After everything went back, nothing is left here.
    pub(super) fn check_end(&mut self) {
        for limit in 0..LIMITS.len() {
            let phase = self.gateway.as_ref().map(|gateway| gateway.phase(limit));
            if phase != Some(Phase::Upstream) {
                self.wrong(limit, &format!("it does not go back: {phase:?}"));
            }
            let (count, phantoms) = (self.upstream.count(limit), self.upstream.unheld(limit));
            if count != phantoms {
                self.wrong(limit, &format!("at the end the upstream counts {count}"));
            }
        }
        let here = self.gateway.as_ref().map(|gateway| {
            let ledger = gateway.books.ledger();
            (ledger.limit_count(), ledger.lease_count())
        });
        if here != Some((0, 0)) || self.upstream.lease_count() > 0 {
            let there = self.upstream.lease_count();
            let what = format!("left at the end: {here:?} here, {there} leases there");
            self.observer.report(self.now, what);
        }
    }

    fn wrong(&mut self, limit: LimitNo, what: &str) {
        self.observer.report(self.now, format!("{}: {what}", LIMITS[limit].0));
    }
}
