//! Leases are renewed and end: by their deadline, their holder, an operator, or because their
//! holder is known to be gone.
//!
//! A lease past its deadline is dead at the next step: every step begins by ending what is overdue.
//! Ending is a compare-and-remove on that lease, so a renewal that came first wins, and a lease
//! frees its slots once.
//!
//! When thousands expire at once, time passes in slices, so that no commit takes long: until the
//! changes are taken, the ledger is a moment in the past.

use std::sync::Arc;

use crate::event::{EventKind, Loss};
use crate::holder::Holder;
use crate::lease::{EndReason, Lease, LeaseId};
use crate::ledger::Ledger;
use crate::limit::LimitId;
use crate::origin::{Identified, Origin};
use crate::outcome::{Answered, Ended, Gone, Renewed};
use crate::time::{Span, Timestamp};

/// A renewal is late when less than this part of a lease's time is left. Clients renew when a
/// quarter is left.
const LATE_SHARE: u64 = 8;
/// How many leases expire at most before the changes are taken. All that expire at the same moment
/// count as one.
const EXPIRED_MAX: usize = 2_048;

impl Ledger {
    /// Moves the time on to `now`. A timer that is due by then runs at its own time, however late
    /// the step is: a lease ends at its deadline, and a rate limit grants to a waiter when it has
    /// drained enough. A step that is late by a millisecond must not cost a limit of twenty a
    /// second two percent of its rate.
    pub(crate) fn pass_until(
        &mut self,
        now: Timestamp,
        answered: &mut Vec<Answered>,
    ) -> Vec<LeaseId> {
        let mut expired = Vec::new();
        loop {
            let lease = self.first_deadline().filter(|(deadline, _)| *deadline <= now);
            let alarm = self.queue.first_alarm().filter(|alarm| *alarm <= now);
            match (lease, alarm) {
                (Some((deadline, id)), _) if alarm.is_none_or(|alarm| deadline <= alarm) => {
                    if deadline > self.now && self.expired_since_taken() >= EXPIRED_MAX {
                        return expired;
                    }
                    self.now = self.now.max(deadline);
                    self.end(id, EndReason::Expired);
                    self.note_expired();
                    expired.push(id);
                }
                (_, Some(alarm)) => self.now = self.now.max(alarm),
                (_, None) => break,
            }
            self.serve_touched(answered);
        }
        self.now = now;
        expired
    }

    pub(crate) fn renew(&mut self, id: LeaseId, ttl: Span) -> Renewed {
        let Some(lease) = self.lease(id) else {
            return Renewed::Gone(self.gone(id));
        };
        let Some(old) = lease.deadline else {
            return Renewed::Renewed(None);
        };
        let left = old.since(self.now);
        if left.as_micros() < ttl.as_micros() / LATE_SHARE {
            let lease = lease.clone();
            self.emit_for_lease(EventKind::RenewedLate { left }, &lease);
        }
        let deadline = self.stepped_at + ttl;
        self.set_deadline(id, deadline);
        Renewed::Renewed(Some(deadline))
    }

    pub(crate) fn renew_many(&mut self, ids: &[LeaseId], ttl: Span) -> Vec<Renewed> {
        ids.iter().map(|id| self.renew(*id, ttl)).collect()
    }

    pub(crate) fn release(&mut self, id: LeaseId) -> Result<Ended, Gone> {
        let lease = self.remove_lease(id).ok_or_else(|| self.gone(id))?;
        if lease.notes.is_some() {
            self.remember_release(&lease);
        }
        self.emit_end(EventKind::Released, &lease);
        let occupancy = self.now.since(lease.created);
        for holding in &lease.holdings {
            if let Some(entry) = self.limits.get_mut(&holding.limit) {
                entry.limit.sample_occupancy(occupancy, holding.slots);
            }
        }
        Ok(Ended { lease, at: self.now })
    }

    /// Releases a lease whose grant did not reach its holder, unless the holder asked again since.
    pub(crate) fn take_back(&mut self, id: LeaseId) -> Option<Ended> {
        if self.was_asked_for_again(id) { None } else { self.release(id).ok() }
    }

    pub(crate) fn revoke(
        &mut self,
        id: LeaseId,
        reason: Option<Arc<str>>,
        by: Option<Arc<str>>,
    ) -> Result<Ended, Gone> {
        let lease = self.end(id, EndReason::Revoked { reason, by }).ok_or_else(|| self.gone(id))?;
        Ok(Ended { lease, at: self.now })
    }

    /// Ends the leases of a holder that is gone, oldest first.
    pub(crate) fn repossess(
        &mut self,
        holder: &Holder,
        with_deadline: bool,
        evidence: &Arc<str>,
    ) -> Vec<Lease> {
        let mut ids: Vec<_> = self
            .leases_of(holder)
            .iter()
            .filter_map(|id| self.lease(*id))
            .filter(|lease| with_deadline || lease.deadline.is_none())
            .map(|lease| (lease.fence, lease.id))
            .collect();
        ids.sort_unstable();
        let how = || EndReason::Repossessed { evidence: evidence.clone() };
        ids.into_iter().filter_map(|(_, id)| self.end(id, how())).collect()
    }

    /// Records in which runs a lease was asked for. Returns whether the lease lives.
    pub(crate) fn identify(&mut self, id: LeaseId, identified: Arc<Identified>) -> bool {
        let Some(lease) = self.lease_mut(id) else { return false };
        let origin = lease.origin.as_deref().cloned().unwrap_or_default();
        lease.origin = Some(Arc::new(Origin { identified: Some(identified), ..origin }));
        true
    }

    /// Takes one limit away from a lease, which keeps its others. Returns whether it is empty now.
    pub(crate) fn lose(&mut self, id: LeaseId, limit: LimitId, why: Loss) -> bool {
        self.emit_for_lease_on(EventKind::Lost(why), limit, id);
        self.remove_holding(id, limit)
    }

    fn end(&mut self, id: LeaseId, how: EndReason) -> Option<Lease> {
        let lease = self.remove_lease(id)?;
        self.remember(&lease, how);
        Some(lease)
    }
}
