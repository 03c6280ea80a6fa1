//! A request for slots gets all of them or none.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::acquire::{Acquire, GiveBack, Hold, Missing, Mode};
use crate::decay::Level;
use crate::holder::Holder;
use crate::lease::{Holding, Holdings, Lease, LeaseId, Notes};
use crate::ledger::{Ledger, LimitEntry};
use crate::limit::{LimitId, MinimalLimit};
use crate::origin::Origin;
use crate::outcome::{Acquired, Grant, Granted};
use crate::queue::Wanted;
use crate::refusal::{Blocker, Refusal, Wait};
use crate::ticket::{Departure, Ticket};
use crate::time::Timestamp;
use crate::unleased::TakenBy;

impl Ledger {
    pub(crate) fn acquire(&mut self, acquire: Acquire) -> Acquired {
        if let Some(answered) = self.answered_before(&acquire.hold) {
            return answered;
        }
        let wanted = self.wanted(&acquire);
        // A request that comes back is judged at its place in the queue.
        let place = acquire.patience.and_then(|patience| self.queue.place_of(&patience));
        let ticket = place.unwrap_or(Ticket::NONE);
        match (self.refuses(&wanted, &acquire, ticket), acquire.patience) {
            (None, _) => {
                let leases_out = self.leases_out(&wanted, &acquire.hold);
                self.end_wait(ticket, (!leases_out).then_some(Departure::Served));
                self.grant(&wanted, (acquire.hold, acquire.mode, acquire.origin), ticket)
            }
            (Some(Acquired::Refused(refusal)), Some(patience)) => {
                self.wait(acquire, wanted, (patience, place), refusal)
            }
            (Some(Acquired::Refused(refusal)), None) => {
                let refusal = Refusal { stuck: self.stuck(&acquire, &wanted), ..refusal };
                Acquired::Refused(self.queue.with_position(refusal, 0, Ticket::NONE))
            }
            (Some(refused), _) => {
                self.end_wait(ticket, Some(Departure::LimitsChanged));
                refused
            }
        }
    }

    /// Grants slots that [`refuses`](Self::refuses) found free for this ticket.
    pub(crate) fn grant(
        &mut self,
        wanted: &[Wanted],
        (hold, mode, origin): (Hold, Mode, Option<Arc<Origin>>),
        ticket: Ticket,
    ) -> Acquired {
        if let Some(answered) = self.answered_before(&hold) {
            return answered;
        }
        let limits = self.minimal(wanted);
        if let Some(lease) = self.lease_of(&hold) {
            let holdings = lease.holdings.clone();
            let lease = Some(Granted::from(lease));
            return Acquired::Granted(Grant { lease, unleased: None, holdings, limits });
        }
        let holdings = self.take(wanted, &hold);
        if let Hold::Holder { holder, .. } = &hold {
            self.ask_again(holder, |limit| wanted.iter().any(|want| want.limit == limit));
        }
        self.queue.granted(&holdings, ticket);
        let mut unleased = None;
        let lease = match hold {
            Hold::Lease { id, holder, ttl, notes } => {
                let deadline = Some(self.stepped_at + ttl);
                self.lease_out(id, holder, holdings.clone(), deadline, notes, origin)
            }
            Hold::Holder { id, holder } => {
                self.lease_out(id, Some(holder), holdings.clone(), None, None, origin)
            }
            Hold::Unleased => {
                unleased = self.take_unleased(&holdings, mode);
                None
            }
        };
        Acquired::Granted(Grant { lease, unleased, holdings, limits })
    }

    /// Whether granting creates a lease. It does not for unleased or repeated requests, or if no
    /// wanted limit is active.
    pub(crate) fn leases_out(&self, wanted: &[Wanted], hold: &Hold) -> bool {
        hold.lease().is_some()
            && self.answered_before(hold).is_none()
            && self.lease_of(hold).is_none()
            && !self.take(wanted, hold).is_empty()
    }

    /// The lease that a request asks for, if it exists already.
    fn lease_of(&self, hold: &Hold) -> Option<&Lease> {
        self.lease(hold.lease()?)
    }

    /// Returns slots that were taken without a lease.
    pub(crate) fn give_back(&mut self, back: &GiveBack) -> SmallVec<[MinimalLimit; 1]> {
        let mut ids = SmallVec::<[LimitId; 1]>::new();
        for id in back.names.iter().filter_map(|name| self.names.get(name)) {
            if !ids.contains(id) {
                ids.push(*id);
            }
        }
        let mut limits = SmallVec::new();
        for id in ids {
            if let Some(entry) = self.settle(id) {
                let before = entry.limit.unleased.level();
                entry.limit.unleased.give_back(Level::from_slots(back.slots));
                if let Some(occupancy) = back.occupancy {
                    entry.limit.sample_occupancy(occupancy, back.slots);
                }
                limits.push(MinimalLimit::from(&entry.limit));
                self.emit_unleased_change(id, before);
            }
        }
        limits
    }

    /// Creates a lease that holds these slots, free or not. Without slots there is no lease: the
    /// ledger keeps none that holds nothing.
    pub(crate) fn lease_out(
        &mut self,
        id: LeaseId,
        holder: Option<Holder>,
        holdings: Holdings,
        deadline: Option<Timestamp>,
        notes: Option<Arc<Notes>>,
        origin: Option<Arc<Origin>>,
    ) -> Option<Granted> {
        if holdings.is_empty() {
            return None;
        }
        for holding in &holdings {
            self.settle(holding.limit);
        }
        let fence = self.next_fence();
        let created = self.stepped_at;
        let partners = Vec::new();
        let lease =
            Lease { id, fence, holder, holdings, created, deadline, notes, origin, partners };
        let granted = Granted::from(&lease);
        if let Some(holder) = &lease.holder {
            self.queue.set_apart(holder);
        }
        self.insert_lease(lease);
        if granted.has_key {
            self.queue.answer_all_with(id);
        }
        Some(granted)
    }

    /// Takes slots without a lease. Returns the command that returns them.
    fn take_unleased(&mut self, holdings: &Holdings, mode: Mode) -> Option<GiveBack> {
        let slots = holdings.first()?.slots;
        let now = self.now;
        let taken_by = match mode {
            Mode::Concurrency => TakenBy::Incremented,
            Mode::RateLimit => TakenBy::Spent,
        };
        let mut names = SmallVec::new();
        for holding in holdings {
            if let Some(entry) = self.settle(holding.limit) {
                let before = entry.limit.unleased.level();
                entry.limit.unleased.take(taken_by, holding.level, now);
                names.push(entry.limit.name.clone());
                self.emit_unleased_change(holding.limit, before);
            }
        }
        Some(GiveBack { names, slots, occupancy: None })
    }

    /// The wanted limits that exist, once each, in the order of the request.
    fn wanted(&self, acquire: &Acquire) -> SmallVec<[Wanted; 1]> {
        let mut wanted = SmallVec::<[Wanted; 1]>::new();
        for (nth, want) in acquire.wants.iter().enumerate() {
            let Some(entry) = self.names.get(&want.name).and_then(|id| self.limits.get(id)) else {
                continue;
            };
            if wanted.iter().all(|known| known.limit != entry.limit.id) {
                wanted.push(Wanted { limit: entry.limit.id, slots: want.slots, nth });
            }
        }
        wanted
    }

    /// Why a request cannot be granted at this ticket. `None` if it can. It changes nothing: a
    /// refusal must not move a rate limit's level.
    pub(crate) fn refuses(
        &self,
        wanted: &[Wanted],
        acquire: &Acquire,
        ticket: Ticket,
    ) -> Option<Acquired> {
        if self.lease_of(&acquire.hold).is_some() {
            return None;
        }
        let needed = || {
            wanted
                .iter()
                .filter(|want| !self.is_held_already(want.limit, &acquire.hold))
                .filter_map(|want| Some((self.limits.get(&want.limit)?, want.slots)))
        };
        let active = || needed().filter(|(entry, _)| entry.limit.active);
        // Nearly always there is none, and one pass says so.
        let is_odd =
            |(entry, slots): (&LimitEntry, u64)| entry.limit.returning || slots > entry.limit.slots;
        let has_odd = needed().any(is_odd);
        if has_odd && needed().any(|(entry, _)| entry.limit.returning) {
            let returning = needed().filter(|(entry, _)| entry.limit.returning);
            let names = returning.map(|(entry, _)| entry.limit.name.clone());
            return Some(Acquired::Elsewhere(names.collect()));
        }
        if let Some(missing) = self.missing(wanted, acquire) {
            return Some(missing);
        }
        if has_odd
            && let Some((entry, _)) = active().find(|(entry, slots)| *slots > entry.limit.slots)
        {
            return Some(Acquired::TooManySlots(MinimalLimit::from(&entry.limit)));
        }
        if acquire.mode == Mode::RateLimit {
            let without_decay: Vec<_> = active()
                .filter(|(entry, _)| entry.limit.decay.is_none())
                .map(|(entry, _)| entry.limit.name.clone())
                .collect();
            if !without_decay.is_empty() {
                return Some(Acquired::NotRateLimits(without_decay));
            }
        }
        let blockers: SmallVec<[Blocker; 1]> =
            active().filter_map(|(entry, slots)| self.blocks(entry, slots, ticket)).collect();
        let refusal = Refusal { blockers, place: None, position: 1, stuck: Vec::new() };
        (!refusal.blockers.is_empty()).then_some(Acquired::Refused(refusal))
    }

    /// The names of limits that do not exist now, if the request insists on all of them.
    fn missing(&self, wanted: &[Wanted], acquire: &Acquire) -> Option<Acquired> {
        if acquire.missing == Missing::Skip {
            return None;
        }
        let is_there = |want: &Wanted| self.limits.contains_key(&want.limit);
        if wanted.len() == acquire.wants.len() && wanted.iter().all(is_there) {
            return None;
        }
        let there: SmallVec<[&str; 4]> = wanted
            .iter()
            .filter(|want| is_there(want))
            .filter_map(|want| acquire.wants.get(want.nth))
            .map(|want| &*want.name)
            .collect();
        let names = acquire.wants.iter().map(|want| &want.name);
        let missing: Vec<_> = names.filter(|name| !there.contains(&&***name)).cloned().collect();
        (!missing.is_empty()).then_some(Acquired::Missing(missing))
    }

    /// The blocker that an active limit is, if it lacks free slots that are not reserved for older
    /// waiters.
    fn blocks(&self, entry: &LimitEntry, slots: u64, ticket: Ticket) -> Option<Blocker> {
        let release =
            Wait::Release { occupancy_seconds_average: entry.limit.occupancy_seconds_average };
        let excess = self.excess_beside(entry, slots, ticket);
        if excess == Level::ZERO {
            return None;
        }
        let is_kept = entry.excess(slots, self.now) == Level::ZERO;
        let wait = entry.time_to_drain(excess, self.now).map_or(release, Wait::Drain);
        let unleased = entry.unleased(self.now);
        Some(Blocker {
            limit: MinimalLimit::from(&entry.limit),
            wanted: slots,
            wait,
            is_kept,
            unleased,
            foreign: entry.limit.foreign,
        })
    }

    /// The holdings of a grant: slots of the wanted limits that are active.
    fn take(&self, wanted: &[Wanted], hold: &Hold) -> Holdings {
        wanted
            .iter()
            .filter(|want| !self.is_held_already(want.limit, hold))
            .filter(|want| self.limits.get(&want.limit).is_some_and(|entry| entry.limit.active))
            .map(|want| Holding {
                limit: want.limit,
                slots: want.slots,
                level: Level::from_slots(want.slots),
            })
            .collect()
    }

    /// Whether a holder that can hold a limit only once holds it already.
    pub(crate) fn is_held_already(&self, limit: LimitId, hold: &Hold) -> bool {
        hold.only_once().is_some_and(|holder| self.holds(holder, limit))
    }

    fn minimal(&self, wanted: &[Wanted]) -> SmallVec<[MinimalLimit; 1]> {
        wanted
            .iter()
            .filter_map(|want| self.limits.get(&want.limit))
            .map(|entry| MinimalLimit::from(&entry.limit))
            .collect()
    }
}
