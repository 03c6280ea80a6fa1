//! Who gets slots: all that were wanted, or none.

use smallvec::SmallVec;

use crate::command::{Acquire, GiveBack, Hold, Mode};
use crate::decay::Level;
use crate::holder::Holder;
use crate::lease::{Holding, Holdings, Lease, LeaseId};
use crate::ledger::{Ledger, Room};
use crate::limit::LimitId;
use crate::outcome::{Acquired, Blocker, Grant, Granted, MinimalLimit, Refusal, Wait};
use crate::queue::Ticket;
use crate::time::Timestamp;

/// A limit that was named and exists, and what is wanted of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) limit: LimitId,
    pub(crate) slots: u64,
}

impl Ledger {
    pub(crate) fn acquire(&mut self, acquire: Acquire) -> Acquired {
        let wanted = self.wanted(&acquire);
        match (self.refuses(&wanted, &acquire, Ticket::NONE), acquire.patience) {
            (None, _) => self.grant(&wanted, acquire.hold, Ticket::NONE),
            (Some(Acquired::Refused(refusal)), Some(patience)) => {
                self.wait(acquire, wanted, patience, refusal)
            }
            (Some(refused), _) => refused,
        }
    }

    /// Grants what was found grantable, to whoever has this ticket.
    pub(crate) fn grant(&mut self, wanted: &[Wanted], hold: Hold, ticket: Ticket) -> Acquired {
        let limits = self.minimal(wanted);
        if let Some(lease) = self.lease_of(&hold) {
            let lease = Some(Granted::from(lease));
            return Acquired::Granted(Grant { lease, unleased: None, limits });
        }
        let holdings = self.take(wanted, &hold);
        self.queue.granted(&holdings, ticket);
        let mut unleased = None;
        let lease = match hold {
            Hold::Lease { id, holder, ttl } => {
                self.lease_out(id, holder, holdings, Some(self.looked + ttl))
            }
            Hold::Holder { id, holder } => self.lease_out(id, Some(holder), holdings, None),
            Hold::Unleased => {
                unleased = self.take_unleased(&holdings);
                None
            }
        };
        Acquired::Granted(Grant { lease, unleased, limits })
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
                let unleased = room.limit.unleased;
                room.limit.unleased = unleased.saturating_sub(Level::from_slots(back.slots));
                if let Some(occupancy) = back.occupancy {
                    room.limit.sample_occupancy(occupancy, back.slots);
                }
                limits.push(MinimalLimit::from(&room.limit));
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
    ) -> Option<Granted> {
        if holdings.is_empty() {
            return None;
        }
        for holding in &holdings {
            self.settled_room(holding.limit);
        }
        let fence = self.next_fence();
        let created = self.looked;
        self.insert_lease(Lease { id, fence, holder, holdings, created, deadline });
        Some(Granted { id, fence, deadline })
    }

    /// Takes slots that no lease holds; answers what would give them back.
    fn take_unleased(&mut self, holdings: &Holdings) -> Option<GiveBack> {
        let slots = holdings.first()?.slots;
        let mut names = SmallVec::new();
        for holding in holdings {
            if let Some(room) = self.settled_room(holding.limit) {
                room.limit.unleased += holding.level;
                names.push(room.limit.name.clone());
            }
        }
        Some(GiveBack { names, slots, occupancy: None })
    }

    /// The limits that exist, once each, in the order in which they were named.
    fn wanted(&self, acquire: &Acquire) -> SmallVec<[Wanted; 1]> {
        let mut wanted = SmallVec::<[Wanted; 1]>::new();
        for want in &acquire.wants {
            let Some(room) = self.names.get(&want.name).and_then(|id| self.rooms.get(id)) else {
                continue;
            };
            if wanted.iter().all(|known| known.limit != room.limit.id) {
                wanted.push(Wanted { limit: room.limit.id, slots: want.slots });
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
        let refusal = Refusal { blockers, place: None };
        (!refusal.blockers.is_empty()).then_some(Acquired::Refused(refusal))
    }

    /// Whether an active limit has no room for slots, or is kept for somebody who came before.
    fn blocks(&self, room: &Room, slots: u64, ticket: Ticket) -> Option<Blocker> {
        let release =
            Wait::Release { occupancy_seconds_average: room.limit.occupancy_seconds_average };
        let excess = room.excess(slots, self.now);
        let wait = if self.queue.is_reserved(room.limit.id, ticket) {
            release
        } else if excess > Level::ZERO {
            room.limit.decay.time_to_drain(excess).map_or(release, Wait::Drain)
        } else {
            return None;
        };
        Some(Blocker { limit: MinimalLimit::from(&room.limit), wanted: slots, wait })
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
    fn is_held_already(&self, limit: LimitId, hold: &Hold) -> bool {
        matches!(hold, Hold::Holder { holder, .. } if self.holds(holder, limit))
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
        Self { id: lease.id, fence: lease.fence, deadline: lease.deadline }
    }
}
