//! What is seen passing of the upstream's leases.

use std::sync::Arc;

use leasehold_engine::{Holder, LeaseId, Span};
use leasehold_gateway::Seen;

use super::Migration;

/// A lease that the upstream granted.
pub(crate) struct Granted {
    pub(crate) lease: LeaseId,
    pub(crate) limits: Vec<Arc<str>>,
    pub(crate) slots: u64,
    pub(crate) holder: Option<Holder>,
    /// How long it lasts. `None` for holders that cannot renew.
    pub(crate) length: Option<Span>,
}

impl Migration {
    /// The upstream granted a lease.
    pub(crate) fn saw_grant(&self, granted: Granted) {
        let now = self.0.ledger.clock().now();
        let Granted { lease, limits, slots, holder, length } = granted;
        let seen = Seen { lease, limits, slots, holder, since: now, renewed: now, length };
        let is_longer = {
            let mut state = self.state();
            let longest = state.watched.longest();
            state.watched.granted(seen);
            state.watched.longest() > longest
        };
        // A restart must not forget the length: phantoms are judged by it.
        if is_longer {
            self.0.wake.notify_one();
        }
    }

    /// The upstream granted slots without a lease: nobody renews them, and their age says nothing.
    pub(crate) fn saw_plain(&self, limits: &[Arc<str>]) {
        let is_new = {
            let mut state = self.state();
            let known = state.plain.len();
            state.plain.extend(limits.iter().cloned());
            state.plain.len() > known
        };
        if is_new {
            self.0.wake.notify_one();
        }
    }

    /// The upstream renewed a lease.
    pub(crate) fn saw_renewal(&self, lease: LeaseId, length: Span) {
        let now = self.0.ledger.clock().now();
        self.state().watched.renewed(lease, length, now);
    }

    /// A lease of the upstream was released, or it refused to renew it.
    pub(crate) fn saw_end(&self, lease: LeaseId) {
        let mut state = self.state();
        state.watched.ended(lease);
        let has_any = state.custody.has_any();
        drop(state);
        // Something foreign may have become free.
        if has_any {
            self.count_soon();
        }
    }

    /// A task run gave tags back at the upstream.
    pub(crate) fn saw_tags_given_back(&self, task_run: LeaseId, limits: &[Arc<str>]) {
        let mut state = self.state();
        state.watched.gave_back(task_run, limits);
        let has_any = state.custody.has_any();
        drop(state);
        if has_any {
            self.count_soon();
        }
    }
}
