//! Requests with an idempotency key: sent twice, granted once.
//!
//! The caller derives the lease's id from the key. So the key finds a lease that lives, after a
//! restart too, and a lease that has ended as long as its ending is remembered. Two requests with
//! the same key may wait at the same time: when one is granted, the other gets the same lease in
//! the same step.

use crate::acquire::Hold;
use crate::ledger::Ledger;
use crate::outcome::{Acquired, Gone, Repeated};

impl Ledger {
    /// The answer to a request whose idempotency key was used before.
    pub(crate) fn answered_before(&self, hold: &Hold) -> Option<Acquired> {
        let (id, request) = hold.key()?;
        let repeated = match (self.lease(id), self.gone(id)) {
            (Some(lease), _) if lease.request() == Some(request) => {
                Repeated::Same(Box::new(self.lease_view(lease)))
            }
            (Some(_), _) => Repeated::Different,
            (None, gone @ Gone(Some(_))) => Repeated::Ended(gone),
            (None, Gone(None)) => {
                self.queue.asked_with(id).filter(|asked| *asked != request)?;
                Repeated::Different
            }
        };
        Some(Acquired::Repeated(repeated))
    }
}
