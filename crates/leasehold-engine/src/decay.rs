//! Levels that carry their fraction, and the rate at which they drain.
//!
//! A rate limit grants exactly what is configured only if nothing is rounded between two
//! grants: a level that is floored at every grant loses up to a slot each time (64 to 76% of
//! the configured rate, measured on the server that this replaces). So a level counts
//! 10⁻¹⁵ slots, a rate counts 10⁻⁹ slots per second, time counts microseconds, and their
//! product is exact.

use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub, SubAssign};

use crate::time::{Span, Timestamp};

/// An amount of slots with its fraction, in units of 10⁻¹⁵ slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level(u128);

/// How fast a level drains, in units of 10⁻⁹ slots per second. Zero: not at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(u64);

impl Level {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    const UNITS_PER_SLOT: u128 = 1_000_000_000_000_000;

    /// `slots` whole slots.
    pub const fn from_slots(slots: u64) -> Self {
        Self(slots as u128 * Self::UNITS_PER_SLOT)
    }

    /// A level of `units` · 10⁻¹⁵ slots, as a journal stores it.
    pub const fn from_units(units: u128) -> Self {
        Self(units)
    }

    /// The level in units of 10⁻¹⁵ slots.
    pub const fn as_units(self) -> u128 {
        self.0
    }

    /// Whole slots that are taken: a slot that has drained in part is still taken.
    pub fn slots_taken(self) -> u64 {
        u64::try_from(self.0.div_ceil(Self::UNITS_PER_SLOT)).unwrap_or(u64::MAX)
    }

    /// The level without its fraction.
    pub fn floor(self) -> Self {
        Self(self.0 - self.0 % Self::UNITS_PER_SLOT)
    }

    /// What is left after taking `other` away, at least nothing.
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Rate {
    /// No decay.
    pub const NONE: Self = Self(0);
    const UNITS_PER_SLOT: f64 = 1e9;

    /// The rate of `slots_per_second`, rounded to 10⁻⁹; a positive rate never rounds to none.
    pub fn from_slots_per_second(slots_per_second: f64) -> Self {
        if slots_per_second > 0.0 {
            // `as` saturates: beyond 9 billion slots per second is as good as no limit.
            let units = (slots_per_second * Self::UNITS_PER_SLOT).round() as i64;
            Self(units.max(1).unsigned_abs())
        } else {
            Self::NONE
        }
    }

    /// The rate of `units` · 10⁻⁹ slots per second, as a journal stores it.
    pub const fn from_units(units: u64) -> Self {
        Self(units)
    }

    /// The rate in units of 10⁻⁹ slots per second.
    pub const fn as_units(self) -> u64 {
        self.0
    }

    /// The rate in slots per second, as it was configured.
    pub fn as_slots_per_second(self) -> f64 {
        self.0 as f64 / Self::UNITS_PER_SLOT
    }

    /// Whether nothing drains at all.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// What drains between two points in time.
    pub fn drained(self, from: Timestamp, to: Timestamp) -> Level {
        Level(u128::from(self.0) * u128::from(to.since(from).as_micros()))
    }

    /// How long it takes until `level` has drained, rounded up; never, without decay.
    pub fn time_to_drain(self, level: Level) -> Option<Span> {
        if self.is_none() {
            return None;
        }
        let micros = level.0.div_ceil(u128::from(self.0));
        Some(Span::from_micros(u64::try_from(micros).unwrap_or(u64::MAX)))
    }
}

impl Add for Level {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Level {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Level {
    type Output = Self;

    /// What is taken away is always part of the level; anything else is a bookkeeping error.
    fn sub(self, other: Self) -> Self {
        debug_assert!(self.0 >= other.0, "a level below zero: {self:?} - {other:?}");
        self.saturating_sub(other)
    }
}

impl SubAssign for Level {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Sum for Level {
    fn sum<I: Iterator<Item = Self>>(levels: I) -> Self {
        levels.fold(Self::ZERO, Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_keeps_what_was_configured() {
        for configured in [0.1, 0.5, 1.5, 5.0, 20.0, 1e-9, 12_345.678_9] {
            let rate = Rate::from_slots_per_second(configured);
            assert_eq!(rate.as_slots_per_second(), configured);
        }
    }

    #[test]
    fn a_tiny_rate_is_not_rounded_to_none() {
        assert!(!Rate::from_slots_per_second(1e-30).is_none());
        assert!(Rate::from_slots_per_second(0.0).is_none());
    }

    #[test]
    fn many_small_drains_are_one_large_drain() {
        let rate = Rate::from_slots_per_second(0.3);
        let at = Timestamp::from_micros;
        let small: Level = (0..1_000).map(|i| rate.drained(at(i * 7), at(i * 7 + 7))).sum();
        assert_eq!(small, rate.drained(at(0), at(7_000)));
    }

    #[test]
    fn a_slot_that_drained_in_part_is_still_taken() {
        assert_eq!(Level::from_units(1).slots_taken(), 1);
        assert_eq!(Level::from_slots(2).slots_taken(), 2);
        assert_eq!(Level::ZERO.slots_taken(), 0);
    }

    #[test]
    fn after_the_time_to_drain_nothing_is_left_and_a_moment_before_something_is() {
        let rate = Rate::from_slots_per_second(3.0);
        let span = rate.time_to_drain(Level::from_slots(1)).unwrap();
        let start = Timestamp::from_micros(0);
        assert!(rate.drained(start, start + span) >= Level::from_slots(1));
        let before = Span::from_micros(span.as_micros() - 1);
        assert!(rate.drained(start, start + before) < Level::from_slots(1));
    }
}
