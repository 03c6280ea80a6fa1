//! Leases that were released a moment ago. A client that renews in one thread and releases in
//! another may renew what it has just released: it is told so, and looks for no lost lease.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use leasehold_engine::{EndReason, Ending, Fence, Gone, LeaseId, Span, Timestamp};
use rustc_hash::FxHashMap;

/// How long a release is remembered.
const KEPT: Span = Span::from_seconds(10);
/// More than so many are not; then the oldest is forgotten first.
const RELEASES_MAX: usize = 65_536;

/// A short memory of releases. What became of leases is known elsewhere; this knows more of
/// those that ended as their holders wanted.
#[derive(Debug, Default)]
pub(crate) struct Released(Mutex<Recent>);

#[derive(Debug, Default)]
struct Recent {
    at: FxHashMap<LeaseId, Timestamp>,
    order: VecDeque<(Timestamp, LeaseId)>,
}

impl Released {
    /// Notes that a lease was released.
    pub(crate) fn note(&self, lease: LeaseId, at: Timestamp) {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.at.insert(lease, at).is_none() {
            recent.order.push_back((at, lease));
        }
        while let Some(&(oldest, lease)) = recent.order.front()
            && (recent.order.len() > RELEASES_MAX || oldest + KEPT < at)
        {
            recent.order.pop_front();
            recent.at.remove(&lease);
        }
    }

    /// What became of a lease that is not there, if it was released and nothing else is known.
    pub(crate) fn explain(&self, lease: LeaseId, gone: Gone) -> Gone {
        if gone.0.is_some() {
            return gone;
        }
        let recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ending = |at| Ending { lease, fence: Fence(0), at, how: EndReason::Released };
        Gone(recent.at.get(&lease).copied().map(ending))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_known(released: &Released, lease: u128) -> bool {
        released.explain(LeaseId(lease), Gone(None)).0.is_some()
    }

    #[test]
    fn releases_are_remembered_for_a_moment_and_never_too_many_of_them() {
        let released = Released::default();
        let at = |seconds| Timestamp::from_micros(0) + Span::from_seconds(seconds);
        released.note(LeaseId(1), at(0));
        released.note(LeaseId(2), at(10));
        assert!(is_known(&released, 1));
        released.note(LeaseId(3), at(11));
        assert!(!is_known(&released, 1) && is_known(&released, 2));
        for lease in 0..100_000 {
            released.note(LeaseId(1_000 + lease), at(11));
        }
        assert_eq!(released.0.lock().unwrap().at.len(), RELEASES_MAX);
        assert!(!is_known(&released, 2) && is_known(&released, 100_999));
    }
}
