//! What an observer sees of the queue after each step: the request that came in, the waiters that
//! were answered, the waiter that left, and the limits that requests wait for.

use leasehold_engine::{Ledger, Level, Limit, Timestamp};

use crate::wire::{Connection, Reply};

/// The queue after a step. `now` is the time of the world, `clock` that of the server.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) now: u64,
    pub(crate) clock: i64,
    /// Since when no commit runs, on the server's clock. `None` during a commit. After a failed
    /// commit, the end of the half-second pause. No timer wakes the server before.
    pub(crate) idle_since: Option<i64>,
    pub(crate) what: What,
    /// The waiters that this step answered, in order, each with its reply.
    pub(crate) called: Vec<(u64, Reply)>,
    /// The limits that requests wait for, and those of the requests that this step was about.
    pub(crate) boards: Vec<Board>,
}

/// What a step did.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// The server started with an empty queue. The next lease gets this fence.
    Began { next_fence: u64 },
    /// After a failed commit, the server loaded its ledger from the journal: changes that were not
    /// durable and all waiters are gone. Kept places stay.
    Reloaded { next_fence: u64 },
    /// The server is about to stop: from now on, no request waits.
    Stopping,
    /// A request for slots came in. It was answered at once, or it is in the queue as this waiter.
    Asked { connection: Connection, waiter: Option<u64>, reply: Option<Reply> },
    /// A waiter's client has hung up.
    Left { waiter: u64 },
    /// Something else.
    Other,
}

/// What of a limit decides whether a waiter can be granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Board {
    pub(crate) id: u128,
    pub(crate) name: String,
    pub(crate) slots: u64,
    pub(crate) is_active: bool,
    pub(crate) nanos_per_second: u64,
    /// What is taken here, in units of 10⁻¹⁵ slots.
    pub(crate) level: u128,
    /// How many slots another server counts.
    pub(crate) foreign: u64,
    /// It is on its way back to another server.
    pub(crate) is_returning: bool,
    /// The earliest deadline of the leases on it.
    pub(crate) first_deadline: Option<i64>,
}

/// The limits with these names, sorted by name.
pub(crate) fn boards(ledger: &Ledger, names: &[&String]) -> Vec<Board> {
    let limits = ledger.limits().filter(|limit| names.iter().any(|name| **name == *limit.name));
    let mut boards: Vec<_> = limits.map(|limit| board(ledger, limit)).collect();
    boards.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    boards
}

fn board(ledger: &Ledger, limit: &Limit) -> Board {
    let on = || {
        ledger.leases().filter_map(|lease| {
            let held = lease.holdings.iter().find(|held| held.limit == limit.id)?;
            Some((lease, held.level))
        })
    };
    let held: u128 = on().map(|(_, level)| Level::as_units(level)).sum();
    let elapsed = u128::from(ledger.now().since(limit.settled).as_micros());
    let drained = u128::from(limit.decay.as_units()) * elapsed;
    Board {
        id: limit.id.0,
        name: limit.name.to_string(),
        slots: limit.slots,
        is_active: limit.active,
        nanos_per_second: limit.decay.as_units(),
        level: (held + limit.unleased.level().as_units()).saturating_sub(drained),
        foreign: limit.foreign,
        is_returning: limit.returning,
        first_deadline: on()
            .filter_map(|(lease, _)| lease.deadline)
            .min()
            .map(Timestamp::as_micros),
    }
}
