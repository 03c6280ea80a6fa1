//! Logs a line that clients can cause a thousand times a second at most once a second, with the
//! number of times that it was left out since.

use std::sync::{Mutex, PoisonError};

use leasehold_engine::{Span, Timestamp};

const INTERVAL: Span = Span::from_seconds(1);

/// One kind of line in the log.
#[derive(Debug, Default)]
pub(crate) struct LogThrottle(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    next: Option<Timestamp>,
    unsaid: u64,
}

impl LogThrottle {
    /// Whether to log an occurrence now. If so, returns how many occurrences since the last line
    /// were not logged.
    pub(crate) fn is_due(&self, now: Timestamp) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.next.is_some_and(|next| now < next) {
            state.unsaid += 1;
            return None;
        }
        state.next = Some(now + INTERVAL);
        Some(std::mem::take(&mut state.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_one_line_a_second_that_counts_the_rest() {
        let line = LogThrottle::default();
        let at = |millis: i64| Timestamp::from_micros(millis * 1_000);
        assert_eq!(line.is_due(at(0)), Some(0));
        assert_eq!((line.is_due(at(1)), line.is_due(at(999))), (None, None));
        assert_eq!(line.is_due(at(1_000)), Some(2));
        assert_eq!(line.is_due(at(9_000)), Some(0));
    }
}
