//! Slots that no lease holds: how many, by what they were taken, and since when.
//!
//! They are one anonymous holding for each limit. Nobody renews it, so nothing ends it but
//! somebody who gives slots back, decay, or an operator.

use smallvec::SmallVec;

use crate::decay::Level;
use crate::time::{Span, Timestamp};

/// By what slots were taken that no lease holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TakenBy {
    /// The limit was made with them.
    Created,
    /// A client took them without a lease, and is to give them back.
    Incremented,
    /// A client used a rate limit. Nobody gives these back: they drain.
    Spent,
    /// An operator said how many are taken.
    Reset,
    /// They were taken before this was recorded.
    Unknown,
}

/// Slots that were taken by one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unheld {
    /// By what they were taken.
    pub taken_by: TakenBy,
    /// Since when there are some taken by it without a break; `None` if it was not recorded.
    pub since: Option<Timestamp>,
    /// How many there are, with the fraction that has not drained.
    pub level: Level,
}

/// The slots of a limit that no lease holds: each [`TakenBy`] once, the one that came first foremost.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unleased(SmallVec<[Unheld; 1]>);

impl Unleased {
    /// What a journal kept.
    pub fn from_parts(parts: impl IntoIterator<Item = Unheld>) -> Self {
        Self(parts.into_iter().filter(|part| part.level > Level::ZERO).collect())
    }

    /// By what took them, in the order in which they came.
    pub fn parts(&self) -> &[Unheld] {
        &self.0
    }

    /// All of them, with the fraction that has not drained.
    pub fn level(&self) -> Level {
        self.0.iter().map(|part| part.level).sum()
    }

    /// All of them in whole slots: one that has drained in part is still taken.
    pub fn slots_taken(&self) -> u64 {
        self.level().slots_taken()
    }

    /// What is left of them when so much has drained.
    pub fn after(&self, drained: Level) -> Self {
        let mut left = self.clone();
        left.drain(drained);
        left
    }

    pub(crate) fn take(&mut self, taken_by: TakenBy, level: Level, now: Timestamp) {
        if level == Level::ZERO {
            return;
        }
        match self.0.iter_mut().find(|part| part.taken_by == taken_by) {
            Some(part) => part.level += level,
            None => self.0.push(Unheld { taken_by, since: Some(now), level }),
        }
    }

    /// Takes away what clients took, which is theirs to give back, and then the rest.
    pub(crate) fn give_back(&mut self, level: Level) {
        let mut left = level;
        for taken_by in [TakenBy::Incremented, TakenBy::Spent] {
            if let Some(part) = self.0.iter_mut().find(|part| part.taken_by == taken_by) {
                part.lose(&mut left);
            }
        }
        self.drain(left);
        self.0.retain(|part| part.level > Level::ZERO);
    }

    /// Leaves so much of it at most.
    pub(crate) fn lower_to(&mut self, level: Level) {
        self.drain(self.level().saturating_sub(level));
    }

    /// An operator says how much there is.
    pub(crate) fn set(&mut self, level: Level, now: Timestamp) {
        self.lower_to(level);
        self.take(TakenBy::Reset, level.saturating_sub(self.level()), now);
    }

    /// Takes so much away, of what came first foremost.
    pub(crate) fn drain(&mut self, level: Level) {
        if level == Level::ZERO {
            return;
        }
        let mut left = level;
        self.0.iter_mut().for_each(|part| part.lose(&mut left));
        self.0.retain(|part| part.level > Level::ZERO);
    }

    /// Moves all times back: the clock that they are from was ahead.
    pub(crate) fn set_back(&mut self, by: Span) {
        for part in &mut self.0 {
            part.since = part.since.map(|since| since - by);
        }
    }

    /// The limit is no rate limit from now on. What was spent of its rate is held by nobody, and
    /// nobody will come to give a fraction back.
    pub(crate) fn stop_draining(&mut self) {
        self.0.retain(|part| part.taken_by != TakenBy::Spent);
        self.lower_to(self.level().floor());
    }
}

impl Unheld {
    fn lose(&mut self, left: &mut Level) {
        let lost = self.level.min(*left);
        self.level -= lost;
        *left -= lost;
    }
}
