//! Waits that cannot end by themselves: a party waits for slots that it holds, or two and more
//! wait for each other's.
//!
//! A report for people, never a refusal: a party may have several threads, and another one of them
//! may give the slots back. Slots of unknown parties count as slots that come free. So do those of
//! leases beyond the bounds below, and those that drain.

use smallvec::SmallVec;

use super::{Ticket, Waiter};
use crate::admission::Wanted;
use crate::command::Acquire;
use crate::event::EventKind;
use crate::holder::Holder;
use crate::lease::Lease;
use crate::ledger::Ledger;
use crate::limit::LimitId;
use crate::origin::Origin;
use crate::outcome::StuckOn;

mod picture;

use self::picture::{Held, Picture, Wait};

/// How many requests that wait are looked at for one report.
const WAITS_MAX: usize = 256;
/// How many leases are looked at for one report.
const LEASES_MAX: usize = 256;
/// How many leases one report names.
const NAMED_MAX: usize = 8;

/// The parties for which a request waits: its holder, and the runs in which it is made.
pub(super) type Parties = SmallVec<[Holder; 1]>;

/// The runs of an origin as holders of their kinds: the task run, and the flow run.
fn runs(origin: Option<&Origin>) -> impl Iterator<Item = Holder> {
    let identified = origin.and_then(|origin| origin.identified.as_deref());
    let runs = identified.map(|it| {
        [(Holder::TASK_RUN, it.task_run.id.clone()), (Holder::FLOW_RUN, it.flow_run.id.clone())]
    });
    let runs = runs.into_iter().flatten();
    runs.filter_map(|(kind, id)| Some(Holder::new(kind, id?)))
}

/// The party that can give a lease back: of tasks in one flow run, each has its own leases.
fn party_of(lease: &Lease) -> Option<Holder> {
    lease.holder.clone().or_else(|| runs(lease.origin.as_deref()).next())
}

pub(super) fn parties(acquire: &Acquire) -> Parties {
    let holder = acquire.hold.holder();
    let runs = runs(acquire.origin.as_deref()).filter(|run| Some(run) != holder);
    holder.cloned().into_iter().chain(runs).collect()
}

impl Ledger {
    /// The leases for which a request waits in vain: its own, or those of parties that wait for
    /// slots of its own, directly or through others. Empty if its wait can end.
    pub(crate) fn stuck(&self, acquire: &Acquire, wanted: &[Wanted]) -> Vec<StuckOn> {
        let parties = parties(acquire);
        // Most requests have no known party, or one that holds nothing yet.
        let may_hold =
            |party: &Holder| &*party.kind == Holder::FLOW_RUN || !self.leases_of(party).is_empty();
        if !parties.iter().any(may_hold) {
            return Vec::new();
        }
        let mut survey = Survey { ledger: self, picture: Picture::default(), leases: 0 };
        survey.look_at(acquire, wanted, &parties);
        let found = survey.picture.keeps_the_first().into_iter().take(NAMED_MAX);
        found.filter_map(|held| self.stuck_on(&held, &survey.picture)).collect()
    }

    pub(super) fn tell_if_stuck(&mut self, waiter: &mut Waiter) {
        let stuck = self.stuck(&waiter.acquire, &waiter.wanted);
        waiter.is_stuck_told = !stuck.is_empty();
        if waiter.is_stuck_told {
            self.emit_for_waiter(EventKind::Stuck(stuck), waiter);
        }
    }

    fn stuck_on(&self, held: &Held, picture: &Picture) -> Option<StuckOn> {
        let name = |limit: &LimitId| Some(self.rooms.get(limit)?.limit.name.clone());
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

/// Looks from one request to the leases on its limits, to the requests of their parties, and on.
struct Survey<'ledger> {
    ledger: &'ledger Ledger,
    picture: Picture,
    leases: usize,
}

impl Survey<'_> {
    fn look_at(&mut self, acquire: &Acquire, wanted: &[Wanted], parties: &Parties) {
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
        let queue = &self.ledger.queue;
        let Some(holder) = self.picture.party(party).cloned() else { return };
        let tickets: SmallVec<[Ticket; 4]> =
            queue.of_party.group(&holder).take(WAITS_MAX).collect();
        for ticket in tickets {
            let Some(waiter) = queue.waiters.get(&ticket) else { continue };
            self.add_wait(&waiter.acquire, &waiter.wanted, &parties(&waiter.acquire));
        }
    }

    fn add_wait(&mut self, acquire: &Acquire, wanted: &[Wanted], parties: &Parties) {
        if self.picture.waits.len() >= WAITS_MAX {
            return;
        }
        let needs = wanted
            .iter()
            .filter(|want| !self.ledger.is_held_already(want.limit, &acquire.hold))
            .filter(|want| {
                let room = self.ledger.rooms.get(&want.limit);
                room.is_some_and(|room| room.limit.active && room.limit.decay.is_none())
            })
            .map(|want| (want.limit, want.slots))
            .collect();
        let parties = parties.iter().map(|party| self.picture.known_as(party)).collect();
        self.picture.waits.push(Wait { parties, needs });
    }

    /// Adds what the parties of requests that wait hold of a limit.
    fn open(&mut self, limit: LimitId) {
        let Some(room) = self.ledger.rooms.get(&limit) else { return };
        if !self.picture.add_limit(limit, room.limit.slots) {
            return;
        }
        let left = LEASES_MAX - self.leases;
        for id in room.leases.values().take(left) {
            self.leases += 1;
            let Some(lease) = self.ledger.lease(*id) else { continue };
            let Some(party) = party_of(lease) else { continue };
            let waits =
                self.picture.is_known(&party) || self.ledger.queue.of_party.first(&party).is_some();
            let held = lease.holdings.iter().find(|held| held.limit == limit);
            if let Some(held) = held.filter(|_| waits) {
                let party = self.picture.known_as(&party);
                self.picture.hold(Held { party, limit, slots: held.slots, lease: *id });
            }
        }
    }
}
