//! Checks a snapshot before a ledger is built of it: a damaged journal can break what the ledger
//! assumes without breaking a row.

use std::fmt;

use rustc_hash::FxHashSet;

use crate::changes::Snapshot;
use crate::decay::Level;
use crate::lease::Lease;
use crate::limit::{Limit, LimitId};

/// Something that no ledger's own snapshot contains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inconsistent {
    /// Of limits, leases or endings.
    pub what: &'static str,
    /// What is wrong, with the values.
    pub reason: String,
}

impl Snapshot {
    /// Checks what [`Ledger::restore`](crate::Ledger::restore) relies on: ids and names are unique,
    /// leases hold slots of limits that exist, no more than they took, and tokens are lower than
    /// the next one.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), Inconsistent> {
        let limits = self.check_limits()?;
        let mut ids = FxHashSet::default();
        let mut fences = FxHashSet::default();
        for lease in &self.leases {
            let wrong = |reason: String| {
                let reason = format!("the lease with token {} {reason}", lease.fence.0);
                Err(Inconsistent { what: "leases", reason })
            };
            if !ids.insert(lease.id) || !fences.insert(lease.fence) {
                return wrong("is there twice".to_owned());
            }
            if lease.fence >= self.next_fence {
                return wrong(format!("is newer than the next one, {}", self.next_fence.0));
            }
            if let Some(reason) = wrong_holding(lease, &limits) {
                return wrong(reason);
            }
        }
        for ending in &self.endings {
            if ending.fence >= self.next_fence {
                let reason = format!("the end of a lease with token {} is known", ending.fence.0);
                return Err(Inconsistent { what: "endings", reason });
            }
        }
        Ok(())
    }

    fn check_limits(&self) -> Result<FxHashSet<LimitId>, Inconsistent> {
        let mut names = FxHashSet::default();
        let mut ids = FxHashSet::default();
        for Limit { id, name, .. } in &self.limits {
            if !ids.insert(*id) || !names.insert(name) {
                let reason = format!("the limit {name:?} is there twice");
                return Err(Inconsistent { what: "limits", reason });
            }
        }
        Ok(ids)
    }
}

fn wrong_holding(lease: &Lease, limits: &FxHashSet<LimitId>) -> Option<String> {
    let mut on = FxHashSet::default();
    lease.holdings.iter().find_map(|holding| {
        if !limits.contains(&holding.limit) {
            return Some(format!("is on a limit that is not there: {:032x}", holding.limit.0));
        }
        if !on.insert(holding.limit) {
            return Some(format!("is on one limit twice: {:032x}", holding.limit.0));
        }
        let too_much = holding.level > Level::from_slots(holding.slots);
        too_much.then(|| "holds more than it took".to_owned())
    })
}

impl fmt::Display for Inconsistent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}
