//! Clients that wait for slots: for a short or a long time, on an open connection, by polling, or
//! with an idempotency key. Some hang up or crash while they wait.

use fastrand::Rng;

use super::{Client, Heard, Manners, SECOND, Turn, one_of};
use crate::wire::{Patience, Reply, Request};

const MILLISECOND: u64 = 1_000;
/// How long a client keeps its connection open beyond the wait that it requested.
const MARGIN: u64 = SECOND;
/// The same for rushing clients: a lost message must not delay them for long.
const MARGIN_IN_A_RUSH: u64 = 20 * MILLISECOND;

/// Waits for slots, holds them for a while, and releases them.
pub(crate) struct Waiter {
    nth: u64,
    leases_made: u64,
    kind: Kind,
    /// What it asks for until it is granted or gives up.
    wish: Option<Wish>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Every kind of request.
    Any,
    /// One slot, briefly, again and again.
    Rushing,
    /// All the slots that the rushing clients use.
    Starving,
    /// The same by polling: it is refused, and comes back to its place.
    Polling,
}

#[derive(Clone)]
struct Wish {
    names: Vec<String>,
    slots: u64,
    ttl: u64,
    patience: Patience,
    /// Whether it was requested before. With a key, it is then requested under the same lease.
    is_open: bool,
}

#[derive(PartialEq, Eq)]
enum State {
    Idle,
    Waiting,
    Holding,
    Releasing,
}

impl Waiter {
    pub(crate) fn new(nth: u64) -> Self {
        Self::of_kind(nth, Kind::Any)
    }

    pub(crate) fn rushing(nth: u64) -> Self {
        Self::of_kind(nth, Kind::Rushing)
    }

    pub(crate) fn starving(nth: u64) -> Self {
        Self::of_kind(nth, Kind::Starving)
    }

    pub(crate) fn polling(nth: u64) -> Self {
        Self::of_kind(nth, Kind::Polling)
    }

    fn of_kind(nth: u64, kind: Kind) -> Self {
        Self { nth, leases_made: 0, kind, wish: None, state: State::Idle }
    }

    fn lease(&self) -> u64 {
        self.nth * 1_000_000 + self.leases_made
    }

    fn ask(&mut self, rng: &mut Rng) -> Turn {
        let wish = match self.wish.take() {
            Some(wish) => wish,
            None => self.wish_anew(rng),
        };
        if !(wish.patience.has_key && wish.is_open) {
            self.leases_made += 1;
        }
        self.state = State::Waiting;
        let Wish { names, slots, ttl, patience, .. } = wish.clone();
        let manners = match rng.u8(0..6) {
            // The client gives up early, perhaps while its grant is on its way to the disk. It
            // hangs up, or its machine dies and the server notices nothing.
            nth @ (0 | 1) if self.kind == Kind::Any => Manners {
                tries: 1,
                timeout: match nth {
                    0 => rng.u64(MILLISECOND..10 * MILLISECOND),
                    _ => rng.u64(MILLISECOND..patience.wait + MARGIN),
                },
                hangs_up: rng.u8(0..4) > 0,
                is_doubled: false,
                hears_unavailable: true,
            },
            _ => Manners {
                tries: if patience.has_key { 3 } else { 1 },
                timeout: patience.wait + self.margin(),
                hangs_up: rng.u8(0..10) > 0,
                is_doubled: patience.has_key,
                hears_unavailable: true,
            },
        };
        self.wish = Some(wish);
        let lease = self.lease();
        Turn::Wait(Request::Acquire { lease, names, slots, ttl, patience: Some(patience) }, manners)
    }

    fn margin(&self) -> u64 {
        if self.kind == Kind::Rushing { MARGIN_IN_A_RUSH } else { MARGIN }
    }

    fn wish_anew(&self, rng: &mut Rng) -> Wish {
        const CHOICES: [(&[&str], u64); 14] = [
            (&["lock"], 1),
            (&["lock"], 1),
            (&["three"], 2),
            (&["five", "three"], 1),
            (&["lock", "shared"], 1),
            (&["five"], 4),
            (&["sized"], 2),
            (&["shaky", "five"], 1),
            (&["paced"], 1),
            (&["paced"], 2),
            (&["mixed", "paced"], 1),
            (&["sized", "paced", "lock"], 1),
            (&["moved"], 2),
            (&["moved", "lock"], 1),
        ];
        let (names, slots) = match self.kind {
            Kind::Any => one_of(rng, &CHOICES),
            Kind::Rushing => (&["busy"][..], 1),
            Kind::Starving | Kind::Polling => (&["busy"][..], 4),
        };
        let wait = match (self.kind, rng.u8(0..8)) {
            (Kind::Starving, _) => 20 * SECOND,
            (Kind::Rushing, _) => rng.u64(0..200 * MILLISECOND),
            (Kind::Polling, _) => rng.u64(50 * MILLISECOND..500 * MILLISECOND),
            (Kind::Any, 0) => 0,
            (Kind::Any, 1..=3) => rng.u64(MILLISECOND..SECOND),
            (Kind::Any, _) => rng.u64(SECOND..10 * SECOND),
        };
        let polls = self.kind == Kind::Polling || (self.kind == Kind::Any && rng.u8(0..3) == 0);
        let has_key = self.kind == Kind::Any && !polls && rng.u8(0..3) == 0;
        let priority = if self.kind == Kind::Any { one_of(rng, &[-1, 0, 0, 0, 5]) } else { 0 };
        let caller = polls.then_some(self.nth);
        let insists = rng.u8(0..4) == 0;
        Wish {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            slots,
            // Short, because a lease whose grant was lost must not end the rush.
            ttl: match self.kind {
                Kind::Rushing => rng.u64(50 * MILLISECOND..200 * MILLISECOND),
                _ => rng.u64(2 * SECOND..6 * SECOND),
            },
            patience: Patience { wait, priority, caller, has_key, insists },
            is_open: false,
        }
    }

    /// Granted: holds the lease, or crashes and abandons it.
    fn hold(&mut self, rng: &mut Rng) -> Turn {
        self.wish = None;
        self.state = State::Holding;
        match (self.kind, rng.u8(0..25)) {
            (Kind::Rushing, _) => Turn::Sleep(rng.u64(1..4 * MILLISECOND)),
            (_, 0) => {
                self.state = State::Idle;
                Turn::Sleep(rng.u64(1..SECOND))
            }
            _ => Turn::Sleep(rng.u64(1..SECOND)),
        }
    }

    /// Not granted: asks for the same again, or for something else.
    fn go_on(&mut self, is_same: bool, rng: &mut Rng) -> Turn {
        self.state = State::Idle;
        match &mut self.wish {
            Some(wish) if is_same => wish.is_open = true,
            _ => self.wish = None,
        }
        match self.kind {
            Kind::Rushing => Turn::Sleep(rng.u64(1..2 * MILLISECOND)),
            _ => Turn::Sleep(rng.u64(1..SECOND / 2)),
        }
    }
}

impl Client for Waiter {
    fn turn(&mut self, heard: &Heard<'_>, rng: &mut Rng) -> Turn {
        match (&self.state, heard) {
            (State::Idle, _) => self.ask(rng),
            (State::Waiting, Heard::Reply(Reply::Granted { lease: Some(_), .. })) => self.hold(rng),
            (State::Waiting, Heard::Reply(Reply::Refused { .. })) => {
                let comes_back = self.kind == Kind::Polling || rng.u8(0..8) > 0;
                self.go_on(comes_back, rng)
            }
            // The outcome is unknown: ask for the same again, with the key if there is one.
            (State::Waiting, Heard::Reply(Reply::Unavailable) | Heard::Silence) => {
                self.go_on(true, rng)
            }
            (State::Holding, _) => {
                self.state = State::Releasing;
                let manners = Manners::asking(4, self.margin());
                Turn::Wait(Request::Release { lease: self.lease() }, manners)
            }
            _ => self.go_on(false, rng),
        }
    }
}
