//! The way here: hold, let the requests under way come back, count, take over.

use leasehold_engine::Timestamp;

use super::{Custody, Done, Entry, From, HOLD_MAX, Known, Refused, Stage};
use crate::phase::Failure;

impl Custody {
    /// Begins to take a limit over. It is the upstream's, or on its way back there.
    ///
    /// # Errors
    /// If it is ours already, or moves.
    pub fn advance(&mut self, limit: Known, now: Timestamp) -> Result<(), Refused> {
        let entry = self.limits.entry(limit.name).or_insert_with(|| Entry::new(limit.id));
        let from = match entry.stage {
            Stage::Upstream => From::Upstream,
            Stage::Returning => From::Returning,
            Stage::Ours => return Err(Refused::There),
            _ => return Err(Refused::Moving),
        };
        if entry.is_acting {
            return Err(Refused::Moving);
        }
        // The upstream may have given the limit a new id.
        if from == From::Upstream {
            entry.id = limit.id;
        }
        entry.stage = Stage::Holding { until: now + HOLD_MAX, from };
        entry.is_ready = false;
        entry.failure = None;
        Ok(())
    }
}

impl Entry {
    /// Ends a hold whose time is over: the limit goes back to where it came from.
    pub(super) fn give_up_in_time(&mut self, under_way: u64, now: Timestamp) -> &mut Self {
        if let Stage::Holding { until, from } = self.stage
            && now > until
        {
            let failure =
                if under_way > 0 { Failure::UnderWay(under_way) } else { Failure::NoAnswer };
            self.fail(from.stage(), failure);
        }
        self
    }

    pub(super) fn adopted(&mut self, done: Done) {
        let Stage::Adopting { from, foreign, .. } = self.stage else { return };
        match (done, from) {
            (Done::Yes, From::Upstream) => self.stage = Stage::Ours,
            (Done::Yes, From::Returning | From::Covering) => self.stage = Stage::Resuming,
            // The ledger may have the limit or not. The same count is good for another attempt:
            // meanwhile it can only have fallen.
            (Done::Again, _) => return,
            (Done::No(failure), _) => return self.fail(from.stage(), failure),
        }
        self.foreign = Some(foreign);
        self.dropped = 0;
    }
}

impl From {
    pub(super) fn stage(self) -> Stage {
        match self {
            Self::Upstream => Stage::Upstream,
            Self::Returning => Stage::Returning,
            Self::Covering => Stage::Covering { until: None },
        }
    }
}
