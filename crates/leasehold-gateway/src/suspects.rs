//! Phantoms: slots that the upstream counts and that nobody holds.

use leasehold_engine::{Span, Timestamp};

/// How long a lease of the default length lives. No slot is a phantom before that.
pub(crate) const LEASE_DEFAULT: Span = Span::from_seconds(300);

/// The slots of one limit that no known lease explains, and for how long they have been there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Suspects {
    unexplained: u64,
    since: Option<Timestamp>,
}

impl Suspects {
    /// A count was read: so many slots of it are unexplained.
    pub fn note(&mut self, unexplained: u64, now: Timestamp) {
        // Fewer: those that are left have been there all the time. More: some are new, and nothing
        // says which.
        if unexplained > self.unexplained || self.since.is_none() {
            self.since = Some(now);
        }
        self.unexplained = unexplained;
    }

    /// The slots that no known lease explains.
    pub fn unexplained(&self) -> u64 {
        self.unexplained
    }

    /// How many of them are phantoms: they have not fallen for longer than the longest lease that
    /// was seen, so a holder that lives would have renewed.
    pub fn phantoms(&self, longest_lease: Span, now: Timestamp) -> u64 {
        if self.judged_after(longest_lease).is_some_and(|after| now > after) {
            self.unexplained
        } else {
            0
        }
    }

    /// When they are old enough to be judged.
    pub fn judged_after(&self, longest_lease: Span) -> Option<Timestamp> {
        self.since.map(|since| since + longest_lease.max(LEASE_DEFAULT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn what_does_not_fall_for_longer_than_a_lease_is_a_phantom() {
        let mut suspects = Suspects::default();
        suspects.note(3, at(0));
        suspects.note(2, at(200));
        assert_eq!(suspects.phantoms(Span::from_seconds(60), at(300)), 0);
        assert_eq!(suspects.phantoms(Span::from_seconds(60), at(301)), 2);
        assert_eq!(suspects.phantoms(Span::from_seconds(3_600), at(301)), 0);
    }

    #[test]
    fn a_new_slot_makes_all_of_them_young() {
        let mut suspects = Suspects::default();
        suspects.note(1, at(0));
        suspects.note(2, at(299));
        assert_eq!(suspects.phantoms(Span::ZERO, at(400)), 0);
        assert_eq!(suspects.phantoms(Span::ZERO, at(600)), 2);
    }
}
