//! A short memory of released leases. A client that renews in one thread and releases in another
//! may renew a lease that it has just released. The answer says so, and the client looks for no
//! lost lease.

use std::sync::{Mutex, PoisonError};

use leasehold_engine::{EndReason, Ending, Fence, Gone, LeaseId, Span, Timestamp};

/// How long a release is remembered.
const KEPT: Span = Span::from_seconds(10);

/// How many releases are remembered at the most.
const RELEASES_MAX: usize = 65_536;

/// The latest releases, each in the place that its lease's id says. The engine knows how other
/// leases ended.
#[derive(Debug)]
pub(crate) struct Released(Box<[Mutex<(LeaseId, Timestamp)>]>);

impl Default for Released {
    fn default() -> Self {
        let none = || Mutex::new((LeaseId(0), Timestamp::from_micros(0)));
        Self(std::iter::repeat_with(none).take(RELEASES_MAX).collect())
    }
}

impl Released {
    /// Notes that a lease was released. It takes the place of an older release.
    pub(crate) fn note(&self, lease: LeaseId, at: Timestamp) {
        *self.place(lease).lock().unwrap_or_else(PoisonError::into_inner) = (lease, at);
    }

    /// How a lease that is gone ended: if nothing is known of it, whether it was released lately.
    pub(crate) fn explain(&self, lease: LeaseId, gone: Gone, now: Timestamp) -> Gone {
        if gone.0.is_some() {
            return gone;
        }
        let (known, at) = *self.place(lease).lock().unwrap_or_else(PoisonError::into_inner);
        let released = Ending { lease, fence: Fence(0), at, how: EndReason::Released };
        Gone((known == lease && now <= at + KEPT).then_some(released))
    }

    /// The last bits of an id are random.
    fn place(&self, lease: LeaseId) -> &Mutex<(LeaseId, Timestamp)> {
        &self.0[usize::try_from(lease.0 % RELEASES_MAX as u128).unwrap_or_default()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_releases_are_remembered_for_a_moment_and_never_too_many_of_them() {
        let released = Released::default();
        let at = |seconds: u64| Timestamp::from_micros(0) + Span::from_seconds(1_000 + seconds);
        let is_known =
            |lease, seconds| released.explain(LeaseId(lease), Gone(None), at(seconds)).0.is_some();
        assert!(!is_known(0, 0) && !is_known(0x7_0001, 0));
        released.note(LeaseId(0x7_0001), at(0));
        released.note(LeaseId(0x7_0002), at(1));
        assert!(is_known(0x7_0001, 10) && !is_known(0x7_0001, 11));
        released.note(LeaseId(0x8_0001), at(2));
        assert!(!is_known(0x7_0001, 2) && is_known(0x8_0001, 2) && is_known(0x7_0002, 2));
    }
}
