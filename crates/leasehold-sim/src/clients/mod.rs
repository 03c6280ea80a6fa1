//! Clients: little automata that ask, hear, sleep, and sometimes fail.

mod holders;
mod operators;
mod waiters;

use fastrand::Rng;

pub(crate) use self::operators::{Founder, Janitor};
use crate::wire::{Reply, Request};

pub(crate) const SECOND: u64 = 1_000_000;

/// What a client gets to know.
pub(crate) enum Heard<'a> {
    /// It has slept enough.
    Awake,
    /// The reply to what it asked.
    Reply(&'a Reply),
    /// There was no reply, however often it asked.
    Silence,
}

/// What a client does.
pub(crate) enum Turn {
    /// Asks, so many times until there is a reply.
    Call(Request, u32),
    /// Asks for something that may take its time.
    Wait(Request, Manners),
    Sleep(u64),
    /// Never does anything again, and gives nothing back.
    Die,
}

/// How a client treats a request of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manners {
    /// How often it asks until there is a reply.
    pub(crate) tries: u32,
    /// How long it waits for a reply each time.
    pub(crate) timeout: u64,
    /// Whether the server comes to know that it no longer waits.
    pub(crate) hangs_up: bool,
    /// Whether the network may double the request.
    pub(crate) is_doubled: bool,
    /// Whether it wants to hear that nothing was done; else it asks again after a while.
    pub(crate) hears_unavailable: bool,
}

impl Manners {
    /// Those of a client on a connection that is held open.
    pub(crate) fn waiting(wait: u64, rng: &mut Rng) -> Self {
        Self {
            tries: 1,
            timeout: wait + SECOND,
            hangs_up: rng.u8(0..10) > 0,
            is_doubled: false,
            hears_unavailable: true,
        }
    }

    /// Those of a client that asks again, on connections that nobody watches.
    pub(crate) fn asking(tries: u32, timeout: u64) -> Self {
        Self { tries, timeout, hangs_up: false, is_doubled: true, hears_unavailable: false }
    }
}

pub(crate) trait Client {
    fn turn(&mut self, heard: &Heard<'_>, rng: &mut Rng) -> Turn;
}

/// A limit that the founder makes.
pub(crate) struct Founded {
    pub(crate) name: &'static str,
    pub(crate) slots: u64,
    pub(crate) nanos_per_second: u64,
}

const fn plain(name: &'static str, slots: u64) -> Founded {
    Founded { name, slots, nanos_per_second: 0 }
}

/// The limits of the world.
pub(crate) const LIMITS: [Founded; 12] = [
    plain("lock", 1),
    plain("three", 3),
    plain("five", 5),
    // Shared by leases and slots without one.
    plain("shared", 4),
    plain("tag:one", 1),
    plain("tag:two", 2),
    // Resized and reset by an operator.
    plain("sized", 3),
    // Switched on and off, deleted and made again.
    plain("shaky", 3),
    Founded { name: "rate", slots: 3, nanos_per_second: 5_000_000_000 },
    // Drains, and is held by leases.
    Founded { name: "mixed", slots: 6, nanos_per_second: 700_000_000 },
    // Drains while many wait for it.
    Founded { name: "paced", slots: 2, nanos_per_second: 3_000_000_000 },
    // Never idle while there is a rush.
    plain("busy", 4),
];

/// Everybody who uses the limits.
pub(crate) fn crowd(rng: &mut Rng) -> Vec<Box<dyn Client>> {
    let mut crowd: Vec<Box<dyn Client>> = Vec::new();
    for nth in 0..12 {
        crowd.push(Box::new(holders::Renewing::new(nth)));
    }
    for nth in 0..3 {
        crowd.push(Box::new(holders::Tagged::new(100 + nth)));
        crowd.push(Box::new(holders::Anonymous::default()));
        crowd.push(Box::new(holders::Tagged::polling(110 + nth)));
        crowd.push(Box::new(holders::Anonymous::polling(120 + nth)));
    }
    for _ in 0..2 {
        crowd.push(Box::new(holders::Rated));
    }
    for nth in 0..8 {
        crowd.push(Box::new(waiters::Waiter::new(200 + nth)));
    }
    // Often enough for each way of starving somebody to be seen; they need most of the events.
    if rng.u8(0..5) == 0 {
        for nth in 0..8 {
            crowd.push(Box::new(waiters::Waiter::rushing(300 + nth)));
        }
        crowd.push(Box::new(waiters::Waiter::starving(400)));
        crowd.push(Box::new(waiters::Waiter::polling(401)));
    }
    crowd.push(Box::new(operators::Operator::new(rng.bool())));
    crowd.push(Box::new(operators::Onlooker));
    crowd
}

pub(crate) fn one_of<T: Copy>(rng: &mut Rng, choices: &[T]) -> T {
    choices[rng.usize(0..choices.len())]
}
