//! A seeded simulator that tries to make a Leasehold server break its promises.
//!
//! One seed determines everything in a world of one server, its disk, a network and clients:
//! crashes at every moment of a commit, power losses and full disks; requests and replies that are
//! lost, duplicated or late; steps of the wall clock; holders that crash or sleep longer than their
//! leases; clients that wait in the queue and hang up. Afterwards, checkers that share no code with
//! the engine judge the history.
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
pub mod owners;
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

/// The default number of events in a run.
pub const STEPS: u64 = 10_000;

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The seed, which determines the whole run.
    pub seed: u64,
    /// How many events happen before all clients and faults stop.
    pub steps: u64,
    /// What the server does wrong, if anything.
    pub sabotage: Option<Sabotage>,
}

/// A broken promise.
#[derive(Clone, Debug)]
pub struct Failure {
    /// When it became visible, in microseconds since the start of the world.
    pub at: u64,
    /// What happened.
    pub what: String,
}

/// One entry of a trace: the time in microseconds since the start of the world, and what happened.
pub type Event = (u64, String);

/// Counts of a run that broke no promise.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    /// Requests of clients; a retry is not counted.
    pub requests: usize,
    /// Grants that left the server.
    pub grants: usize,
    /// Refusals because too few slots were free.
    pub refusals: usize,
    /// Replies that a lease does not exist.
    pub gone: usize,
    /// Replies that the server was unavailable.
    pub unavailable: usize,
    /// Starts of the server.
    pub starts: usize,
    /// Requests that entered the queue.
    pub waits: usize,
    /// Grants to waiters.
    pub woken: usize,
    /// Waiters whose clients hung up.
    pub left: usize,
}

/// Runs a plan.
///
/// # Errors
///
/// The first broken promise, if there is one.
pub fn run(plan: Plan) -> Result<Report, Failure> {
    let (history, _) = World::new(plan.seed, plan.sabotage, false).run(plan.steps);
    match checks::violations(&history).into_iter().next() {
        Some(violation) => Err(Failure { at: violation.at, what: violation.what }),
        None => Ok(Report::new(&history)),
    }
}

/// Runs a plan again and returns everything that happened.
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
