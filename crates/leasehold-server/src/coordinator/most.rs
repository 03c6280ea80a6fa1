//! How much a ledger keeps: what its clients make has to fit into memory.

use leasehold_engine::{Acquire, Command, Hold, LimitRef, Outcome, Query, Scope, Timestamp};
use leasehold_journal::Journal;

use super::{Coordinator, Unavailable};

#[derive(Clone, Copy, Debug)]
pub(super) struct Most {
    pub(super) limits: usize,
    pub(super) leases: usize,
}

impl Most {
    pub(super) const LIMITS: usize = 100_000;
    const LEASES: usize = 1_000_000;
}

impl Default for Most {
    fn default() -> Self {
        Self { limits: Self::LIMITS, leases: Self::LEASES }
    }
}

impl<J: Journal + 'static> Coordinator<J> {
    /// What there is too much of for a command that makes more.
    pub(super) fn full(&mut self, command: &Command, now: Timestamp) -> Option<Unavailable> {
        let are_limits_full = self.ledger.limit_count() >= self.most.limits;
        let are_leases_full = self.ledger.lease_count() >= self.most.leases;
        match command {
            Command::CreateLimit(_) if are_limits_full => Some(Unavailable::TooManyLimits),
            Command::PutTagLimit { name, .. } if are_limits_full => {
                let known = Query::Limit(LimitRef::Name(name.clone()), Scope::All);
                let known = self.step(Command::Read(known), now);
                matches!(known, Outcome::Limit(None)).then_some(Unavailable::TooManyLimits)
            }
            Command::Acquire(Acquire {
                hold: Hold::Lease { .. } | Hold::Holder { .. }, ..
            }) if are_leases_full => Some(Unavailable::TooManyLeases),
            _ => None,
        }
    }
}
