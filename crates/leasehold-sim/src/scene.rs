//! What somebody sees who stands beside the line: after every step, who asked, who was
//! called, who left, and the limits that anybody waits for.

use leasehold_engine::{Command, Ledger, LimitRef, Outcome, Page, Query, Scope, Timestamp};

use crate::wire::{Connection, Reply};

/// The line after a step. Times are those of the world and of the server's clock.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) now: u64,
    pub(crate) clock: i64,
    /// Since when the server had nothing to write. While it writes, no timer wakes it.
    pub(crate) idle_since: Option<i64>,
    pub(crate) what: What,
    /// Those whose wait is over, in order, each with what it is told.
    pub(crate) called: Vec<(u64, Reply)>,
    /// The limits that somebody waits for or waited for a moment ago.
    pub(crate) boards: Vec<Board>,
}

/// What a step was about.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// The server begins, with an empty line; the next lease has this fence.
    Began { next_fence: u64 },
    /// Somebody asked for slots: answered at once, or in line as this waiter.
    Asked { connection: Connection, waiter: Option<u64>, reply: Option<Reply> },
    /// A waiter's client has hung up.
    Left { waiter: u64 },
    /// Something else.
    Other,
}

/// A limit as everybody in line can see it.
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

/// The limits with these names, now.
pub(crate) fn boards<'a>(
    ledger: &mut Ledger,
    names: impl Iterator<Item = &'a str>,
    now: Timestamp,
) -> Vec<Board> {
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().filter_map(|name| board(ledger, name, now)).collect()
}

fn board(ledger: &mut Ledger, name: &str, now: Timestamp) -> Option<Board> {
    const SLOT: u128 = 1_000_000_000_000_000;
    let limit = LimitRef::Name(name.into());
    let query = Query::Limit(limit.clone(), Scope::All);
    let Outcome::Limit(Some(view)) = ledger.step(Command::Read(query), now).outcome else {
        return None;
    };
    let everything = Page { offset: 0, limit: usize::MAX };
    let query = Query::Leases(limit, everything);
    let leases = match ledger.step(Command::Read(query), now).outcome {
        Outcome::Leases(leases) => leases.unwrap_or_default(),
        _ => Vec::new(),
    };
    let level = if view.limit.decay.is_none() {
        u128::from(view.taken) * SLOT
    } else {
        let held = leases.iter().flat_map(|lease| &lease.lease.holdings);
        let held =
            held.filter(|held| held.limit == view.limit.id).map(|held| held.level.as_units());
        let elapsed = u128::from(ledger.now().since(view.limit.settled).as_micros());
        let drained = u128::from(view.limit.decay.as_units()) * elapsed;
        (held.sum::<u128>() + view.limit.unleased.level().as_units()).saturating_sub(drained)
    };
    Some(Board {
        id: view.limit.id.0,
        name: name.to_owned(),
        slots: view.limit.slots,
        is_active: view.limit.active,
        nanos_per_second: view.limit.decay.as_units(),
        level,
        first_deadline: leases
            .iter()
            .filter_map(|l| l.lease.deadline)
            .min()
            .map(Timestamp::as_micros),
    })
}
