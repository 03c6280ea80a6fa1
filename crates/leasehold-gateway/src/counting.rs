//! What the upstream's count of a limit means.

/// A reading of the upstream's counts that is under way. It was begun before the upstream was
/// asked.
#[derive(Debug, PartialEq, Eq)]
pub struct Counting(pub(crate) u64);

/// What the upstream says of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// How many slots are taken there, decay applied.
    pub taken: u64,
    /// Whether the slots drain: a rate limit takes its level along, and nothing of it is foreign.
    pub drains: bool,
}

/// The slots that the upstream counts for us, because we took them there ourselves.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Covers {
    /// Those that it certainly counts now.
    settled: u64,
    /// The fewest that it certainly counted since the reading began that is under way.
    least: u64,
    /// Those that it may count: a request about them is under way.
    pending: u64,
    /// The most of these since the reading began.
    pending_most: u64,
}

impl Covers {
    pub(crate) fn new(settled: u64) -> Self {
        Self { settled, least: settled, pending: 0, pending_most: 0 }
    }

    /// The slots that the upstream certainly counts for us.
    pub(crate) fn settled(&self) -> u64 {
        self.settled
    }

    /// A reading begins.
    pub(crate) fn begin(&mut self) {
        self.least = self.settled;
        self.pending_most = self.pending;
    }

    /// Slots are about to be taken there.
    pub(crate) fn asked(&mut self, slots: u64) {
        self.pending += slots;
        self.pending_most = self.pending_most.max(self.pending);
    }

    /// The upstream has confirmed slots that were asked for.
    pub(crate) fn taken(&mut self, slots: u64) {
        self.settled += slots;
        self.over(slots);
    }

    /// Slots are about to be given back there.
    pub(crate) fn leaves(&mut self, slots: u64) {
        self.settled = self.settled.saturating_sub(slots);
        self.least = self.least.min(self.settled);
        self.asked(slots);
    }

    /// A request about slots has come back: they are not counted there.
    pub(crate) fn over(&mut self, slots: u64) {
        self.pending = self.pending.saturating_sub(slots);
    }

    /// How many slots others hold, of `taken` in all; at most one too many for each slot of ours
    /// about which a request was under way, and never one too few.
    pub(crate) fn of_others(&self, taken: u64) -> u64 {
        taken.saturating_sub(self.least)
    }

    /// How many slots too many [`Self::of_others`] may say.
    pub(crate) fn doubt(&self) -> u64 {
        self.pending_most
    }
}

#[cfg(test)]
mod tests {
    use super::Covers;

    #[test]
    fn a_slot_that_was_taken_during_the_reading_is_not_subtracted() {
        let mut covers = Covers::new(1);
        covers.begin();
        covers.asked(1);
        covers.taken(1);
        assert_eq!((covers.of_others(2), covers.doubt()), (1, 1), "the reading may have missed it");
        covers.begin();
        assert_eq!((covers.of_others(2), covers.doubt()), (0, 0));
    }

    #[test]
    fn a_slot_that_was_given_back_during_the_reading_is_not_subtracted() {
        let mut covers = Covers::new(2);
        covers.begin();
        covers.leaves(1);
        covers.over(1);
        covers.asked(1);
        covers.taken(1);
        assert_eq!((covers.of_others(3), covers.doubt()), (2, 1));
    }
}
