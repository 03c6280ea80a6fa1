//! The way back: stop granting, let the upstream count what is held here, pass on.

use leasehold_engine::Timestamp;

use super::{Custody, Done, Entry, HOLD_MAX, Refused, Stage};
use crate::phase::{Failure, From};

impl Custody {
    /// Begins to give a limit back to the upstream.
    ///
    /// # Errors
    /// If it is not ours, is there already, or moves.
    pub fn roll_back(&mut self, limit: &str, now: Timestamp) -> Result<(), Refused> {
        let entry = self.limits.get_mut(limit).ok_or(Refused::There)?;
        match entry.stage {
            Stage::Ours if entry.is_acting => return Err(Refused::Moving),
            Stage::Ours => {}
            Stage::Upstream | Stage::Returning => return Err(Refused::There),
            _ => return Err(Refused::Moving),
        }
        entry.stage = Stage::Stopping { until: Some(now + HOLD_MAX) };
        entry.failure = None;
        Ok(())
    }
}

impl Entry {
    /// The ledger has stopped granting, or grants again.
    pub(super) fn returning_is(&mut self, returning: bool) {
        self.stage = match (self.stage, returning) {
            (Stage::Stopping { until }, true) => Stage::Covering { until },
            (Stage::Resuming, false) => {
                self.uncover = self.covers.settled() > 0;
                Stage::Ours
            }
            (stage, _) => stage,
        };
    }

    /// Whether each lease here has its cover at the upstream.
    pub(super) fn covered(&mut self, done: Done, now: Timestamp) {
        let Stage::Covering { until } = self.stage else { return };
        match done {
            Done::Yes => self.stage = Stage::Returning,
            // The upstream has granted nothing yet, so the ledger may go on as before.
            Done::No(failure) if until.is_some_and(|until| now > until) => {
                self.fail(Stage::Resuming, failure);
            }
            // The upstream may have granted before the restart, so a count has to say how much.
            Done::No(failure @ Failure::NoRoom(_)) if until.is_none() => {
                let (until, from) = (now + HOLD_MAX, From::Covering);
                self.is_ready = false;
                self.fail(Stage::Holding { until, from }, failure);
            }
            Done::No(failure) => self.failure = Some(failure),
            Done::Again => {}
        }
    }
}
