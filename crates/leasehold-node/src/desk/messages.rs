//! The desk's inputs, and why it may return no outcome.

use leasehold_engine::{Acquired, Command, Outcome, WaiterId};

/// How many limits are kept.
pub(super) const LIMITS_MAX: usize = 100_000;

/// An input of the desk.
#[derive(Debug)]
pub enum Input<R> {
    /// A command to step and to answer.
    Request {
        /// The command.
        command: Command,
        /// The recipient of the answer.
        reply: R,
    },
    /// A grant did not reach its client: this command, from [`undo`], releases it.
    Undo(Command),
    /// A waiter's client has hung up.
    Abandon(WaiterId),
    /// The server is about to stop: from now on no request waits.
    Drain,
}

/// A command that was stepped. Its answer waits until everything before it is durable.
#[derive(Debug)]
pub struct Stepped<R> {
    /// The recipient of the answer. `None` for the undo of a grant.
    pub reply: Option<R>,
    /// The answer, unless the journal fails.
    pub outcome: Outcome,
    /// The command, if it is stepped again after the journal fails: a read stays valid, and a grant
    /// that did not reach its client must not stay.
    pub(super) again: Option<Command>,
}

/// Why there is no outcome. The command may have taken effect only if the journal failed while it
/// committed the changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// Too many commands wait already.
    #[error("too many requests are waiting")]
    Overloaded,
    /// The journal could not make it durable.
    #[error("the journal cannot be written")]
    Journal,
    /// There are as many limits as are kept.
    #[error("There are {} limits, and no more are kept: delete some first.", LIMITS_MAX)]
    TooManyLimits,
    /// There are as many leases as are kept.
    #[error("there are as many leases as are kept")]
    TooManyLeases,
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
}

/// The command that releases a grant which did not reach its client. A grant with an idempotency
/// key stays: its client comes back for it with the key.
pub fn undo(outcome: &Outcome) -> Option<Command> {
    let Outcome::Acquired(Acquired::Granted(grant)) = outcome else { return None };
    match &grant.lease {
        Some(lease) if lease.has_key => None,
        Some(lease) => Some(Command::TakeBack { lease: lease.id }),
        None => grant.unleased.clone().map(Command::GiveBack),
    }
}
