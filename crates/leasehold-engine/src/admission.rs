//! Who gets slots: all that were wanted, or none.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::command::{Acquire, GiveBack, Hold, Missing, Mode};
use crate::decay::Level;
use crate::event::{Departure, EventKind};
use crate::holder::Holder;
use crate::lease::{Holding, Holdings, Lease, LeaseId, Notes};
use crate::ledger::{Ledger, Room};
use crate::limit::LimitId;
use crate::origin::Origin;
use crate::outcome::{Acquired, Blocker, Grant, Granted, MinimalLimit, Refusal, Wait};
use crate::queue::Ticket;
use crate::time::Timestamp;
use crate::unleased::TakenBy;

/// A limit that was named and exists, and what is wanted of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) limit: LimitId,
    pub(crate) slots: u64,
    /// Which of the wants it comes from.
    pub(crate) nth: usize,
}

impl Ledger {
    pub(crate) fn acquire(&mut self, acquire: Acquire) -> Acquired {
        if let Some(answered) = self.answered_before(&acquire.hold) {
            return answered;
        }
        let wanted = self.wanted(&acquire);
        // Whoever comes back to its place is judged as who stands there.
        let place = acquire.patience.and_then(|patience| self.queue.place_of(&patience));
        let ticket = place.unwrap_or(Ticket::NONE);
        match (self.refuses(&wanted, &acquire, ticket), acquire.patience) {
            (None, _) => {
                let leases_out = self.leases_out(&wanted, &acquire.hold);
                self.ends_its_wait(ticket, (!leases_out).then_some(Departure::Served));
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
                self.ends_its_wait(ticket, Some(Departure::LimitsChanged));
                refused
            }
        }
    }

    /// A waiter that came back has its answer. It is told to have left if no lease tells so.
    fn ends_its_wait(&mut self, ticket: Ticket, why: Option<Departure>) {
        let back = self.queue.expect_no_longer(ticket);
        if let (Some((_, waiter)), Some(why)) = (back, why) {
            self.emit_for_waiter(EventKind::Left(why), &waiter);
        }
    }

    /// Grants what was found grantable, to whoever has this ticket.
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
                let deadline = Some(self.looked + ttl);
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

    /// Whether a grant makes a lease: not for whoever wants none, has it already, or wants slots of
    /// limits that limit nothing by now.
    pub(crate) fn leases_out(&self, wanted: &[Wanted], hold: &Hold) -> bool {
        hold.lease().is_some()
            && self.answered_before(hold).is_none()
            && self.lease_of(hold).is_none()
            && !self.take(wanted, hold).is_empty()
    }

    /// The lease that an acquire asks for, should it be there already.
    fn lease_of(&self, hold: &Hold) -> Option<&Lease> {
        self.lease(hold.lease()?)
    }

    /// Gives back slots that no lease holds. What leases hold is theirs to give back.
    pub(crate) fn give_back(&mut self, back: &GiveBack) -> SmallVec<[MinimalLimit; 1]> {
        let mut ids = SmallVec::<[LimitId; 1]>::new();
        for id in back.names.iter().filter_map(|name| self.names.get(name)) {
            if !ids.contains(id) {
                ids.push(*id);
            }
        }
        let mut limits = SmallVec::new();
        for id in ids {
            if let Some(room) = self.settled_room(id) {
                let before = room.limit.unleased.level();
                room.limit.unleased.give_back(Level::from_slots(back.slots));
                if let Some(occupancy) = back.occupancy {
                    room.limit.sample_occupancy(occupancy, back.slots);
                }
                limits.push(MinimalLimit::from(&room.limit));
                self.emit_unleased_change(id, before);
            }
        }
        limits
    }

    /// Grants slots to a new lease, whether there is room or not. Without slots, no lease:
    /// a lease that holds nothing is not kept.
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
            self.settled_room(holding.limit);
        }
        let fence = self.next_fence();
        let created = self.looked;
        let lease = Lease { id, fence, holder, holdings, created, deadline, notes, origin };
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

    /// Takes slots that no lease holds; answers what would give them back.
    fn take_unleased(&mut self, holdings: &Holdings, mode: Mode) -> Option<GiveBack> {
        let slots = holdings.first()?.slots;
        let now = self.now;
        let taken_by = match mode {
            Mode::Concurrency => TakenBy::Incremented,
            Mode::RateLimit => TakenBy::Spent,
        };
        let mut names = SmallVec::new();
        for holding in holdings {
            if let Some(room) = self.settled_room(holding.limit) {
                let before = room.limit.unleased.level();
                room.limit.unleased.take(taken_by, holding.level, now);
                names.push(room.limit.name.clone());
                self.emit_unleased_change(holding.limit, before);
            }
        }
        Some(GiveBack { names, slots, occupancy: None })
    }

    /// The limits that exist, once each, in the order in which they were named.
    fn wanted(&self, acquire: &Acquire) -> SmallVec<[Wanted; 1]> {
        let mut wanted = SmallVec::<[Wanted; 1]>::new();
        for (nth, want) in acquire.wants.iter().enumerate() {
            let Some(room) = self.names.get(&want.name).and_then(|id| self.rooms.get(id)) else {
                continue;
            };
            if wanted.iter().all(|known| known.limit != room.limit.id) {
                wanted.push(Wanted { limit: room.limit.id, slots: want.slots, nth });
            }
        }
        wanted
    }

    /// Why slots cannot be had by whoever has this ticket, if they cannot. Looks, and changes
    /// nothing: a refused attempt must not move a rate limit's level.
    pub(crate) fn refuses(
        &self,
        wanted: &[Wanted],
        acquire: &Acquire,
        ticket: Ticket,
    ) -> Option<Acquired> {
        if self.lease_of(&acquire.hold).is_some() {
            return None;
        }
        if let Some(missing) = self.missing(wanted, acquire) {
            return Some(missing);
        }
        let active = || {
            wanted
                .iter()
                .filter(|want| !self.is_held_already(want.limit, &acquire.hold))
                .filter_map(|want| Some((self.rooms.get(&want.limit)?, want.slots)))
                .filter(|(room, _)| room.limit.active)
        };
        if let Some((room, _)) = active().find(|(room, slots)| *slots > room.limit.slots) {
            return Some(Acquired::TooManySlots(MinimalLimit::from(&room.limit)));
        }
        if acquire.mode == Mode::RateLimit {
            let without_decay: Vec<_> = active()
                .filter(|(room, _)| room.limit.decay.is_none())
                .map(|(room, _)| room.limit.name.clone())
                .collect();
            if !without_decay.is_empty() {
                return Some(Acquired::NotRateLimits(without_decay));
            }
        }
        let blockers: SmallVec<[Blocker; 1]> =
            active().filter_map(|(room, slots)| self.blocks(room, slots, ticket)).collect();
        let refusal = Refusal { blockers, place: None, position: 1, stuck: Vec::new() };
        (!refusal.blockers.is_empty()).then_some(Acquired::Refused(refusal))
    }

    /// The names that no limit has, or has any longer, if that is not to be passed over.
    fn missing(&self, wanted: &[Wanted], acquire: &Acquire) -> Option<Acquired> {
        if acquire.missing == Missing::Skip {
            return None;
        }
        let is_there = |want: &Wanted| self.rooms.contains_key(&want.limit);
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

    /// Whether an active limit has no room for slots, beside what is kept for those who came before.
    fn blocks(&self, room: &Room, slots: u64, ticket: Ticket) -> Option<Blocker> {
        let release =
            Wait::Release { occupancy_seconds_average: room.limit.occupancy_seconds_average };
        let excess = self.excess_beside(room, slots, ticket);
        if excess == Level::ZERO {
            return None;
        }
        let is_kept = room.excess(slots, self.now) == Level::ZERO;
        let wait = room.time_to_drain(excess, self.now).map_or(release, Wait::Drain);
        let unleased = room.unleased(self.now);
        Some(Blocker {
            limit: MinimalLimit::from(&room.limit),
            wanted: slots,
            wait,
            is_kept,
            unleased,
        })
    }

    /// What a grant holds: of the limits wanted, the active ones.
    fn take(&self, wanted: &[Wanted], hold: &Hold) -> Holdings {
        wanted
            .iter()
            .filter(|want| !self.is_held_already(want.limit, hold))
            .filter(|want| self.rooms.get(&want.limit).is_some_and(|room| room.limit.active))
            .map(|want| Holding {
                limit: want.limit,
                slots: want.slots,
                level: Level::from_slots(want.slots),
            })
            .collect()
    }

    /// Whether a holder that can hold a limit only once holds it.
    pub(crate) fn is_held_already(&self, limit: LimitId, hold: &Hold) -> bool {
        hold.only_once().is_some_and(|holder| self.holds(holder, limit))
    }

    fn minimal(&self, wanted: &[Wanted]) -> SmallVec<[MinimalLimit; 1]> {
        wanted
            .iter()
            .filter_map(|want| self.rooms.get(&want.limit))
            .map(|room| MinimalLimit::from(&room.limit))
            .collect()
    }
}

impl From<&Lease> for Granted {
    fn from(lease: &Lease) -> Self {
        Self {
            id: lease.id,
            fence: lease.fence,
            created: lease.created,
            deadline: lease.deadline,
            has_key: lease.request().is_some(),
        }
    }
}
