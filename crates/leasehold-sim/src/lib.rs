//! A seeded simulator that tries to make a Leasehold server break its promises.
//!
//! A world of one server, its disk, a network and clients, in which everything follows from
//! one seed: crashes at every moment of a commit, power losses, full disks, requests and
//! replies that are lost, doubled or late, clocks that are stepped, holders that crash or
//! sleep longer than their leases, and clients that wait in line, and hang up. Checkers that share
//! no code with the engine judge afterwards what went over the wire.
//!
//! ```text
//!   seed ──▶ World { clients ◀── network ──▶ Server { Desk } ◀── Disk }
//!                          │
//!                          └─▶ History ──▶ checks ──▶ violations
//! ```

mod checks;
mod clients;
mod disk;
mod door;
mod history;
mod line;
mod sabotage;
mod scene;
mod server;
mod wire;
mod world;

pub use sabotage::Sabotage;

use std::ops::AddAssign;

use history::History;
use scene::{Scene, What};
use wire::Reply;
use world::World;

/// How many events happen in a run unless it is said.
pub const STEPS: u64 = 10_000;

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// What everything follows from.
    pub seed: u64,
    /// How many events happen before all clients and faults end.
    pub steps: u64,
    /// What the server does wrong, if anything.
    pub sabotage: Option<Sabotage>,
}

/// A broken promise.
#[derive(Clone, Debug)]
pub struct Failure {
    /// When it showed, in microseconds from the beginning of the world.
    pub at: u64,
    /// What was broken.
    pub what: String,
}

/// One thing that happened: when, and what.
pub type Event = (u64, String);

/// What can be said of a run in which no promise was broken.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    /// Requests that clients made.
    pub requests: usize,
    /// Grants that left the server.
    pub grants: usize,
    /// Refusals for want of room.
    pub refusals: usize,
    /// Answers that a lease is not there.
    pub gone: usize,
    /// Answers that nothing could be made durable.
    pub unavailable: usize,
    /// How often the server was started.
    pub starts: usize,
    /// Requests that were put in line.
    pub waits: usize,
    /// Grants to those who had waited.
    pub woken: usize,
    /// Waiters whose clients hung up.
    pub left: usize,
}

/// Runs a plan.
///
/// # Errors
///
/// If a promise was broken: the first that shows.
pub fn run(plan: Plan) -> Result<Report, Failure> {
    let (history, _) = World::new(plan.seed, plan.sabotage, false).run(plan.steps);
    match checks::violations(&history).into_iter().next() {
        Some(violation) => Err(Failure { at: violation.at, what: violation.what }),
        None => Ok(Report::new(&history)),
    }
}

/// Runs a plan again and tells everything that happened.
pub fn trace(plan: Plan) -> Vec<Event> {
    World::new(plan.seed, plan.sabotage, true).run(plan.steps).1
}

impl Report {
    fn new(history: &History) -> Self {
        let count = |is: fn(&Reply) -> bool| {
            let replies = history.exchanges.iter().flat_map(|exchange| &exchange.replies);
            replies.filter(|answer| is(&answer.reply)).count()
        };
        let scenes = |count: fn(&Scene) -> usize| history.scenes.iter().map(count).sum();
        Self {
            requests: history.exchanges.len(),
            grants: count(|reply| matches!(reply, Reply::Granted { .. })),
            refusals: count(|reply| matches!(reply, Reply::Refused { .. })),
            gone: count(|reply| matches!(reply, Reply::Gone { .. })),
            unavailable: count(|reply| matches!(reply, Reply::Unavailable)),
            starts: history.uptimes.len(),
            waits: scenes(|scene| {
                usize::from(matches!(scene.what, What::Asked { waiter: Some(_), .. }))
            }),
            woken: scenes(|scene| {
                let replies = scene.called.iter().map(|(_, reply)| reply);
                replies.filter(|reply| matches!(reply, Reply::Granted { .. })).count()
            }),
            left: scenes(|scene| usize::from(matches!(scene.what, What::Left { .. }))),
        }
    }
}

impl AddAssign for Report {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.grants += other.grants;
        self.refusals += other.refusals;
        self.gone += other.gone;
        self.unavailable += other.unavailable;
        self.starts += other.starts;
        self.waits += other.waits;
        self.woken += other.woken;
        self.left += other.left;
    }
}
