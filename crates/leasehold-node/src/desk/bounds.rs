//! How many limits and leases a ledger keeps: what clients create has to fit into memory.

use leasehold_engine::{Acquire, Command, Hold, LimitRef, Outcome, Query, Scope, Timestamp};

use super::Desk;
use super::messages::{LIMITS_MAX, Unavailable};

#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) limits: usize,
    pub(super) leases: usize,
}

impl Bounds {
    const LEASES: usize = 1_000_000;
}

impl Default for Bounds {
    fn default() -> Self {
        Self { limits: LIMITS_MAX, leases: Self::LEASES }
    }
}

impl<R> Desk<R> {
    /// Why a command that creates a limit or a lease is refused, if the ledger is full.
    pub(super) fn full(&mut self, command: &Command, now: Timestamp) -> Option<Unavailable> {
        let are_limits_full = self.ledger.limit_count() >= self.bounds.limits;
        let are_leases_full = self.ledger.lease_count() >= self.bounds.leases;
        match command {
            Command::CreateLimit(_) | Command::Adopt(_) if are_limits_full => {
                Some(Unavailable::TooManyLimits)
            }
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
