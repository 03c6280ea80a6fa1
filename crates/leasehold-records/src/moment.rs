//! How full a limit was, and what happened on it, in a stretch of time: a point of a chart.

/// A stretch of time of a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// How many slots were taken at the most.
    pub taken: u64,
    /// How many requests waited at the most.
    pub waiting: u64,
    /// How many grants there were.
    pub granted: u64,
    /// How many refusals there were.
    pub refused: u64,
}

/// The stretches of a limit up to now, the oldest first. Nothing happened in one that is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chart {
    /// When the first stretch begins, in microseconds since the Unix epoch.
    pub begin_micros: i64,
    /// How long each stretch is.
    pub seconds: u64,
    /// The stretches.
    pub moments: Vec<Moment>,
}

impl Moment {
    /// The shorter stretch. An hour of these is kept.
    pub const MINUTE_SECONDS: u64 = 60;
    /// The longer stretch. A day of these is kept.
    pub const QUARTER_SECONDS: u64 = 900;

    /// How many stretches of this length are kept.
    pub(crate) const fn kept(seconds: u64) -> u64 {
        if seconds == Self::MINUTE_SECONDS { 60 } else { 96 }
    }

    /// This stretch and another one as one.
    pub(crate) fn with(self, other: Self) -> Self {
        Self {
            taken: self.taken.max(other.taken),
            waiting: self.waiting.max(other.waiting),
            granted: self.granted.saturating_add(other.granted),
            refused: self.refused.saturating_add(other.refused),
        }
    }
}

impl Chart {
    /// Adds what has not been written yet to the last stretch.
    pub fn add_present(&mut self, present: Moment) {
        if let Some(last) = self.moments.last_mut() {
            *last = last.with(present);
        }
    }

    /// Whether nothing happened in all of it.
    pub fn is_empty(&self) -> bool {
        self.moments.iter().all(|moment| *moment == Moment::default())
    }
}
