//! Clients that poll: they ask, are refused, sleep for `Retry-After`, and ask again.
//!
//! The first refusal is immediate, for it may be a try-lock. It asks the client to come back
//! shortly, and keeps its place in line. When the client comes back, it waits in that place,
//! with its request held open, and is granted the moment it is its turn. So a freed slot does
//! not stand idle while everybody sleeps (defect D22), and who came first goes first, though
//! its client knows nothing of queues.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use leasehold_engine::{Acquire, Hold, Span, Ticket, Timestamp};

/// How long the place of a client is kept that was refused at once. It was told to come back in a
/// moment: whoever asks the same later may want to know whether there is room now.
pub(crate) const FIRST_PLACE_TTL: Span = Span::from_seconds(10);
/// How long it is kept once the client has come back, and was held open.
pub(crate) const PLACE_TTL: Span = Span::from_seconds(60);
/// More places than this are not kept; then the oldest is given up first.
const PLACES_MAX: usize = 100_000;

/// What tells one polling client from another: where it comes from and what it asks for.
/// Clients that cannot be told apart ask for the same thing, so their places are as good as
/// each other's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Caller(u64);

/// The address that a request came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// The places that are kept.
#[derive(Debug, Default)]
pub(crate) struct Places {
    hasher: RandomState,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    by_caller: HashMap<Caller, VecDeque<(Ticket, Timestamp)>>,
    /// Which are given up next.
    order: BinaryHeap<Reverse<(Timestamp, Caller)>>,
}

impl Places {
    /// Who asks, by the address and by everything that it asks for.
    pub(crate) fn caller(&self, peer: Option<Peer>, acquire: &Acquire) -> Caller {
        let Acquire { wants, mode, hold, missing: _, patience: _, origin: _ } = acquire;
        // A lease's id is new with each attempt.
        let hold = match hold {
            Hold::Lease { id: _, holder, ttl, notes: _ } => (holder.as_ref(), Some(*ttl)),
            Hold::Holder { id: _, holder } => (Some(holder), None),
            Hold::Unleased => (None, None),
        };
        Caller(self.hasher.hash_one((peer.map(|peer| peer.0), wants, mode, hold)))
    }

    /// Keeps a place for a client that was refused.
    pub(crate) fn keep(&self, caller: Caller, place: Ticket, now: Timestamp, ttl: Span) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let until = now + ttl;
        kept.by_caller.entry(caller).or_default().push_back((place, until));
        kept.order.push(Reverse((until, caller)));
        kept.give_up(now);
    }

    /// The oldest place of a client that has come back; it is no longer kept.
    pub(crate) fn claim(&self, caller: Caller, now: Timestamp) -> Option<Ticket> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.give_up(now);
        let places = kept.by_caller.get_mut(&caller)?;
        let (place, _) = places.pop_front()?;
        if places.is_empty() {
            kept.by_caller.remove(&caller);
        }
        Some(place)
    }
}

impl Kept {
    fn give_up(&mut self, now: Timestamp) {
        while let Some(&Reverse((until, caller))) = self.order.peek()
            && (until <= now || self.order.len() > PLACES_MAX)
        {
            self.order.pop();
            if let Some(places) = self.by_caller.get_mut(&caller) {
                // Claimed places are gone already: the others of this caller may be kept longer.
                places.retain(|(_, kept_until)| *kept_until > until);
                if places.is_empty() {
                    self.by_caller.remove(&caller);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use leasehold_engine::{LeaseId, Missing, Mode, Want};
    use smallvec::smallvec;

    use super::*;

    fn acquire(name: &str, lease: u128) -> Acquire {
        Acquire {
            wants: smallvec![Want { name: name.into(), slots: 1 }],
            mode: Mode::Concurrency,
            hold: Hold::Lease {
                id: LeaseId(lease),
                holder: None,
                ttl: Span::from_seconds(60),
                notes: None,
            },
            missing: Missing::Skip,
            patience: None,
            origin: None,
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn a_place_is_kept_for_its_caller_and_claimed_once() {
        let places = Places::default();
        let mine = places.caller(None, &acquire("mine", 1));
        let yours = places.caller(None, &acquire("yours", 1));
        places.keep(mine, Ticket(7), at(0), PLACE_TTL);
        assert_eq!(places.claim(yours, at(1)), None);
        assert_eq!(places.claim(mine, at(1)), Some(Ticket(7)));
        assert_eq!(places.claim(mine, at(1)), None);
    }

    #[test]
    fn a_place_is_given_up_when_nobody_comes_back() {
        let places = Places::default();
        let caller = places.caller(None, &acquire("mine", 1));
        places.keep(caller, Ticket(1), at(0), PLACE_TTL);
        places.keep(caller, Ticket(2), at(30), PLACE_TTL);
        assert_eq!(places.claim(caller, at(61)), Some(Ticket(2)));
        assert_eq!(places.claim(caller, at(61)), None);
    }

    #[test]
    fn a_place_after_a_first_refusal_is_given_up_sooner() {
        let places = Places::default();
        let caller = places.caller(None, &acquire("mine", 1));
        places.keep(caller, Ticket(1), at(0), PLACE_TTL);
        places.keep(caller, Ticket(2), at(0), FIRST_PLACE_TTL);
        places.keep(caller, Ticket(3), at(5), FIRST_PLACE_TTL);
        assert_eq!(places.claim(caller, at(11)), Some(Ticket(1)));
        assert_eq!(places.claim(caller, at(11)), Some(Ticket(3)));
        assert_eq!(places.claim(caller, at(11)), None);
    }

    #[test]
    fn callers_that_ask_the_same_get_their_places_in_order() {
        let places = Places::default();
        let caller = places.caller(None, &acquire("same", 1));
        assert_eq!(caller, places.caller(None, &acquire("same", 2)));
        places.keep(caller, Ticket(1), at(0), PLACE_TTL);
        places.keep(caller, Ticket(2), at(0), FIRST_PLACE_TTL);
        assert_eq!(places.claim(caller, at(1)), Some(Ticket(1)));
        assert_eq!(places.claim(caller, at(1)), Some(Ticket(2)));
    }
}
