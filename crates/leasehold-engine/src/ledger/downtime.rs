//! Downtimes and standstills: no holder could renew, so no lease loses time by them.

use super::Ledger;
use crate::changes::{Resume, Snapshot};
use crate::lease::LeaseId;
use crate::outcome::{Acquired, Outcome, Renewed, Repeated};
use crate::time::{Span, Timestamp};
use crate::view::HeldView;

impl Ledger {
    /// The server stood still from `after` until `now`: it was stopped, its machine was frozen, or
    /// its disk took that long. Each lease that was alive at `after` keeps the time that it had
    /// left then. Returns by how much the deadlines moved: zero if there are none.
    ///
    /// Call this before the first step at `now`.
    pub fn resume(&mut self, after: Timestamp, now: Timestamp) -> Span {
        let by = now.since(after);
        let first = (after + Span::from_micros(1), LeaseId(0));
        let moved = self.deadlines.split_off(&first);
        if by == Span::ZERO || moved.is_empty() {
            self.deadlines.extend(moved);
            return Span::ZERO;
        }
        // A commit can carry one such move for all rows. A second one has to write the rows.
        let writes_rows = self.pending.resumed.is_some();
        for (deadline, id) in moved {
            let Some(lease_entry) = self.leases.get_mut(&id) else { continue };
            lease_entry.lease.deadline = Some(deadline + by);
            if writes_rows {
                lease_entry.touch(&mut self.pending);
            }
            self.deadlines.insert((deadline + by, id));
        }
        self.pending.resumed.get_or_insert(Resume { after, by });
        by
    }

    /// Writes all rows with the next changes: after a restart with a clock that is behind the
    /// journal's, all times have moved.
    pub(super) fn touch_everything(&mut self) {
        let Self { limits, leases, endings, pending, now, .. } = self;
        for entry in limits.values_mut() {
            entry.touch(*now, pending);
        }
        for lease_entry in leases.values_mut() {
            lease_entry.touch(pending);
        }
        pending.endings.extend(endings.iter().map(|ending| ending.lease));
    }
}

impl Snapshot {
    /// Moves all times back by `by`: the clock that wrote them was ahead by so much. Spans stay.
    pub(super) fn set_back(&mut self, by: Span) {
        self.at = self.at - by;
        for limit in &mut self.limits {
            for time in [&mut limit.created, &mut limit.updated, &mut limit.settled] {
                *time = *time - by;
            }
            limit.unleased.set_back(by);
        }
        for lease in &mut self.leases {
            lease.created = lease.created - by;
            lease.deadline = lease.deadline.map(|deadline| deadline - by);
        }
        for ending in &mut self.endings {
            ending.at = ending.at - by;
        }
    }
}

impl Outcome {
    /// Moves the deadlines in an answer that was not sent yet, as [`Ledger::resume`] moved those of
    /// the leases: all that are later than `after`, by `by`.
    pub fn resume(&mut self, after: Timestamp, by: Span) {
        let shift = |deadline: &mut Option<Timestamp>| {
            *deadline = deadline.map(|at| if at > after { at + by } else { at });
        };
        match self {
            Self::Acquired(Acquired::Granted(grant)) => {
                if let Some(lease) = &mut grant.lease {
                    shift(&mut lease.deadline);
                }
            }
            Self::Acquired(Acquired::Repeated(Repeated::Same(view))) => {
                shift(&mut view.lease.deadline);
            }
            Self::Lease(Ok(view)) => shift(&mut view.lease.deadline),
            Self::Renewed(Renewed::Renewed(deadline)) => shift(deadline),
            Self::RenewedMany(all) => {
                for renewed in all {
                    if let Renewed::Renewed(deadline) = renewed {
                        shift(deadline);
                    }
                }
            }
            Self::Leases(Some(leases)) | Self::Held(Some(HeldView { leases, .. })) => {
                for view in leases {
                    shift(&mut view.lease.deadline);
                }
            }
            _ => {}
        }
    }
}
