//! Clients that take slots: with leases that they renew, as tagged runs, or without a lease.

use fastrand::Rng;

use super::{Client, Heard, Manners, SECOND, Turn, one_of};
use crate::wire::{Patience, Reply, Request};

/// How often a client sends a request before it gives up.
const TRIES: u32 = 4;

/// Takes a lease, renews it after three quarters of its time, and releases it. Sometimes it
/// crashes. Sometimes it sleeps longer than its lease lives and goes on as if nothing had happened.
pub(crate) struct Renewing {
    nth: u64,
    leases_made: u64,
    ttl: u64,
    state: State,
}

enum State {
    Idle,
    Acquiring,
    Holding { renewals_left: u32 },
    Renewing { renewals_left: u32 },
    Releasing,
}

impl Renewing {
    pub(crate) fn new(nth: u64) -> Self {
        Self { nth, leases_made: 0, ttl: 0, state: State::Idle }
    }

    fn lease(&self) -> u64 {
        self.nth * 1_000_000 + self.leases_made
    }

    fn acquire(&mut self, rng: &mut Rng) -> Turn {
        const CHOICES: [&[&str]; 11] = [
            &["lock"],
            &["three"],
            &["five", "three"],
            &["lock", "shared"],
            &["shared"],
            &["sized", "five"],
            &["shaky", "five"],
            &["mixed"],
            &["tag:two", "nowhere", "five"],
            &["moved"],
            &["five", "moved"],
        ];
        self.leases_made += 1;
        self.ttl = rng.u64(2 * SECOND..10 * SECOND);
        self.state = State::Acquiring;
        let names: Vec<_> = one_of(rng, &CHOICES).iter().map(|name| (*name).to_owned()).collect();
        let is_greedy = names.len() == 1 && names[0] != "lock" && rng.u8(0..4) == 0;
        let slots = if is_greedy { 2 } else { 1 };
        let (lease, ttl) = (self.lease(), self.ttl);
        Turn::Call(Request::Acquire { lease, names, slots, ttl, patience: None }, TRIES)
    }

    fn hold(&mut self, renewals_left: u32, rng: &mut Rng) -> Turn {
        self.state = State::Holding { renewals_left };
        match rng.u8(0..40) {
            // A crash: later, a new process starts and does not know this lease.
            0 => {
                self.state = State::Idle;
                Turn::Sleep(rng.u64(0..5 * SECOND))
            }
            // A pause longer than the lease.
            1 => Turn::Sleep(self.ttl + rng.u64(0..5 * SECOND)),
            // A renewal at the last moment.
            2 => Turn::Sleep(self.ttl - rng.u64(0..20_000)),
            _ => Turn::Sleep(self.ttl / 4 * 3),
        }
    }
}

impl Client for Renewing {
    fn turn(&mut self, heard: &Heard<'_>, rng: &mut Rng) -> Turn {
        match (&self.state, heard) {
            (State::Idle, _) => self.acquire(rng),
            (State::Acquiring, Heard::Reply(Reply::Granted { lease: Some(_), .. })) => {
                let renewals = rng.u32(0..4);
                self.state = State::Holding { renewals_left: renewals };
                match renewals {
                    0 => Turn::Sleep(rng.u64(1..self.ttl)),
                    _ => self.hold(renewals, rng),
                }
            }
            (State::Holding { renewals_left: 0 }, _) => {
                self.state = State::Releasing;
                Turn::Call(Request::Release { lease: self.lease() }, TRIES)
            }
            (State::Holding { renewals_left }, _) => {
                self.state = State::Renewing { renewals_left: renewals_left - 1 };
                Turn::Call(Request::Renew { lease: self.lease(), ttl: self.ttl }, TRIES)
            }
            (State::Renewing { renewals_left }, Heard::Reply(Reply::Renewed { .. })) => {
                self.hold(*renewals_left, rng)
            }
            // Gone, refused, released or no reply: go on to the next lease.
            _ => {
                self.state = State::Idle;
                Turn::Sleep(rng.u64(1..SECOND))
            }
        }
    }
}

/// Task runs, one after the other, that take tags and cannot renew.
pub(crate) struct Tagged {
    nth: u64,
    polls: bool,
    asks_made: u64,
    run: u64,
    tags: Vec<String>,
    is_holding: bool,
    /// It was not granted, and asks again as the same run.
    comes_back: bool,
}

impl Tagged {
    pub(crate) fn new(nth: u64) -> Self {
        let (polls, is_holding, comes_back) = (false, false, false);
        Self { nth, polls, asks_made: 0, run: 0, tags: Vec::new(), is_holding, comes_back }
    }

    /// One that polls: its first request does not wait, and the next one does.
    pub(crate) fn polling(nth: u64) -> Self {
        Self { polls: true, ..Self::new(nth) }
    }

    fn ask(&mut self, rng: &mut Rng) -> Turn {
        self.asks_made += 1;
        let lease = self.nth * 1_000_000 + self.asks_made;
        if !std::mem::take(&mut self.comes_back) {
            self.run = lease;
            let choices: [&[&str]; 3] = [&["tag:one"], &["tag:two"], &["tag:two", "tag:one"]];
            let tags = one_of(rng, &choices).iter();
            self.tags = tags.map(|tag| (*tag).to_owned()).collect();
        }
        let (run, tags) = (self.run, self.tags.clone());
        let patience = self.polls.then(|| patience_of_polling(self.nth, rng));
        ask_or_wait(Request::Take { lease, run, tags, patience }, TRIES, rng)
    }
}

impl Client for Tagged {
    fn turn(&mut self, heard: &Heard<'_>, rng: &mut Rng) -> Turn {
        match heard {
            Heard::Reply(Reply::Granted { .. }) => {
                self.is_holding = true;
                Turn::Sleep(rng.u64(1..2 * SECOND))
            }
            Heard::Awake if self.is_holding && rng.u8(0..15) > 0 => {
                self.is_holding = false;
                Turn::Call(Request::Drop { run: self.run, tags: self.tags.clone() }, TRIES)
            }
            // One in fifteen runs ends without releasing its tags.
            Heard::Awake => {
                self.is_holding = false;
                self.ask(rng)
            }
            Heard::Reply(Reply::Refused { .. } | Reply::Unavailable) | Heard::Silence => {
                self.comes_back = self.polls && rng.u8(0..4) > 0;
                Turn::Sleep(rng.u64(1..SECOND))
            }
            Heard::Reply(_) => Turn::Sleep(rng.u64(1..SECOND)),
        }
    }
}

/// Takes slots without a lease. It sends each request once: a retry could take or free another
/// slot.
#[derive(Default)]
pub(crate) struct Anonymous {
    /// Its id, if it polls.
    caller: Option<u64>,
    name: &'static str,
    slots: u64,
}

impl Anonymous {
    /// One that polls: its first request does not wait, and the next one does. It mostly takes
    /// slots of a limit that drains, so that a slot whose grant was lost blocks others only for a
    /// short time.
    pub(crate) fn polling(nth: u64) -> Self {
        Self { caller: Some(nth), ..Self::default() }
    }

    fn ask(&mut self, rng: &mut Rng) -> Turn {
        self.name = match self.caller {
            Some(_) => one_of(rng, &["paced", "paced", "shared"]),
            None => "shared",
        };
        let (name, slots, is_rate) = (self.name.to_owned(), 1, false);
        let patience = self.caller.map(|caller| patience_of_polling(caller, rng));
        ask_or_wait(Request::Increment { name, slots, is_rate, patience }, 1, rng)
    }
}

impl Client for Anonymous {
    fn turn(&mut self, heard: &Heard<'_>, rng: &mut Rng) -> Turn {
        match heard {
            Heard::Reply(Reply::Granted { .. }) if self.slots == 0 => {
                self.slots = 1;
                Turn::Sleep(rng.u64(1..2 * SECOND))
            }
            Heard::Awake if self.slots > 0 => {
                Turn::Call(Request::Decrement { name: self.name.to_owned(), slots: self.slots }, 1)
            }
            Heard::Awake => self.ask(rng),
            Heard::Reply(_) | Heard::Silence => {
                self.slots = 0;
                Turn::Sleep(rng.u64(1..SECOND))
            }
        }
    }
}

fn patience_of_polling(caller: u64, rng: &mut Rng) -> Patience {
    let (wait, caller) = (rng.u64(1..5 * SECOND), Some(caller));
    Patience { wait, priority: 0, caller, has_key: false, insists: false }
}

/// Sends a request that waits on an open connection, and retries any other up to `tries` times.
fn ask_or_wait(request: Request, tries: u32, rng: &mut Rng) -> Turn {
    match request.patience() {
        Some(patience) => Turn::Wait(request, Manners::waiting(patience.wait, rng)),
        None => Turn::Call(request, tries),
    }
}

/// Hammers a rate limit.
pub(crate) struct Rated;

impl Client for Rated {
    fn turn(&mut self, heard: &Heard<'_>, rng: &mut Rng) -> Turn {
        match heard {
            Heard::Awake => {
                let (name, slots) = ("rate".to_owned(), rng.u64(1..3));
                Turn::Call(Request::Increment { name, slots, is_rate: true, patience: None }, 1)
            }
            Heard::Reply(_) | Heard::Silence => Turn::Sleep(rng.u64(1..300_000)),
        }
    }
}
