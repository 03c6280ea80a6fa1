//! Who gets slots: all that were wanted, or none.

use smallvec::SmallVec;

use crate::command::{Acquire, GiveBack, Hold, Mode};
use crate::decay::Level;
use crate::holder::Holder;
use crate::lease::{Holding, Holdings, Lease, LeaseId};
use crate::ledger::Ledger;
use crate::limit::LimitId;
use crate::outcome::{Acquired, Blocker, Grant, Granted, MinimalLimit, Refusal, Wait};
use crate::time::Timestamp;

/// A limit that was named and exists, and what is wanted of it.
struct Wanted {
    limit: LimitId,
    slots: u64,
    active: bool,
}

impl Ledger {
    pub(crate) fn acquire(&mut self, acquire: Acquire) -> Acquired {
        let wanted = self.wanted(&acquire);
        if let Hold::Lease { id, .. } | Hold::Holder { id, .. } = acquire.hold
            && let Some(lease) = self.lease(id)
        {
            let lease = Some(Granted::from(lease));
            let limits = self.minimal(&wanted);
            return Acquired::Granted(Grant { lease, unleased: None, limits });
        }
        if let Some(refused) = self.refuses(&wanted, &acquire) {
            return refused;
        }
        let holdings = self.take(&wanted, &acquire.hold);
        let mut unleased = None;
        let lease = match acquire.hold {
            Hold::Lease { id, holder, ttl } => {
                self.lease_out(id, holder, holdings, Some(self.now + ttl))
            }
            Hold::Holder { id, holder } => self.lease_out(id, Some(holder), holdings, None),
            Hold::Unleased => {
                unleased = self.take_unleased(&holdings);
                None
            }
        };
        Acquired::Granted(Grant { lease, unleased, limits: self.minimal(&wanted) })
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
        let created = self.now;
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
                wanted.push(Wanted {
                    limit: room.limit.id,
                    slots: want.slots,
                    active: room.limit.active,
                });
            }
        }
        wanted
    }

    /// Why slots cannot be had, if they cannot. Looks, and changes nothing: a refused attempt
    /// must not move a rate limit's level.
    fn refuses(&self, wanted: &[Wanted], acquire: &Acquire) -> Option<Acquired> {
        let active = || {
            wanted
                .iter()
                .filter(|want| want.active && !self.is_held_already(want.limit, &acquire.hold))
                .filter_map(|want| Some((self.rooms.get(&want.limit)?, want.slots)))
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
        let blockers: SmallVec<[Blocker; 1]> = active()
            .filter_map(|(room, slots)| {
                let after = room.occupied(self.now) + Level::from_slots(slots);
                let excess = after.saturating_sub(Level::from_slots(room.limit.slots));
                (excess > Level::ZERO).then(|| Blocker {
                    limit: MinimalLimit::from(&room.limit),
                    wanted: slots,
                    wait: room.limit.decay.time_to_drain(excess).map_or(
                        Wait::Release {
                            occupancy_seconds_average: room.limit.occupancy_seconds_average,
                        },
                        Wait::Drain,
                    ),
                })
            })
            .collect();
        (!blockers.is_empty()).then_some(Acquired::Refused(Refusal { blockers }))
    }

    /// What a grant holds: of the limits wanted, the active ones.
    fn take(&self, wanted: &[Wanted], hold: &Hold) -> Holdings {
        wanted
            .iter()
            .filter(|want| want.active && !self.is_held_already(want.limit, hold))
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
