//! What a process reports in its heartbeat: its attempts, the locks that it holds, and the epoch
//! that it has confirmed.

use std::collections::BTreeMap;

use crate::phase::{Mechanism, Phase};

/// The phase as a process knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) epoch: u64,
    pub(crate) phase: Phase,
}

/// The attempts and the held locks of one process.
#[derive(Default)]
pub(crate) struct Report {
    last: u64,
    confirmed: u64,
    uses: BTreeMap<u64, Use>,
}

enum Use {
    /// An attempt without an outcome yet, which began in this epoch.
    Attempt {
        epoch: u64,
    },
    Holding {
        id: String,
        mechanism: Mechanism,
    },
}

impl Use {
    /// Whether every holder in this phase, and in the phases beside it, is excluded.
    fn fits(&self, view: View) -> bool {
        match self {
            Self::Attempt { epoch } => *epoch == view.epoch,
            Self::Holding { mechanism, .. } => match view.phase {
                Phase::Old => mechanism.has_old_half(),
                Phase::Dual => *mechanism == Mechanism::Dual,
                Phase::Token => mechanism.has_token_half(),
            },
        }
    }
}

impl Report {
    /// Enters an attempt that begins now, and returns its number.
    pub(crate) fn begin(&mut self, view: View) -> u64 {
        self.last += 1;
        self.uses.insert(self.last, Use::Attempt { epoch: view.epoch });
        self.last
    }

    /// The attempt with this number has become a held lock.
    pub(crate) fn hold(&mut self, number: u64, id: &str, mechanism: Mechanism) {
        self.uses.insert(number, Use::Holding { id: id.to_owned(), mechanism });
    }

    pub(crate) fn is_held(&self, number: u64) -> bool {
        matches!(self.uses.get(&number), Some(Use::Holding { .. }))
    }

    pub(crate) fn end(&mut self, number: u64) {
        self.uses.remove(&number);
    }

    /// The epoch that the process confirms, which is this one if all its uses fit.
    pub(crate) fn confirm(&mut self, view: View) -> u64 {
        if self.uses.values().all(|used| used.fits(view)) {
            self.confirmed = view.epoch;
        }
        self.confirmed
    }

    /// The held locks with their mechanisms.
    pub(crate) fn holding(&self) -> BTreeMap<String, String> {
        let held = self.uses.values().filter_map(|used| match used {
            Use::Holding { id, mechanism } => Some((id.clone(), mechanism.as_str().to_owned())),
            Use::Attempt { .. } => None,
        });
        held.collect()
    }
}
