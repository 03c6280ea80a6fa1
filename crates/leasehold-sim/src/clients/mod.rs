//! Clients: small state machines that send requests, receive replies, sleep, and sometimes fail.

mod holders;
mod mover;
mod operators;
mod waiters;

use fastrand::Rng;

pub(crate) use self::operators::{Founder, Janitor};
use crate::wire::{Reply, Request};

pub(crate) const SECOND: u64 = 1_000_000;

/// What starts a client's turn.
pub(crate) enum Heard<'a> {
    /// Its sleep is over.
    Awake,
    /// The reply to its request.
    Reply(&'a Reply),
    /// None of its tries got a reply.
    Silence,
}

/// What a client does in a turn.
pub(crate) enum Turn {
    /// Sends a request, at most so many times, until a reply comes.
    Call(Request, u32),
    /// Sends a request that may wait.
    Wait(Request, Manners),
    Sleep(u64),
    /// Stops for good, and releases nothing.
    Die,
}

/// How a client sends a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manners {
    /// How often it sends the request at most.
    pub(crate) tries: u32,
    /// How long it waits for a reply each time.
    pub(crate) timeout: u64,
    /// Whether the server notices that it no longer waits.
    pub(crate) hangs_up: bool,
    /// Whether the network may duplicate the request.
    pub(crate) is_doubled: bool,
    /// Whether it acts on `Unavailable`. If not, it retries after its timeout.
    pub(crate) hears_unavailable: bool,
}

impl Manners {
    /// For a request that waits on an open connection.
    pub(crate) fn waiting(wait: u64, rng: &mut Rng) -> Self {
        Self {
            tries: 1,
            timeout: wait + SECOND,
            hangs_up: rng.u8(0..10) > 0,
            is_doubled: false,
            hears_unavailable: true,
        }
    }

    /// For a request that the client retries, on connections that the server does not watch.
    pub(crate) fn asking(tries: u32, timeout: u64) -> Self {
        Self { tries, timeout, hangs_up: false, is_doubled: true, hears_unavailable: false }
    }
}

pub(crate) trait Client {
    fn turn(&mut self, heard: &Heard<'_>, rng: &mut Rng) -> Turn;
}

/// A limit that the founder creates.
pub(crate) struct Founded {
    pub(crate) name: &'static str,
    pub(crate) slots: u64,
    pub(crate) nanos_per_second: u64,
}

const fn plain(name: &'static str, slots: u64) -> Founded {
    Founded { name, slots, nanos_per_second: 0 }
}

/// The limits of the world.
pub(crate) const LIMITS: [Founded; 13] = [
    plain("lock", 1),
    plain("three", 3),
    plain("five", 5),
    // Shared by leases and unleased slots.
    plain("shared", 4),
    plain("tag:one", 1),
    plain("tag:two", 2),
    // Resized and reset by an operator.
    plain("sized", 3),
    // Switched on and off, deleted and created again.
    plain("shaky", 3),
    Founded { name: "rate", slots: 3, nanos_per_second: 5_000_000_000 },
    // Drains, and is held by leases.
    Founded { name: "mixed", slots: 6, nanos_per_second: 700_000_000 },
    // Drains while many requests wait for it.
    Founded { name: "paced", slots: 2, nanos_per_second: 3_000_000_000 },
    // Never idle while the rushing clients run.
    plain("busy", 4),
    // Came over from another server, and goes back there now and then.
    MOVED,
];

pub(crate) const MOVED: Founded = plain("moved", 4);
/// The founder creates it last.
pub(crate) const MOVED_ID: u64 = LIMITS.len() as u64;

/// All clients that use the limits.
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
    // One seed in five is enough to find each way of starving a waiter. These clients use most of
    // the events.
    if rng.u8(0..5) == 0 {
        for nth in 0..8 {
            crowd.push(Box::new(waiters::Waiter::rushing(300 + nth)));
        }
        crowd.push(Box::new(waiters::Waiter::starving(400)));
        crowd.push(Box::new(waiters::Waiter::polling(401)));
    }
    crowd.push(Box::new(operators::Operator::new(rng.bool())));
    crowd.push(Box::new(operators::Onlooker));
    crowd.push(Box::new(mover::Mover::default()));
    crowd
}

pub(crate) fn one_of<T: Copy>(rng: &mut Rng, choices: &[T]) -> T {
    choices[rng.usize(0..choices.len())]
}
