//! Slots that are taken without a lease: how many, what took them, and since when.
//!
//! They have no holder and no deadline. Only a client that returns slots, decay, or an operator
//! frees them.

use smallvec::SmallVec;

use crate::decay::Level;
use crate::time::{Span, Timestamp};

/// What took slots without a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TakenBy {
    /// The limit was created with them.
    Created,
    /// A client took them without a lease, and should return them.
    Incremented,
    /// A client used a rate limit. They drain; the client does not return them.
    Spent,
    /// An operator set how many are taken.
    Reset,
    /// They were taken before the cause was recorded.
    Unknown,
}

/// Slots that one cause took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unheld {
    /// What took them.
    pub taken_by: TakenBy,
    /// Since when there are such slots without a break. `None` if it was not recorded.
    pub since: Option<Timestamp>,
    /// How many, with the fraction that has not drained.
    pub level: Level,
}

/// The slots of a limit that are taken without a lease: each [`TakenBy`] once, the oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unleased(SmallVec<[Unheld; 1]>);

impl Unleased {
    /// As a journal stored them.
    pub fn from_parts(parts: impl IntoIterator<Item = Unheld>) -> Self {
        Self(parts.into_iter().filter(|part| part.level > Level::ZERO).collect())
    }

    /// By what took them, the oldest first.
    pub fn parts(&self) -> &[Unheld] {
        &self.0
    }

    /// All of them, with the fraction that has not drained.
    pub fn level(&self) -> Level {
        self.0.iter().map(|part| part.level).sum()
    }

    /// All of them in whole slots: a slot that has drained in part is still taken.
    pub fn slots_taken(&self) -> u64 {
        self.level().slots_taken()
    }

    /// What is left of them after so much has drained.
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

    /// Frees what clients took, and then the rest.
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

    /// Leaves at most `level`.
    pub(crate) fn lower_to(&mut self, level: Level) {
        self.drain(self.level().saturating_sub(level));
    }

    /// An operator sets the level.
    pub(crate) fn set(&mut self, level: Level, now: Timestamp) {
        self.lower_to(level);
        self.take(TakenBy::Reset, level.saturating_sub(self.level()), now);
    }

    /// Frees so much, the oldest first.
    pub(crate) fn drain(&mut self, level: Level) {
        if level == Level::ZERO {
            return;
        }
        let mut left = level;
        self.0.iter_mut().for_each(|part| part.lose(&mut left));
        self.0.retain(|part| part.level > Level::ZERO);
    }

    /// Moves all times back: the clock that wrote them was ahead.
    pub(crate) fn set_back(&mut self, by: Span) {
        for part in &mut self.0 {
            part.since = part.since.map(|since| since - by);
        }
    }

    /// The limit is no rate limit from now on. Frees what was spent of its rate, and fractions: no
    /// client will return them.
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
