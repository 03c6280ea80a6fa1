//! What an onlooker sees of the queue: after every step, who asked, who was called, who left,
//! and the limits that anybody waits for.

use leasehold_engine::{Ledger, Level, Limit, Timestamp};

use crate::wire::{Connection, Reply};

/// The queue after a step. Times are those of the world and of the server's clock.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) now: u64,
    pub(crate) clock: i64,
    /// Since when the server had nothing to write. While it writes, and in the half second after it
    /// could not, no timer wakes it.
    pub(crate) idle_since: Option<i64>,
    pub(crate) what: What,
    /// Those whose wait is over, in order, each with its reply.
    pub(crate) called: Vec<(u64, Reply)>,
    /// The limits that somebody waits for or waited for a moment ago.
    pub(crate) boards: Vec<Board>,
}

/// What a step was about.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// The server begins, with an empty queue; the next lease has this fence.
    Began { next_fence: u64 },
    /// The server has forgotten what was not durable, and who waited. Places are kept.
    Reloaded { next_fence: u64 },
    /// The server is about to stop: no request waits.
    Stopping,
    /// Somebody asked for slots: answered at once, or in the queue as this waiter.
    Asked { connection: Connection, waiter: Option<u64>, reply: Option<Reply> },
    /// A waiter's client has hung up.
    Left { waiter: u64 },
    /// Something else.
    Other,
}

/// A limit as everybody who waits can see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Board {
    pub(crate) id: u128,
    pub(crate) name: String,
    pub(crate) slots: u64,
    pub(crate) is_active: bool,
    pub(crate) nanos_per_second: u64,
    /// What is taken, in units of 10⁻¹⁵ slots.
    pub(crate) level: u128,
    /// When the first of the leases on it ends.
    pub(crate) first_deadline: Option<i64>,
}

/// The limits with these names, in the order of their names.
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
        first_deadline: on()
            .filter_map(|(lease, _)| lease.deadline)
            .min()
            .map(Timestamp::as_micros),
    }
}
