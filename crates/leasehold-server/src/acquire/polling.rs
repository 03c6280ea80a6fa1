//! Clients that poll: they send a request, are refused, sleep for `Retry-After`, and repeat it.
//!
//! The first refusal is immediate, because the request may be a try-lock, and it keeps a place in
//! line. A client that waits comes back exactly when it was asked to. A program that repeats a
//! try-lock comes back when it likes. So a client is held open only after a test: it comes back, is
//! asked to sleep three times as long as that took, and comes back exactly then. Whatever pause a
//! program leaves between its try-locks, the pause does not triple when our `Retry-After` does.
//!
//! A client that has shown that it waits is held open when it comes back as it was asked to, in its
//! place. So a freed slot does not stand idle while all clients sleep (defect D22). The client that
//! came first gets its slots first, although it knows nothing of queues. If it comes back later, it
//! is tested again: if the test was wrong about a try-lock, that costs the program one long answer,
//! and not each.

mod newcomers;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use leasehold_engine::{Acquire, Hold, LeaseId, Span, Ticket, Timestamp};

use self::newcomers::Newcomers;
use crate::access::identity::{ClientId, Identity};
use crate::access::peer::Peer;

/// How much later than asked a client may come back to count as punctual. Prefect clients sleep
/// exactly as long as they are asked to: they are 2 ms late on an idle machine, and 110 ms on one
/// that has five times as much to do as it can.
const SLACK: Span = Span::from_micros(10_000);
/// A client may also be late by this part of its sleep. A slow client then passes the second test
/// or the third, whose sleeps are longer.
const SLACK_DIVISOR: u64 = 4;
/// A client that is later than this starts anew: its lateness shows nothing.
const LATE_MAX: Span = Span::from_seconds(1);
/// The longest sleep that a client is tested with.
const TEST_MAX: Span = Span::from_seconds(3);
/// How many times longer a tested client is asked to sleep than it took to come back.
const TEST_FACTOR: u64 = 3;
/// How long a place is kept after its client was due. A slow client that comes within this time
/// keeps its place in line, even if it is not held open.
const PLACE_TTL: Span = Span::from_seconds(10);
/// How many places are kept. Beyond, the place that ends first is given up.
const PLACES_MAX: usize = 100_000;
/// How many places are kept for clients that look alike and have not yet shown that they wait.
const UNPROVEN_MAX: usize = 1_024;

/// Tells one polling client from another, by who it is and what it requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// What it requests.
    asked: Key,
    /// Identifies it for sure, if it is known.
    client: Option<Key>,
    /// Identifies it and the clients that look like it. They request the same, so their places are
    /// as good as each other's.
    look: Key,
    /// Whether its place is kept under its look. A client that keeps cookies and sends none has no
    /// place yet, unless it names its holder.
    is_known_by_look: bool,
}

type Key = u64;

/// What a client has shown by how it came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// It was refused, and may be a try-lock.
    ///
    /// Of a client that came back, `early` counts how often in a row it came before it was asked
    /// to. Two clients may share its identity then, and disturb each other unless their sleeps
    /// differ. Of a new client, `early` counts how often the number of newcomers before it has
    /// doubled that never came back.
    Refused { early: u32 },
    /// It came back once, and was asked to sleep longer.
    Tested,
    /// It waits.
    Proven,
}

/// A request, with what its client's earlier refusals show.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Visit {
    /// The place that is kept for it.
    pub(crate) place: Option<Ticket>,
    /// The lease that its refused request named. The retry names the same, so that the log shows
    /// one wait.
    pub(crate) lease: Option<LeaseId>,
    pub(crate) standing: Standing,
    /// How long it is asked to sleep if it is refused now and is to be tested.
    pub(crate) sleep: Option<Span>,
}

/// A place that is kept for a refused client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kept {
    pub(crate) ticket: Ticket,
    pub(crate) lease: Option<LeaseId>,
    pub(crate) standing: Standing,
    pub(crate) refused_at: Timestamp,
    /// How long its client was asked to sleep.
    pub(crate) asked: Span,
}

/// The places that are kept.
#[derive(Debug, Default)]
pub(crate) struct Places {
    hasher: RandomState,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    kept: HashMap<Key, Alike>,
    /// The places that were not claimed. A place may be kept under two keys.
    live: HashSet<u64>,
    next: u64,
    newcomers: Newcomers,
    /// The places, the next to be given up first.
    order: BinaryHeap<Reverse<(Timestamp, u64, Key)>>,
}

/// The places under one key, each list in the order in which their clients were refused.
#[derive(Debug, Default)]
struct Alike {
    proven: VecDeque<Numbered>,
    others: VecDeque<Numbered>,
}

type Numbered = (u64, Kept);

impl Places {
    /// The client of a request, by its identity and by everything that it requests.
    pub(crate) fn caller(
        &self,
        peer: Option<Peer>,
        identity: Identity,
        acquire: &Acquire,
    ) -> Caller {
        let Acquire { wants, mode, hold, missing: _, patience: _, origin: _ } = acquire;
        // A lease's id is new with each attempt.
        let hold = match hold {
            Hold::Lease { id: _, holder, ttl, notes: _ } => (holder.as_ref(), Some(*ttl)),
            Hold::Holder { id: _, holder } => (Some(holder), None),
            Hold::Unleased => (None, None),
        };
        let asked = self.hasher.hash_one((wants, mode, hold));
        // A request that names its holder comes from one client only.
        let is_named = acquire.hold.holder().is_some();
        Caller {
            asked,
            client: identity.client.map(|client| self.hasher.hash_one((asked, client))),
            look: self.hasher.hash_one((asked, peer, identity.said)),
            is_known_by_look: identity.client.is_none() && (is_named || !identity.keeps_cookies),
        }
    }

    /// The same caller, identified from now on by the cookie that it is given.
    pub(crate) fn known_as(&self, caller: Caller, client: ClientId) -> Caller {
        Caller { client: Some(self.hasher.hash_one((caller.asked, client))), ..caller }
    }

    /// Keeps a place for a client that was refused.
    pub(crate) fn keep(&self, caller: Caller, place: Kept) {
        let mut inner = self.lock();
        let number = inner.next;
        inner.next += 1;
        inner.live.insert(number);
        for key in [caller.client, caller.alike()].into_iter().flatten() {
            inner.kept.entry(key).or_default().push((number, place));
            inner.order.push(Reverse((place.until(), number, key)));
        }
        inner.give_up(place.refused_at);
    }

    /// Returns what the earlier refusals of a client show when it comes back, and claims the place
    /// that it comes back to: the place is no longer kept.
    pub(crate) fn claim(&self, caller: Caller, now: Timestamp) -> Visit {
        let mut inner = self.lock();
        inner.give_up(now);
        if caller.client.is_some() {
            inner.newcomers.came_back(caller.look);
        }
        let known = caller.client.and_then(|key| inner.claim(key, now, true));
        let visit = known.or_else(|| caller.alike().and_then(|key| inner.claim(key, now, false)));
        visit.unwrap_or(Visit {
            place: None,
            lease: None,
            standing: Standing::Refused { early: 0 },
            sleep: None,
        })
    }

    /// Notes that a client was refused. If it is new, the newcomers before it decide how long it
    /// may have to sleep. Returns whether the cookies of clients that look like it seem to get
    /// lost.
    pub(crate) fn refuse(&self, caller: Caller, visit: &mut Visit, now: Timestamp) -> bool {
        if caller.client.is_some() || caller.is_known_by_look {
            return false;
        }
        let newcomer = self.lock().newcomers.comes(caller.look, now);
        visit.standing = Standing::Refused { early: newcomer.early };
        newcomer.are_cookies_lost
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Caller {
    /// The key of its look, if its place is kept under that.
    fn alike(&self) -> Option<Key> {
        self.is_known_by_look.then_some(self.look)
    }
}

impl Kept {
    fn until(&self) -> Timestamp {
        self.refused_at + self.asked + PLACE_TTL
    }

    /// What the client shows by coming back now; `None` if that is earlier than it was asked to.
    fn visit(&self, now: Timestamp) -> Option<Visit> {
        let gap = now.since(self.refused_at);
        if gap < self.asked {
            return None;
        }
        let late = now.since(self.refused_at + self.asked);
        let slack = SLACK.max(Span::from_micros(self.asked.as_micros() / SLACK_DIVISOR));
        let (standing, sleep) = match self.standing {
            Standing::Proven | Standing::Tested if late <= slack => (Standing::Proven, None),
            _ if late <= LATE_MAX => {
                let longer = Span::from_micros(gap.as_micros().saturating_mul(TEST_FACTOR));
                (Standing::Tested, Some(longer.min(TEST_MAX)))
            }
            _ => (Standing::Refused { early: 0 }, None),
        };
        Some(Visit { place: Some(self.ticket), lease: self.lease, standing, sleep })
    }

    /// A client that is identified for sure came back earlier than it was asked to. It is a
    /// try-lock, or two clients share the identity.
    fn early_visit(&self) -> Option<Visit> {
        let early = match self.standing {
            Standing::Refused { early } => early + 1,
            Standing::Tested => 1,
            Standing::Proven => return None,
        };
        let standing = Standing::Refused { early };
        Some(Visit { place: Some(self.ticket), lease: self.lease, standing, sleep: None })
    }
}

impl Inner {
    /// Claims the place under a key to which a client comes back: one in which it is held open, or
    /// else the oldest that is due. A client that is identified for sure may also come back early.
    fn claim(&mut self, key: Key, now: Timestamp, is_known: bool) -> Option<Visit> {
        let Alike { proven, others } = self.kept.get_mut(&key)?;
        let live = &self.live;
        let is_live = |(number, _): &&Numbered| live.contains(number);
        let due = |(number, place): &Numbered| Some((*number, place.visit(now)?));
        let waits = proven.iter().filter(is_live).find_map(due);
        let held_open = |(_, visit): &(u64, Visit)| visit.standing == Standing::Proven;
        let found = waits
            .or_else(|| others.iter().filter(is_live).filter_map(due).find(held_open))
            .or_else(|| others.iter().filter(is_live).find_map(due));
        let early = |(number, place): &Numbered| Some((*number, place.early_visit()?));
        let early = || others.iter().rev().filter(is_live).find_map(early).filter(|_| is_known);
        let (number, visit) = found.or_else(early)?;
        self.live.remove(&number);
        for list in [proven, others] {
            if let Some(index) = list.iter().position(|(known, _)| *known == number) {
                list.remove(index);
            }
        }
        Some(visit)
    }

    fn give_up(&mut self, now: Timestamp) {
        while let Some(&Reverse((until, number, key))) = self.order.peek()
            && (until <= now || self.order.len() > PLACES_MAX)
        {
            self.order.pop();
            self.live.remove(&number);
            if let Some(places) = self.kept.get_mut(&key) {
                places.give_up(&self.live);
                if places.proven.is_empty() && places.others.is_empty() {
                    self.kept.remove(&key);
                }
            }
        }
    }
}

impl Alike {
    fn push(&mut self, place: Numbered) {
        if place.1.standing == Standing::Proven {
            self.proven.push_back(place);
            return;
        }
        if self.others.len() >= UNPROVEN_MAX {
            self.others.pop_front();
        }
        self.others.push_back(place);
    }

    /// Drops the oldest that are no longer kept.
    fn give_up(&mut self, live: &HashSet<u64>) {
        for list in [&mut self.proven, &mut self.others] {
            while list.front().is_some_and(|(number, _)| !live.contains(number)) {
                list.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests;
