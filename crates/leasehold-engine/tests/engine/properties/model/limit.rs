//! A limit of the naive ledger: its slots without a lease are a list that is searched.

/// One slot in the units of the engine's levels; micros × nanos per second drain.
pub(super) const SLOT: i128 = 1_000_000_000_000_000;

pub(super) struct Limit {
    pub(super) id: u128,
    pub(super) name: String,
    pub(super) slots: i128,
    pub(super) active: bool,
    pub(super) nanos_per_second: i128,
    /// Slots without a lease by what took them, the oldest first.
    pub(super) unleased: Vec<(By, i128)>,
    /// Whole slots that another server counts.
    pub(super) foreign: i128,
    /// It is on its way back to another server.
    pub(super) returning: bool,
}

/// What took slots without a lease.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum By {
    Creation,
    Increment,
    Rate,
    Reset,
}

impl Limit {
    pub(super) fn unleased(&self) -> i128 {
        self.unleased.iter().map(|(_, level)| level).sum()
    }

    pub(super) fn gain(&mut self, by: By, level: i128) {
        if level <= 0 {
            return;
        }
        match self.unleased.iter_mut().find(|(known, _)| *known == by) {
            Some((_, known)) => *known += level,
            None => self.unleased.push((by, level)),
        }
    }

    /// Frees so much of some. Returns what it could not free.
    pub(super) fn lose(&mut self, mut level: i128, of: impl Fn(By) -> bool) -> i128 {
        for (_, known) in self.unleased.iter_mut().filter(|(by, _)| of(*by)) {
            let lost = level.min(*known);
            *known -= lost;
            level -= lost;
        }
        self.unleased.retain(|(_, level)| *level > 0);
        level
    }
}
