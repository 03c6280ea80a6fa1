//! Two owners of the same limits: a model of a Prefect server, and the desk that ships behind the
//! custody that ships, with clients of both.
//!
//! Limits go over and come back while requests are under way, the gateway crashes right before and
//! right after each of its commands, the upstream is down and comes back, connections break with
//! the request or with the answer, and some clients talk to the upstream past the gateway. An
//! observer outside counts who holds what.
//!
//! ```text
//!   clients ◀── network ──▶ Gateway { Custody, Desk } ◀── network ──▶ Upstream ◀── clients past it
//! ```
//!
//! What the model takes as given: the upstream handles requests about one lease one after the
//! other, and keeps its leases in a restart. A grant whose answer reached no client has no holder.

mod books;
mod clients;
mod gateway;
mod observer;
mod partners;
mod sabotage;
mod upstream;
mod wire;
mod world;

pub use self::sabotage::Sabotage;

use self::world::World;
use crate::{Event, Failure};

/// The default length of a run, in seconds of the world.
pub const SECONDS: u64 = 90;

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The seed, which determines the whole run.
    pub seed: u64,
    /// How long clients and faults go on, in seconds of the world.
    pub seconds: u64,
    /// What the gateway does wrong, if anything.
    pub sabotage: Option<Sabotage>,
}

/// Counts of a run that broke no promise.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    /// Grants of the ledger.
    pub grants_here: usize,
    /// Grants of the upstream, through the gateway.
    pub grants_there: usize,
    /// Grants of the ledger over several limits.
    pub grants_on_both: usize,
    /// Limits that came over.
    pub handed_over: usize,
    /// Limits that went back.
    pub handed_back: usize,
    /// Starts of the gateway.
    pub starts: usize,
}

/// Runs a plan.
///
/// # Errors
///
/// The first broken promise, if there is one.
pub fn run(plan: Plan) -> Result<Report, Failure> {
    let (report, violations, _) = World::new(plan, false).run(plan.seconds);
    match violations.into_iter().min() {
        Some((at, what)) => Err(Failure { at, what }),
        None => Ok(report),
    }
}

/// Runs a plan again and returns everything that happened.
pub fn trace(plan: Plan) -> Vec<Event> {
    World::new(plan, true).run(plan.seconds).2
}

impl std::ops::AddAssign for Report {
    fn add_assign(&mut self, other: Self) {
        self.grants_here += other.grants_here;
        self.grants_there += other.grants_there;
        self.grants_on_both += other.grants_on_both;
        self.handed_over += other.handed_over;
        self.handed_back += other.handed_back;
        self.starts += other.starts;
    }
}
