//! Who grants each limit, and how a limit moves from one side to the other.

mod back;
mod counts;
mod over;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use leasehold_engine::{LimitId, Span, Timestamp};
use rustc_hash::FxHashMap;

use crate::counting::Covers;
use crate::phase::{Failure, From, Grants, Phase, Refused, Stage};
use crate::route::{Held, Passage, Route};

/// How long a move may hold requests before it is given up.
const HOLD_MAX: Span = Span::from_micros(1_500_000);

/// Who grants each limit.
///
/// A limit that it does not know is the upstream's.
#[derive(Debug, Default)]
pub struct Custody {
    limits: FxHashMap<Arc<str>, Entry>,
    /// The requests that were passed on and have not come back, by what they name.
    passages: FxHashMap<u64, Vec<Arc<str>>>,
    held: FxHashMap<u64, Vec<Arc<str>>>,
    next: u64,
    /// The reading that is under way.
    counting: Option<u64>,
}

#[derive(Debug)]
struct Entry {
    id: LimitId,
    stage: Stage,
    /// What others hold at the upstream, as the ledger has it. `None`: the ledger may have another
    /// number.
    foreign: Option<u64>,
    covers: Covers,
    /// Phantoms that an operator dropped, and that the upstream still counts.
    dropped: u64,
    /// The reading under way began after every request had come back.
    is_ready: bool,
    /// An act of this limit has not been reported.
    is_acting: bool,
    /// A way back was given up: its covers are to be given back.
    uncover: bool,
    failure: Option<Failure>,
}

/// A limit of the upstream, or one that the ledger has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its name.
    pub name: Arc<str>,
    /// Its id, the same on both sides.
    pub id: LimitId,
}

/// A limit that the ledger has at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adopted {
    /// Which.
    pub limit: Known,
    /// Its foreign slots.
    pub foreign: u64,
    /// Whether it is on its way back.
    pub returning: bool,
    /// The slots that the upstream counts for leases of ours.
    pub covered: u64,
    /// The phantoms that an operator dropped.
    pub dropped: u64,
}

/// What the shell does next. It reports each by [`Custody::done`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Create the limit in the ledger as the upstream has it, or update it.
    Adopt {
        /// Which.
        limit: Arc<str>,
        /// Its foreign slots.
        foreign: u64,
        /// The level of a rate limit.
        level: u64,
    },
    /// Set the limit's foreign slots in the ledger.
    SetForeign {
        /// Which.
        limit: Arc<str>,
        /// How many.
        slots: u64,
        /// By how many they rose, which only somebody who talks to the upstream past the gateway
        /// can have caused.
        rose: u64,
    },
    /// Let the ledger stop granting, or grant again.
    SetReturning {
        /// Which.
        limit: Arc<str>,
        /// Stop, or grant.
        returning: bool,
    },
    /// Give back so many phantoms at the upstream; then take there a cover for each lease of this
    /// limit that has none.
    Cover {
        /// Which.
        limit: Arc<str>,
        /// How many phantoms. [`Custody::phantoms_given_back`] reports them.
        phantoms: u64,
    },
    /// Give back the covers of this limit at the upstream.
    Uncover {
        /// Which.
        limit: Arc<str>,
    },
    /// Delete the limit in the ledger, if no lease is left on it.
    Retire {
        /// Which.
        limit: Arc<str>,
    },
}

/// What became of an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// It is done.
    Yes,
    /// It may be done or not: try again.
    Again,
    /// It cannot be done now, and was not.
    No(Failure),
}

/// Where a limit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its phase.
    pub phase: Phase,
    /// Whether requests for it are held at the moment.
    pub is_moving: bool,
    /// What others hold at the upstream, as far as it is ours.
    pub foreign: u64,
    /// The phantoms that an operator dropped, and that the upstream still counts.
    pub dropped: u64,
    /// The slots that the upstream counts for leases of ours.
    pub covered: u64,
    /// Requests for it that were passed on and have not come back.
    pub under_way: u64,
    /// Requests that are held.
    pub held: u64,
    /// Why the last move was given up.
    pub failure: Option<Failure>,
}

impl Custody {
    /// The custody of a gateway that starts with these limits in its ledger. A limit on its way
    /// back may have been granted by the upstream before: requests are held until each lease here
    /// has its cover.
    pub fn resumed(limits: impl IntoIterator<Item = Adopted>) -> Self {
        let entry = |adopted: Adopted| {
            let stage =
                if adopted.returning { Stage::Stopping { until: None } } else { Stage::Ours };
            let entry = Entry {
                stage,
                foreign: Some(adopted.foreign),
                covers: Covers::new(adopted.covered),
                dropped: adopted.dropped,
                // Of a way back that was given up.
                uncover: !adopted.returning && adopted.covered > 0,
                ..Entry::new(adopted.limit.id)
            };
            (adopted.limit.name, entry)
        };
        Self { limits: limits.into_iter().map(entry).collect(), ..Self::default() }
    }

    /// Where a request for slots of these limits goes.
    pub fn route(&mut self, names: &[Arc<str>]) -> Route {
        let grants = |name: &Arc<str>| {
            self.limits.get(name).map_or(Grants::There, |entry| entry.stage.grants())
        };
        if names.iter().any(|name| grants(name) == Grants::Nobody) {
            self.next += 1;
            self.held.insert(self.next, names.to_vec());
            return Route::Hold(Held(self.next));
        }
        let (here, there): (Vec<_>, Vec<_>) =
            names.iter().cloned().partition(|name| grants(name) == Grants::Here);
        if there.is_empty() && !here.is_empty() {
            return Route::Here;
        }
        self.next += 1;
        self.passages.insert(self.next, there.clone());
        let passage = Passage(self.next);
        if here.is_empty() { Route::There(passage) } else { Route::Both { here, there, passage } }
    }

    /// The upstream has answered a request, or never will. Returns whether a move waited for it.
    #[expect(clippy::needless_pass_by_value, reason = "a passage ends once")]
    pub fn came_back(&mut self, passage: Passage) -> bool {
        let names = self.passages.remove(&passage.0).unwrap_or_default();
        names.iter().any(|name| {
            let stage = self.limits.get(name).map(|entry| entry.stage);
            matches!(stage, Some(Stage::Holding { .. }))
        })
    }

    /// A held request is asked again, or has left.
    #[expect(clippy::needless_pass_by_value, reason = "a hold ends once")]
    pub fn let_go(&mut self, held: Held) {
        self.held.remove(&held.0);
    }

    /// Whether the ledger has the limit, in whichever phase.
    pub fn is_known(&self, name: &str) -> bool {
        self.limits.get(name).is_some_and(|entry| entry.stage != Stage::Upstream)
    }

    /// Whether Leasehold grants the limit.
    pub fn is_ours(&self, name: &str) -> bool {
        self.limits.get(name).is_some_and(|entry| entry.stage == Stage::Ours)
    }

    /// The limits that the ledger has or is about to have, in order.
    pub fn known(&self) -> Vec<Known> {
        let ours = self.limits.iter().filter(|(_, entry)| entry.stage != Stage::Upstream);
        let mut known: Vec<_> =
            ours.map(|(name, entry)| Known { name: name.clone(), id: entry.id }).collect();
        known.sort_by(|a, b| a.name.cmp(&b.name));
        known
    }

    /// Whether the ledger has a limit, or is about to have one.
    pub fn has_any(&self) -> bool {
        self.limits.values().any(|entry| entry.stage != Stage::Upstream)
    }

    /// Whether requests are held, so that the shell should not sleep.
    pub fn is_moving(&self) -> bool {
        self.limits.values().any(|entry| entry.stage.grants() == Grants::Nobody || entry.uncover)
    }

    /// Where a limit stands.
    pub fn standing(&self, name: &str) -> Standing {
        let names = |all: &FxHashMap<u64, Vec<Arc<str>>>| {
            all.values().filter(|names| names.iter().any(|other| &**other == name)).count() as u64
        };
        let (under_way, held) = (names(&self.passages), names(&self.held));
        let Some(entry) = self.limits.get(name) else {
            return Standing {
                phase: Phase::Upstream,
                is_moving: false,
                foreign: 0,
                dropped: 0,
                covered: 0,
                under_way,
                held,
                failure: None,
            };
        };
        let foreign = entry.foreign.unwrap_or(0);
        Standing {
            phase: entry.stage.phase(foreign),
            is_moving: entry.stage.grants() == Grants::Nobody,
            foreign,
            dropped: entry.dropped,
            covered: entry.covers.settled(),
            under_way,
            held,
            failure: entry.failure,
        }
    }

    /// A limit was renamed on both sides.
    pub fn renamed(&mut self, from: &str, to: Arc<str>) {
        if let Some(mut entry) = self.limits.remove(from) {
            // An act that is under way is reported under the old name. It is due again.
            entry.is_acting = false;
            self.limits.insert(to, entry);
        }
    }

    /// A limit was deleted on both sides.
    pub fn deleted(&mut self, name: &str) {
        self.limits.remove(name);
    }

    /// What is due at a time.
    pub fn step(&mut self, now: Timestamp) -> Vec<Act> {
        let mut names: Vec<_> = self.limits.keys().cloned().collect();
        names.sort();
        let mut acts = Vec::new();
        for name in names {
            let under_way = self.under_way(&name);
            let Some(entry) = self.limits.get_mut(&name) else { continue };
            if entry.is_acting {
                continue;
            }
            let act = entry.give_up_in_time(under_way, now).due(name);
            entry.is_acting = act.is_some();
            acts.extend(act);
        }
        acts
    }

    /// What became of an act. `now` decides whether one that failed is tried again.
    pub fn done(&mut self, act: &Act, done: Done, now: Timestamp) {
        let Some(entry) = self.limits.get_mut(act.limit()) else { return };
        if let Act::SetForeign { .. } = act {
            // The next count says the number again.
            if done != Done::Yes {
                entry.foreign = None;
            }
            return;
        }
        entry.is_acting = false;
        match (act, done) {
            (Act::Adopt { .. }, _) => entry.adopted(done),
            (Act::SetReturning { returning, .. }, Done::Yes) => entry.returning_is(*returning),
            (Act::Cover { .. }, _) => entry.covered(done, now),
            (Act::Uncover { .. }, Done::Yes) => entry.uncover = false,
            (Act::Retire { .. }, Done::Yes) => {
                self.limits.remove(act.limit());
            }
            // Due again at the next step.
            (Act::SetReturning { .. } | Act::Uncover { .. } | Act::Retire { .. }, _)
            | (Act::SetForeign { .. }, _) => {}
        }
    }

    fn under_way(&self, name: &str) -> u64 {
        let named = |names: &&Vec<Arc<str>>| names.iter().any(|other| &**other == name);
        self.passages.values().filter(named).count() as u64
    }
}

impl Entry {
    fn new(id: LimitId) -> Self {
        Self {
            id,
            stage: Stage::Upstream,
            foreign: Some(0),
            covers: Covers::default(),
            dropped: 0,
            is_ready: false,
            is_acting: false,
            uncover: false,
            failure: None,
        }
    }

    fn fail(&mut self, stage: Stage, failure: Failure) {
        self.stage = stage;
        self.failure = Some(failure);
    }

    /// The act that the stage needs.
    fn due(&self, limit: Arc<str>) -> Option<Act> {
        match self.stage {
            Stage::Adopting { foreign, level, .. } => Some(Act::Adopt { limit, foreign, level }),
            Stage::Stopping { .. } => Some(Act::SetReturning { limit, returning: true }),
            Stage::Resuming => Some(Act::SetReturning { limit, returning: false }),
            Stage::Covering { .. } => Some(Act::Cover { limit, phantoms: self.dropped }),
            Stage::Returning => Some(Act::Retire { limit }),
            Stage::Ours if self.uncover => Some(Act::Uncover { limit }),
            Stage::Upstream | Stage::Holding { .. } | Stage::Ours => None,
        }
    }
}

impl Act {
    /// The limit that it is about.
    pub fn limit(&self) -> &Arc<str> {
        match self {
            Self::Adopt { limit, .. }
            | Self::SetForeign { limit, .. }
            | Self::SetReturning { limit, .. }
            | Self::Cover { limit, .. }
            | Self::Uncover { limit }
            | Self::Retire { limit } => limit,
        }
    }
}
