//! A short memory of released leases. A client that renews in one thread and releases in another
//! may renew a lease that it has just released. The answer says so, and the client looks for no
//! lost lease.

use std::sync::{Mutex, PoisonError};

use leasehold_engine::{EndReason, Ending, Fence, Gone, LeaseId, Timestamp};

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
    pub(crate) fn explain(&self, lease: LeaseId, gone: Gone) -> Gone {
        if gone.0.is_some() {
            return gone;
        }
        let (known, at) = *self.place(lease).lock().unwrap_or_else(PoisonError::into_inner);
        let released = Ending { lease, fence: Fence(0), at, how: EndReason::Released };
        Gone((known == lease).then_some(released))
    }

    /// The last bits of an id are random.
    fn place(&self, lease: LeaseId) -> &Mutex<(LeaseId, Timestamp)> {
        &self.0[usize::try_from(lease.0 % RELEASES_MAX as u128).unwrap_or_default()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_known(released: &Released, lease: u128) -> bool {
        released.explain(LeaseId(lease), Gone(None)).0.is_some()
    }

    #[test]
    fn the_latest_releases_are_remembered_and_never_too_many_of_them() {
        let released = Released::default();
        let at = Timestamp::from_micros(1);
        assert!(!is_known(&released, 0x7_0001));
        released.note(LeaseId(0x7_0001), at);
        released.note(LeaseId(0x7_0002), at);
        assert!(is_known(&released, 0x7_0001) && is_known(&released, 0x7_0002));
        released.note(LeaseId(0x8_0001), at);
        assert!(!is_known(&released, 0x7_0001) && is_known(&released, 0x8_0001));
        assert!(is_known(&released, 0x7_0002));
    }
}
