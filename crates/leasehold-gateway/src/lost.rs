//! Covers whose ids were lost: the upstream was asked for them, and this server ended before it
//! knew the answer.

use leasehold_engine::{Span, Timestamp};

/// The slots of a limit that the upstream may count for covers whose ids are lost. Their leases run
/// out by themselves, unless the upstream has lost its leases, too: then it counts them for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    slots: u64,
    since: Timestamp,
}

impl Lost {
    /// The upstream is about to be asked for covers, or was before this server started.
    pub fn asked(&mut self, slots: u64, now: Timestamp) {
        self.slots += slots;
        self.since = now;
    }

    /// It is known of so many slots whether the upstream counts them.
    pub fn known(&mut self, slots: u64) {
        self.slots = self.slots.saturating_sub(slots);
    }

    /// How many slots are lost at most.
    pub fn slots(&self) -> u64 {
        self.slots
    }

    /// How many slots to give back, of `phantoms` that nobody holds. Nothing before the leases of
    /// covers, which last for `cover`, have run out.
    pub fn to_give_back(&self, phantoms: u64, cover: Span, now: Timestamp) -> u64 {
        if now > self.since + cover { self.slots.min(phantoms) } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COVER: Span = Span::from_seconds(600);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn lost_covers_are_given_back_once_their_leases_would_have_run_out() {
        let mut lost = Lost::default();
        lost.asked(5, at(0));
        lost.known(3);
        assert_eq!(lost.to_give_back(9, COVER, at(600)), 0, "they may run out by themselves");
        assert_eq!(lost.to_give_back(9, COVER, at(601)), 2, "the others are not ours");
        assert_eq!(lost.to_give_back(1, COVER, at(601)), 1, "one has run out");
        lost.known(9);
        assert_eq!(lost.to_give_back(9, COVER, at(601)), 0);
    }
}
